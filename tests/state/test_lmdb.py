"""The store on disk: what lasts, what is refused, and what a crash, a full disk or damage leave."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from evmc import U256, Address, Bytes32
from state import CorruptEntry, Database, GenesisAccount, StoreError, Table, Trie, WorldState, keccak256
from state.lmdb import FILE, FORMAT, LOCK, READERS, LmdbStore
from state.store import draft
from tests.helpers import ROOT
from tests.node.commands import unprivileged

ROW = {Table.CODE: {b"a": b"1"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a store in it that has one row."""
    with LmdbStore(tmp_path / "store", create=True) as store:
        store.write(ROW)
    return tmp_path / "store"


def said(folder: Path, *, create: bool = False, readonly: bool = False) -> str:
    """Return what opening a directory says instead of opening it."""
    with pytest.raises(StoreError) as raised:
        LmdbStore(folder, create=create, readonly=readonly)
    return str(raised.value).removeprefix(str(folder)).removeprefix(f"/{FILE}").removeprefix(": ")


# What lasts


def test_what_was_written_is_there_again(folder: Path) -> None:
    for readonly in (False, True):
        with LmdbStore(folder, readonly=readonly) as store:
            assert store.get(Table.CODE, b"a") == b"1"
    assert sorted(path.name for path in folder.iterdir()) == sorted([FILE, LOCK, READERS])


def test_the_map_grows_by_itself(folder: Path) -> None:
    """Also while rows are being iterated, and under a reader in the same process and one in another."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READ, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    assert reader.stdout.readline() == "1\n"
    with LmdbStore(folder) as store:
        store.write({Table.NODES: {bytes([n]): bytes(100) for n in range(3)}})
        rows = store.items(Table.NODES)
        next(rows)
        big = {n.to_bytes(2, "big"): bytes(1 << 20) for n in range(150)}
        store.write({Table.PREIMAGES: big})
        assert len(list(rows)) == 2
        assert store.size > 150 << 20
        assert all(store.get(Table.PREIMAGES, key) == value for key, value in big.items())
        store.write({Table.CODE: {b"a": b"2"}})
        assert reader.communicate("\n")[0] == "2\n"
    with LmdbStore(folder) as store:
        assert len(list(store.items(Table.PREIMAGES))) == 150


READ = """
import sys
from pathlib import Path
from state.lmdb import LmdbStore
from state import Table
with LmdbStore(Path(sys.argv[1]), readonly=True) as store:
    print(store.get(Table.CODE, b"a").decode(), flush=True)
    sys.stdin.readline()
    print(store.get(Table.CODE, b"a").decode())
"""


def test_threads_read_while_one_writes(folder: Path) -> None:
    """Each sees all of a write or nothing of it."""
    wrong: list[object] = []
    done = threading.Event()
    with LmdbStore(folder) as store:

        def read() -> None:
            while not done.is_set():
                rows = {value for _, value in store.items(Table.NODES)}
                if len(rows) > 1:
                    wrong.append(rows)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for n in range(200):
            store.write({Table.NODES: {bytes([key]): b"%d" % n for key in range(20)}})
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong


# What is refused


def test_there_must_be_a_store(tmp_path: Path) -> None:
    assert said(tmp_path) == "there is no state here"
    assert said(tmp_path / "missing", readonly=True) == "there is no state here"
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    assert said(tmp_path, create=True) == "holds other files and no state; give an empty or new directory"
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_one_process_writes(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for create in (True, False):
            assert said(folder, create=create) == "another process is using this state; try again when it has ended"
        with LmdbStore(folder, readonly=True) as store:
            assert store.get(Table.CODE, b"a") == b"1"
            with pytest.raises(StoreError, match="opened for reading only"):
                store.write(ROW)
        other.kill()
    LmdbStore(folder).close()


HOLD = """
import sys
from pathlib import Path
from state.lmdb import LmdbStore
with LmdbStore(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_closed_store(folder: Path) -> None:
    store = LmdbStore(folder)
    store.close()
    store.close()
    for use in (lambda: store.get(Table.CODE, b"a"), lambda: store.write(ROW), lambda: list(store.items(Table.CODE))):
        with pytest.raises(StoreError, match="closed"):
            use()


@pytest.mark.parametrize("content", [b"\0" * 10_000, b"SQLite format 3\0" * 1000, b"{}", os.urandom(9_000)])
def test_files_that_are_no_database(folder: Path, content: bytes) -> None:
    (folder / FILE).write_bytes(content)
    for readonly in (False, True):
        assert said(folder, readonly=readonly).startswith("not a state, or damaged (")
    assert (folder / FILE).read_bytes() == content


def test_a_database_of_another_program(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / FILE), subdir=False, max_dbs=1) as other, other.begin(write=True) as transaction:
        transaction.put(b"theirs", b"1")
    for create, readonly in ((True, False), (False, False), (False, True)):
        assert said(tmp_path, create=create, readonly=readonly) == "not a state, but a database of another program"


def test_a_format_of_a_later_version(folder: Path) -> None:
    with LmdbStore(folder) as store:
        store.write({Table.META: {b"format": b"77"}})
    assert said(folder) == (f"format 77, this version reads format {FORMAT.decode()}; use the version that wrote it")


def test_a_read_only_directory(folder: Path) -> None:
    folder.chmod(0o555)
    (folder / FILE).chmod(0o444)
    (folder / LOCK).chmod(0o444)
    try:
        with unprivileged():
            assert "Permission denied" in said(folder)
            assert "Permission denied" in said(folder / "new", create=True)
    finally:
        folder.chmod(0o755)
    with LmdbStore(folder, readonly=True) as store:
        assert store.get(Table.CODE, b"a") == b"1"


# Damage


def test_truncated_anywhere(folder: Path) -> None:
    """A file that lacks a page that is in use is refused; no other error, no end of the process."""
    with LmdbStore(folder) as store:
        for n in range(20):
            store.write({Table.NODES: {bytes([n, m]): os.urandom(900) for m in range(30)}})
    whole = (folder / FILE).read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", TRUNCATE, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 50
    (folder / FILE).write_bytes(whole)
    LmdbStore(folder).close()


TRUNCATE = """
import sys
from pathlib import Path
from state.lmdb import FILE, LmdbStore
from state import StoreError, Table
folder = Path(sys.argv[1])
whole = (folder / FILE).read_bytes()
with LmdbStore(folder) as store:
    rows = list(store.items(Table.NODES))
refused = 0
for length in range(0, len(whole), 4096 * 3 + 1000):
    (folder / FILE).write_bytes(whole[:length])
    for readonly in (True, False):
        try:
            with LmdbStore(folder, readonly=readonly) as store:
                assert list(store.items(Table.NODES)) == rows
        except StoreError as error:
            refused += 1
            assert (folder / FILE).stat().st_size == length, (length, readonly, str(error))
        else:
            assert not length or not readonly
print(refused)
"""


def test_a_file_without_its_free_last_pages_is_whole(folder: Path) -> None:
    """What a process leaves that ends between LMDB's commit and ours."""
    with LmdbStore(folder) as store:
        store.write({Table.NODES: {bytes([n]): bytes(3000) for n in range(100)}})
        store.write({Table.NODES: {bytes([n]): None for n in range(100)}})
        store.write(ROW)
    whole = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(whole[: 4096 * 12])
    with LmdbStore(folder) as store:
        assert store.get(Table.CODE, b"a") == b"1"
        assert not list(store.items(Table.NODES))
        assert store.size == len(whole)


def test_a_flipped_bit_is_noticed_and_named(tmp_path: Path) -> None:
    """Wherever in a value of a node, of code or of an address the bit is."""
    accounts = {
        Address.from_int(n): GenesisAccount(balance=U256(n), code=b"\0asm%d" % n, storage={Bytes32.from_int(n): Bytes32.from_int(n)})
        for n in range(1, 20)
    }  # fmt: skip
    with LmdbStore(tmp_path, create=True) as store:
        root = WorldState.genesis(Database(store), accounts).root
        draw = random.Random(3)
        for table in (Table.NODES, Table.CODE, Table.PREIMAGES):
            for key, value in store.items(table):
                at = draw.randrange(len(value))
                damaged = value[:at] + bytes([value[at] ^ 1 << draw.randrange(8)]) + value[at + 1 :]
                store.write({table: {key: damaged}})
                with pytest.raises(CorruptEntry, match=f"table {table} has under 0x{key[-32:].hex()} is damaged"):
                    read_all(WorldState(Database(store), root))
                store.write({table: {key: value}})
        read_all(WorldState(Database(store), root))


def read_all(world: WorldState) -> None:
    for address, account in world.accounts():
        world.code(account.code_hash)
        list(world.slots(address))


# Full disks and crashes


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file of this process grow above a size: the system refuses to write more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("more", [0, 4096, 5000, 100_000])
def test_a_full_disk_leaves_what_was_there(folder: Path, more: int) -> None:
    store = LmdbStore(folder)
    rows = {n.to_bytes(2, "big"): os.urandom(1000) for n in range(500)}
    with small_files(store.size + more):
        for _ in range(2):
            with pytest.raises(StoreError, match=r"cannot be written \(.+\); the old state is as it was"):
                store.write({Table.NODES: rows})
        assert store.get(Table.CODE, b"a") == b"1"
        assert not list(store.items(Table.NODES))
    store.write({Table.NODES: rows})  # there is room again
    store.close()
    with LmdbStore(folder) as store:
        assert dict(store.items(Table.NODES)) == rows


def test_a_full_disk_at_the_start(tmp_path: Path) -> None:
    with small_files(100):
        message = said(tmp_path / "new", create=True)
    assert "File too large" in message or "No space" in message or "Input/output" in message
    LmdbStore(tmp_path / "new", create=True).close()


def test_killed_hundreds_of_times(tmp_path: Path) -> None:
    """Whenever a process that commits is killed, the store opens at a root it committed, whose state is complete."""
    LmdbStore(tmp_path, create=True).close()
    model: dict[bytes, bytes] = {}
    modelled = 0
    for round_number in range(KILLS):
        # A fork per kill would start Python each time: a forked child commits and is killed at a random moment.
        modelled = killed_once(tmp_path, random.Random(round_number), model, modelled)
    assert modelled > KILLS


KILLS = 200


def killed_once(folder: Path, draw: random.Random, model: dict[bytes, bytes], modelled: int) -> int:
    """Fork a process that commits and kill it; check what it leaves and bring the model to it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        commit_forever(folder, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        told.read(1)  # the first commit
        if pause := draw.choice((0, 0.001, 0.003)) * draw.random():
            threading.Event().wait(pause)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        committed = modelled + 1 + len(told.read())
    with LmdbStore(folder) as store:
        last = store.last(Table.ROOTS)
        assert last is not None
        number = int.from_bytes(last[0], "big")
        assert number in (committed, committed + 1), "a commit that was reported is missing"
        for each in range(modelled + 1, number + 1):
            model.update(batch(each))
        trie = Trie(Database(store), Bytes32(last[1]))
        assert dict(trie.items()) == model
        assert len(list(store.items(Table.ROOTS))) == number
    return number


def batch(number: int) -> dict[bytes, bytes]:
    """Return what a commit changes."""
    return {keccak256(b"%d" % (number * 7919 * (n + 1) % 997)): b"%d" % number for n in range(10)}


def commit_forever(folder: Path, writing: int) -> None:
    """Commit and tell of it, a byte each time, until killed."""
    try:
        store = LmdbStore(folder)
        last = store.last(Table.ROOTS)
        number = int.from_bytes(last[0], "big") if last else 0
        trie = Trie(Database(store), Bytes32(last[1])) if last else Trie(Database(store))
        while True:
            number += 1
            changes = draft()
            trie.update(batch(number))
            changes[Table.ROOTS][number.to_bytes(8, "big")] = trie.commit_to(changes)
            store.write(changes)
            os.write(writing, b".")
    finally:
        os._exit(1)
