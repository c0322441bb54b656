"""Modules that others have published, where they stand beside the checkout; a test that asks is skipped otherwise."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures import hostile
from tests.helpers import FIXTURES, conformance

_CODE = re.compile("0x(0061736d01000000[0-9a-f]*)")


def ours() -> dict[str, bytes]:
    """Return our fixtures, hostile ones included, by name."""
    files = sorted([*FIXTURES.glob("*.wasm"), *FIXTURES.glob("wat/*.wasm")])
    cases = {case.name: case.binary for case in hostile.cases() if case.name != "nesting_deep"}
    return {path.stem: path.read_bytes() for path in files} | {f"hostile {name}": code for name, code in cases.items()}


def state_tests() -> dict[str, bytes]:
    """Return the contracts of the published state tests."""
    found = {}
    for path in sorted(conformance("ewasm-state-tests").glob("*.json")):
        for number, code in enumerate(_CODE.findall(path.read_text().lower())):
            found[f"{path.stem} {number}"] = bytes.fromhex(code)
    return found


def contracts() -> dict[str, bytes]:
    """Return the published SSVM and SOLL contracts."""
    folder = conformance("ssvm") / "contracts"
    return {path.stem: bytes.fromhex(path.read_text().strip()) for path in sorted(folder.glob("*.hex"))}


def specification(scratch: Path) -> dict[str, tuple[str, bytes]]:
    """Return every binary module of the specification's tests, by name, and what the script says of it."""
    folder = conformance("wasm-spec")
    tool = shutil.which("wast2json")
    if tool is None:
        pytest.skip("wast2json (package wabt) is absent")
    found = {}
    for script in sorted(folder.glob("*.wast")):
        target = scratch / f"{script.stem}.json"
        subprocess.run([tool, str(script), "-o", str(target)], check=True)
        for command in _commands(target):
            if command.get("module_type", "binary") == "binary" and "filename" in command:
                name = command["filename"]
                found[name] = (command["type"], (scratch / name).read_bytes())
    return found


def _commands(path: Path) -> Iterator[dict[str, str]]:
    yield from json.loads(path.read_text())["commands"]
