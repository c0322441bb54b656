// viem against a node: prints what it found as JSON. Arguments: HTTP address, WebSocket address, private key, ABI, code.
import { readFileSync } from "node:fs";
import { createPublicClient, createTestClient, createWalletClient, http, publicActions, webSocket } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

const [address, ws, key, abiFile, codeFile] = process.argv.slice(2);
const abi = JSON.parse(readFileSync(abiFile, "utf8"));
const bytecode = "0x" + readFileSync(codeFile).toString("hex");
const options = { chain: foundry, transport: http(address), pollingInterval: 50 };
const client = createPublicClient(options);
const socket = createPublicClient({ chain: foundry, transport: webSocket(ws) });
const account = privateKeyToAccount(key);
const wallet = createWalletClient({ ...options, account });
const test = createTestClient({ ...options, mode: "anvil" }).extend(publicActions);
const found = {};

found.chainId = await client.getChainId();
const accounts = await wallet.getAddresses().then(() => createWalletClient(options).getAddresses());
found.accounts = accounts.length;
const bob = accounts[1];
found.balance = (await client.getBalance({ address: bob })).toString();

const deployed = await client.waitForTransactionReceipt({ hash: await wallet.deployContract({ abi, bytecode }) });
found.token = deployed.contractAddress;
const token = { address: found.token, abi };
found.name = await client.readContract({ ...token, functionName: "name" });

const values = (logs) => logs.map((log) => log.args.value.toString());
const watch = (by) =>
  new Promise((resolve) => by.watchContractEvent({ ...token, eventName: "Transfer", onLogs: (logs) => resolve(values(logs)[0]) }));
const pushed = watch(socket);
const polled = watch(client);
const head = new Promise((resolve) => socket.watchBlocks({ onBlock: (block) => resolve(Number(block.number)) }));
await new Promise((resolve) => setTimeout(resolve, 300));
const hash = await wallet.writeContract({ ...token, functionName: "transfer", args: [bob, 7n] });
const receipt = await client.waitForTransactionReceipt({ hash });
found.type = (await client.getTransaction({ hash })).typeHex === "0x2" ? 2 : -1;
found.status = receipt.status === "success" ? 1 : 0;
found.pushed = await pushed;
found.polled = await polled;
found.heads = (await head) > 0;
found.past = values(await client.getContractEvents({ ...token, eventName: "Transfer", args: { to: bob }, fromBlock: 0n }));
const overSocket = createWalletClient({ chain: foundry, transport: webSocket(ws), account });
const over = await overSocket.sendTransaction({ to: bob, value: 1n });
found.receiptOverSocket = (await socket.waitForTransactionReceipt({ hash: over })).status === "success" ? 1 : 0;

const transfer = { ...token, functionName: "transfer", args: [bob, 5n], account: accounts[2] };
const reason = (error) => error.walk((each) => each.reason !== undefined)?.reason;
await client.simulateContract(transfer).catch((error) => (found.reason = reason(error)));
await client.estimateContractGas(transfer).catch((error) => (found.estimateReason = reason(error)));

const snapshot = await test.snapshot();
await test.impersonateAccount({ address: found.token });
await test.setBalance({ address: found.token, value: 10n ** 18n });
const unlocked = createWalletClient(options);
const again = await unlocked.writeContract({ ...token, functionName: "transfer", args: [bob, 1n], account: accounts[0] });
found.unlocked = (await client.waitForTransactionReceipt({ hash: again })).status === "success" ? 1 : 0;
const balance = async () => (await client.readContract({ ...token, functionName: "balanceOf", args: [bob] })).toString();
found.before = await balance();
await test.mine({ blocks: 3, interval: 10 });
await test.increaseTime({ seconds: 60 });
found.reverted = (await test.revert({ id: snapshot })) !== false;
found.after = await balance();

found.root = (await client.getBlock()).stateRoot;
const proof = await client.getProof({ address: found.token, storageKeys: ["0x" + "2".padStart(64, "0")] });
found.proof = JSON.parse(JSON.stringify(proof, (_, value) => (typeof value === "bigint" ? "0x" + value.toString(16) : value)));
console.log(JSON.stringify(found));
process.exit(0);
