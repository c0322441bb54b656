"""The peer of the ERC-20 subject: the same transfer as EVM byte code, hand-assembled, on py-evm and eth-tester.

It runs in a Python of its own (`pip install "eth-tester[py-evm]" web3`), which may need other versions than this
project, imports nothing from here, and obeys lines: `message N` or `transaction N`, answered by seconds for one.
"""

from __future__ import annotations

import sys
import time
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
0 CALLDATALOAD e0 SHR a9059cbb EQ ISZERO $fail JUMPI
24 CALLDATALOAD
CALLER 0 MSTORE 40 0 SHA3 DUP1 SLOAD
DUP3 DUP2 LT $fail JUMPI
DUP3 SWAP1 SUB SWAP1 SSTORE
4 CALLDATALOAD 0 MSTORE 40 0 SHA3 DUP1 SLOAD
DUP3 ADD SWAP1 SSTORE
0 MSTORE 4 CALLDATALOAD CALLER {TRANSFER} 20 0 LOG3
1 0 MSTORE 20 0 RETURN
:fail 0 0 REVERT
"""
DEPLOY = "{supply} CALLER 0 MSTORE 40 0 SHA3 SSTORE {size} {start} 0 CODECOPY {size} 0 RETURN"
TO = bytes.fromhex("41dccbd49b26c50d34355ed86ff0fa9e489d1e01")
GAS = 200_000


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


def main() -> None:
    from eth_tester import EthereumTester, PyEVMBackend  # noqa: PLC0415  # only in that Python

    tester = EthereumTester(PyEVMBackend())
    chain = tester.backend.chain
    alice = tester.get_accounts()[0]
    token_code = assemble(TOKEN)
    size = f"{len(token_code):02x}"
    length = len(assemble(DEPLOY.format(supply="ff" * 15, size=size, start="00")))
    init = assemble(DEPLOY.format(supply="ff" * 15, size=size, start=f"{length:02x}")) + token_code
    deployed = tester.send_transaction({"from": alice, "gas": GAS, "data": "0x" + init.hex()})
    token = tester.get_transaction_receipt(deployed)["contract_address"]
    data = bytes.fromhex("a9059cbb") + TO.rjust(32, b"\0") + (3).to_bytes(32, "big")
    address, sender = bytes.fromhex(token[2:]), bytes.fromhex(alice[2:])
    state = chain.get_vm()

    def message() -> None:
        done = state.execute_bytecode(
            origin=sender, gas_price=1, gas=GAS, to=address, sender=sender, value=0, data=data, code=token_code
        )
        if done.is_error or done.output[-1:] != b"\1" or len(done.get_log_entries()) != 1:
            raise SystemExit(f"the EVM refused the transfer: {done.output!r}")

    def transaction() -> None:
        sent = tester.send_transaction({"from": alice, "to": token, "gas": GAS, "data": "0x" + data.hex()})
        receipt = tester.get_transaction_receipt(sent)
        if receipt["status"] != 1 or len(receipt["logs"]) != 1:
            raise SystemExit("eth-tester refused the transfer")

    runs = {"message": message, "transaction": transaction}
    names = ("eth-tester", "py-evm")
    print(", ".join(f"{name} {version(name)}" for name in names), flush=True)
    for line in sys.stdin:
        what, times = line.split()
        start = time.perf_counter()
        for _ in range(int(times)):
            runs[what]()
        print((time.perf_counter() - start) / int(times), flush=True)


if __name__ == "__main__":
    main()
