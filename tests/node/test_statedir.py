"""The state directory: round trips, what is refused, crashes, full disks, other processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from evmc import U256, Address, Bytes32
from ewasm.ruleset import EWASM, SSVM, Ruleset
from node.chain import Chain as NodeChain
from node.chain import Wallet
from node.statedir import MAX_NUMBER, Chain, StateError, opened
from state import AccountDiff, Change, Diff, GenesisAccount, Table
from state.history import root_key
from state.lmdb import FILE, LOCK, READERS, LmdbStore
from tests.helpers import ROOT
from tests.node.commands import unprivileged
from tests.node.world import word
from tests.state.test_lmdb import small_files

A, B, C = (Address.from_int(number) for number in (0xA, 0xB, 0xC))
ACCOUNTS = {
    A: GenesisAccount(
        nonce=3, balance=U256(2**255), code=b"\0asm and more", storage={word(1): word(2), word(2**255): word(7)}
    ),
    B: GenesisAccount(nonce=2**64 - 1),
    C: GenesisAccount(balance=U256(1), code=b"\0asm and more"),
}
FILES = sorted([FILE, LOCK, READERS])


def step(number: int) -> Diff:
    """Return what block `number` changes."""
    return Diff({C: AccountDiff(nonce=Change(number - 1, number))})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state directory with two blocks in it."""
    with opened(tmp_path / "state", EWASM, genesis=ACCOUNTS) as chain:
        chain.next(step(1)).next(step(2))
    return tmp_path / "state"


def refused(folder: Path, ruleset: Ruleset = EWASM) -> str:
    """Return what is said instead of opening, the same for those who read and who write."""
    messages = set()
    for readonly in (True, False):
        with pytest.raises(StateError) as raised, opened(folder, ruleset, readonly=readonly):
            pass
        messages.add(str(raised.value))
    (message,) = messages
    return message


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Round trips


def test_a_state_comes_back(folder: Path) -> None:
    for readonly in (True, False):
        with opened(folder, EWASM, readonly=readonly) as chain:
            world = chain.world
            assert chain.number == 2
            assert {address for address, _ in world.accounts()} == set(ACCOUNTS)
            assert dict(world.slots(A)) == ACCOUNTS[A].storage
            account = world.account(C)
            assert account is not None
            assert (account.nonce, world.code(account.code_hash)) == (2, b"\0asm and more")
    assert names(folder) == FILES


def test_every_root_is_noted_with_its_block(folder: Path) -> None:
    with LmdbStore(folder) as store:
        roots = list(store.items(Table.ROOTS))
        assert [key for key, _ in roots] == [root_key(number) for number in range(3)]
        made = json.loads(store.get(Table.META, b"ruleset") or b"")
    assert made == {"name": "ewasm", "hash": EWASM.hash}
    with opened(folder, EWASM) as chain:
        assert chain.world.root == roots[-1][1]


def test_with_genesis_a_state_that_is_there_goes_on(folder: Path) -> None:
    with opened(folder, EWASM, genesis={}) as chain:
        assert chain.number == 2
        chain.next(step(3))
    with opened(folder, EWASM) as chain:
        assert chain.number == 3


def test_nothing_changes_unless_a_block_is_written(folder: Path) -> None:
    before = (folder / FILE).read_bytes()
    with opened(folder, EWASM) as chain:
        chain.world.changed(step(3))
    assert (folder / FILE).read_bytes() == before


# What is refused


def test_no_state_to_open(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert refused(folder) == f"{folder}: there is no state here; make one with: ewasm deploy FILE --state {folder}"
    assert names(tmp_path) == []


def test_another_ruleset(folder: Path) -> None:
    message = refused(folder, SSVM)
    assert f"made with ruleset ewasm ({EWASM.hash[:12]}), not with ssvm ({SSVM.hash[:12]})" in message
    assert "use --ruleset ewasm, or another directory" in message


def test_another_version_of_a_ruleset(folder: Path) -> None:
    changed = EWASM.replace(max_code=7)
    message = refused(folder, changed)
    assert f"made with ruleset ewasm ({EWASM.hash[:12]}), not with what it is now ({changed.hash[:12]})" in message


def test_the_chain_of_a_node_is_only_read(tmp_path: Path) -> None:
    with LmdbStore(tmp_path, create=True) as store:
        NodeChain(store, wallet=Wallet([])).close()
    with opened(tmp_path, EWASM, readonly=True) as chain:
        assert chain.number == 0
    for genesis in (None, ACCOUNTS):
        with pytest.raises(StateError, match="holds the chain of a node"), opened(tmp_path, EWASM, genesis=genesis):
            pass


@pytest.mark.parametrize(
    "made", [b"", b"{", b"[]", b"5", b"null", b"\xff", b"[" * 100_000, b'{"name": "ewasm"}', b'{"hash": "0"}', None]
)
def test_a_damaged_ruleset(folder: Path, made: bytes | None) -> None:
    with LmdbStore(folder) as store:
        store.write({Table.META: {b"ruleset": made}})
    assert f"{folder / FILE}: damaged (" in refused(folder)


@pytest.mark.parametrize(
    ("key", "root"),
    [(b"\xff" * 8, bytes(32)), (root_key(MAX_NUMBER), bytes(32)), (b"\xff", bytes(32)), (root_key(9), b"short")],
)
def test_damaged_roots(folder: Path, key: bytes, root: bytes) -> None:
    with LmdbStore(folder) as store:
        store.write({Table.ROOTS: {key: root}})
    assert f"{folder / FILE}: damaged (" in refused(folder)


def test_a_missing_or_damaged_node_is_named(folder: Path) -> None:
    with LmdbStore(folder) as store:
        root = Bytes32(store.last(Table.ROOTS)[1])  # type: ignore[index]
        (key, value), = [(k, v) for k, v in store.items(Table.NODES) if k[-32:] == root]  # fmt: skip
        store.write({Table.NODES: {key: value[:-1] + b"!"}})
    with pytest.raises(StateError, match=f"damaged: .*{root}.*restore it from a copy"), opened(folder, EWASM) as chain:
        chain.world.account(A)
    with LmdbStore(folder) as store:
        store.write({Table.NODES: {key: None}})
    with pytest.raises(StateError, match=f"damaged: .*{root}.*restore it from a copy"), opened(folder, EWASM) as chain:
        chain.next(step(3))


# Directories


def test_a_new_directory_is_made_and_taken_back(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    folder = tmp_path / "there" / "a" / "b"
    with opened(folder, EWASM, genesis=ACCOUNTS) as chain:
        assert dict(chain.world.slots(A)) == ACCOUNTS[A].storage
        assert folder.is_dir()
    assert names(tmp_path / "there") == []
    with pytest.raises(ZeroDivisionError), opened(folder, EWASM, genesis=ACCOUNTS):
        raise ZeroDivisionError
    assert names(tmp_path / "there") == []
    with opened(folder, EWASM, genesis=ACCOUNTS) as chain:
        chain.next(step(1))
    assert names(folder) == FILES


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "state.json"])
def test_a_directory_of_other_things_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(StateError, match="holds other files and no state"), opened(tmp_path, EWASM, genesis={}):
        pass
    assert names(tmp_path) == [name]


def test_what_a_killed_process_left_is_no_hindrance(tmp_path: Path) -> None:
    """It made the store and the genesis, and no block."""
    with LmdbStore(tmp_path, create=True) as store:
        store.write({Table.NODES: {b"of a genesis": b"that nothing leads to"}})
    with opened(tmp_path, EWASM, genesis=ACCOUNTS) as chain:
        assert chain.next(step(1)).number == 1
    with opened(tmp_path, EWASM) as chain:
        assert chain.number == 1


@pytest.mark.parametrize("name", [FILE, LOCK])
def test_directories_where_files_belong(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(StateError), opened(folder, EWASM, genesis={}):
        pass
    assert (folder / name).is_dir()


def test_a_read_only_directory() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with opened(folder, EWASM, genesis=ACCOUNTS) as chain:
            chain.next(step(1))
        before = (folder / FILE).read_bytes()
        folder.chmod(0o555)
        with unprivileged():
            for genesis in (None, ACCOUNTS):
                with pytest.raises(StateError, match="Permission denied"), opened(folder, EWASM, genesis=genesis):
                    pass
            with pytest.raises(StateError, match="Permission denied"), opened(folder / "new", EWASM, genesis={}):
                pass
            with opened(folder, EWASM, readonly=True) as chain:
                assert chain.number == 1
        folder.chmod(0o755)
        assert (folder / FILE).read_bytes() == before


# A full disk


@pytest.mark.parametrize("more", [0, 5000])
def test_a_full_disk_leaves_the_old_state(folder: Path, more: int) -> None:
    big = Diff({Address.from_int(9): AccountDiff(created=True, code=Change(b"", bytes(100_000)))})
    said = r"cannot be written .*; the old state is as it was"
    size = (folder / FILE).stat().st_size
    with small_files(size + more), pytest.raises(StateError, match=said), opened(folder, EWASM) as chain:
        chain.next(big)
    with opened(folder, EWASM) as chain:
        assert chain.number == 2


def test_a_full_disk_at_the_first_block_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    for size in (10, 50_000):
        with small_files(size), pytest.raises(StateError), opened(folder, EWASM, genesis=ACCOUNTS) as chain:
            chain.next(step(1))
        assert names(tmp_path) == []


# Other processes

HOLD = """
import sys
import tempfile
from pathlib import Path
from ewasm.ruleset import EWASM
from node.chain import Chain as NodeChain
from node.chain import Wallet
from node.statedir import opened
with opened(Path(sys.argv[1]), EWASM):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_writes(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for genesis in (None, ACCOUNTS):
            with pytest.raises(StateError, match="another process"), opened(folder, EWASM, genesis=genesis):
                pass
        with opened(folder, EWASM, readonly=True) as chain:
            assert chain.number == 2
        other.kill()
    with opened(folder, EWASM) as chain:
        assert chain.number == 2


def test_a_chain_is_a_value(folder: Path) -> None:
    with opened(folder, EWASM) as chain:
        assert chain == Chain(chain.world, 2)
