"""The one wrapper around every host function: charge, look at static mode, call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ewasm.eei import DEBUG, EEI, EEIFunction
from ewasm.frame import Frame, StaticModeViolation
from ewasm.ruleset import Ruleset
from wasm.engine import HostFunction, Instance


def imports(ruleset: Ruleset, *, debug: bool = False) -> Mapping[tuple[str, str], HostFunction]:
    """Return the host functions of a ruleset as an engine takes them; one mapping serves every instance."""
    bound = {
        ("ethereum", name): _bind(function, ruleset)
        for name, function in EEI.items()
        if not function.extra or name in ruleset.extra_functions
    }
    if debug:
        bound |= {("debug", name): _bind(function, ruleset) for name, function in DEBUG.items()}
    return bound


def _bind(function: EEIFunction, ruleset: Ruleset) -> HostFunction:
    """Bind a row to prices."""
    price, changes, operation = function.price, function.changes, function.call
    prices = ruleset.host

    def call(instance: Instance, *args: int) -> Any:
        frame: Frame = instance.context
        frame.meter.charge(price(prices, args))
        if changes and frame.message.is_static:
            raise StaticModeViolation(function.name)
        return operation(frame, *args)

    return HostFunction(function.type, call)
