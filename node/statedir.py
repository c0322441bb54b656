"""A state that lasts, in a directory: the roots that were committed, by block, and the ruleset they were made with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from evmc import Address, Bytes32
from ewasm.ruleset import Ruleset
from state import (
    Changes,
    CodecError,
    CorruptEntry,
    Database,
    Diff,
    GenesisAccount,
    MissingEntry,
    Store,
    StoreError,
    Table,
    WorldState,
)
from state.lmdb import FILE, LmdbStore

MAX_NUMBER: Final = 1 << 53
"""A block number below this keeps every time that follows from it inside 64 bits."""

_RULESET: Final = b"ruleset"


class StateError(Exception):
    """A state directory that cannot be used: the message names it, what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A state and the number of the last block that changed it."""

    world: WorldState
    number: int = 0
    _unwritten: Changes = field(default_factory=dict, repr=False, compare=False)
    """What the first block brings along in a directory that is new."""

    def next(self, diff: Diff) -> Chain:
        """Return the chain after one more block, which is written together with its root; raise StoreError."""
        world, changes = self.world.changed(diff)
        for table, rows in self._unwritten.items():
            changes[table].update(rows)
        changes[Table.ROOTS][root_key(self.number + 1)] = world.root
        world.database.write(changes)
        return Chain(world, self.number + 1)


def root_key(number: int) -> bytes:
    """Return where the root of a block is stored."""
    return number.to_bytes(8, "big")


def _number(key: bytes) -> int:
    """Return the block whose root is stored here; raise ValueError if there can be none."""
    number = int.from_bytes(key, "big")
    if len(key) != 8 or number >= MAX_NUMBER:
        raise ValueError(f"0x{key.hex()} is no block number")
    return number


@contextmanager
def opened(
    folder: Path,
    ruleset: Ruleset,
    *,
    genesis: Mapping[Address, GenesisAccount] | None = None,
    readonly: bool = False,
) -> Iterator[Chain]:
    """Hold a state directory and give its chain; with `genesis` it may be new or empty, and begins with these accounts.

    One process at a time holds it, but for any number that only read. A directory that is new is taken back unless
    a block was written. Raise StateError if it cannot be used, also where that turns out later.
    """
    made = [path for path in (folder, *folder.parents) if not os.path.exists(path)]  # noqa: PTH110  # no errors
    try:
        if genesis is None and not os.path.exists(folder / FILE):  # noqa: PTH110
            raise StateError(f"{folder}: there is no state here; make one with: ewasm deploy FILE --state {folder}")
        with LmdbStore(folder, create=genesis is not None, readonly=readonly) as store:
            kept = store.last(Table.ROOTS) is not None
            try:
                yield _loaded(store, folder, ruleset) if kept else _begun(store, folder, ruleset, genesis)
            finally:
                if not kept and store.last(Table.ROOTS) is None:
                    store.discard()
    except StoreError as error:
        raise StateError(str(error)) from error
    except (CorruptEntry, MissingEntry, CodecError) as error:
        raise StateError(f"{folder / FILE}: damaged: {error}; restore it from a copy") from error
    finally:
        if genesis is not None:
            with suppress(OSError):  # the first that is not empty has become somebody's
                for path in made:
                    path.rmdir()


def _begun(store: Store, folder: Path, ruleset: Ruleset, genesis: Mapping[Address, GenesisAccount] | None) -> Chain:
    """Return the chain of a directory without blocks: its root is noted by the first."""
    if genesis is None:
        raise StateError(f"{folder}: there is no state here; make one with: ewasm deploy FILE --state {folder}")
    world = WorldState.genesis(Database(store), genesis)
    made_with = json.dumps({"name": ruleset.name, "hash": ruleset.hash}).encode()
    return Chain(world, 0, {Table.META: {_RULESET: made_with}, Table.ROOTS: {root_key(0): world.root}})


def _loaded(store: Store, folder: Path, ruleset: Ruleset) -> Chain:
    """Return the chain of a directory after its last block."""
    last, made_with = store.last(Table.ROOTS), store.get(Table.META, _RULESET)
    assert last is not None
    try:
        number, root = _number(last[0]), Bytes32(last[1])
        made = json.loads(made_with or b"")
        name, digest = str(made["name"]), str(made["hash"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StateError(f"{folder / FILE}: damaged ({error}); restore it from a copy") from error
    if digest != ruleset.hash:
        same = name == ruleset.name
        raise StateError(
            f"{folder / FILE}: made with ruleset {name} ({digest[:12]}), not with"
            f" {'what it is now' if same else ruleset.name} ({ruleset.hash[:12]}); use"
            f" {'that version of it' if same else '--ruleset ' + name}, or another directory"
        )
    return Chain(WorldState(Database(store), root), number)
