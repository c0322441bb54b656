"""Checked, metered and loaded code, so that a contract is prepared once."""

from __future__ import annotations

import gc
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final, TypeAlias

from ewasm.artefacts import ArtefactStore
from ewasm.contract import Finding, check
from ewasm.ruleset import Ruleset
from gas.counting import Counted, count
from gas.metering import VERSION
from wasm.engine import Engine, Loaded

DEFAULT_BYTES: Final = 32 << 20
"""Bytes of code, before metering, whose prepared form is kept in memory."""

ENTRY_BYTES: Final = 16 << 10
"""What an entry counts at least: compiled code has mappings of its own, and a process may have so many only."""

_PRICE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known of some code: why it is refused, or how to run it and what its initial memory costs (particles).

    `counted` tells what its counters mean, if it has any.
    """

    findings: tuple[Finding, ...]
    loaded: Loaded | None = None
    entry_price: int = 0
    counted: Counted | None = None


Key: TypeAlias = tuple[bytes, str, bool, bool, int, str]


class CodeCache:
    """Prepared code in memory and, with `artefacts`, its compiled form on disk.

    The least recently used is dropped when the code kept exceeds `max_bytes`. Safe to share between threads.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES, artefacts: ArtefactStore | None = None) -> None:
        self.max_bytes = max_bytes
        self.artefacts = artefacts
        self._entries: OrderedDict[Key, tuple[Prepared, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(
        self, code: bytes, ruleset: Ruleset, engine: Engine, *, debug: bool = False, counting: bool = False
    ) -> Prepared:
        """Return code prepared for an engine under a ruleset; what is `counting` is never kept on disk."""
        key = (code, ruleset.hash, debug, counting, VERSION, engine.identity)
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key][0]
        prepared = (
            prepare(code, ruleset, engine, debug=debug, counting=True)
            if counting
            else self._prepare(code, ruleset, engine, debug=debug)
        )
        with self._lock:
            if key not in self._entries:
                size = max(len(code), ENTRY_BYTES)
                self._entries[key] = (prepared, size)
                self._bytes += size
            while self._bytes > self.max_bytes and len(self._entries) > 1:
                _, (_, size) = self._entries.popitem(last=False)
                self._bytes -= size
        return prepared

    def _prepare(self, code: bytes, ruleset: Ruleset, engine: Engine, *, debug: bool) -> Prepared:
        """Prepare code, or take its compiled form from disk: accepted code only is kept there."""
        if self.artefacts is None:
            return prepare(code, ruleset, engine, debug=debug)
        code_hash = hashlib.sha256(code).hexdigest()
        name = f"{code_hash} {ruleset.hash} {debug} {VERSION} {engine.name} {engine.identity}"
        stored = self.artefacts.get(name)
        if stored is not None:
            price = int.from_bytes(stored[:_PRICE_BYTES], "big")
            return Prepared((), engine.revive(stored[_PRICE_BYTES:]), price)
        prepared = prepare(code, ruleset, engine, debug=debug)
        artefact = prepared.loaded.artefact() if prepared.loaded is not None else None
        if artefact is not None:
            self.artefacts.put(name, prepared.entry_price.to_bytes(_PRICE_BYTES, "big") + artefact)
        return prepared


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's cycle collector away: preparing makes many small values and no cycles."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@collector_paused()
def prepare(code: bytes, ruleset: Ruleset, engine: Engine, *, debug: bool = False, counting: bool = False) -> Prepared:
    """Check, meter and load code, with counters beside its charges if it is to be `counting`."""
    verdict = check(code, ruleset, debug=debug)
    module = verdict.module
    if module is None:
        return Prepared(verdict.findings)
    pages = sum(memory.limits.minimum for memory in module.memories)
    price = ruleset.schedule.initial_pages(pages)
    metered = ruleset.meter(module)
    if counting:
        counted = count(module, metered, ruleset.schedule)
        return Prepared((), engine.load(counted.module), price, counted)
    return Prepared((), engine.load(metered), price)
