"""`ewasm` as a process: entry points, terminals, pipes, signals, and two processes on one state directory."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures.deploy import init_code
from tests.helpers import FIXTURES, ROOT, fixture_code
from tests.node.commands import process, run, run_process
from tests.node.test_cli import FIRST, INTERPRETED
from wasm.engine import Engine

COUNTER = FIXTURES / "counter.wasm"
ENDLESS = 2**50


def wait_for(condition: object, seconds: float = 20) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


# Entry points


def test_as_a_module(tmp_path: Path) -> None:
    done = run_process("run", COUNTER, "--sig", "get()(uint256)", cwd=tmp_path)
    assert (done.status, done.stderr) == (0, "")
    assert done == run("run", COUNTER, "--sig", "get()(uint256)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("--help",), 0), (("run", COUNTER, "--sig", "nope()"), 1), (("run", "missing.wasm"), 2)],
)
def test_exit_status(arguments: tuple[object, ...], status: int) -> None:
    done = run_process(*arguments)
    assert done.status == status
    assert "Traceback" not in done.stderr


def test_from_a_directory_with_files_of_our_names(tmp_path: Path) -> None:
    """A console script does not look there; `python -m` does, and is told which file is in the way."""
    for name in ("state.py", "gas.py", "node.py", "evmc.py", "wasm.py"):
        (tmp_path / name).write_text("raise RuntimeError('not this one')")
    script = subprocess.run(
        [sys.executable, "-P", "-c", "from node.cli import main; main()", "run", COUNTER, "--sig", "get()"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (script.returncode, script.stderr) == (0, "")
    module = run_process("run", COUNTER, cwd=tmp_path)
    assert module.status == 1
    last = module.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ewasm needs its own package 'evmc' at ")
    assert f"{tmp_path / 'evmc.py'} is found first; rename that file, or run from another directory" in last


def test_code_from_a_pipe() -> None:
    with process("run", "/dev/stdin", "--input", "c0de", "--json", stdin=subprocess.PIPE) as child:
        output, _ = child.communicate((FIXTURES / "wat/finish_input.wasm").read_bytes().hex())
    assert json.loads(output)["output"] == "0xc0de"


# Terminals


def on_a_terminal(*arguments: object) -> str:
    """Run a command on a terminal; return what it prints."""
    ours, theirs = pty.openpty()
    printed = b""
    with process(*arguments, stdout=theirs, stderr=theirs, env={"TERM": "xterm", "COLUMNS": "300"}) as child:
        os.close(theirs)
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            printed += piece
        child.wait()
    os.close(ours)
    return printed.decode()


@pytest.mark.parametrize(("sig", "colour"), [("get()(uint256)", "\x1b[32m"), ("nope()", "\x1b[1;31m")])
def test_a_terminal_gets_colour_and_a_pipe_plain_text(sig: str, colour: str) -> None:
    printed = on_a_terminal("run", COUNTER, "--sig", sig)
    assert colour in printed
    assert "state root" in printed
    assert "\x1b" not in run_process("run", COUNTER, "--sig", sig).stdout


def test_json_is_plain_on_a_terminal_too() -> None:
    printed = on_a_terminal("run", COUNTER, "--sig", "get()", "--json")
    assert json.loads(printed)["status"] == "SUCCESS"


# Pipes and full disks


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_goes_away(options: tuple[str, ...]) -> None:
    with process("check", *sorted((FIXTURES / "hostile").glob("*.wasm")), *options) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.read(1)
        child.stdout.close()
        assert child.stderr.read() == ""
        child.stderr.close()
        assert child.wait() == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written() -> None:
    for arguments in (("run", COUNTER, "--sig", "get()"), ("--help",)):
        with open("/dev/full", "w") as full:  # noqa: PTH123  # a device
            done = run_process(*arguments, stdout=full)
        assert done.status == 3
        assert done.stderr == "Error: [Errno 28] No space left on device; this says nothing about the contract\n"


# Signals


def test_ctrl_c(engine: Engine, tmp_path: Path) -> None:
    """While a contract runs that says when it has begun, and never ends."""
    path = tmp_path / "forever.wat"
    path.write_text(
        """(module
          (import "debug" "print32" (func $print (param i32)))
          (memory (export "memory") 1)
          (func (export "main") (call $print (i32.const 1)) (loop $again (br $again))))"""
    )
    with process("run", path, "--gas", 2**63 - 1, "--debug", "--engine", engine.name) as child:
        assert child.stderr is not None
        assert child.stderr.readline() == "debug: 1 (0x00000001)\n"
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=20)
    assert (child.returncode, stdout, stderr.strip()) == (130, "", "Error: interrupted")


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    """A state directory with, at `FIRST`, a contract that never ends."""
    init = tmp_path / "init.wasm"
    init.write_bytes(init_code(fixture_code("wat/loop_forever")))
    assert run("deploy", init, "--state", tmp_path / "chain").status == 0
    return tmp_path / "chain"


def test_two_processes_on_one_state(busy: Path, tmp_path: Path) -> None:
    """The second says that there is another; when the first is interrupted, the state is as it was."""
    before = (busy / "state.mdb").read_bytes()
    trace = tmp_path / "trace"
    with process("call", FIRST, "--state", busy, "--gas", ENDLESS, *INTERPRETED, "--trace", trace) as first:
        wait_for(lambda: trace.exists() and trace.stat().st_size)
        for command in (("call", FIRST), ("deploy", COUNTER)):
            second = run(*command, "--state", busy)
            assert (second.status, second.stdout) == (2, "")
            assert second.stderr == f"Error: {busy}: another process is using this state; try again when it has ended\n"
        assert run("call", "0x" + "77" * 20, "--state", busy, "--dry-run").status == 0, "readers need not wait"
        first.send_signal(signal.SIGINT)
        _, stderr = first.communicate(timeout=20)
    assert (first.returncode, stderr.strip()) == (130, "Error: interrupted")
    assert (busy / "state.mdb").read_bytes() == before
    assert run("call", "0x" + "77" * 20, "--state", busy).status == 0


def test_an_interrupted_first_deployment_leaves_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    arguments = ("deploy", FIXTURES / "wat/loop_forever.wasm", "--state", tmp_path / "a" / "b", "--gas", ENDLESS)
    with process(*arguments, *INTERPRETED, "--trace", trace) as child:
        wait_for(lambda: trace.exists() and trace.stat().st_size)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
    assert child.returncode == 130
    assert not (tmp_path / "a").exists()


def test_a_killed_process_gives_its_state_free(busy: Path, tmp_path: Path) -> None:
    before = (busy / "state.mdb").read_bytes()
    trace = tmp_path / "trace"
    with process("call", FIRST, "--state", busy, "--gas", ENDLESS, *INTERPRETED, "--trace", trace) as child:
        wait_for(lambda: trace.exists() and trace.stat().st_size)
        child.kill()
        child.communicate()
    assert (busy / "state.mdb").read_bytes() == before
    assert run("call", "0x" + "77" * 20, "--state", busy).status == 0


def test_many_processes_lose_nothing(tmp_path: Path) -> None:
    """Each either counts once or says that the state is in use."""
    assert run("deploy", FIXTURES / "counter_deploy.wasm", "--state", tmp_path).status == 0
    children = [process("call", FIRST, "--state", tmp_path, "--sig", "increment()") for _ in range(4)]
    ends = [(child.communicate(timeout=60)[1], child.returncode) for child in children]
    assert {status for _, status in ends} <= {0, 2}, ends
    assert all("another process is using this state" in stderr for stderr, status in ends if status == 2)
    counted = sum(status == 0 for _, status in ends)
    assert counted >= 1
    done = run("call", FIRST, "--state", tmp_path, "--sig", "get()(uint256)", "--dry-run", "--json")
    assert done.json["decoded"] == [str(counted)]
