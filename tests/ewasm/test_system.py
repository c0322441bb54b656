"""The contracts of the system: which ruleset has which, and the sentinel at address 10."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime

from evmc import Address, Result, Status
from ewasm.contract import check
from ewasm.ruleset import EWASM, HERA, SSVM, Ruleset
from ewasm.system import metered_binary, sentinel, system_contracts
from fixtures import hostile
from gas.meter import STACK_BUDGET
from gas.metering import meter
from tests.ewasm.interface import ANSWER, ETHEREUM, Bench, answer, contract, finish, number, op, types, world
from tests.helpers import FIXTURES, fixture_code, wat
from wasm.engine import Engine, HostFunction
from wasm.errors import Trap, TrapKind
from wasm.types import FuncType

SENTINEL = Address(bytes(19) + b"\x0a")


def sentinel_price(data: bytes) -> int:
    return 3_000 + 32 * len(data)


@pytest.mark.parametrize(("ruleset", "last"), [(HERA, 8), (SSVM, 9), (EWASM, 10)], ids=["hera", "ssvm", "ewasm"])
def test_which_ruleset_has_which(ruleset: Ruleset, last: int) -> None:
    assert set(system_contracts(ruleset)) == {Address(bytes(19) + bytes([n])) for n in range(1, last + 1)}


def test_prices_are_the_rulesets() -> None:
    two, nine = Address.from_int(2), Address.from_int(9)
    for ruleset, sha256, keccak in ((EWASM, 60 + 12 * 2, 30 + 6 * 2), (SSVM, 0, 3 * 2)):
        contracts = system_contracts(ruleset)
        assert 1_000 - contracts[two](bytes(33), 1_000).gas_left == sha256
        assert 1_000 - contracts[nine](bytes(33), 1_000).gas_left == keccak
    assert 1_000 - system_contracts(HERA)[two](bytes(33), 1_000).gas_left == 84


# ---- The sentinel: price, refusals ----


def call(data: bytes, gas: int = 10**9, ruleset: Ruleset = EWASM) -> Result:
    return system_contracts(ruleset.replace(system_contracts=10))[SENTINEL](data, gas)


@pytest.mark.parametrize("data", [hostile.contract(), fixture_code("counter"), b"", b"\0", b"\0asm", bytes(1_000)])
def test_the_sentinels_price(data: bytes) -> None:
    price = sentinel_price(data)
    assert call(data, price).gas_left == 0
    assert call(data, price).status is not Status.OUT_OF_GAS
    assert call(data, price + 5).gas_left == 5
    for gas in (price - 1, 0):
        assert call(data, gas) == Result(Status.OUT_OF_GAS)


@pytest.mark.parametrize("group", ["proposal", "import", "form", "limit", "malformed", "invalid", "rejected"])
def test_what_the_rules_refuse_reverts(group: str) -> None:
    for case in hostile.cases(group):
        if case.name != "nesting_deep":
            data = case.binary
            assert call(data) == Result(Status.REVERT, 10**9 - sentinel_price(data)), case.name


def test_nothing_is_refused_but_what_the_rules_refuse() -> None:
    for case in hostile.cases("accepted"):
        assert call(case.binary).status is Status.SUCCESS, case.name
    assert call(b"").status is Status.REVERT
    assert call(fixture_code("debug")).status is Status.REVERT


def test_the_rulesets_own_rules_count() -> None:
    code = contract(op("getChainId", 0))
    assert call(code).status is Status.SUCCESS
    assert call(code, ruleset=HERA).status is Status.REVERT
    assert sentinel(HERA)(code, 10**9).status is Status.REVERT


def test_metered_binary() -> None:
    assert metered_binary(hostile.contract(), EWASM) == call(hostile.contract()).output
    assert metered_binary(b"", EWASM) is None
    assert metered_binary(contract("(drop (f32.const 0))"), EWASM) is None
    # Metering is a function of the module: the same bytes, whoever asks, and custom sections leave no trace.
    assert call(fixture_code("erc20")).output == call(fixture_code("erc20")).output
    assert call(hostile.contract(after=hostile.custom(b"x", b"y"))).output == call(hostile.contract()).output
    assert b"\4name" not in call(fixture_code("erc20")).output


def test_a_metered_module_is_no_contract() -> None:
    metered = call(hostile.contract()).output
    assert [finding.rule for finding in check(metered, EWASM).findings] == ["export", "export"]
    assert call(metered).status is Status.REVERT


# ---- The output runs elsewhere and counts the same ----

GAS = 50_000_000_000  # particles
Note = tuple[str, tuple[int, ...], int]


TRAPS = {
    wasmtime.TrapCode.UNREACHABLE: TrapKind.UNREACHABLE,
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: TrapKind.DIVISION_BY_ZERO,
    wasmtime.TrapCode.INTEGER_OVERFLOW: TrapKind.INTEGER_OVERFLOW,
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: TrapKind.MEMORY_BOUNDS,
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: TrapKind.UNDEFINED_ELEMENT,
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: TrapKind.UNINITIALIZED_ELEMENT,
    wasmtime.TrapCode.BAD_SIGNATURE: TrapKind.INDIRECT_CALL_TYPE,
}


def returned(name: str, notes: list[Note]) -> int | None:
    """Answer a host function: with something that depends on what was called before."""
    _, results = types(ETHEREUM[name])
    return len(notes) % 5 if results else None


class Elsewhere:
    """A metered binary on plain Wasmtime, which knows nothing of gas."""

    def __init__(self, binary: bytes, gas: int) -> None:
        config = wasmtime.Config()
        config.max_wasm_stack = 2 << 20
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        self.notes: list[Note] = []
        linker = wasmtime.Linker(engine)
        for name, signature in ETHEREUM.items():
            params, results = ([getattr(wasmtime.ValType, t)() for t in ts] for ts in types(signature))
            linker.define_func(
                "ethereum", name, wasmtime.FuncType(params, results), self.host(name), access_caller=True
            )
        self.instance = linker.instantiate(self.store, wasmtime.Module(engine, binary))
        self.exports = self.instance.exports(self.store)
        self.exports["ewasm:gas"].set_value(self.store, wasmtime.Val.i64(gas))

    def host(self, name: str) -> Any:
        params, _ = types(ETHEREUM[name])
        masks = [(1 << int(t[1:])) - 1 for t in params]

        def function(caller: wasmtime.Caller, *args: int) -> int | None:
            gas = caller["ewasm:gas"].value(caller)
            self.notes.append((name, tuple(a & mask for a, mask in zip(args, masks, strict=True)), gas))
            return returned(name, self.notes)

        return function

    def run(self) -> tuple[str, list[Note], int | None]:
        """Run to the end; what the signs of the counters say of a trap (RULES 5)."""
        try:
            self.exports["main"](self.store)
        except wasmtime.Trap as trap:
            end = TRAPS[trap.trap_code].value
            if self.exports["ewasm:stack"].value(self.store) < 0:
                end = "stack overflow"
            elif self.exports["ewasm:gas"].value(self.store) < 0:
                end = "out of gas"
            return end, self.notes, None
        assert self.exports["ewasm:stack"].value(self.store) == STACK_BUDGET  # all weights are given back
        return "", self.notes, self.exports["ewasm:gas"].value(self.store)


def run_here(engine: Engine, code: bytes, gas: int) -> tuple[str, list[Note], int | None]:
    """Run code on an engine of our own."""
    module = check(code, EWASM).module
    assert module is not None
    notes: list[Note] = []

    def host(name: str) -> HostFunction:
        def function(instance: Any, *args: int) -> int | None:
            notes.append((name, args, instance.gas))
            return returned(name, notes)

        params, results = types(ETHEREUM[name])
        return HostFunction(FuncType(tuple(params), tuple(results)), function)  # type: ignore[arg-type]

    imports = {("ethereum", name): host(name) for name in ETHEREUM}
    loaded = engine.load(meter(module, EWASM.schedule, EWASM.limits.memory_pages))
    instance = loaded.instantiate(imports, gas=gas, stack=STACK_BUDGET)
    try:
        instance.invoke("main")
    except Trap as trap:
        named = {TrapKind.STACK_OVERFLOW: "stack overflow", TrapKind.OUT_OF_GAS: "out of gas"}
        return named.get(trap.kind, trap.kind.value), notes, None
    return "", notes, instance.gas


PROGRAMS = {
    "straight": contract("(local i64 i64) nop (local.set 0 (i64.mul (i64.const 3) (local.get 1)))"),
    "loop": contract(
        f"""(local $i i32)
        (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
        {answer("getGasLeft")}"""
    ),
    "branches": contract(
        f"""(local $i i32)
        (block $out (loop $again
          (block $b (block $a (br_table $a $b $out $b (i32.rem_u (local.get $i) (i32.const 4)))) nop nop
            {op("useGas", 1)}) nop
          (if (i32.and (local.get $i) (i32.const 1)) (then {answer("getCodeSize")}) (else {answer("getBlockNumber")}))
          (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $again (i32.lt_u (local.get $i) (i32.const 50)))))
        {answer("getGasLeft")}"""
    ),
    "memory": contract(
        """(local $i i32)
        (loop (memory.fill (i32.const 9) (i32.const 7) (i32.mul (local.get $i) (i32.const 63)))
          (memory.copy (i32.const 99) (i32.const 9) (i32.mul (local.get $i) (i32.const 65)))
          (drop (memory.grow (i32.rem_u (local.get $i) (i32.const 2))))
          (drop (memory.size)) (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))
        (drop (memory.grow (i32.const 500)))"""
    ),
    "functions": contract(
        f"""(drop (call $fib (i32.const 12))) {answer("getGasLeft")} (call_indirect (param i32) (i32.const 5) (i32.const 0))""",
        more=f"""
        (table 1 funcref) (elem (i32.const 0) $early)
        (func $fib (param i32) (result i32) (local i64 i64)
          (if (i32.lt_u (local.get 0) (i32.const 2)) (then (return (local.get 0))))
          (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))
        (func $early (param i32) (loop (if (local.get 0) (then (return)) (else {answer("getGasLeft")})) (br 0)))""",
    ),
    "recursion without end": wat(
        '(module (memory (export "memory") 1) (func $f (export "main") (local i64) (call $f)))'
    ),
    "loop without end": contract("(loop (drop (memory.grow (i32.const 100))) (br 0))"),
    "unreachable": contract(f"{answer('getGasLeft')} nop unreachable"),
    "divide": contract("(drop (i32.rem_u (i32.const 1) (i32.const 0)))"),
    "grow too dear": contract("(drop (memory.grow (i32.const -1)))"),
    "fill too dear": contract("(memory.fill (i32.const 0) (i32.const 0) (i32.const -1))"),
    "far fill": contract("(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))"),
}
OURS = {name: fixture_code(name) for name in ("counter", "erc20", "every", "caller", "sieve", "sha256", "fib")}
TEXTS = {f"wat/{path.stem}": path.read_bytes() for path in sorted(FIXTURES.glob("wat/*.wasm"))}


@pytest.mark.parametrize("name", PROGRAMS | OURS | TEXTS)
def test_the_output_counts_the_same_elsewhere(engine: Engine, name: str) -> None:
    code = (PROGRAMS | OURS | TEXTS)[name]
    binary = call(code).output
    for gas in (GAS, 2_000_000, 5_000, 91, 1, 0):
        if name == "wat/loop_forever" and gas == GAS:
            continue  # takes too long
        elsewhere = Elsewhere(binary, gas)
        assert run_here(engine, code, gas) == elsewhere.run(), gas


def test_programs_end_in_every_way() -> None:
    ends = {name: Elsewhere(call(code).output, GAS).run()[0] for name, code in PROGRAMS.items()}
    assert ends == dict.fromkeys(PROGRAMS, "") | {
        "recursion without end": "stack overflow",
        "loop without end": "out of gas",
        "unreachable": "unreachable",
        "divide": "integer divide by zero",
        "grow too dear": "out of gas",
        "fill too dear": "out of gas",
        "far fill": "out of bounds memory access",
    }


def test_the_counters_are_exported_under_names_of_their_own() -> None:
    module = wasmtime.Module(wasmtime.Engine(), call(fixture_code("counter")).output)
    assert {export.name for export in module.exports} == {"main", "memory", "ewasm:gas", "ewasm:stack"}
    kinds = {e.name: e.type for e in module.exports if isinstance(e.type, wasmtime.GlobalType)}
    assert {name: (str(type_.content), type_.mutable) for name, type_ in kinds.items()} == {
        "ewasm:gas": ("i64", True),
        "ewasm:stack": ("i32", True),
    }


def test_memory_is_bounded() -> None:
    for pages, maximum in (("1", 128), ("1 5", 5), ("1 1000", 128)):
        code = wat(f'(module (memory (export "memory") {pages}) (func (export "main")))')
        (memory,) = (
            e.type for e in wasmtime.Module(wasmtime.Engine(), call(code).output).exports if e.name == "memory"
        )
        assert isinstance(memory, wasmtime.MemoryType)
        assert memory.limits.max == maximum


# ---- Called by a contract ----


def test_a_contract_can_meter_another(bench: Bench) -> None:
    code = hostile.contract()
    at = 64
    body = (
        answer("callStatic", 10**6, 0, at, len(code))
        + answer("getReturnDataSize", at=ANSWER + 8)
        + op("returnDataCopy", 1_000, 0, f"(i32.load (i32.const {ANSWER + 8}))")
    )
    expected = call(code).output
    for ruleset, output in ((EWASM, expected), (SSVM, b""), (HERA, b"")):
        for ends, part in ((finish(ANSWER, 8), bytes(8)), (finish(1_000, len(expected)), expected)):
            host = world(precompiles=system_contracts(ruleset))
            result = bench(body + ends, host, data={0: SENTINEL, at: code})
            assert result.output == (part if output else bytes(len(part)))
    host = world(precompiles=system_contracts(EWASM))
    refused = bench(answer("callStatic", 10**6, 0, at, 4) + finish(), host, data={0: SENTINEL, at: b"text"})
    assert number(refused.output) == 2
    assert 10_000_000 - refused.gas_left == 700 + 3_000 + 32 * 4
