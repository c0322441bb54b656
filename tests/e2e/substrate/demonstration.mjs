// The demonstration of substrate-ssvm-node through @polkadot/api: node demonstration.mjs PORT CREATE_HEX.
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api'

const [port, code] = process.argv.slice(2)
const api = await ApiPromise.create({ provider: new WsProvider(`ws://127.0.0.1:${port}`), noInitWarn: true })
const alice = new Keyring({ type: 'sr25519' }).addFromUri('//Alice')
const [GAS, PRICE] = [5_000_000, 99]
const ALICE = '9621dde636de098b43efb0fa9b61facfe328f99d'
const BOB = '41dccbd49b26c50d34355ed86ff0fa9e489d1e01'

const send = (tx) =>
  new Promise((resolve, reject) => {
    tx.signAndSend(alice, ({ status, events }) => {
      if (status.isFinalized) resolve(events.filter(({ event }) => event.section === 'ewasm').map(({ event }) => event))
    }).catch(reject)
  })
const balance = async (who) => (await api.query.ewasm.accounts(`0x${who}`)).balance.toString()
const say = (name, value) => console.log(JSON.stringify([name, value]))

say('genesis', [await balance(ALICE), await balance(BOB)])
const [created] = await send(api.tx.ewasm.create(code, 0, GAS, PRICE))
const address = created.data.address.toHex()
say('create', [created.method, address])
const call = async (data) => {
  const events = await send(api.tx.ewasm.call(address, data, 0, GAS, PRICE))
  const last = events[events.length - 1]
  return [last.method, last.data.output.toHex()]
}
const balanceOf = (who) => `0x70a08231${who.padStart(64, '0')}`
say('balanceOf Alice', await call(balanceOf(ALICE)))
say('transfer', await call(`0xa9059cbb${BOB.padStart(64, '0')}${'3'.padStart(64, '0')}`))
say('balanceOf Alice after', await call(balanceOf(ALICE)))
say('balanceOf Bob', await call(balanceOf(BOB)))
await api.disconnect()
