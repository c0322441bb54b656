"""Artefacts on disk: kept for the next process, never trusted further than their keyed hash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evmc import Address, Message, MockHost, Status
from ewasm.artefacts import ArtefactStore
from ewasm.cache import CodeCache
from ewasm.ruleset import EWASM
from ewasm.vm import EwasmVM
from tests.helpers import ROOT, fixture_code
from wasm.compiled import CompiledEngine

CONTRACT = Address.from_int(0xC0DE)
INCREMENT = Message(gas=1_000_000, recipient=CONTRACT, code_address=CONTRACT, input=bytes.fromhex("d09de08a"))


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.artefact"))


def run(folder: Path, engine: CompiledEngine) -> Status:
    vm = EwasmVM(EWASM, engine, cache=CodeCache(artefacts=ArtefactStore(folder)))
    return vm.execute(MockHost(), INCREMENT, fixture_code("counter")).status


def test_put_then_get(tmp_path: Path) -> None:
    ArtefactStore(tmp_path / "c").put("name", b"data")
    assert ArtefactStore(tmp_path / "c").get("name") == b"data"
    assert ArtefactStore(tmp_path / "c").get("other") is None


def test_the_directory_is_the_user_s_own(tmp_path: Path) -> None:
    ArtefactStore(tmp_path / "c")
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    folder.chmod(0o777)
    store = ArtefactStore(folder)
    store.put("name", b"data")
    assert not store.usable
    assert store.get("name") is None
    assert not files(folder)


@pytest.mark.parametrize("at", [0, 31, 32, -1])
def test_a_flipped_bit_is_not_taken(tmp_path: Path, at: int) -> None:
    store = ArtefactStore(tmp_path)
    store.put("name", b"data" * 100)
    (file,) = files(tmp_path)
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    assert store.get("name") is None


@pytest.mark.parametrize("content", [b"", b"short", bytes(1_000)])
def test_a_foreign_file_is_ignored_and_rewritten(tmp_path: Path, content: bytes) -> None:
    store = ArtefactStore(tmp_path)
    store.put("name", b"data")
    (file,) = files(tmp_path)
    file.write_bytes(content)
    assert store.get("name") is None
    store.put("name", b"data")
    assert store.get("name") == b"data"


def test_an_entry_of_another_name_is_not_taken(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    store.put("one", b"1")
    (one,) = files(tmp_path)
    store.put("two", b"2")
    (two,) = set(files(tmp_path)) - {one}
    two.write_bytes(one.read_bytes())
    assert store.get("two") is None


def test_the_oldest_are_removed_above_the_bound(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path, max_bytes=5_000)
    for n in range(20):
        store.put(str(n), bytes(1_000))
        newest = max(files(tmp_path), key=lambda f: f.stat().st_mtime_ns)
        os.utime(newest, (n, n))
    assert sum(f.stat().st_size for f in files(tmp_path)) <= 5_000
    assert store.get("19") is not None
    assert store.get("0") is None


def test_a_contract_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path, CompiledEngine()) is Status.SUCCESS
    assert len(files(tmp_path)) == 1
    monkeypatch.setattr(CompiledEngine, "load", lambda *_: pytest.fail("compiled again"))
    assert run(tmp_path, CompiledEngine()) is Status.SUCCESS


def test_an_altered_artefact_is_compiled_anew(tmp_path: Path) -> None:
    run(tmp_path, CompiledEngine())
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-100] + bytes(100))
    assert run(tmp_path, CompiledEngine()) is Status.SUCCESS
    assert ArtefactStore(tmp_path).usable
    assert file.read_bytes()[-100:] == whole[-100:]


def test_another_setting_is_another_entry(tmp_path: Path) -> None:
    run(tmp_path, CompiledEngine())
    run(tmp_path, CompiledEngine(interruptible=True))
    assert len(files(tmp_path)) == 2


def test_refused_code_is_not_kept(tmp_path: Path) -> None:
    vm = EwasmVM(EWASM, CompiledEngine(), cache=CodeCache(artefacts=ArtefactStore(tmp_path)))
    assert vm.execute(MockHost(), INCREMENT, b"\0asm\1\0\0\0").status is Status.CONTRACT_VALIDATION_FAILURE
    assert not files(tmp_path)


def test_several_processes_share_a_directory(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from wasm.compiled import CompiledEngine;"
        "from tests.ewasm.test_artefacts import run;"
        "assert all(run(Path(sys.argv[1]), CompiledEngine()) == 0 for _ in range(5))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(files(tmp_path)) == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".artefact") == ["key"]


def test_a_directory_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert run(tmp_path / "file" / "c", CompiledEngine()) is Status.SUCCESS
