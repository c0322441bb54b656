"""Helpers for tests: published data, fixtures, and running a contract with the failure invariant checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from evmc import Host, Message, Result, Status
from ewasm.ruleset import EWASM, Ruleset
from ewasm.vm import EwasmVM, Reason
from wasm.engine import Engine, HostFunction

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "fixtures"
CONFORMANCE = ROOT.parent / "shared" / "conformance"

KEEPS_GAS = {Status.SUCCESS, Status.REVERT}


def conformance(name: str) -> Path:
    """Return a folder of published vectors, or skip the test that wants it."""
    folder = CONFORMANCE / name
    if not folder.is_dir():
        pytest.skip(f"published vectors are absent: {folder}")
    return folder


def wat(text: str) -> bytes:
    """Assemble text format."""
    return bytes(wasmtime.wat2wasm(text))


def fixture_code(name: str) -> bytes:
    """Return the binary of one of our contracts."""
    return (FIXTURES / f"{name}.wasm").read_bytes()


class Run:
    """A VM that notes what its contracts called and why they failed."""

    def __init__(self, engine: Engine, ruleset: Ruleset = EWASM, **options: Any) -> None:
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.reasons: list[Reason] = []
        self.vm = EwasmVM(ruleset, engine, on_failure=lambda _, reason: self.reasons.append(reason), **options)
        self.vm._imports = {key: self._noted(key[1], function) for key, function in self.vm._imports.items()}

    def _noted(self, name: str, function: HostFunction) -> HostFunction:
        call: Callable[..., Any] = function.call

        def noted(instance: Any, *args: int) -> Any:
            self.calls.append((name, args))
            return call(instance, *args)

        return replace(function, call=noted)

    @property
    def counted(self) -> Mapping[str, int]:
        """How often each host function was called."""
        return Counter(name for name, _ in self.calls)

    def __call__(self, host: Host, message: Message, code: bytes) -> Result:
        """Execute, and hold the result against the invariants that every result must keep."""
        self.calls.clear()
        self.reasons.clear()
        result = self.vm.execute(host, message, code)
        assert 0 <= result.gas_left <= message.gas
        if result.status not in KEEPS_GAS:
            assert result.gas_left == 0
            assert result.output == b""
        return result
