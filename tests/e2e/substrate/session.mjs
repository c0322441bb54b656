// A session of @polkadot/api with the node: node session.mjs PORT CREATE_HEX; prints JSON, one thing learned a line.
import { ApiPromise, HttpProvider, Keyring, WsProvider } from '@polkadot/api'

const [port, code] = process.argv.slice(2)
const say = (name, value) => console.log(JSON.stringify([name, value]))
const api = await ApiPromise.create({ provider: new WsProvider(`ws://127.0.0.1:${port}`), noInitWarn: true })
const keys = (type) => new Keyring({ type })
const alice = keys('sr25519').addFromUri('//Alice')
const ed = keys('ed25519').addFromUri('//Alice')
const ec = keys('ecdsa').addFromUri('//Alice')

/** Sign and send; resolve when final, with what happened on the way. */
const send = (tx, by, options = {}) =>
  new Promise((resolve, reject) => {
    const seen = []
    tx.signAndSend(by, options, ({ status, events, dispatchError }) => {
      seen.push(status.type)
      if (!status.isFinalized) return
      const error = dispatchError?.isModule ? api.registry.findMetaError(dispatchError.asModule).name : (dispatchError?.toString() ?? null)
      const named = events.map(({ event }) => [`${event.section}.${event.method}`, event.data.toHuman()])
      resolve({ seen, error, events: Object.fromEntries(named) })
    }).catch(reject)
  })

const pallet = api.tx.ewasm
const GAS = 5_000_000

say('chain', [(await api.rpc.system.chain()).toString(), api.runtimeVersion.specName.toString(), api.genesisHash.length])
say('constants', [api.consts.ewasm.weightPerGas.toString(), api.consts.system.ss58Prefix.toString(), api.consts.ewasm.chainId.toString()])
const head = await api.rpc.chain.getHeader()
say('header', (await api.rpc.chain.getBlockHash(head.number.unwrap())).eq(head.hash))
const heads = []
const unsubscribe = await api.rpc.chain.subscribeNewHeads((each) => heads.push(each.number.toNumber()))

for (const pair of [alice, ed, ec]) {
  const { seen, error, events } = await send(api.tx.system.remarkWithEvent('0x1234'), pair)
  say('remark', [pair.type, seen, error, events['system.Remarked'] !== undefined])
}
say('long payload', (await send(api.tx.system.remark('0x' + '00'.repeat(500)), alice, { era: 0 })).error)

const deposit = await send(pallet.depositBalance(1_000_000), alice)
say('deposit', [deposit.error, deposit.events['ewasm.BalanceDeposited'].value])

const creation = pallet.create(code, 0, GAS, 99)
const { partialFee, weight } = await creation.paymentInfo(alice)
const created = await send(creation, alice)
const address = created.events['ewasm.Created'].address
const paid = BigInt(created.events['transactionPayment.TransactionFeePaid'].actualFee.replaceAll(',', ''))
say('created', [created.error, address, paid < partialFee.toBigInt(), weight.refTime.toBigInt() > 0n])

const word = (hex) => hex.padStart(64, '0')
const mine = (await api.call.ewasmApi.address(alice.address)).toHex().slice(2)
const bob = '41dccbd49b26c50d34355ed86ff0fa9e489d1e01'
const balanceOf = (who) => '0x70a08231' + word(who)
const transfer = (to, amount) => '0xa9059cbb' + word(to) + word(amount.toString(16))
const call = async (data) => {
  const { error, events } = await send(pallet.call(address, data, 0, GAS, 99), alice)
  return [error, (events['ewasm.Executed'] ?? events['ewasm.ExecutedFailed']).output, events['ewasm.Log'] !== undefined]
}
say('balance', await call(balanceOf(mine)))
say('transfer', await call(transfer(bob, 3)))
say('balances', [(await call(balanceOf(mine)))[1], (await call(balanceOf(bob)))[1]])
say('too much', await call(transfer(bob, 10_000)))

const dry = await api.call.ewasmApi.call(address, balanceOf(bob), alice.address, 0, GAS)
say('dry run', [dry.success.isTrue, dry.output.toHex(), dry.error.isNone])
const padded = address + 'ee'.repeat(12)
const weightLimit = { refTime: 10_000_000_000_000n, proofSize: 0 }
const contracts = await api.call.contractsApi.call(alice.address, padded, 0, weightLimit, null, balanceOf(bob))
say('contracts api', [contracts.result.isOk, contracts.result.asOk.data.toHex(), contracts.gasRequired.refTime.toBigInt() >= contracts.gasConsumed.refTime.toBigInt()])
const estimate = await api.call.ewasmApi.estimate(address, transfer(bob, 1), alice.address, 0)
say('estimate', [estimate.isOk, estimate.asOk.toNumber() > 10_000])
say('check', (await api.call.ewasmApi.check('0x0061736d01000000')).map((each) => each.rule.toString()))

const account = await api.query.ewasm.accounts(`0x${mine}`)
say('account', [account.nonce.toString(), account.balance.toString()])
say('code', (await api.query.ewasm.accountCodes(address)).length > 100)
const slots = await api.query.ewasm.accountStorages.entries(address)
say('slots', [slots.length, slots.every(([key]) => key.args[0].toHex() === address)])
const entries = await api.query.system.account.entries()
say('accounts', [entries.length, entries.some(([key]) => key.args[0].toString() === alice.address)])

let changes = 0
const end = await api.query.system.account(alice.address, () => (changes += 1))
await send(api.tx.balances.transferKeepAlive(ed.address, 12345), alice)
end()
say('storage subscription', changes)
say('error', await send(pallet.withdrawBalance(10_000_000), alice).then(({ error }) => error))

const refused = async (tx, by, options) => tx.signAndSend(by, options).then(() => 'taken', (error) => error.message)
say('stale', await refused(api.tx.system.remark('0x'), alice, { nonce: 0 }))
say('poor', await refused(api.tx.system.remark('0x'), keys('sr25519').addFromUri('//Nobody')))
unsubscribe()
say('heads', heads.every((each, index) => index === 0 || each === heads[index - 1] + 1) && heads.length > 10)

const http = await ApiPromise.create({ provider: new HttpProvider(`http://127.0.0.1:${port}`), noInitWarn: true })
say('http', [(await http.rpc.chain.getHeader()).number.toNumber() > 10, (await http.query.timestamp.now()).toNumber() > 0])
await http.disconnect()
await api.disconnect()
