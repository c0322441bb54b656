"""Checked, metered and loaded code, so that a contract is prepared once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final, TypeAlias

from ewasm.contract import Finding, check
from ewasm.ruleset import Ruleset
from gas.metering import VERSION, meter
from wasm.engine import Engine, Loaded

DEFAULT_BYTES: Final = 32 << 20
"""Bytes of code, before metering, whose prepared form is kept."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known of some code: why it is refused, or how to run it and what its initial memory costs (particles)."""

    findings: tuple[Finding, ...]
    loaded: Loaded | None = None
    entry_price: int = 0


Key: TypeAlias = tuple[str, ...]


class CodeCache:
    """The least recently used are dropped when the code kept exceeds `max_bytes`. Safe to share between threads."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[Key, tuple[Prepared, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, code: bytes, ruleset: Ruleset, engine: Engine, *, debug: bool = False) -> Prepared:
        """Return code prepared for an engine under a ruleset."""
        key = (hashlib.sha256(code).hexdigest(), ruleset.hash, str(debug), str(VERSION), engine.name)
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key][0]
        prepared = prepare(code, ruleset, engine, debug=debug)
        with self._lock:
            if key not in self._entries:
                self._entries[key] = (prepared, len(code))
                self._bytes += len(code)
            while self._bytes > self.max_bytes and len(self._entries) > 1:
                _, (_, size) = self._entries.popitem(last=False)
                self._bytes -= size
        return prepared


def prepare(code: bytes, ruleset: Ruleset, engine: Engine, *, debug: bool = False) -> Prepared:
    """Check, meter and load code."""
    verdict = check(code, ruleset, debug=debug)
    module = verdict.module
    if module is None:
        return Prepared(verdict.findings)
    metered = meter(module, ruleset.schedule, ruleset.limits.memory_pages)
    pages = sum(memory.limits.minimum for memory in module.memories)
    return Prepared((), engine.load(metered), ruleset.schedule.initial_pages(pages))
