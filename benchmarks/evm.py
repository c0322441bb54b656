"""The peer of the subjects with ERC-20 transfers: a token as EVM byte code, hand-assembled, on py-evm and eth-tester.

It runs in a Python of its own (`pip install "eth-tester[py-evm]" web3`), which may need other versions than this
project, imports nothing from here, and obeys lines: the name of a run and how often, answered by seconds for one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.metadata import version

OPS = {
    "ADD": 0x01,
    "SUB": 0x03,
    "LT": 0x10,
    "EQ": 0x14,
    "ISZERO": 0x15,
    "SHR": 0x1C,
    "SHA3": 0x20,
    "CALLER": 0x33,
    "CALLDATALOAD": 0x35,
    "CODECOPY": 0x39,
    "MSTORE": 0x52,
    "SLOAD": 0x54,
    "SSTORE": 0x55,
    "JUMPI": 0x57,
    "JUMPDEST": 0x5B,
    "DUP1": 0x80,
    "DUP2": 0x81,
    "DUP3": 0x82,
    "SWAP1": 0x90,
    "LOG3": 0xA3,
    "RETURN": 0xF3,
    "REVERT": 0xFD,
}
TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

# Memory 0: the key, 32: the slot of the mapping, 0. `$fail` stands for a place below 256.
TOKEN = f"""
0 CALLDATALOAD e0 SHR a9059cbb EQ ISZERO $other JUMPI
24 CALLDATALOAD
CALLER 0 MSTORE 40 0 SHA3 DUP1 SLOAD
DUP3 DUP2 LT $fail JUMPI
DUP3 SWAP1 SUB SWAP1 SSTORE
4 CALLDATALOAD 0 MSTORE 40 0 SHA3 DUP1 SLOAD
DUP3 ADD SWAP1 SSTORE
0 MSTORE 4 CALLDATALOAD CALLER {TRANSFER} 20 0 LOG3
1 0 MSTORE 20 0 RETURN
:other
0 CALLDATALOAD e0 SHR 70a08231 EQ ISZERO $fail JUMPI
4 CALLDATALOAD 0 MSTORE 40 0 SHA3 SLOAD 0 MSTORE 20 0 RETURN
:fail 0 0 REVERT
"""
DEPLOY = "{supply} CALLER 0 MSTORE 40 0 SHA3 SSTORE {size} {start} 0 CODECOPY {size} 0 RETURN"
TO = bytes.fromhex("41dccbd49b26c50d34355ed86ff0fa9e489d1e01")
GAS = 200_000
ABI = [
    {
        "type": "function",
        "name": "transfer",
        "inputs": [{"name": "to", "type": "address"}, {"name": "value", "type": "uint256"}],
        "outputs": [{"name": "", "type": "bool"}],
        "stateMutability": "nonpayable",
    },
    {
        "type": "function",
        "name": "balanceOf",
        "inputs": [{"name": "owner", "type": "address"}],
        "outputs": [{"name": "", "type": "uint256"}],
        "stateMutability": "view",
    },
]


def assemble(text: str) -> bytes:
    """Assemble words: instructions, hexadecimal numbers to push, labels."""
    code, labels, uses = bytearray(), {}, {}
    for word in text.split():
        if word in OPS:
            code.append(OPS[word])
        elif word[0] == ":":
            labels[word[1:]] = len(code)
            code.append(OPS["JUMPDEST"])
        elif word[0] == "$":
            uses[len(code) + 1] = word[1:]
            code += b"\x60\0"
        else:
            value = bytes.fromhex(word if len(word) % 2 == 0 else "0" + word)
            code += bytes([0x5F + len(value)]) + value
    for at, label in uses.items():
        code[at] = labels[label]
    return bytes(code)


def init_code() -> bytes:
    """Return what deploys the token: all of it is the deployer's."""
    token = assemble(TOKEN)
    size = f"{len(token):02x}"
    length = len(assemble(DEPLOY.format(supply="ff" * 15, size=size, start="00")))
    return assemble(DEPLOY.format(supply="ff" * 15, size=size, start=f"{length:02x}")) + token


def main() -> None:
    from eth_account import Account  # noqa: PLC0415  # only in that Python
    from eth_tester import EthereumTester, PyEVMBackend  # noqa: PLC0415
    from web3 import EthereumTesterProvider, Web3  # noqa: PLC0415

    tester = EthereumTester(PyEVMBackend())
    chain = tester.backend.chain
    alice = tester.get_accounts()[0]
    token_code = assemble(TOKEN)
    deployed = tester.send_transaction({"from": alice, "gas": GAS, "data": "0x" + init_code().hex()})
    token = tester.get_transaction_receipt(deployed)["contract_address"]
    data = bytes.fromhex("a9059cbb") + TO.rjust(32, b"\0") + (3).to_bytes(32, "big")
    address, sender = bytes.fromhex(token[2:]), bytes.fromhex(alice[2:])
    state = chain.get_vm()
    web3 = Web3(EthereumTesterProvider(tester))
    contract = web3.eth.contract(address=token, abi=ABI)
    to = web3.to_checksum_address(TO)
    signer = Account.from_key(tester.backend.account_keys[0].to_bytes())
    raw: list[bytes] = []

    def message() -> None:
        done = state.execute_bytecode(
            origin=sender, gas_price=1, gas=GAS, to=address, sender=sender, value=0, data=data, code=token_code
        )
        if done.is_error or done.output[-1:] != b"\1" or len(done.get_log_entries()) != 1:
            raise SystemExit(f"the EVM refused the transfer: {done.output!r}")

    def transaction() -> None:
        sent = tester.send_transaction({"from": alice, "to": token, "gas": GAS, "data": "0x" + data.hex()})
        check(tester.get_transaction_receipt(sent))

    def check(receipt: dict[str, object]) -> None:
        logs = receipt["logs"]
        if receipt["status"] != 1 or not isinstance(logs, list) or len(logs) != 1:
            raise SystemExit("eth-tester refused the transfer")

    def transact(given: dict[str, object]) -> None:
        sent = contract.functions.transfer(to, 3).transact({"from": alice, **given})
        check(dict(web3.eth.wait_for_transaction_receipt(sent)))

    def call() -> None:
        if not contract.functions.balanceOf(alice).call():
            raise SystemExit("eth-tester says that there are no tokens")

    def sign(times: int) -> None:
        nonce = web3.eth.get_transaction_count(alice)
        fields = {"to": token, "gas": GAS, "gasPrice": 10**11, "value": 0, "data": data, "chainId": web3.eth.chain_id}
        signed = (signer.sign_transaction({**fields, "nonce": nonce + index}) for index in range(times))
        raw.extend(each.raw_transaction for each in reversed(list(signed)))

    def send() -> None:
        check(tester.get_transaction_receipt(tester.send_raw_transaction("0x" + raw.pop().hex())))

    runs: dict[str, Callable[[], None]] = {
        "message": message,
        "transaction": transaction,
        "web3": lambda: transact({"gas": GAS}),
        "estimated": lambda: transact({}),
        "call": call,
        "raw": send,
    }
    names = ("eth-tester", "py-evm", "web3")
    keys = type(backend()).__name__
    print(", ".join(f"{name} {version(name)}" for name in names) + f", keys by {keys}", flush=True)
    for line in sys.stdin:
        what, count = line.split()
        times = int(count)
        if what == "raw":
            sign(times)
        start = time.perf_counter()
        for _ in range(times):
            runs[what]()
        print((time.perf_counter() - start) / times, flush=True)


def backend() -> object:
    """Return what signs and recovers there: a library in C, or Python."""
    from eth_keys import keys  # noqa: PLC0415

    return keys.backend


if __name__ == "__main__":
    main()
