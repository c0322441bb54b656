"""Pruning: what the kept roots need stays at every moment, whatever happens; in the end nothing else is there."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from state import EMPTY_ROOT, CorruptEntry, Database, MemoryStore, MissingNode, StoreError, Table, WorldState
from state.history import UnknownRoot, latest_root, recorded_roots, world_at
from state.lmdb import LmdbStore
from state.prune import SWEPT, Phase, PruneError, Pruning, begin, prune, step, unfinished
from state.store import Changes, Store
from tests.helpers import ROOT
from tests.state.chains import Chain


class Full(Exception):
    """The write that fails."""


class Failing:
    """A store whose writes fail when asked to: before they were made, or after, as where a process is killed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fails = ""
        self.get, self.items, self.last = store.get, store.items, store.last

    def write(self, changes: Changes) -> None:
        if self.fails == "before":
            raise Full
        self.store.write(changes)
        if self.fails == "after":
            raise Full


class Pruned(RuleBasedStateMachine):
    """Commits, steps of a pruning, failures and restarts, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Failing(self.new_store())
        self.chain = Chain(self.store, seed=0)
        self.exact = True
        self.chain.commit()

    def new_store(self) -> Store:
        return MemoryStore()

    @rule(seed=st.integers(0, 1 << 30), count=st.integers(1, 4))
    def commit(self, seed: int, count: int) -> None:
        self.chain.chance.seed(seed)
        for _ in range(count):
            self.chain.commit()

    @rule(seed=st.integers(0, 1 << 30), back=st.integers(1, 3))
    def reorganise(self, seed: int, back: int) -> None:
        """Commit another state in the place of one that is recorded."""
        numbers = sorted(self.chain.states)
        if len(numbers) > back:
            self.chain.chance.seed(seed)
            number = numbers[-back]
            if number - 1 in self.chain.states:
                self.chain.commit(number - 1)
                self.exact = False

    @rule(seed=st.integers(0, 1 << 30))
    def return_to_an_earlier_state(self, seed: int) -> None:
        """Commit a state that is known already: its nodes may be marked, swept, or neither."""
        self.chain.chance.seed(seed)
        before = self.chain.states[max(self.chain.states)]
        self.chain.commit()
        self.chain.commit(after=before)

    @precondition(lambda self: unfinished(self.store) is None)
    @rule(keep=st.integers(1, 4))
    def begin(self, keep: int) -> None:
        begin(self.chain.database, keep)
        self.chain.keep_last(keep)
        self.exact = True

    @precondition(lambda self: unfinished(self.store) is not None)
    @rule(size=st.integers(1, 40), count=st.integers(1, 12), fails=st.sampled_from(["", "", "before", "after"]))
    def step(self, size: int, count: int, fails: str) -> None:
        for _ in range(count):
            if unfinished(self.store) is None:
                return
            self.store.fails = fails
            try:
                step(self.chain.database, size)
            except Full:
                assert fails
            finally:
                self.store.fails = ""
            if unfinished(self.store) is None:
                self.chain.check(exact=self.exact)

    @rule()
    def reopen(self) -> None:
        self.chain.database = Database(self.store)

    @invariant()
    def all_is_there(self) -> None:
        self.chain.check(exact=False)

    def teardown(self) -> None:
        if unfinished(self.store) is not None:
            while step(self.chain.database, 7).phase is not Phase.DONE:
                pass
            self.chain.check(exact=self.exact)
        prune(self.chain.database, len(self.chain.states))
        self.chain.check(exact=True)
        self.chain.read()


TestPruned = Pruned.TestCase
TestPruned.settings = settings(
    deadline=None, max_examples=25, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)


class PrunedOnDisk(Pruned):
    """The same on disk, where a restart opens the file anew."""

    def new_store(self) -> Store:
        self.folder = TemporaryDirectory()
        return LmdbStore(Path(self.folder.name), create=True)

    @rule()
    def reopen(self) -> None:
        assert isinstance(self.store.store, LmdbStore)
        self.store.store.close()
        self.store = Failing(LmdbStore(Path(self.folder.name)))
        super().reopen()

    def teardown(self) -> None:
        super().teardown()
        assert isinstance(self.store.store, LmdbStore)
        self.store.store.close()
        self.folder.cleanup()


TestPrunedOnDisk = PrunedOnDisk.TestCase
TestPrunedOnDisk.settings = settings(TestPruned.settings, max_examples=4, stateful_step_count=20)


NewStore = Callable[[], Store]


def chain_of(count: int, store: Store, seed: int = 1) -> Chain:
    chain = Chain(store, seed)
    for _ in range(count):
        chain.commit()
    return chain


@pytest.mark.parametrize(("keep", "size"), [(1, 1), (1, 4096), (3, 7), (20, 64)])
def test_only_the_last_roots_are_left(new_store: NewStore, keep: int, size: int) -> None:
    chain = chain_of(8, new_store())
    rows = {table: len(list(chain.database.store.items(table))) for table in SWEPT}
    meta = list(chain.database.store.items(Table.META))
    seen: list[Pruning] = []
    done = prune(chain.database, keep, size=size, on_step=seen.append)
    chain.keep_last(keep)
    chain.check(exact=True)
    chain.read()
    left = {table: len(list(chain.database.store.items(table))) for table in SWEPT}
    assert done.phase is Phase.DONE
    assert done.dropped == max(0, 8 - keep)
    assert done.removed == {table: rows[table] - left[table] for table in SWEPT}
    assert done.marked == left[Table.NODES]
    assert unfinished(chain.database.store) is None
    assert not seen or seen[-1].phase is Phase.CLEAN
    assert list(chain.database.store.items(Table.META)) == meta


def test_what_was_never_recorded_goes(new_store: NewStore) -> None:
    """As an import leaves it that was ended before its end."""
    chain = chain_of(3, new_store())
    extra = chain_of(9, MemoryStore(), seed=2)
    chain.database.write({table: dict(extra.database.store.items(table)) for table in SWEPT})
    prune(chain.database, 3)
    chain.check(exact=True)


def test_a_step_writes_once_and_no_more_than_it_may(new_store: NewStore) -> None:
    chain = chain_of(12, new_store())
    written: list[int] = []

    class Counting(Failing):
        def write(self, changes: Changes) -> None:
            written.append(sum(len(rows) for table, rows in changes.items() if table is not Table.META))
            super().write(changes)

    database = Database(Counting(chain.database.store))
    begin(database, 2)
    assert written == [0]
    steps = 0
    while step(database, 8).phase is not Phase.DONE:
        steps += 1
        assert len(written) == steps + 1
    assert max(written) <= 8 * 3  # a leaf marks its node, its code and its preimage


def test_a_pruned_state_is_gone_for_readers_too(new_store: NewStore) -> None:
    chain = chain_of(6, new_store())
    old = WorldState(chain.database, chain.roots[3])
    assert list(old.accounts())
    prune(chain.database, 1)
    with pytest.raises(UnknownRoot, match="after block 3 is not kept; kept are blocks from 6 to 6"):
        world_at(chain.database, 3)
    with pytest.raises(MissingNode, match="path root"):
        list(old.accounts())
    assert [number for number, _ in recorded_roots(chain.database.store)] == [6]


def test_an_earlier_pruning_is_finished_first(new_store: NewStore) -> None:
    chain = chain_of(6, new_store())
    begin(chain.database, 4)
    with pytest.raises(PruneError, match="another pruning has not ended"):
        begin(chain.database, 2)
    for _ in range(3):
        step(chain.database, 4)
    chain.commit()
    prune(chain.database, 2)
    chain.keep_last(2)
    chain.check(exact=True)


def test_what_cannot_be_begun(new_store: NewStore) -> None:
    with pytest.raises(PruneError, match="no root is recorded: pruning would remove everything"):
        prune(Database(), 5)
    with pytest.raises(PruneError, match="keep at least 1"):
        prune(chain_of(2, new_store()).database, 0)
    assert prune(chain_of(2, new_store()).database, 10**30).dropped == 0
    with pytest.raises(PruneError, match="no pruning has begun"):
        step(chain_of(2, new_store()).database)


def test_the_empty_state_can_be_kept(new_store: NewStore) -> None:
    chain = chain_of(4, new_store())
    chain.commit(after={})
    assert latest_root(chain.database.store) == (5, EMPTY_ROOT)
    prune(chain.database, 1)
    assert all(not list(chain.database.store.items(table)) for table in (*SWEPT, Table.MARKS))


@pytest.mark.parametrize("damage", [None, b"\x80"])
def test_a_damaged_state_is_not_swept(new_store: NewStore, damage: bytes | None) -> None:
    """Marks that do not reach everything must not decide what goes."""
    chain = chain_of(5, new_store())
    store = chain.database.store
    needed = set(chain.rows[5][Table.NODES])
    root = chain.roots[5]
    key = max(key for key in needed if not key.endswith(root))
    value = store.get(Table.NODES, key)
    store.write({Table.NODES: {key: damage}})
    before = [dict(store.items(table)) for table in SWEPT]
    for _ in range(2):
        with pytest.raises(MissingNode if damage is None else CorruptEntry, match=key[-32:].hex()):
            prune(chain.database, 1, size=3)
        assert [dict(store.items(table)) for table in SWEPT] == before
    store.write({Table.NODES: {key: value}})
    prune(chain.database, 1)
    chain.keep_last(1)
    chain.check(exact=True)


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b'{"first": 1, "phase": "rest"}', b"\xff"])
def test_a_damaged_record_is_said_to_be(new_store: NewStore, record: bytes) -> None:
    chain = chain_of(2, new_store())
    chain.database.write({Table.META: {b"prune": record}})
    with pytest.raises(StoreError, match="record of a pruning is damaged"):
        prune(chain.database, 1)


PRUNE = """
import sys
from pathlib import Path
from state import Database
from state.lmdb import LmdbStore
from state.prune import step, unfinished

with LmdbStore(Path(sys.argv[1])) as store:
    database = Database(store)
    phase = "done" if unfinished(store) is None else ""
    print(phase, flush=True)
    while phase != "done":
        phase = step(database, 8).phase
        print(phase, flush=True)
"""


def test_a_process_that_is_killed_while_it_prunes(tmp_path: Path) -> None:
    """Again and again, with commits between; whatever was killed, the states to keep are whole."""
    with LmdbStore(tmp_path / "store", create=True) as store:
        chain = chain_of(40, store)
        begin(chain.database, 3)
    chain.keep_last(3)
    chance, killed, phases = random.Random(1), 0, set[str]()
    while "done" not in phases:
        with subprocess.Popen(
            [sys.executable, "-c", PRUNE, tmp_path / "store"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            phases |= {line.strip() for line, _ in zip(child.stdout, range(chance.randrange(1, 40)), strict=False)}
            time.sleep(chance.uniform(0, 0.003))
            child.kill()
            phases |= {line.strip() for line in child.stdout}
        killed += "done" not in phases
        with LmdbStore(tmp_path / "store") as store:
            chain.database = Database(store)
            chain.check(exact="done" in phases)
            if killed < 4 and "done" not in phases:
                chain.commit()
                chain.check(exact=False)
    assert phases - {""} == {"drop", "sweep", "clean", "done"}
    assert killed >= 5
    with LmdbStore(tmp_path / "store") as store:
        chain.database = Database(store)
        chain.read()
