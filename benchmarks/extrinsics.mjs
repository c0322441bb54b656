// Extrinsics of @polkadot/api, signed beforehand: node extrinsics.mjs PORT CREATE_HEX RECIPIENT GAS. It prints one line of
// JSON when it is ready, and one for each command: `sign N`, `each` (the next when one is taken), `all` (at once).
import { createInterface } from 'node:readline'
import { ApiPromise, Keyring, WsProvider, packageInfo } from '@polkadot/api'

const [port, code, recipient, gas] = process.argv.slice(2)
const say = (value) => console.log(JSON.stringify(value))
const api = await ApiPromise.create({ provider: new WsProvider(`ws://127.0.0.1:${port}`), noInitWarn: true })
const keyring = new Keyring({ type: 'sr25519' })
const pairs = ['Alice', 'Bob', 'Charlie', 'Dave', 'Eve', 'Ferdie'].map((name) => keyring.addFromUri(`//${name}`))
const nonces = new Map()
for (const { address } of pairs) nonces.set(address, (await api.rpc.system.accountNextIndex(address)).toNumber())

const signed = (tx, pair) => {
  const { address } = pair
  const nonce = nonces.get(address)
  nonces.set(address, nonce + 1)
  return tx.sign(pair, { nonce, era: 0, blockHash: api.genesisHash, genesisHash: api.genesisHash, runtimeVersion: api.runtimeVersion })
}
const submit = (tx) => api.rpc.author.submitExtrinsic(tx)

const alice = pairs[0]
const who = await api.call.ewasmApi.address(alice.address)
const creation = api.tx.ewasm.create(code, 0, 5_000_000, 1)
await submit(signed(creation, alice))
const events = await api.query.system.events()
const created = events.map(({ event }) => event).find(({ section, method }) => section === 'ewasm' && method === 'Created')
const token = created.data.address.toHex()
const data = '0xa9059cbb' + recipient.slice(2).padStart(64, '0') + (3).toString(16).padStart(64, '0')
say({ version: packageInfo.version, token, creator: who.toHex() })

let ready = []
let turn = 0
const next = () => {
  const pair = pairs[turn++ % pairs.length]
  return signed(api.tx.ewasm.call(token, data, 0, Number(gas), 1), pair)
}
for await (const line of createInterface({ input: process.stdin })) {
  const [command, number] = line.split(' ')
  if (command === 'sign') ready = Array.from({ length: Number(number) }, next)
  if (command === 'each') for (const tx of ready) await submit(tx)
  if (command === 'all') await Promise.all(ready.map(submit))
  say(ready.length)
}
await api.disconnect()
