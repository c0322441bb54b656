"""A state as a stream of JSON lines, to carry it from one store to another: written and read in bounded memory.

The first line tells what it is, the last how much there was; between them stands a line for each account, in the order
of the accounts' hashes, and more lines for one whose slots do not fit on the first. `docs/cli.md` lists the keys.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from evmc import U256, Address, Bytes32
from evmc.reading import read_json
from state.account import Account
from state.codec import encode_string
from state.database import Database
from state.hash import EMPTY_CODE_HASH, keccak256
from state.history import latest_root, record_root
from state.store import Changes, Table, draft
from state.trie import EMPTY_ROOT, Trie
from state.world import WorldState, storage_prefix

FORMAT: Final = "ewasm-state"
VERSION: Final = 1

SLOTS_A_LINE: Final = 1_024
MAX_LINE: Final = 64 << 20
"""Bytes of a line: more than the code of any contract takes."""

MAX_NUMBER: Final = 1 << 53
"""A block number is below this, as numbers in JSON are."""

MAX_NONCE: Final = (1 << 64) - 1

_BATCH: Final = 16_384
"""Accounts, slots and kilobytes of code that are written at once when a state is imported."""


class TransferError(Exception):
    """A stream that is no state, or not all of it: the message names the line and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class MadeWith:
    """The ruleset that a state was made with."""

    name: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateHeader:
    """What the first line of a stream tells: the state is that after block `number`."""

    number: int
    root: Bytes32
    ruleset: MadeWith | None = None


@dataclass(frozen=True, slots=True)
class Transferred:
    """How much went through a stream, and how much of all of it that is, from 0 to 1, roughly."""

    accounts: int = 0
    slots: int = 0
    fraction: float = 0.0

    def at(self, hashed_address: bytes) -> Transferred:
        """Return this with the share of accounts whose hashes come before one."""
        return replace(self, fraction=int.from_bytes(hashed_address[:4], "big") / 2**32)


Listener: TypeAlias = Callable[[Transferred], object]


def is_packed(path: Path) -> bool:
    """Tell from a file's name whether it is read and written through gzip."""
    return path.suffix == ".gz"


@contextmanager
def packing(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give a file whose content is written to another through gzip: the same state makes the same bytes."""
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed:
        yield packed  # type: ignore[misc]  # a file of bytes in all but name


@contextmanager
def unpacking(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give a file whose content is read from another through gzip."""
    with gzip.GzipFile(mode="rb", fileobj=file) as unpacked:
        yield unpacked  # type: ignore[misc]  # the same


def export_state(
    world: WorldState,
    number: int,
    file: IO[bytes],
    ruleset: MadeWith | None = None,
    *,
    listener: Listener = lambda _done: None,
) -> Transferred:
    """Write a state, which is that after block `number`; raise MissingEntry or CorruptEntry if it is not whole."""
    header: dict[str, Any] = {"format": FORMAT, "version": VERSION, "number": number, "root": str(world.root)}
    if ruleset is not None:
        header["ruleset"] = {"name": ruleset.name, "hash": ruleset.hash}
    _write_line(file, header)
    done = Transferred()
    for address, account in world.accounts():
        line: dict[str, Any] = {
            "address": str(address),
            "nonce": account.nonce,
            "balance": hex(account.balance),
            "code": "0x" + world.code(account.code_hash).hex(),
            "leaf": str(keccak256(account.encode())),
        }
        slots = iter(()) if account.storage_root == EMPTY_ROOT else world.slots(address)
        while True:
            piece = [[str(key), str(value)] for key, value in islice(slots, SLOTS_A_LINE)]
            if piece:
                line["slots"] = piece
            elif "leaf" not in line:
                break
            _write_line(file, line)
            line = {"address": str(address)}
            done = replace(done, slots=done.slots + len(piece))
            listener(done)
            if len(piece) < SLOTS_A_LINE:
                break
        done = replace(done, accounts=done.accounts + 1).at(keccak256(address))
        listener(done)
    _write_line(file, {"end": {"accounts": done.accounts, "slots": done.slots}})
    return replace(done, fraction=1.0)


def import_state(
    database: Database,
    file: IO[bytes],
    accept: Callable[[StateHeader], Changes] = lambda _header: {},
    *,
    listener: Listener = lambda _done: None,
) -> tuple[StateHeader, Transferred]:
    """Read a state into a store that has none, hold it against its root, and record that.

    Nothing is recorded before all of it was read and checked. `accept` may refuse what the first line tells by an
    exception of its own, and returns changes that are to be made together with the record. Raise TransferError,
    OSError if the file cannot be read, StoreError if the store cannot be written.
    """
    latest = latest_root(database.store)
    if latest is not None:
        raise TransferError(f"the store has a state already, after block {latest[0]}; import into a new one")
    return _Import(database, file, listener).run(accept)


class _Account:
    """The account whose lines are being read."""

    def __init__(self, line: int, address: Address, account: Account, leaf: Bytes32 | None) -> None:
        self.line = line
        self.address = address
        self.account = account
        self.leaf = leaf
        self.hashed = keccak256(address)
        self.last_slot = b""


class _Import:
    """A stream on its way into a store."""

    def __init__(self, database: Database, file: IO[bytes], listener: Listener) -> None:
        self._database = database
        self._file = file
        self._listener = listener
        self._line = 0
        self._changes = draft()
        self._waiting = 0
        self._accounts = Trie(database)
        self._current: _Account | None = None
        self._slots = Trie(database)
        self._balances = 0
        self._done = Transferred()

    def run(self, accept: Callable[[StateHeader], Changes]) -> tuple[StateHeader, Transferred]:
        header = self._header(self._next())
        extra = accept(header)
        while "end" not in (given := self._next()):
            self._entry(given)
            if self._waiting >= _BATCH:
                self._flush()
        self._finish_account()
        self._end(given, header)
        for table, rows in extra.items():
            self._changes[table].update(rows)
        record_root(self._changes, header.number, header.root)
        self._database.write(self._changes)
        return header, replace(self._done, fraction=1.0)

    def _next(self) -> dict[str, Any]:
        """Read a line, which must be a JSON object."""
        self._line += 1
        line = self._read(MAX_LINE + 1)
        if not line:
            raise self._error("the file is cut off here: the last line of a state tells how many accounts there are")
        if len(line) > MAX_LINE:
            raise self._error(f"longer than {MAX_LINE:,} bytes, which is no line of a state")
        try:
            given = read_json(line)
        except ValueError as error:
            what = f"not JSON ({error})" if line.endswith(b"\n") else "the file is cut off here"
            raise self._error(what) from error
        if not isinstance(given, dict):
            raise self._error("not a JSON object")
        return given

    def _read(self, most: int) -> bytes:
        try:
            return self._file.readline(most)
        except EOFError as error:
            raise self._error("the file is cut off here") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self._error(f"not gzip, or damaged ({error})") from error

    def _header(self, given: dict[str, Any]) -> StateHeader:
        if given.get("format") != FORMAT:
            raise self._error(f"not the export of a state, which begins with the format {FORMAT}")
        if given.get("version") != VERSION:
            raise self._error(f"version {given.get('version')!r:.20}, this one reads version {VERSION}")
        self._check_keys(given, {"format", "version", "number", "root"}, {"ruleset"})
        made = given.get("ruleset")
        if made is not None and not (
            isinstance(made, dict) and made.keys() == {"name", "hash"} and all(type(v) is str for v in made.values())
        ):
            raise self._error("ruleset: a name and a hash are expected")
        return StateHeader(
            number=self._number(given, "number", MAX_NUMBER - 1),
            root=Bytes32(self._bytes("root", given["root"], Bytes32.length)),
            ruleset=None if made is None else MadeWith(**made),
        )

    def _entry(self, given: dict[str, Any]) -> None:
        """Take in a line of an account."""
        address = Address(self._bytes("address", given.get("address"), Address.length))
        current = self._current
        if current is None or address != current.address:
            self._finish_account()
            current = self._begin_account(given, address, current)
        elif given.keys() != {"address", "slots"}:
            raise self._error(f"account {address} stands twice, here and in line {current.line}")
        slots = given.get("slots", [])
        if not isinstance(slots, list):
            raise self._error("slots: a list of pairs is expected")
        for slot in slots:
            self._slot(current, slot)
        self._waiting += len(slots)
        self._done = replace(self._done, slots=self._done.slots + len(slots))
        self._listener(self._done)

    def _begin_account(self, given: dict[str, Any], address: Address, before: _Account | None) -> _Account:
        self._check_keys(given, {"address", "nonce", "balance", "code"}, {"leaf", "slots"})
        hashed = keccak256(address)
        if before is not None and hashed < before.hashed:
            raise self._error(f"account {address} is out of order: accounts come by their hashes, each once")
        code = self._bytes("code", given["code"])
        code_hash = keccak256(code) if code else EMPTY_CODE_HASH
        account = Account(
            self._number(given, "nonce", MAX_NONCE), self._balance(given["balance"]), EMPTY_ROOT, code_hash
        )
        leaf = Bytes32(self._bytes("leaf", given["leaf"], Bytes32.length)) if "leaf" in given else None
        self._balances += account.balance
        if self._balances >> 256:
            raise self._error("the balances up to here add up to more than 256 bits")
        if code:
            self._changes[Table.CODE][code_hash] = code
        self._changes[Table.PREIMAGES][hashed] = address
        self._waiting += 1 + (len(code) >> 10)
        self._slots = Trie(self._database, EMPTY_ROOT, storage_prefix(hashed))
        self._current = _Account(self._line, address, account, leaf)
        self._done = replace(self._done, accounts=self._done.accounts + 1).at(hashed)
        return self._current

    def _slot(self, current: _Account, given: Any) -> None:
        if not isinstance(given, list) or len(given) != 2:
            raise self._error("slots: a list of pairs is expected")
        key, value = (Bytes32(self._bytes("slots", each, Bytes32.length)) for each in given)
        hashed = keccak256(key)
        if hashed <= current.last_slot:
            raise self._error(f"slot {key} is out of order: slots come by their hashes, each once")
        if not any(value):
            raise self._error(f"slot {key} is zero: it should not be there")
        current.last_slot = hashed
        self._changes[Table.PREIMAGES][hashed] = key
        self._slots.set(hashed, encode_string(value.lstrip(b"\0")))

    def _finish_account(self) -> None:
        """Put the account whose lines have ended into the trie."""
        current = self._current
        if current is None:
            return
        encoded = replace(current.account, storage_root=self._slots.commit_to(self._changes)).encode()
        if current.leaf is not None and keccak256(encoded) != current.leaf:
            self._line = current.line
            raise self._error(
                f"account {current.address} is not what it was when it was exported: it does not hash to its leaf"
            )
        self._accounts.set(current.hashed, encoded)

    def _flush(self) -> None:
        """Write what was gathered; the accounts and slots to come are built on it."""
        self._slots.commit_to(self._changes)
        self._accounts.commit_to(self._changes)
        self._database.write(self._changes)
        self._changes = draft()
        self._waiting = 0

    def _end(self, given: dict[str, Any], header: StateHeader) -> None:
        wanted = {"accounts": self._done.accounts, "slots": self._done.slots}
        if given != {"end": wanted}:
            raise self._error(
                f"there were {wanted['accounts']} accounts and {wanted['slots']} slots, here stands"
                f" {json.dumps(given):.100}: lines are missing or were added"
            )
        self._line += 1
        if self._read(1):
            raise self._error("something follows the end of the state")
        self._line -= 1
        root = self._accounts.commit_to(self._changes)
        if root != header.root:
            raise self._error(f"the accounts have root {root}, line 1 says {header.root}: a line was changed")

    def _check_keys(self, given: Mapping[str, Any], needed: set[str], allowed: set[str]) -> None:
        if missing := needed - given.keys():
            raise self._error(f"{min(missing)} is missing")
        if unknown := given.keys() - needed - allowed:
            raise self._error(f"{min(unknown)!r:.40} is unknown")

    def _number(self, given: Mapping[str, Any], name: str, most: int) -> int:
        number = given[name]
        if type(number) is not int or not 0 <= number <= most:
            raise self._error(f"{name}: {number!r:.40} is not a whole number from 0 to {most}")
        return number

    def _balance(self, given: Any) -> U256:
        if isinstance(given, str) and given.startswith("0x"):
            with suppress(ValueError):
                return U256(int(given, 16))
        raise self._error(f"balance: {given!r:.80} is not a number of at most 256 bits in hex, with 0x")

    def _bytes(self, name: str, given: Any, length: int | None = None) -> bytes:
        if isinstance(given, str) and given.startswith("0x"):
            with suppress(ValueError):
                value = bytes.fromhex(given[2:])
                if length is None or len(value) == length:
                    return value
        expected = "bytes in hex" if length is None else f"{length} bytes in hex"
        raise self._error(f"{name}: {given!r:.80} is not {expected}, with 0x")

    def _error(self, what: str) -> TransferError:
        return TransferError(f"line {self._line}: {what}")


def _write_line(file: IO[bytes], value: Mapping[str, Any]) -> None:
    file.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
