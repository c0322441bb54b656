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
from evmc.reading import read_json
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
from state.history import record_root, root_key
from state.lmdb import FILE, LmdbStore
from state.transfer import MadeWith

MAX_NUMBER: Final = 1 << 53
"""A block number below this keeps every time that follows from it inside 64 bits."""

_RULESET: Final = b"ruleset"
_NONE_HERE: Final = "{folder}: there is no state here; make one with: ewasm deploy FILE --state {folder}"


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
        record_root(changes, self.number + 1, world.root)
        world.database.write(changes)
        return Chain(world, self.number + 1)


def _number(key: bytes) -> int:
    """Return the block whose root is stored here; raise ValueError if there can be none."""
    number = int.from_bytes(key, "big")
    if len(key) != 8 or number >= MAX_NUMBER:
        raise ValueError(f"0x{key.hex()} is no block number")
    return number


@contextmanager
def held(folder: Path, *, create: bool = False, readonly: bool = False) -> Iterator[LmdbStore]:
    """Hold a state directory and give its store, whatever its ruleset; with `create` it may be new or empty.

    One process at a time holds it, but for any number that only read. With `create`, it is taken back unless a root
    was recorded. Raise StateError if it cannot be used, also where that turns out later.
    """
    made = [path for path in (folder, *folder.parents) if not os.path.exists(path)]  # noqa: PTH110  # no errors
    try:
        if not create and not os.path.exists(folder / FILE):  # noqa: PTH110
            raise StateError(_NONE_HERE.format(folder=folder))
        with LmdbStore(folder, create=create, readonly=readonly) as store:
            new = create and store.last(Table.ROOTS) is None
            try:
                yield store
            finally:
                if new and store.last(Table.ROOTS) is None:
                    store.discard()
    except StoreError as error:
        raise StateError(str(error)) from error
    except (CorruptEntry, MissingEntry, CodecError) as error:
        raise StateError(f"{folder / FILE}: damaged: {error}; restore it from a copy") from error
    finally:
        if create:
            with suppress(OSError):  # the first that is not empty has become somebody's
                for path in made:
                    path.rmdir()


@contextmanager
def opened(
    folder: Path,
    ruleset: Ruleset,
    *,
    genesis: Mapping[Address, GenesisAccount] | None = None,
    readonly: bool = False,
) -> Iterator[Chain]:
    """Hold a state directory and give its chain; with `genesis` it may be new or empty, and begins with these accounts.

    Else it is as with `held`.
    """
    with held(folder, create=genesis is not None, readonly=readonly) as store:
        if store.last(Table.ROOTS) is None:
            yield _begun(store, folder, ruleset, genesis)
            return
        if not readonly and store.last(Table.HEADERS) is not None:
            raise StateError(
                f"{folder}: holds the chain of a node, whose blocks only a node makes: start one with: ewasm node"
                f" --state {folder}"
            )
        chain = _loaded(store, folder, ruleset)
        with unpruned(store, folder, chain.number):
            yield chain


@contextmanager
def unpruned(store: Store, folder: Path, number: int) -> Iterator[None]:
    """Raise StateError where something is missing because another process has pruned the state after a block."""
    try:
        yield
    except MissingEntry as error:
        if store.get(Table.ROOTS, root_key(number)) is not None:
            raise
        raise StateError(f"{folder}: the state after block {number} was pruned meanwhile; try again") from error


def _begun(store: Store, folder: Path, ruleset: Ruleset, genesis: Mapping[Address, GenesisAccount] | None) -> Chain:
    """Return the chain of a directory without blocks: its root is noted by the first."""
    if genesis is None:
        raise StateError(_NONE_HERE.format(folder=folder))
    world = WorldState.genesis(Database(store), genesis)
    return Chain(world, 0, {**ruleset_record(ruleset), Table.ROOTS: {root_key(0): world.root}})


def ruleset_record(ruleset: Ruleset) -> Changes:
    """Return the changes that note in a store that it is made with a ruleset."""
    return {Table.META: {_RULESET: json.dumps({"name": ruleset.name, "hash": ruleset.hash}).encode()}}


def made_with(store: Store, folder: Path) -> MadeWith:
    """Return the ruleset that a store was made with; raise StateError if that is damaged."""
    try:
        made = read_json(store.get(Table.META, _RULESET) or b"")
        return MadeWith(str(made["name"]), str(made["hash"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{folder / FILE}: damaged ({error}); restore it from a copy") from error


def check_ruleset(path: Path, made: MadeWith, ruleset: Ruleset) -> None:
    """Raise StateError unless what is at `path` was made with a ruleset."""
    if made.hash == ruleset.hash:
        return
    same = made.name == ruleset.name
    raise StateError(
        f"{path}: made with ruleset {made.name} ({made.hash[:12]}), not with"
        f" {'what it is now' if same else ruleset.name} ({ruleset.hash[:12]}); use"
        f" {'that version of it' if same else '--ruleset ' + made.name}, or another directory"
    )


def _loaded(store: Store, folder: Path, ruleset: Ruleset) -> Chain:
    """Return the chain of a directory after its last block."""
    last = store.last(Table.ROOTS)
    assert last is not None
    try:
        number, root = _number(last[0]), Bytes32(last[1])
    except ValueError as error:
        raise StateError(f"{folder / FILE}: damaged ({error}); restore it from a copy") from error
    check_ruleset(folder / FILE, made_with(store, folder), ruleset)
    return Chain(WorldState(Database(store), root), number)
