"""A state that lasts, in one file: read whole, written whole and at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from evmc import U256, Address, Bytes32
from ewasm.ruleset import Ruleset
from state import Database, GenesisAccount, WorldState

FORMAT: Final = 1
_FILE: Final = "state.json"
_DRAFT: Final = "state.new"
_LOCK: Final = "lock"
MAX_NUMBER: Final = 1 << 53
"""A block number below this keeps every time that follows from it inside 64 bits."""


class StateError(Exception):
    """A state directory that cannot be used: the message names it, what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A state and the number of the last block that changed it."""

    world: WorldState
    number: int = 0


@contextmanager
def locked(folder: Path, *, create: bool) -> Iterator[None]:
    """Hold a state directory for one process; raise `StateError` if another has it or it is no state directory."""
    made = [path for path in (folder, *folder.parents) if not path.exists()] if create else []
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        _open(folder, lock, create=create)
        yield
    finally:
        if lock.is_locked and not (folder / _FILE).exists():
            (folder / _LOCK).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # the first that is not empty has become somebody's
            for path in made:
                path.rmdir()


def _open(folder: Path, lock: FileLock, *, create: bool) -> None:
    """Take the lock of a state directory, which is made or must be there."""
    try:
        if create:
            _make(folder)
        elif not (folder / _FILE).is_file():
            raise StateError(f"{folder}: there is no state here; make one with: ewasm deploy FILE --state {folder}")
        lock.acquire()
    except Timeout:
        raise StateError(f"{folder}: another process is using this state; try again when it has ended") from None
    except OSError as error:
        raise StateError(f"{error.filename or folder}: {error.strerror or error}") from error


def _make(folder: Path) -> None:
    """Make a directory that is new or empty, but for what an earlier process left when it was ended."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _FILE).exists() and any(entry.name not in (_LOCK, _DRAFT) for entry in folder.iterdir()):
        raise StateError(f"{folder}: holds other files and no state; give an empty or new directory")


def load(folder: Path, ruleset: Ruleset) -> Chain | None:
    """Return the state in a directory, None if there is none yet; raise `StateError`."""
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        return _parse(path, json.loads(path.read_text("utf-8")), ruleset)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise StateError(f"{path}: damaged, or not a state file ({error}); restore it from a copy") from error


def _parse(path: Path, given: dict[str, Any], ruleset: Ruleset) -> Chain:
    """Build the state, and hold it against the root that was recorded."""
    if given["format"] != FORMAT:
        raise StateError(f"{path}: format {given['format']}, this version reads format {FORMAT}")
    made = given["ruleset"]
    if made["hash"] != ruleset.hash:
        same = made["name"] == ruleset.name
        raise StateError(
            f"{path}: made with ruleset {made['name']} ({made['hash'][:12]}), not with"
            f" {'what it is now' if same else ruleset.name} ({ruleset.hash[:12]}); use"
            f" {'that version of it' if same else '--ruleset ' + made['name']}, or another directory"
        )
    accounts = {Address.from_hex(address): _account(value) for address, value in given["accounts"].items()}
    if sum(account.balance for account in accounts.values()) >> 256:
        raise StateError(f"{path}: damaged: its balances add up to more than 256 bits; restore it from a copy")
    world = WorldState.genesis(Database(), accounts)
    if str(world.root) != given["root"]:
        raise StateError(
            f"{path}: damaged: its accounts have root {world.root}, recorded is {given['root']}; restore it from a copy"
        )
    number = given["number"]
    if type(number) is not int or not 0 <= number < MAX_NUMBER:
        raise StateError(f"{path}: damaged: {number!r} is no block number; restore it from a copy")
    return Chain(world, number)


def _account(given: dict[str, Any]) -> GenesisAccount:
    storage = {Bytes32.from_hex(key): Bytes32.from_hex(value) for key, value in given["storage"].items()}
    return GenesisAccount(given["nonce"], U256(int(given["balance"])), bytes.fromhex(given["code"]), storage)


def save(folder: Path, chain: Chain, ruleset: Ruleset) -> None:
    """Write a state so that a crash leaves the old or the new one; raise `StateError`."""
    path = folder / _FILE
    document = {
        "format": FORMAT,
        "ruleset": {"name": ruleset.name, "hash": ruleset.hash},
        "number": chain.number,
        "root": str(chain.world.root),
        "accounts": {
            str(address): {
                "nonce": account.nonce,
                "balance": str(account.balance),
                "code": chain.world.code(account.code_hash).hex(),
                "storage": {key.hex(): value.hex() for key, value in chain.world.slots(address)},
            }
            for address, account in sorted(chain.world.accounts())
        },
    }
    draft = folder / _DRAFT
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(folder)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StateError(f"{path}: cannot be written ({error.strerror}); the old state is as it was") from error


def _sync(folder: Path) -> None:
    """Have the directory's entry on disk too, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
