"""The command line for tests: in this process, where that will do, and as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from evmc import Bytes32
from node.cli import cli
from state import Database, Table, WorldState
from state.lmdb import LmdbStore
from tests.helpers import ROOT


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What was printed, as JSON."""
        return json.loads(self.stdout)


def run(*arguments: object, bug: bool = False) -> Done:
    """Run a command in this process; it shows a traceback only where a bug was made on purpose."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert bug or "Traceback" not in result.output, result.output
    assert isinstance(result.exception, SystemExit | None)
    return Done(result.exit_code, result.stdout, result.stderr)


def process(*arguments: object, cwd: Path | None = None, **options: Any) -> subprocess.Popen[str]:
    """Begin a command as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "ewasm", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})},
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def run_process(*arguments: object, **options: Any) -> Done:
    """Run a command as a process."""
    with process(*arguments, **options) as child:
        stdout, stderr = child.communicate(timeout=60)
    return Done(child.returncode, stdout or "", stderr or "")


def stored(folder: Path) -> dict[str, Any]:
    """Return what a state directory holds: number and root of the last block, and its accounts."""
    with LmdbStore(folder, readonly=True) as store:
        last = store.last(Table.ROOTS)
        assert last is not None
        world = WorldState(Database(store), Bytes32(last[1]))
        return {
            "number": int.from_bytes(last[0], "big"),
            "root": str(world.root),
            "accounts": {
                str(address): {
                    "nonce": account.nonce,
                    "balance": account.balance,
                    "storage": {key.hex(): value.hex() for key, value in world.slots(address)},
                }
                for address, account in world.accounts()
            },
        }


@contextmanager
def unprivileged() -> Iterator[None]:
    """Give up the rights of root, which no directory is read-only for."""
    if os.geteuid():
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)
