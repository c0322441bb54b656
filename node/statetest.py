"""Running Ethereum-style general state tests in their filled JSON form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from evmc import U256, VM, Address, Bytes32, Log, TxContext
from ewasm.ruleset import Ruleset
from ewasm.system import system_contracts
from node.transaction import InvalidTransaction, Transaction, execute_transaction
from state import GenesisAccount, Journal, MemoryStore, WorldState, encode, keccak256


class TestFileError(Exception):
    """A file that is no state test: the message names it and what is missing."""

    __test__ = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test of a file went: `expected` and `got` are state root and logs hash."""

    name: str
    expected: tuple[str, str]
    got: tuple[str, str]
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether both hashes agree."""
        return self.expected == self.got


def logs_hash(logs: tuple[Log, ...]) -> Bytes32:
    """Return the Keccak-256 of the RLP of a transaction's logs."""
    return keccak256(encode([[log.address, list(log.topics), log.data] for log in logs]))


def run_file(path: Path, ruleset: Ruleset, vm: VM) -> Iterator[Outcome]:
    """Run every test of a file; raise `TestFileError` if it is no filled state test."""
    try:
        tests = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TestFileError(f"{path}: {error}") from error
    if not isinstance(tests, dict):
        raise TestFileError(f"{path}: an object of tests is expected")
    for name, test in tests.items():
        try:
            yield from _run(name, test, ruleset, vm)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise TestFileError(f"{path}: {name}: not a filled state test ({error!r})") from error


def _run(name: str, test: dict[str, Any], ruleset: Ruleset, vm: VM) -> Iterator[Outcome]:
    """Run one test: an outcome for each entry of each fork in `post`."""
    pre = WorldState.genesis(MemoryStore(), {Address.from_hex(a): _account(v) for a, v in test["pre"].items()})
    block = _block(test["env"])
    entries = [(fork, entry) for fork, posts in test["post"].items() for entry in posts]
    for number, (fork, entry) in enumerate(entries):
        label = name if len(entries) == 1 else f"{name}/{fork}/{number}"
        root, logs, note = _execute(_transaction(test["transaction"], entry["indexes"]), pre, block, ruleset, vm)
        yield Outcome(label, (entry["hash"], entry["logs"]), (str(root), str(logs)), note)


def _execute(
    tx: Transaction, pre: WorldState, block: TxContext, ruleset: Ruleset, vm: VM
) -> tuple[Bytes32, Bytes32, str]:
    """Execute a transaction; return state root, logs hash and a note on how it ended."""
    try:
        receipt = execute_transaction(tx, Journal(pre), block, vm, ruleset, system_contracts(ruleset), _hash_of_decimal)
    except InvalidTransaction as error:
        return pre.root, logs_hash(()), str(error)
    note = f"{receipt.result.status.name}, {receipt.gas_used} gas used"
    return pre.apply(receipt.diff).root, logs_hash(receipt.logs), note


def _hash_of_decimal(number: int) -> Bytes32:
    """Return the block hash as these tests have it: the Keccak-256 of the number's decimal text."""
    return keccak256(str(number).encode())


def _number(text: str) -> int:
    return int(text, 16)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _account(given: dict[str, Any]) -> GenesisAccount:
    storage = {Bytes32.from_int(_number(k)): Bytes32.from_int(_number(v)) for k, v in given["storage"].items()}
    return GenesisAccount(_number(given["nonce"]), U256(_number(given["balance"])), _bytes(given["code"]), storage)


def _block(env: dict[str, str]) -> TxContext:
    return TxContext(
        coinbase=Address.from_hex(env["currentCoinbase"]),
        number=_number(env["currentNumber"]),
        timestamp=_number(env["currentTimestamp"]),
        gas_limit=_number(env["currentGasLimit"]),
        difficulty=U256(_number(env["currentDifficulty"])),
    )


def _transaction(given: dict[str, Any], indexes: dict[str, int]) -> Transaction:
    key = PrivateKey(_bytes(given["secretKey"]))
    sender = Address(keccak256(key.public_key.format(compressed=False)[1:])[12:])
    return Transaction(
        sender=sender,
        to=Address.from_hex(given["to"]) if given["to"] else None,
        nonce=_number(given["nonce"]),
        gas_limit=_number(given["gasLimit"][indexes["gas"]]),
        gas_price=U256(_number(given["gasPrice"])),
        value=U256(_number(given["value"][indexes["value"]])),
        data=_bytes(given["data"][indexes["data"]]),
    )
