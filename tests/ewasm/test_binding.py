from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from evmc import Message
from ewasm import eei
from ewasm.binding import imports
from ewasm.frame import StaticModeViolation
from ewasm.ruleset import EWASM, HERA, SSVM, HostPrices, Ruleset
from gas.meter import Meter, OutOfGas
from tests.ewasm.interface import DEBUG, ETHEREUM, EXTRA, REVISION_4, types
from wasm.types import FuncType

# What a static frame must not do (published table); `call` with value is judged by its value.
CHANGING = {"storageStore", "log", "create", "create2", "selfDestruct"}


def func_type(signature: str) -> FuncType:
    params, results = types(signature)
    return FuncType(tuple(params), tuple(results))  # type: ignore[arg-type]


def test_the_interface_is_the_published_one() -> None:
    assert len(REVISION_4) == 33
    assert {name: row.type for name, row in eei.EEI.items()} == {n: func_type(s) for n, s in ETHEREUM.items()}
    assert {name for name, row in eei.EEI.items() if row.extra} == set(EXTRA)
    assert {name: row.type for name, row in eei.DEBUG.items()} == {n: func_type(s) for n, s in DEBUG.items()}


def test_rows_know_their_names() -> None:
    for table in (eei.EEI, eei.DEBUG):
        assert all(row.name == name for name, row in table.items())


def test_what_changes_state() -> None:
    assert {name for name, row in eei.EEI.items() if row.changes} == CHANGING
    assert not any(row.changes or row.extra for row in eei.DEBUG.values())


@pytest.mark.parametrize(("ruleset", "names"), [(EWASM, ETHEREUM), (HERA, REVISION_4), (SSVM, ETHEREUM)])
def test_what_a_ruleset_binds(ruleset: Ruleset, names: dict[str, str]) -> None:
    bound = {("ethereum", name): func_type(signature) for name, signature in names.items()}
    assert {key: function.type for key, function in imports(ruleset).items()} == bound
    printing = {("debug", name): func_type(signature) for name, signature in DEBUG.items()}
    assert {key: function.type for key, function in imports(ruleset, debug=True).items()} == bound | printing


def test_extra_functions_come_one_by_one() -> None:
    one = EWASM.replace(name="one", extra_functions=frozenset({"getChainId"}))
    assert set(imports(one)) == {("ethereum", name) for name in [*REVISION_4, "getChainId"]}


# Charged by the wrapper before anything else; the base prices of call* are charged after their checks.
BASES = {
    **dict.fromkeys(ETHEREUM, 2),
    **dict.fromkeys(("useGas", "finish", "revert", "call", "callCode", "callDelegate", "callStatic"), 0),
    **dict.fromkeys(("create", "create2"), 32_000),
    **dict.fromkeys(("callDataCopy", "codeCopy", "returnDataCopy"), 3),
    **dict.fromkeys(("externalCodeCopy", "getExternalCodeSize"), 700),
    "getExternalBalance": 400,
    "getBlockHash": 800,
    "storageLoad": 200,
    "storageStore": 5_000,
    "log": 375,
    "selfDestruct": 5_000,
}


@pytest.mark.parametrize("name", ETHEREUM)
def test_the_wrapper_charges_then_looks_at_static_mode_then_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    called: list[tuple[int, ...]] = []

    def operation(frame: Any, *args: int) -> str:
        called.append(args)
        return "result"

    row = eei.EEI[name]
    fields = {"name": name, "type": row.type, "price": row.price, "changes": row.changes, "extra": row.extra}
    monkeypatch.setitem(eei.EEI, name, eei.EEIFunction(**fields, call=operation))
    bound = imports(EWASM)["ethereum", name]
    args = (0,) * len(row.type.params)

    def call(gas: int, *, static: bool) -> tuple[Any, int]:
        meter = Meter(gas)
        frame = SimpleNamespace(meter=meter, message=Message(gas=gas, is_static=static))
        instance: Any = SimpleNamespace(context=frame)
        return bound.call(instance, *args), meter.left

    price = BASES[name]
    assert call(price + 5, static=False) == ("result", 5)
    assert called == [args]
    called.clear()
    if price:
        for static in (False, True):
            with pytest.raises(OutOfGas):
                call(price - 1, static=static)
    if name in CHANGING:
        with pytest.raises(StaticModeViolation):
            call(price, static=True)
        assert called == []
    else:
        assert call(price, static=True) == ("result", 0)


# A function that looks free must be named here: host functions have no other way to cost nothing.
FREE = {"useGas", "finish", "revert", "call", "callCode", "callDelegate", "callStatic"}


def test_every_other_row_has_a_price() -> None:
    prices = HostPrices()
    for name, row in eei.EEI.items():
        price = row.price(prices, (0,) * len(row.type.params))
        assert (price == 0) == (name in FREE), name
    for row in eei.DEBUG.values():
        assert row.price(prices, (0,) * len(row.type.params)) == 0


def test_prices_come_from_the_ruleset() -> None:
    doubled = HostPrices(**{name: 2 * getattr(EWASM.host, name) for name in HostPrices.__dataclass_fields__})
    for name, row in eei.EEI.items():
        for argument in (0, 1, 33):
            args = (argument,) * len(row.type.params)
            assert row.price(doubled, args) == 2 * row.price(EWASM.host, args), name
