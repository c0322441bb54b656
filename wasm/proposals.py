"""Names of everything beyond the integer MVP, and why it may have to be refused.

Sources: the WebAssembly specification 1.0 to 3.0, and the list of open proposals in phase 3 and above.
"""

from __future__ import annotations

from dataclasses import dataclass

_DIFFERS = "may differ between machines"
_OFF = "deterministic, but not in this ruleset"
_REFUSED = "not part of this machine"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A feature: its slug (as rulesets write it), its official title, and why a contract may not use it."""

    slug: str
    title: str
    why: str

    @property
    def deterministic(self) -> bool:
        """Whether the feature gives the same result on every machine."""
        return self.why != _DIFFERS

    @property
    def verb(self) -> str:
        """The title's verb in a sentence: `is` or `are`."""
        return "are" if self.title.partition(" (")[0].endswith("s") else "is"


PROPOSALS: dict[str, Proposal] = {
    slug: Proposal(slug, title, why)
    for slug, title, why in (
        # slug                    title                                    why
        ("floating-point", "floating point", _DIFFERS),
        ("saturating-conversion", "non-trapping float-to-int conversions", _DIFFERS),
        ("sign-extension", "sign-extension operators", _OFF),
        ("mutable-globals", "mutable global import and export", _OFF),
        ("multi-value", "multi-value", _OFF),
        ("memory-copy-fill", "bulk memory operations (memory.copy, memory.fill)", _OFF),
        ("bulk-memory", "bulk memory operations", _OFF),
        ("reference-types", "reference types", _OFF),
        ("simd", "fixed-width SIMD", _DIFFERS),
        ("relaxed-simd", "relaxed SIMD", _DIFFERS),
        ("tail-call", "tail call", _OFF),
        ("extended-const", "extended constant expressions", _OFF),
        ("wide-arithmetic", "wide arithmetic", _OFF),
        ("multi-memory", "multiple memories", _OFF),
        ("threads", "threads", _DIFFERS),
        ("shared-everything-threads", "shared-everything threads", _DIFFERS),
        ("function-references", "typed function references", _REFUSED),
        ("gc", "GC", _REFUSED),
        ("custom-descriptors", "custom descriptors", _REFUSED),
        ("exceptions", "exception handling", _REFUSED),
        ("legacy-exceptions", "legacy exception handling", _REFUSED),
        ("memory64", "memory64", _REFUSED),
        ("custom-page-sizes", "custom page sizes", _REFUSED),
        ("memory-control", "memory control", _REFUSED),
        ("stack-switching", "stack switching", _REFUSED),
        ("compact-imports", "compact import section", _REFUSED),
        ("half-precision", "half precision", _DIFFERS),
        ("stringref", "reference-typed strings", _REFUSED),
        ("component-model", "component model", _REFUSED),
    )
}

MACHINE: frozenset[str] = frozenset(
    {
        "sign-extension",
        "mutable-globals",
        "multi-value",
        "memory-copy-fill",
        "bulk-memory",
        "reference-types",
    }
)
"""What the machine runs beyond the integer MVP."""

TYPE_CHECKED: frozenset[str] = MACHINE | {"floating-point", "saturating-conversion"}
"""What the machine decodes and type-checks: floats too, so that the integer functions beside them can run."""
