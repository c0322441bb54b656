// ethers against a node: prints what it found as JSON. Arguments: HTTP address, WebSocket address, private key, ABI, code.
import { readFileSync } from "node:fs";
import { ethers } from "ethers";

const [http, ws, key, abiFile, codeFile] = process.argv.slice(2);
const abi = JSON.parse(readFileSync(abiFile, "utf8"));
const code = "0x" + readFileSync(codeFile).toString("hex");
const provider = new ethers.JsonRpcProvider(http, undefined, { pollingInterval: 50 });
const socket = new ethers.WebSocketProvider(ws);
const wallet = new ethers.Wallet(key, provider);
const found = {};

found.chainId = Number((await provider.getNetwork()).chainId);
const accounts = await provider.listAccounts();
found.accounts = accounts.length;
found.balance = (await provider.getBalance(accounts[1].address)).toString();

const factory = new ethers.ContractFactory(abi, code, wallet);
const token = await factory.deploy();
await token.waitForDeployment();
found.token = await token.getAddress();
found.name = await token.name();

const bob = accounts[1].address;
const heads = [];
await socket.on("block", (number) => heads.push(number));
const watched = new ethers.Contract(found.token, abi, socket);
const pushed = new Promise((resolve) => watched.on("Transfer", (from, to, value) => resolve(value.toString())));
const polled = new Promise((resolve) => token.on("Transfer", (from, to, value) => resolve(value.toString())));
await new Promise((resolve) => setTimeout(resolve, 300));
const sent = await token.transfer(bob, 7n);
const receipt = await sent.wait();
found.type = sent.type;
found.status = receipt.status;
found.pushed = await pushed;
found.polled = await polled;
found.heads = heads.length > 0;
found.past = (await token.queryFilter(token.filters.Transfer(null, bob), 0)).map((each) => each.args.value.toString());
found.receiptOverSocket = (await (await new ethers.Wallet(key, socket).sendTransaction({ to: bob, value: 1n })).wait()).status;

try {
  await token.connect(accounts[2]).transfer.staticCall(bob, 5n);
} catch (error) {
  found.reason = error.reason;
}
try {
  await token.connect(accounts[2]).transfer(bob, 5n);
} catch (error) {
  found.estimateReason = error.reason;
}

const snapshot = await provider.send("evm_snapshot", []);
const unlocked = await (await token.connect(await provider.getSigner(0)).transfer(bob, 1n)).wait();
found.unlocked = unlocked.status;
found.before = (await token.balanceOf(bob)).toString();
found.reverted = await provider.send("evm_revert", [snapshot]);
found.after = (await token.balanceOf(bob)).toString();

found.root = (await provider.send("eth_getBlockByNumber", ["latest", false])).stateRoot;
found.proof = await provider.send("eth_getProof", [found.token, ["0x2"], "latest"]);
console.log(JSON.stringify(found));
token.removeAllListeners();
await socket.destroy();
provider.destroy();
