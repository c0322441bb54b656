"""The packages' names are general: files of the same names beside the user are told apart, and named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import FIXTURES, ROOT

NAMES = ("state", "gas", "wasm", "node", "evmc")


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, this project on its path."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_shadows_a_part_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("x = 1\n")
    done = python(tmp_path, "-m", "ewasm", "--version")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: ewasm needs its own package '{name}'")
    assert str(tmp_path / f"{name}.py") in last
    assert "rename that file, or run from another directory" in last


def test_the_command_runs_beside_files_of_those_names(tmp_path: Path) -> None:
    """The console script does not look for modules in the working directory."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file')\n")
    script = tmp_path / "bin" / "ewasm"
    script.parent.mkdir()
    script.write_text("from node.cli import main\nmain()\n")
    done = python(tmp_path, str(script), "run", str(FIXTURES / "erc20.wasm"), "--sig", "name()(string)", "--no-cache")
    assert done.returncode == 0, done.stderr
    assert "result: Fixture Token" in done.stdout
