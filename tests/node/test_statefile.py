"""The state directory: round trips, damage of every kind, crashes, full disks, other processes."""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evmc import U256, Address
from ewasm.ruleset import EWASM, SSVM
from node.statefile import FORMAT, MAX_NUMBER, Chain, StateError, load, locked, save
from state import Database, GenesisAccount, WorldState
from tests.helpers import ROOT
from tests.node.commands import unprivileged
from tests.node.world import word

A, B, C = (Address.from_int(number) for number in (0xA, 0xB, 0xC))
ACCOUNTS = {
    A: GenesisAccount(
        nonce=3, balance=U256(2**255), code=b"\0asm and more", storage={word(1): word(2), word(2**255): word(7)}
    ),
    B: GenesisAccount(nonce=2**64 - 1),
    C: GenesisAccount(balance=U256(1), code=b"\0asm and more"),
}


def world(accounts: dict[Address, GenesisAccount] = ACCOUNTS) -> WorldState:
    return WorldState.genesis(Database(), accounts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state directory with a state in it."""
    with locked(tmp_path / "state", create=True):
        save(tmp_path / "state", Chain(world(), 7), EWASM)
    return tmp_path / "state"


def document(folder: Path) -> Any:
    return json.loads((folder / "state.json").read_text())


# Round trips


def test_a_state_comes_back(folder: Path) -> None:
    chain = load(folder, EWASM)
    assert chain is not None
    assert (chain.world.root, chain.number) == (world().root, 7)
    assert dict(chain.world.accounts()) == dict(world().accounts())
    assert dict(chain.world.slots(A)) == ACCOUNTS[A].storage
    assert chain.world.code(chain.world.account(C).code_hash) == b"\0asm and more"  # type: ignore[union-attr]


def test_what_is_written_says_what_it_is(folder: Path) -> None:
    written = document(folder)
    assert list(written) == ["format", "ruleset", "number", "root", "accounts"]
    assert (written["format"], written["number"], written["root"]) == (FORMAT, 7, str(world().root))
    assert written["ruleset"] == {"name": "ewasm", "hash": EWASM.hash}
    assert list(written["accounts"]) == [str(A), str(B), str(C)]
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "state.json"]


def test_writing_twice_gives_the_same_bytes(folder: Path) -> None:
    before = (folder / "state.json").read_bytes()
    chain = load(folder, EWASM)
    assert chain is not None
    save(folder, chain, EWASM)
    assert (folder / "state.json").read_bytes() == before


def test_no_state_yet(tmp_path: Path) -> None:
    assert load(tmp_path, EWASM) is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    accounts=st.dictionaries(
        st.integers(1, 2**160 - 1).map(Address.from_int),
        st.builds(
            GenesisAccount,
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**200).map(U256),
            st.binary(max_size=40),
            st.dictionaries(st.integers(0, 2**256 - 1).map(word), st.integers(1, 2**256 - 1).map(word), max_size=3),
        ),
        max_size=5,
    ),
    number=st.integers(0, MAX_NUMBER - 1),
)
def test_any_state_comes_back(tmp_path: Path, accounts: dict[Address, GenesisAccount], number: int) -> None:
    state = world(accounts)
    save(tmp_path, Chain(state, number), EWASM)
    chain = load(tmp_path, EWASM)
    assert chain is not None
    assert (chain.world.root, chain.number) == (state.root, number)


# Damage


def damaged(folder: Path, change: Callable[[Any], None]) -> str:
    """Change what is written; return what is said of it."""
    written = document(folder)
    change(written)
    (folder / "state.json").write_text(json.dumps(written))
    return refused(folder)


def refused(folder: Path) -> str:
    with pytest.raises(StateError) as raised:
        load(folder, EWASM)
    message = str(raised.value)
    assert message.startswith(f"{folder / 'state.json'}: ")
    return message


def setting(*path: Any) -> Callable[[Any], Callable[[Any], None]]:
    """Return what makes a change that sets one place to a value."""

    def to(value: Any) -> Callable[[Any], None]:
        def change(written: Any) -> None:
            for step in path[:-1]:
                written = written[step]
            written[path[-1]] = value

        return change

    return to


HUGE = 10**400


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (("number",), [-1, MAX_NUMBER, HUGE, "7", 7.0, True, None, [], {}]),
        (("root",), [None, 5, "", "0x" + "00" * 32]),
        (("accounts",), [None, 5, [], {}, {"x": {}}, {str(A): None}, {"0x" + "00" * 19: {}}]),
        (("accounts", str(A)), [None, 5, "", [], {}]),
        (("accounts", str(A), "nonce"), [4, -1, 2**64, HUGE, "3", 3.0, None, []]),
        (("accounts", str(A), "balance"), ["1", "-1", -1, str(2**256), HUGE, "", "x", "9" * 5000, None, []]),
        (("accounts", str(A), "code"), ["", "0", "zz", "0061736d", None, 5, []]),
        (("accounts", str(A), "storage"), [{}, None, 5, [], {"00": "00"}, {word(1).hex(): "00"}, {word(1).hex(): 2}]),
        (("accounts", str(A), "storage", word(1).hex()), [word(3).hex(), word(0).hex(), "", None]),
    ],
)
def test_a_flipped_value(folder: Path, path: tuple[str, ...], values: list[Any]) -> None:
    good = (folder / "state.json").read_text()
    for value in values:
        message = damaged(folder, setting(*path)(value))
        assert "damaged" in message
        assert "restore it from a copy" in message
        (folder / "state.json").write_text(good)
    assert load(folder, EWASM) is not None


@pytest.mark.parametrize("key", ["format", "ruleset", "number", "root", "accounts"])
def test_a_missing_key(folder: Path, key: str) -> None:
    assert f"damaged, or not a state file ('{key}')" in damaged(folder, lambda written: written.pop(key))


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"5", b"null", b'"text"', b"\xff\xfe", b"\0" * 100, b"PK\3\4", b"[" * 100_000, b'{"a":' * 100_000,
        b'{"format": 1, "format": 1}',
    ],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
def test_what_is_no_state_file(folder: Path, text: bytes) -> None:
    (folder / "state.json").write_bytes(text)
    assert "damaged, or not a state file" in refused(folder)


def test_truncated_anywhere(folder: Path) -> None:
    whole = (folder / "state.json").read_bytes()
    for length in range(0, len(whole) - 1, 37):
        (folder / "state.json").write_bytes(whole[:length])
        assert "damaged, or not a state file" in refused(folder)


def test_any_flipped_byte_is_noticed_or_harmless(folder: Path) -> None:
    """Whatever loads has the state that was written: the root is held against the accounts."""
    whole = (folder / "state.json").read_bytes()
    draw = random.Random(5)
    for _ in range(300):
        at = draw.randrange(len(whole))
        (folder / "state.json").write_bytes(whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1 :])
        try:
            chain = load(folder, EWASM)
        except StateError:
            continue
        assert chain is not None
        assert chain.world.root == world().root


@pytest.mark.parametrize("value", [0, 2, None, "1", []])
def test_another_format(folder: Path, value: Any) -> None:
    assert f"format {value}, this version reads format {FORMAT}" in damaged(folder, setting("format")(value))


def test_another_ruleset(folder: Path) -> None:
    with pytest.raises(StateError) as raised:
        load(folder, SSVM)
    assert f"made with ruleset ewasm ({EWASM.hash[:12]}), not with ssvm ({SSVM.hash[:12]})" in str(raised.value)
    assert "use --ruleset ewasm, or another directory" in str(raised.value)


def test_another_version_of_a_ruleset(folder: Path) -> None:
    changed = EWASM.replace(max_code=7)
    with pytest.raises(StateError, match=f"made with ruleset ewasm .*, not with what it is now .{changed.hash[:12]}."):
        load(folder, changed)


@pytest.mark.parametrize("value", [None, 5, {}, {"name": "ewasm"}, {"name": 5, "hash": 5}, {"name": 5, "hash": "00"}])
def test_a_damaged_ruleset(folder: Path, value: Any) -> None:
    assert "damaged, or not a state file" in damaged(folder, setting("ruleset")(value))


def test_more_ether_than_there_can_be(folder: Path) -> None:
    """Also with the right root: a sum above 256 bits could overflow in a transfer."""
    rich = copy.copy(ACCOUNTS) | {B: GenesisAccount(balance=U256(2**255))}
    save(folder, Chain(world(rich), 7), EWASM)
    assert "its balances add up to more than 256 bits" in refused(folder)


# Directories


def test_a_new_directory_is_made_and_taken_back(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    folder = tmp_path / "there" / "a" / "b"
    with locked(folder, create=True):
        assert folder.is_dir()
    assert list((tmp_path / "there").iterdir()) == []
    with locked(folder, create=True):
        save(folder, Chain(world()), EWASM)
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "state.json"]


def test_an_empty_directory_stays_empty_when_nothing_is_saved(tmp_path: Path) -> None:
    with locked(tmp_path, create=True):
        assert load(tmp_path, EWASM) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "state.json.bak"])
def test_a_directory_of_other_things_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(StateError, match="holds other files and no state"), locked(tmp_path, create=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_a_killed_process_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "state.new").write_text('{"form')
    with locked(tmp_path, create=True):
        assert load(tmp_path, EWASM) is None
        save(tmp_path, Chain(world()), EWASM)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "state.json"]


def test_no_state_to_open(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(StateError, match="there is no state here; make one with: ewasm deploy"):
            locked(folder, create=False).__enter__()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["lock", "state.json"])
def test_directories_where_files_belong(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(StateError), locked(folder, create=True):
        load(folder, EWASM)
    assert (folder / name).is_dir()


@pytest.mark.parametrize("create", [True, False])
def test_a_read_only_directory(*, create: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(folder, Chain(world(), 7), EWASM)
        folder.chmod(0o555)
        before = (folder / "state.json").read_bytes()
        with unprivileged():
            with pytest.raises(StateError, match="Permission denied"), locked(folder, create=create):
                pass
            with pytest.raises(StateError, match=r"cannot be written .Permission denied.; the old state is as it was"):
                save(folder, Chain(world({}), 8), EWASM)
            new = folder / "new"
            with pytest.raises(StateError, match="Permission denied"), locked(new, create=True):
                pass
        assert (folder / "state.json").read_bytes() == before
        assert [path.name for path in folder.iterdir()] == ["state.json"]
        folder.chmod(0o755)


# A full disk


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file of this process grow above a size: the system refuses to write more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1, 100, 700])
def test_a_full_disk_leaves_the_old_state(folder: Path, size: int) -> None:
    before = (folder / "state.json").read_bytes()
    assert len(before) > 700
    with small_files(size), pytest.raises(StateError, match=r"File too large.; the old state is as it was"):
        save(folder, Chain(world(), 8), EWASM)
    assert (folder / "state.json").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "state.json"]


def test_a_full_disk_at_the_first_save_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with small_files(10), pytest.raises(StateError), locked(folder, create=True):
        save(folder, Chain(world(), 8), EWASM)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_late(folder: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = (folder / "state.json").read_bytes()
    monkeypatch.setattr(*{"fsync": (os, "fsync", fail), "replace": (Path, "replace", fail)}[call])
    with pytest.raises(StateError, match="No space left on device"):
        save(folder, Chain(world(), 8), EWASM)
    assert (folder / "state.json").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "state.json"]


# Other processes

HOLD = """
import sys
from pathlib import Path
from node.statefile import locked
with locked(Path(sys.argv[1]), create=True):
    print("held", flush=True)
    sys.stdin.read()
"""
SAVE = """
import sys
from pathlib import Path
from ewasm.ruleset import EWASM
from node.statefile import Chain, load, locked, save
folder = Path(sys.argv[1])
with locked(folder, create=True):
    chain = load(folder, EWASM)
    for number in range(chain.number + 1, 10**9):
        save(folder, Chain(chain.world, number), EWASM)
        print(number, flush=True)
"""


def process(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_one_process_at_a_time(folder: Path) -> None:
    with process(HOLD, folder) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for create in (True, False):
            with pytest.raises(StateError, match="another process is using this state"), locked(folder, create=create):
                pass
        other.communicate()
    with locked(folder, create=False):
        assert load(folder, EWASM) is not None


def test_the_lock_of_a_killed_process_is_free(folder: Path) -> None:
    with process(HOLD, folder) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
    with locked(folder, create=False):
        assert load(folder, EWASM) is not None


def test_killed_while_it_saves(folder: Path) -> None:
    """Whenever the end comes, the old or the new state is there, whole."""
    code = {Address.from_int(n): GenesisAccount(nonce=n, code=bytes([n]) * 30_000) for n in range(1, 9)}
    save(folder, Chain(world(code), 0), EWASM)
    draw = random.Random(11)
    drafts = 0
    for _ in range(7):
        with process(SAVE, folder) as other:
            assert other.stdout is not None
            printed = int(other.stdout.readline())
            time.sleep(draw.uniform(0, 0.03))
            other.send_signal(signal.SIGKILL)
            rest = other.stdout.read().split("\n")
        printed = int(rest[-2]) if len(rest) > 1 else printed
        drafts += (folder / "state.new").exists()
        chain = load(folder, EWASM)
        assert chain is not None
        assert chain.number in (printed, printed + 1)
        assert chain.world.root == world(code).root
    with locked(folder, create=True):
        save(folder, Chain(world(), 1), EWASM)
    assert drafts, "not once was a save under way"
