"""`ewasm state`: list, prune, export, import; what is refused, and what is left behind."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from evmc import U256, Address
from ewasm.ruleset import EWASM
from node.cli import cli
from node.cli.state import state as group
from node.statedir import StateError, opened
from state import Database, Diff, GenesisAccount, Table
from state.lmdb import FILE, LmdbStore
from state.prune import begin, step
from state.transfer import TransferError, import_state
from tests.helpers import FIXTURES
from tests.node.commands import process, run, run_process, unprivileged
from tests.state.test_lmdb import small_files

COUNTER = "0x5fbdb2315678afecb367f032d93f642f64180aa3"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state directory: a deployment and three calls."""
    folder = tmp_path / "chain"
    assert run("deploy", FIXTURES / "counter_deploy.wasm", "--state", folder).status == 0
    for _ in range(3):
        assert run("call", COUNTER, "--state", folder, "--sig", "increment()").status == 0
    return folder


def numbers(folder: Path) -> list[int]:
    return [root["number"] for root in run("state", "roots", "--state", folder, "--json").json]


def value(folder: Path) -> str:
    done = run("call", COUNTER, "--state", folder, "--sig", "get()(uint256)", "--dry-run", "--json")
    assert done.status == 0
    return str(done.json["decoded"][0])


def error(*arguments: object) -> str:
    """Return the one line that a command says instead of doing anything."""
    done = run("state", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("Error: ").rstrip()


def test_the_examples_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for name in ("roots", "export", "import", "prune"):
        help_ = run("state", name, "--help")
        (example,) = re.findall(r"\n  Example:\n    ewasm (.*)\n", help_.stdout)
        assert shlex.split(example)[:2] == ["state", name]
        done = run(*shlex.split(example))
        assert (done.status, done.stderr) == (0, "")
        assert done.stdout
    assert group.commands.keys() == {"roots", "export", "import", "prune"}
    assert cli.commands["state"] is group


# What happens


def test_roots(folder: Path) -> None:
    with LmdbStore(folder, readonly=True) as store:
        rows = list(store.items(Table.ROOTS))
    done = run("state", "roots", "--state", folder)
    assert done.stdout == "".join(f"{number}: 0x{root.hex()}\n" for number, (_, root) in enumerate(rows))
    assert numbers(folder) == [0, 1, 2, 3, 4]


def test_prune(folder: Path) -> None:
    done = run("state", "prune", "--state", folder, "--keep", 2)
    assert done.status == 0
    assert done.stdout.startswith("kept: blocks 3 to 4\nstates dropped: 3\nnodes removed: ")
    assert numbers(folder) == [3, 4]
    assert value(folder) == "3"
    assert run("call", COUNTER, "--state", folder, "--sig", "increment()").status == 0
    found = run("state", "prune", "--state", folder, "--keep", 1, "--json").json
    assert (found["first"], found["last"], found["dropped"]) == (5, 5, 2)
    assert found["removed"].keys() == {"nodes", "code", "preimages"}
    assert value(folder) == "4"


def test_a_pruning_that_has_not_ended_is_continued(folder: Path) -> None:
    with LmdbStore(folder) as store:
        begin(Database(store), 1)
        step(Database(store), 1)
    listed = run("state", "roots", "--state", folder).stdout
    assert listed.endswith("a pruning has not ended; the next one continues it\n")
    assert run("call", COUNTER, "--state", folder, "--sig", "increment()").status == 0
    assert run("state", "prune", "--state", folder, "--keep", 5).status == 0
    assert numbers(folder) == [4, 5]
    assert value(folder) == "4"


@pytest.mark.parametrize("name", ["state.jsonl", "state.jsonl.gz"])
def test_there_and_back(folder: Path, name: str) -> None:
    file = folder.parent / name
    done = run("state", "export", file, "--state", folder)
    assert done.stdout.startswith(f"{file}: the state after block 4\naccounts: 2\nslots: 1\nstate root: 0x")
    assert file.read_bytes().startswith(b"\x1f\x8b" if name.endswith(".gz") else b'{"format":"ewasm-state"')
    copy = folder.parent / "copy"
    back = run("state", "import", file, "--state", copy)
    assert back.stdout.splitlines()[1:] == done.stdout.splitlines()[1:]
    assert numbers(copy) == [4]
    assert value(copy) == value(folder) == "3"
    for each in (folder, copy):
        assert run("call", COUNTER, "--state", each, "--sig", "increment()").status == 0
    assert (
        run("state", "roots", "--state", copy).stdout.splitlines()
        == (run("state", "roots", "--state", folder).stdout.splitlines()[-2:])
    )
    assert [path.name for path in folder.parent.iterdir() if path.name.endswith(".part")] == []


def test_an_older_block(folder: Path) -> None:
    file = folder.parent / "old.jsonl"
    assert run("state", "export", file, "--state", folder, "--block", 2).status == 0
    assert run("state", "import", file, "--state", folder.parent / "copy").status == 0
    assert numbers(folder.parent / "copy") == [2]
    assert value(folder.parent / "copy") == "1"


def test_through_a_pipe(folder: Path) -> None:
    copy = folder.parent / "copy"
    with process("state", "export", "-", "--state", folder) as source:
        done = run_process("state", "import", "-", "--state", copy, stdin=source.stdout)
    assert (done.status, done.stderr) == (0, "")
    assert value(copy) == "3"


# What is refused


def test_what_is_not_there(folder: Path) -> None:
    nowhere = folder.parent / "nowhere"
    none = f"{nowhere}: there is no state here; make one with: ewasm deploy FILE --state {nowhere}"
    assert error("roots", "--state", nowhere) == none
    assert error("prune", "--state", nowhere, "--keep", 1) == none
    assert error("export", folder.parent / "x", "--state", nowhere) == none
    assert (
        error("import", folder.parent / "x", "--state", nowhere) == f"{folder.parent / 'x'}: No such file or directory"
    )
    assert error("export", folder.parent / "x", "--state", folder, "--block", 9) == (
        f"{folder}: the state after block 9 is not kept; kept are blocks from 0 to 4"
    )
    assert error("export", nowhere / "x", "--state", folder) == (
        f"{nowhere / 'x'}: cannot be written (No such file or directory)"
    )
    assert "0 is not in the range x>=1" in error("prune", "--state", folder, "--keep", 0)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["chain"]


def test_a_directory_with_a_state_is_left_alone(folder: Path) -> None:
    file = folder.parent / "state.jsonl"
    run("state", "export", file, "--state", folder, "--block", 1)
    said = error("import", file, "--state", folder)
    assert said == f"{folder}: holds a state already; import into a new directory"
    assert numbers(folder) == [0, 1, 2, 3, 4]
    assert error("import", file, "--state", FIXTURES).endswith(
        "holds other files and no state; give an empty or new directory"
    )


def test_another_ruleset(folder: Path) -> None:
    file = folder.parent / "state.jsonl"
    copy = folder.parent / "copy"
    run("state", "export", file, "--state", folder)
    said = error("import", file, "--state", copy, "--ruleset", "ssvm")
    assert re.fullmatch(
        rf"{file}: made with ruleset ewasm \(\w{{12}}\), not with ssvm \(\w{{12}}\); use --ruleset ewasm, or .*", said
    )
    assert not copy.exists()


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_file_leaves_nothing(folder: Path, *, packed: bool) -> None:
    file, copy = folder.parent / ("state.jsonl.gz" if packed else "state.jsonl"), folder.parent / "copy"
    run("state", "export", file, "--state", folder)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    assert re.fullmatch(
        rf"{file}: line \d: the file is cut off here.*; nothing was imported", error("import", file, "--state", copy)
    )
    lines = (gzip.decompress(whole) if packed else whole).splitlines(keepends=True)
    account = {**json.loads(lines[1]), "nonce": 77}
    changed = b"".join([lines[0], json.dumps(account).encode(), b"\n", *lines[2:]])
    file.write_bytes(gzip.compress(changed) if packed else changed)
    assert f"line 2: account {account['address']} is not what it was" in error("import", file, "--state", copy)
    assert not copy.exists()


def test_a_damaged_state_is_not_exported(folder: Path) -> None:
    with LmdbStore(folder) as store:
        rows = dict(store.items(Table.CODE))
        store.write({Table.CODE: dict.fromkeys(rows)})
    file = folder.parent / "state.jsonl"
    file.write_text("an older export")
    assert re.fullmatch(
        rf".*{FILE}: damaged: MissingCode: .*; restore it from a copy", error("export", file, "--state", folder)
    )
    assert file.read_text() == "an older export"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["chain", "state.jsonl"]


def test_a_directory_that_is_read_only(folder: Path) -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        closed = Path(shutil.copytree(folder, Path(name) / "chain"))
        file = Path(name) / "state.jsonl"
        run("state", "export", file, "--state", closed)
        for path in (*closed.iterdir(), closed, Path(name)):
            path.chmod(0o555 if path.is_dir() else 0o444)
        with unprivileged():
            assert numbers(closed) == [0, 1, 2, 3, 4]
            assert "Permission denied" in error("prune", "--state", closed, "--keep", 1)
            assert "Permission denied" in error("export", Path(name) / "x", "--state", closed)
            assert "Permission denied" in error("import", file, "--state", Path(name) / "copy")
            assert run("state", "export", "-", "--state", closed).stdout.encode() == file.read_bytes()
        closed.chmod(0o755)
        Path(name).chmod(0o755)


def test_a_full_disk(folder: Path) -> None:
    """Nothing half imported or half exported is left, and a state that could not be pruned can be."""
    big, file, copy = (folder.parent / name for name in ("big", "big.jsonl", "copy"))
    accounts = {Address.from_int(number): GenesisAccount(balance=U256(number)) for number in range(3_000)}
    with opened(big, EWASM, genesis=accounts) as chain:
        chain.next(Diff({}))
    with small_files(64 << 10):
        assert error("export", file, "--state", big) == f"{file}: cannot be written (File too large)"
    assert not [path for path in folder.parent.iterdir() if path.name.startswith("big.jsonl")]
    run("state", "export", file, "--state", big)
    with small_files(256 << 10):
        assert "cannot be written" in error("import", file, "--state", copy)
    assert not copy.exists()
    assert run("state", "import", file, "--state", copy).status == 0
    with small_files((copy / FILE).stat().st_size + 4096):
        assert "cannot be written" in error("prune", "--state", copy, "--keep", 1)
    with opened(copy, EWASM) as chain:
        assert {address: account.balance for address, account in chain.world.accounts()} == {
            address: account.balance for address, account in accounts.items()
        }
    assert run("state", "prune", "--state", copy, "--keep", 1).status == 0


def test_a_state_that_is_pruned_while_it_is_read(folder: Path) -> None:
    """By another process: the reader is told so, and not that the state is damaged."""

    def read() -> None:
        with opened(folder, EWASM, readonly=True) as chain:
            for arguments in (
                ("call", COUNTER, "--state", folder, "--sig", "increment()"),
                ("state", "prune", "--state", folder, "--keep", 1),
            ):
                assert run_process(*arguments).status == 0
            list(chain.world.accounts())

    with pytest.raises(StateError, match="the state after block 4 was pruned meanwhile; try again"):
        read()


def test_another_process_has_it(folder: Path) -> None:
    with LmdbStore(folder):
        said = error("prune", "--state", folder, "--keep", 1)
        assert said == f"{folder}: another process is using this state; try again when it has ended"
        assert run_process("state", "roots", "--state", folder).stdout.startswith("0: 0x")
    assert run("state", "prune", "--state", folder, "--keep", 1).status == 0


def test_an_import_that_was_killed(folder: Path) -> None:
    """Or has not ended yet: those who read leave it alone, and it can be repeated."""
    file, copy = folder.parent / "state.jsonl", folder.parent / "copy"
    run("state", "export", file, "--state", folder)
    with LmdbStore(copy, create=True) as store, file.open("rb") as stream:
        with pytest.raises(TransferError):
            import_state(Database(store), BytesIO(stream.read()[:-10]))
        store.write({Table.NODES: {b"\0" + bytes(32): b"a node"}})
    before = sorted(path.name for path in copy.iterdir())
    none = f"{copy}: there is no state here yet; an import that was ended is to be repeated"
    assert error("roots", "--state", copy) == error("export", file, "--state", copy) == none
    assert "no root is recorded" in error("prune", "--state", copy, "--keep", 1)
    for extra in ((), ("--dry-run",)):
        done = run("call", COUNTER, "--state", copy, *extra)
        assert (done.status, done.stderr.partition(": ")[2].partition(";")[0]) == (2, f"{copy}: there is no state here")
    assert sorted(path.name for path in copy.iterdir()) == before
    assert run("state", "import", file, "--state", copy).status == 0
    assert run("state", "prune", "--state", copy, "--keep", 1, "--json").json["removed"]["nodes"] == 1
    assert value(copy) == "3"
