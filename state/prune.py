"""Pruning: a store keeps what its last roots need and loses the rest, in steps that may end anywhere.

Each step reads how far the pruning is, does a bounded piece of it, and writes the piece together with how far it is
now. Nothing is kept in memory from one step to the next, so a step that failed or a process that was killed is simply
continued. The phases: old roots are dropped; what the others reach is marked, the rest is swept; marks are cleaned
away. Why commits between the steps are safe is in `docs/decisions.md`.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Final, Self

from evmc import Bytes32
from state.account import Account
from state.database import Database, node_key
from state.hash import EMPTY_CODE_HASH
from state.history import recorded_roots, root_key
from state.node import HASH_REFERENCE, NOTHING, Branch, Extension, Node, Reference, decode_node
from state.store import Draft, Store, StoreError, Table, draft
from state.trie import EMPTY_ROOT
from state.world import storage_prefix

STEP: Final = 4_096
"""Rows that a step looks at, unless one says otherwise."""

SWEPT: Final = (Table.NODES, Table.CODE, Table.PREIMAGES)
"""The tables that are swept, in this order."""

_PROGRESS: Final = b"prune"
_FRONTIER: Final = b"prune frontier"
_MARK: Final = {Table.NODES: b"n", Table.CODE: b"c", Table.PREIMAGES: b"p"}
_PREFIX_BYTES: Final = len(storage_prefix(EMPTY_ROOT))


class PruneError(Exception):
    """A pruning that cannot begin: the message says why."""


class Phase(StrEnum):
    """What the next step of a pruning does."""

    DROP = "drop"
    """Old roots lose their record."""
    SWEEP = "sweep"
    """What is not marked is removed; before that, what a recorded root reaches is marked."""
    CLEAN = "clean"
    """Marks are removed."""
    DONE = "done"
    """There is nothing left to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """How far a pruning is: `first` is the number of the oldest root it keeps."""

    first: int
    phase: Phase = Phase.DROP
    table: Table = Table.NODES
    """The table that is being swept."""
    cursor: bytes = b""
    """The key from which on it is not yet swept."""
    dropped: int = 0
    """Roots that were dropped."""
    marked: int = 0
    """Nodes that were marked."""
    removed: Mapping[Table, int] = field(default_factory=lambda: dict.fromkeys(SWEPT, 0))
    """Rows that were removed."""

    def encode(self) -> bytes:
        """Return the pruning as it is stored."""
        return json.dumps(
            {
                "first": self.first,
                "phase": self.phase,
                "table": self.table,
                "cursor": self.cursor.hex(),
                "dropped": self.dropped,
                "marked": self.marked,
                "removed": self.removed,
            }
        ).encode()

    @classmethod
    def decode(cls, stored: bytes) -> Self:
        """Return the pruning that is stored so; raise StoreError if none is."""
        try:
            given = json.loads(stored)
            return cls(
                first=given["first"],
                phase=Phase(given["phase"]),
                table=Table(given["table"]),
                cursor=bytes.fromhex(given["cursor"]),
                dropped=given["dropped"],
                marked=given["marked"],
                removed={Table(table): count for table, count in given["removed"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"the record of a pruning is damaged ({error}); restore the store from a copy") from error


def unfinished(store: Store) -> Pruning | None:
    """Return the pruning that was begun and has not ended, None if there is none; raise StoreError."""
    stored = store.get(Table.META, _PROGRESS)
    return None if stored is None else Pruning.decode(stored)


def begin(database: Database, keep: int) -> Pruning:
    """Begin to prune to the last `keep` roots, at least 1; raise PruneError if that cannot be done."""
    if keep < 1:
        raise PruneError(f"cannot keep {keep} roots: keep at least 1")
    if unfinished(database.store) is not None:
        raise PruneError("another pruning has not ended; continue it first")
    last = deque(recorded_roots(database.store), min(keep, sys.maxsize))
    if not last:
        raise PruneError("no root is recorded: pruning would remove everything")
    pruning = Pruning(first=last[0][0])
    database.write({Table.META: {_PROGRESS: pruning.encode()}})
    return pruning


def step(database: Database, size: int = STEP) -> Pruning:
    """Take the pruning that has not ended one step further, and return how far it is.

    A step looks at about `size` rows and writes once; if anything fails, nothing has changed. Between steps the store
    may be read and states may be committed on top of recorded ones; during a step nobody else may write. Raise
    PruneError if there is nothing to continue, MissingNode or CorruptEntry where a state that is to be kept is damaged.
    """
    store = database.store
    pruning = unfinished(store)
    if pruning is None:
        raise PruneError("no pruning has begun")
    changes = draft()
    if pruning.phase is Phase.DROP:
        pruning = _drop(store, pruning, changes, size)
    elif pruning.phase is Phase.SWEEP:
        frontier = _frontier(store) or [*islice(_unmarked_roots(store), size)]
        if frontier:
            pruning = _mark(database, pruning, changes, frontier, size)
        else:
            pruning = _sweep(store, pruning, changes, size)
    else:
        pruning = _clean(store, pruning, changes, size)
    changes[Table.META][_PROGRESS] = None if pruning.phase is Phase.DONE else pruning.encode()
    database.write(changes)
    database.forget(key[-Bytes32.length :] for key in changes[Table.NODES])
    return pruning


def prune(
    database: Database, keep: int, *, size: int = STEP, on_step: Callable[[Pruning], object] = lambda _pruning: None
) -> Pruning:
    """Prune to the last `keep` roots, and return what was done; what an earlier pruning left undone comes first.

    Raise PruneError, MissingNode or CorruptEntry as `begin` and `step` do.
    """
    pruning = unfinished(database.store)
    if pruning is not None:
        while (pruning := step(database, size)).phase is not Phase.DONE:
            on_step(pruning)
        if sum(1 for _ in recorded_roots(database.store)) <= keep:
            return pruning
    pruning = begin(database, keep)
    while (pruning := step(database, size)).phase is not Phase.DONE:
        on_step(pruning)
    return pruning


def _drop(store: Store, pruning: Pruning, changes: Draft, size: int) -> Pruning:
    keys = [key for key, _ in islice(store.items(Table.ROOTS, stop=root_key(pruning.first)), size)]
    changes[Table.ROOTS] = dict.fromkeys(keys)
    after = replace(pruning, dropped=pruning.dropped + len(keys))
    return after if len(keys) == size else replace(after, phase=Phase.SWEEP)


def _unmarked_roots(store: Store) -> Iterator[bytes]:
    """Yield the keys of the recorded root nodes that have no mark."""
    for _, root in recorded_roots(store):
        key = node_key(b"", "", root)
        if root != EMPTY_ROOT and store.get(Table.MARKS, _MARK[Table.NODES] + key) is None:
            yield key


def _mark(database: Database, pruning: Pruning, changes: Draft, frontier: list[bytes], size: int) -> Pruning:
    """Mark the nodes at the frontier and put what they refer to in their place, depth first.

    So at every write, whatever a marked node refers to is marked or at the frontier.
    """
    marks, store, marked = changes[Table.MARKS], database.store, pruning.marked
    for _ in range(size):
        if not frontier:
            break
        key = frontier.pop()
        mark = _MARK[Table.NODES] + key
        if mark in marks or store.get(Table.MARKS, mark) is not None:
            continue
        marks[mark] = b""
        marked += 1
        prefix, path, digest = _place(key)
        node = decode_node(database.encoded_node(digest, prefix, path))
        frontier += reversed([*_references(marks, prefix, path, node)])
    changes[Table.META][_FRONTIER] = _packed(frontier) if frontier else None
    return replace(pruning, marked=marked)


def _references(marks: dict[bytes, bytes | None], prefix: bytes, path: str, node: Node) -> Iterator[bytes]:
    """Yield the keys of the nodes that a node refers to; mark code and preimages that it refers to."""
    if isinstance(node, Branch):
        for nibble, child in enumerate(node.children):
            yield from _child_references(marks, prefix, f"{path}{nibble:x}", child)
        return
    if isinstance(node, Extension):
        yield from _child_references(marks, prefix, path + node.path, node.child)
        return
    hashed = bytes.fromhex(path + node.path)
    marks[_MARK[Table.PREIMAGES] + hashed] = b""
    if prefix:
        return
    account = Account.decode(node.value)
    if account.code_hash != EMPTY_CODE_HASH:
        marks[_MARK[Table.CODE] + account.code_hash] = b""
    if account.storage_root != EMPTY_ROOT:
        yield node_key(storage_prefix(hashed), "", account.storage_root)


def _child_references(marks: dict[bytes, bytes | None], prefix: bytes, path: str, child: Reference) -> Iterator[bytes]:
    if len(child) == HASH_REFERENCE:
        yield node_key(prefix, path, child[1:])
    elif child != NOTHING:
        yield from _references(marks, prefix, path, decode_node(child))


def _sweep(store: Store, pruning: Pruning, changes: Draft, size: int) -> Pruning:
    table = pruning.table
    keys = [key for key, _ in islice(store.items(table, pruning.cursor), size)]
    gone = [key for key in keys if store.get(Table.MARKS, _MARK[table] + key) is None]
    changes[table] = dict.fromkeys(gone)
    after = replace(pruning, removed={**pruning.removed, table: pruning.removed[table] + len(gone)})
    if len(keys) == size:
        return replace(after, cursor=keys[-1] + b"\0")
    if table is SWEPT[-1]:
        return replace(after, phase=Phase.CLEAN, cursor=b"")
    return replace(after, table=SWEPT[SWEPT.index(table) + 1], cursor=b"")


def _clean(store: Store, pruning: Pruning, changes: Draft, size: int) -> Pruning:
    keys = [key for key, _ in islice(store.items(Table.MARKS), size)]
    changes[Table.MARKS] = dict.fromkeys(keys)
    return pruning if len(keys) == size else replace(pruning, phase=Phase.DONE)


def _place(key: bytes) -> tuple[bytes, str, bytes]:
    """Return prefix, path and hash that `node_key` made a key of."""
    prefix = key[:_PREFIX_BYTES] if key.startswith(storage_prefix(b"")) else b""
    return prefix, key[len(prefix) : -Bytes32.length - 1].decode(), key[-Bytes32.length :]


def _packed(keys: list[bytes]) -> bytes:
    """Return keys of less than 256 bytes as one value, each behind its length."""
    return b"".join(bytes([len(key)]) + key for key in keys)


def _frontier(store: Store) -> list[bytes]:
    """Return the frontier as it is stored."""
    packed, keys, place = store.get(Table.META, _FRONTIER) or b"", [], 0
    while place < len(packed):
        end = place + 1 + packed[place]
        keys.append(packed[place + 1 : end])
        place = end
    return keys
