"""A deterministic, metered smart-contract engine for Ewasm (Ethereum-flavoured WebAssembly).

Users import from here; what is used is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from evmc import (
        U256,
        Address,
        Bytes32,
        CallKind,
        Host,
        Log,
        Message,
        MockAccount,
        MockHost,
        Result,
        Status,
        TxContext,
    )
    from ewasm.cache import CodeCache
    from ewasm.contract import Finding, Verdict, check
    from ewasm.ruleset import EWASM, HERA, RULESETS, SSVM, Ruleset, RulesetError, find_ruleset
    from ewasm.system import metered_binary, system_contracts
    from ewasm.vm import EwasmVM, make_engine

_PLACES: Final = {
    "evmc": ("U256 Address Bytes32 CallKind Host Log Message MockAccount MockHost Result Status TxContext"),
    "ewasm.cache": "CodeCache",
    "ewasm.contract": "Finding Verdict check",
    "ewasm.ruleset": "EWASM HERA RULESETS SSVM Ruleset RulesetError find_ruleset",
    "ewasm.system": "metered_binary system_contracts",
    "ewasm.vm": "EwasmVM make_engine",
}
_HOME: Final = {name: module for module, names in _PLACES.items() for name in names.split()}

__all__ = [
    "EWASM",
    "HERA",
    "RULESETS",
    "SSVM",
    "U256",
    "Address",
    "Bytes32",
    "CallKind",
    "CodeCache",
    "EwasmVM",
    "Finding",
    "Host",
    "Log",
    "Message",
    "MockAccount",
    "MockHost",
    "Result",
    "Ruleset",
    "RulesetError",
    "Status",
    "TxContext",
    "Verdict",
    "check",
    "find_ruleset",
    "make_engine",
    "metered_binary",
    "system_contracts",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ewasm' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__


def _find_neighbours() -> None:
    """Check that the packages this one is made of are its own, not others of the same general names."""
    home = Path(__file__).resolve().parent.parent
    for part in ("evmc", "wasm", "gas", "state", "node"):
        spec = find_spec(part)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found is None or found.parent.parent != home:
            raise ImportError(
                f"ewasm needs its own package {part!r} at {home / part}, but {found or 'nothing'} is found first; "
                f"rename that file, or run from another directory"
            )


_find_neighbours()
