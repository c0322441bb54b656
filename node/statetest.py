"""Running Ethereum-style general state tests in their filled JSON form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from evmc import U256, VM, Address, Bytes32, Log, TxContext
from evmc.reading import read_json
from ewasm.ruleset import Ruleset
from ewasm.system import system_contracts
from node.transaction import InvalidTransaction, Transaction, execute_transaction
from state import Database, GenesisAccount, Journal, WorldState, encode, keccak256


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
        tests = read_json(path.read_text("utf-8"))
    except OSError as error:
        raise TestFileError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise TestFileError(f"{path}: not JSON ({error})") from error
    if not isinstance(tests, dict):
        raise TestFileError(f"{path}: an object of tests is expected")
    if not tests:
        raise TestFileError(f"{path}: no state test in it")
    for name, test in tests.items():
        try:
            cases = _cases(name, test)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise TestFileError(f"{path}: {name}: not a filled state test ({error!r})") from error
        for case in cases:
            yield _run(case, ruleset, vm)


@dataclass(frozen=True, slots=True)
class _Case:
    """A transaction on a state, and the hashes that come of it."""

    name: str
    pre: WorldState
    block: TxContext
    transaction: Transaction
    expected: tuple[str, str]


def _cases(name: str, test: dict[str, Any]) -> list[_Case]:
    """Read one test: a case for each entry of each fork in `post`."""
    pre = WorldState.genesis(Database(), {Address.from_hex(a): _account(v) for a, v in test["pre"].items()})
    block = _block(test["env"])
    entries = [(fork, entry) for fork, posts in test["post"].items() for entry in posts]
    if not entries:
        raise ValueError("nothing is expected")
    return [
        _Case(
            name if len(entries) == 1 else f"{name}/{fork}/{number}",
            pre,
            block,
            _transaction(test["transaction"], entry["indexes"]),
            (str(Bytes32.from_hex(entry["hash"])), str(Bytes32.from_hex(entry["logs"]))),
        )
        for number, (fork, entry) in enumerate(entries)
    ]


def _run(case: _Case, ruleset: Ruleset, vm: VM) -> Outcome:
    """Execute a transaction; what cannot be executed leaves the state as it was."""
    journal, contracts = Journal(case.pre), system_contracts(ruleset)
    try:
        receipt = execute_transaction(case.transaction, journal, case.block, vm, ruleset, contracts, _hash_of_decimal)
    except InvalidTransaction as error:
        return Outcome(case.name, case.expected, (str(case.pre.root), str(logs_hash(()))), str(error))
    got = str(case.pre.apply(receipt.diff).root), str(logs_hash(receipt.logs))
    return Outcome(case.name, case.expected, got, f"{receipt.result.status.name}, {receipt.gas_used} gas used")


def _hash_of_decimal(number: int) -> Bytes32:
    """Return the block hash as these tests have it: the Keccak-256 of the number's decimal text."""
    return keccak256(str(number).encode())


def _number(text: str) -> int:
    return int(text, 16)


def _u64(text: str) -> int:
    """Return a number that contracts see in 64 bits."""
    number = _number(text)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{text} does not fit 64 bits")
    return number


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _account(given: dict[str, Any]) -> GenesisAccount:
    storage = {Bytes32.from_int(_number(k)): Bytes32.from_int(_number(v)) for k, v in given["storage"].items()}
    return GenesisAccount(_number(given["nonce"]), U256(_number(given["balance"])), _bytes(given["code"]), storage)


def _block(env: dict[str, str]) -> TxContext:
    return TxContext(
        coinbase=Address.from_hex(env["currentCoinbase"]),
        number=_u64(env["currentNumber"]),
        timestamp=_u64(env["currentTimestamp"]),
        gas_limit=_u64(env["currentGasLimit"]),
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
