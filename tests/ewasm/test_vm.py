"""One message in, one result out: every end, initial memory, init frames, listeners, faults, depth, threads."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from evmc import (
    MAX_DEPTH,
    U256,
    Address,
    Bytes32,
    CallKind,
    Gas,
    Log,
    Message,
    MockAccount,
    MockHost,
    Result,
    Status,
    StorageStatus,
    TxContext,
)
from ewasm.contract import Finding
from ewasm.frame import ArgumentOutOfRange, InvalidMemoryAccess, StaticModeViolation
from ewasm.ruleset import EWASM, HERA, Ruleset
from ewasm.system import system_contracts
from ewasm.threads import on_fresh_thread
from ewasm.vm import ENGINES, EwasmVM, Reason, make_engine
from fixtures import hostile
from fixtures.deploy import init_code
from gas.meter import OutOfGas
from node.host import NodeHost, create_address
from state import Database, GenesisAccount, Journal, WorldState
from tests.ewasm.interface import (
    CALLER,
    GAS,
    NOBODY,
    OTHER,
    PAGE,
    PLAIN,
    SELF,
    TOP,
    Bench,
    answer,
    contract,
    drop,
    finish,
    message,
    number,
    op,
    u128,
    world,
)
from tests.helpers import fixture_code, wat
from wasm.engine import Engine
from wasm.errors import Trap, TrapKind

# ---- Every end (RULES 7) ----


def indirect(index: int) -> bytes:
    """Build a contract that calls through a table: 0 has another type, 1 is empty, 2 is outside."""
    return wat(f"""
        (module
          (type $wanted (func (param i64)))
          (memory (export "memory") 1) (table 2 funcref) (elem (i32.const 0) $main)
          (func $main (export "main") (call_indirect (type $wanted) (i64.const 0) (i32.const {index}))))""")


def deeper(indirectly: bool) -> bytes:
    """Build a contract that calls itself without end."""
    call = "(call_indirect (i32.const 0))" if indirectly else "(call $main)"
    return wat(f"""
        (module (memory (export "memory") 1) (table 1 funcref) (elem (i32.const 0) $main)
          (func $main (export "main") {call}))""")


# An endless loop that is soon out of gas: a million for every round.
SPIN = "(loop (drop (memory.grow (i32.const 1000))) (br 0))"
UNREACHABLE, TRAP = Status.WASM_UNREACHABLE_INSTRUCTION, Status.WASM_TRAP
MEMORY, VALIDATION = Status.INVALID_MEMORY_ACCESS, Status.CONTRACT_VALIDATION_FAILURE
DIVIDE = "(drop ({} ({}.const {}) ({}.const {})))"
FAILURES: list[tuple[str, bytes | str, Status, dict[str, Any]]] = [
    ("gas counter negative", "(loop (br 0))", Status.OUT_OF_GAS, {"ruleset": EWASM, "gas": 100}),
    ("gas counter negative by much", SPIN, Status.OUT_OF_GAS, {"ruleset": EWASM}),
    ("host charge", op("useGas", GAS + 1), Status.OUT_OF_GAS, {}),
    ("host charge at a call", drop("getExternalCodeSize", 0), Status.OUT_OF_GAS, {"gas": 699}),
    ("unreachable", "unreachable", UNREACHABLE, {}),
    *(
        (f"{name} by zero", DIVIDE.format(name, name[:3], 1, name[:3], 0), TRAP, {})
        for bits in (32, 64)
        for name in (f"i{bits}.div_s", f"i{bits}.div_u", f"i{bits}.rem_s", f"i{bits}.rem_u")
    ),
    ("overflow 32", DIVIDE.format("i32.div_s", "i32", -(2**31), "i32", -1), TRAP, {}),
    ("overflow 64", DIVIDE.format("i64.div_s", "i64", -(2**63), "i64", -1), TRAP, {}),
    *((f"indirect call {index}", indirect(index), TRAP, {}) for index in (0, 1, 2, 2**31)),
    ("load", f"(drop (i32.load (i32.const {PAGE - 3})))", MEMORY, {}),
    ("load with offset", "(drop (i64.load offset=4294967295 (i32.const -1)))", MEMORY, {}),
    ("store", f"(i64.store (i32.const {PAGE - 7}) (i64.const 0))", MEMORY, {}),
    ("copy", f"(memory.copy (i32.const 0) (i32.const {PAGE}) (i32.const 1))", MEMORY, {}),
    ("empty copy", f"(memory.copy (i32.const {PAGE + 1}) (i32.const 0) (i32.const 0))", MEMORY, {}),
    ("fill", f"(memory.fill (i32.const {PAGE - 1}) (i32.const 0) (i32.const 2))", MEMORY, {}),
    ("host range", op("finish", PAGE, 1), MEMORY, {}),
    ("source range", op("callDataCopy", 0, 0, 1), MEMORY, {}),
    ("stack", deeper(indirectly=False), Status.STACK_OVERFLOW, {}),
    ("stack, indirect", deeper(indirectly=True), Status.STACK_OVERFLOW, {}),
    ("static", op("storageStore", 0, 0), Status.STATIC_MODE_VIOLATION, {"is_static": True}),
    ("overflow of 128 bits", op("getCallValue", 0), Status.ARGUMENT_OUT_OF_RANGE, {"value": U256(2**128)}),
    ("negative gas", op("useGas", 2**64 - 1), Status.ARGUMENT_OUT_OF_RANGE, {}),
    ("too many topics", op("log", 0, 0, 5, 0, 0, 0, 0), Status.ARGUMENT_OUT_OF_RANGE, {}),
    ("form", hostile.contract(after=b"\x0e\0"), VALIDATION, {}),
    ("version", b"\0asm\2\0\0\0", VALIDATION, {}),
    ("half a preamble and version", b"\0asm", VALIDATION, {}),
    ("no preamble", b"\x60\x60\x60\x40\x52", Status.REJECTED, {}),
    ("three quarters of a preamble", b"\0as", Status.REJECTED, {}),
]


@pytest.mark.parametrize(("code", "status", "options"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES])
def test_failures_leave_nothing(bench: Bench, code: bytes | str, status: Status, options: dict[str, Any]) -> None:
    assert bench(code, **options) == Result(status, 0, b"")
    assert len(bench.reasons) == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (b"", Result(Status.SUCCESS, GAS)),
        ("", Result(Status.SUCCESS, GAS)),
        ("return unreachable", Result(Status.SUCCESS, GAS)),
        (op("useGas", 7), Result(Status.SUCCESS, GAS - 7)),
        (finish(0, 3), Result(Status.SUCCESS, GAS, b"abc")),
        (finish(0, 0), Result(Status.SUCCESS, GAS)),
        (op("useGas", 7) + finish(0, 3) + "unreachable", Result(Status.SUCCESS, GAS - 7, b"abc")),
        (op("useGas", 7) + op("revert", 0, 3), Result(Status.REVERT, GAS - 7, b"abc")),
        (op("revert", 0, 0) + "unreachable", Result(Status.REVERT, GAS)),
        (op("selfDestruct", 32), Result(Status.SUCCESS, GAS - 5_000)),
    ],
)
def test_ends_that_keep_gas(bench: Bench, code: bytes | str, expected: Result) -> None:
    for kind in CallKind:
        assert bench(code, data={0: b"abc", 32: OTHER}, kind=kind) == expected
    assert bench.reasons == []


def test_a_deep_end_ends_the_whole_run(bench: Bench) -> None:
    code = contract(
        "(call $a) unreachable", data={0: b"abc"}, more=f"(func $a (call $b) unreachable) (func $b {finish(0, 3)})"
    )
    assert bench(code) == Result(Status.SUCCESS, GAS, b"abc")


def test_which_of_two_ends_counts(bench: Bench) -> None:
    # Out of gas comes before whatever would trap in the same block; the stack before the gas.
    assert bench("unreachable", ruleset=EWASM, gas=0).status is Status.OUT_OF_GAS
    assert bench("(drop (i32.div_u (i32.const 1) (i32.const 0)))", ruleset=EWASM, gas=0).status is Status.OUT_OF_GAS
    assert bench(deeper(indirectly=False), ruleset=EWASM, gas=10**9).status is Status.STACK_OVERFLOW
    assert bench(deeper(indirectly=False), ruleset=EWASM, gas=1).status is Status.OUT_OF_GAS


@pytest.mark.parametrize("group", ["proposal", "import", "form", "malformed", "invalid", "rejected"])
def test_hostile_code_never_runs(engine: Engine, group: str) -> None:
    vm = EwasmVM(EWASM, engine)
    host = world()
    expected = Result(Status.REJECTED if group == "rejected" else VALIDATION)
    for case in hostile.cases(group):
        assert vm.execute(host, message(), case.binary) == expected, case.name
        assert vm.execute(host, message(kind=CallKind.CREATE), case.binary) == expected, case.name
    assert (host.calls, host.logs) == ([], [])


# ---- Initial memory ----


@pytest.mark.parametrize(
    ("pages", "price"), [(0, 0), (1, 0), (2, 0), (3, 1_000), (4, 2_000), (17, 15_000), (128, 126_000)]
)
def test_initial_pages_are_paid(bench: Bench, pages: int, price: int) -> None:
    code = contract("", pages=pages)
    assert bench(code, ruleset=EWASM, gas=price) == Result(Status.SUCCESS, 0)
    assert bench(code, ruleset=EWASM, gas=price + 5) == Result(Status.SUCCESS, 5)
    assert bench(code, ruleset=HERA, gas=0) == Result(Status.SUCCESS, 0)
    if price:
        assert bench(code, ruleset=EWASM, gas=price - 1).status is Status.OUT_OF_GAS
        assert [type(reason) for reason in bench.reasons] == [OutOfGas]


def test_nothing_runs_before_the_pages_are_paid(bench: Bench) -> None:
    # A host call that costs nothing would be the first thing.
    code = contract(op("print32", 1), pages=3)
    assert bench(code, ruleset=EWASM, gas=999, debug=True).status is Status.OUT_OF_GAS
    assert bench.printed == []
    assert bench(code, ruleset=EWASM, gas=1_001, debug=True).status is Status.SUCCESS
    assert len(bench.printed) == 1


def test_the_form_is_checked_before_the_pages_are_paid(bench: Bench) -> None:
    code = contract("(drop (f32.const 0))", pages=128)
    assert bench(code, ruleset=EWASM, gas=0).status is VALIDATION


def test_the_page_price_is_the_rulesets(bench: Bench) -> None:
    from dataclasses import replace

    dear = EWASM.replace(name="dear", schedule=replace(EWASM.schedule, page=15_000, free_pages=1))
    assert bench(contract("", pages=2), ruleset=dear, gas=2) == Result(Status.SUCCESS, 0)  # 1.5 gas
    assert bench(contract("", pages=2), ruleset=dear, gas=1).status is Status.OUT_OF_GAS
    assert bench(contract("", pages=3), ruleset=dear, gas=3) == Result(Status.SUCCESS, 0)


def test_growing_is_paid_and_bounded(bench: Bench) -> None:
    def grow(pages: int) -> str:
        body = f"(i64.store (i32.const 0) (i64.extend_i32_s (memory.grow (i32.const {pages}))))"
        return body + "(i64.store (i32.const 8) (i64.extend_i32_u (memory.size)))" + finish(0, 16)

    def result(old: int, size: int) -> bytes:
        return old.to_bytes(8, "little", signed=True) + size.to_bytes(8, "little")

    for pages, old, size in ((1, 1, 2), (127, 1, 128), (128, -1, 1), (10_000, -1, 1)):
        found = bench(grow(pages), ruleset=EWASM, gas=100_000_000)
        assert found.output == result(old, size)
        # 1,000 a page asked for, also when it fails; the instructions are some 11,000 particles.
        assert 100_000_000 - found.gas_left == 1_000 * pages + 2
    assert bench(grow(127), ruleset=EWASM, gas=126_999).status is Status.OUT_OF_GAS


# ---- Gas ----


def test_gas_left_is_rounded_down(bench: Bench) -> None:
    assert bench("nop", ruleset=EWASM) == Result(Status.SUCCESS, GAS - 1)
    assert bench("nop", ruleset=EWASM, gas=1) == Result(Status.SUCCESS, 0)
    assert bench("nop", ruleset=EWASM, gas=0).status is Status.OUT_OF_GAS
    assert bench("nop " * 10_000, ruleset=EWASM) == Result(Status.SUCCESS, GAS - 1)
    assert bench("nop " * 10_001, ruleset=EWASM) == Result(Status.SUCCESS, GAS - 2)
    assert bench("(local i32 i32 i32)", ruleset=EWASM) == Result(Status.SUCCESS, GAS - 1)


MOST = 2**63 - 1
SEEN = 2**62 // 10_000  # gas beyond 2^62 particles is set aside


@pytest.mark.parametrize("ruleset", [EWASM, PLAIN, HERA], ids=lambda ruleset: ruleset.name)
def test_as_much_gas_as_there_can_be(bench: Bench, ruleset: Ruleset) -> None:
    assert bench("", ruleset=ruleset, gas=MOST) == Result(Status.SUCCESS, MOST)
    assert bench(op("revert", 0, 0), ruleset=ruleset, gas=MOST).status is Status.REVERT
    spent = MOST - bench(op("useGas", 12_345), ruleset=ruleset, gas=MOST).gas_left
    assert spent == 12_345 + (ruleset is EWASM)  # and 91 particles
    assert bench("unreachable", ruleset=ruleset, gas=MOST) == Result(UNREACHABLE)
    for gas in (SEEN - 1, SEEN, SEEN + 1, 2**62):
        assert bench("", ruleset=ruleset, gas=gas).gas_left == gas


def test_what_is_set_aside_cannot_be_seen_or_spent(bench: Bench) -> None:
    assert number(bench(answer("getGasLeft") + finish(), gas=MOST).output) == SEEN - 2
    assert bench(op("useGas", SEEN), gas=MOST) == Result(Status.SUCCESS, MOST - SEEN)
    assert bench(op("useGas", SEEN + 1), gas=MOST).status is Status.OUT_OF_GAS
    host = world(on_call=lambda m: Result(Status.SUCCESS, m.gas))
    result = bench(drop("callStatic", MOST, 0, 0, 0), host, gas=MOST)
    left = SEEN - 700
    assert host.calls[0].gas == left - left // 64
    assert result.gas_left == MOST - 700


ENDS = [
    ("finish", finish(0, 8), GAS),
    ("revert", op("revert", 0, 8), GAS),
    ("trap", "unreachable", GAS),
    ("out of gas", "(loop (br 0))", 100_000),
    ("failure of a host function", op("useGas", 2**64 - 1), GAS),
]


@pytest.mark.parametrize(("body", "gas"), [end[1:] for end in ENDS], ids=[end[0] for end in ENDS])
def test_what_a_message_held_is_freed_at_once(engine: Engine, body: str, gas: Gas) -> None:
    vm, code = EwasmVM(engine=engine), contract(body)

    def ended() -> weakref.ref[MockHost]:
        host = world()
        vm.execute(host, message(gas=gas), code)
        return weakref.ref(host)

    def run() -> bool:
        gc.disable()
        try:
            return ended()() is None
        finally:
            gc.enable()

    assert on_fresh_thread(engine, run)


# ---- Nested messages ----


class Nest:
    """A host that runs the code of its accounts on a VM."""

    def __init__(self, engine: Engine, codes: dict[Address, bytes], ruleset: Ruleset = EWASM, **options: Any) -> None:
        self.vm = EwasmVM(ruleset, engine, **options)
        self.host = world(on_call=self.run)
        self.threads: set[int] = set()
        for address, code in codes.items():
            self.host.accounts[address] = MockAccount(U256(100), code)

    def run(self, message_: Message) -> Result:
        self.threads.add(threading.get_ident())
        return self.vm.execute(self.host, message_, self.host.accounts[message_.code_address].code)

    def __call__(self, **changes: Any) -> Result:
        return self.host.call(message(**changes))


def calls(times: int = 1, then: str = "") -> bytes:
    """Build a contract that calls OTHER with all gas."""
    return contract(drop("callStatic", MOST, 0, 0, 0) * times + then, data={0: OTHER})


def test_fractions_of_gas(engine: Engine) -> None:
    # Each call: four constants and the call, 94 particles before; drop, 120 after.
    for times in (1, 2, 3, 40):
        own = (214 * times + 9_999) // 10_000
        nothing = Nest(engine, {SELF: calls(times), OTHER: b""})
        assert nothing() == Result(Status.SUCCESS, GAS - 700 * times - own)  # the caller keeps its fraction
        # The callee's is lost: a particle costs one gas.
        particle = Nest(engine, {SELF: calls(times), OTHER: contract("nop")})
        assert particle() == Result(Status.SUCCESS, GAS - 701 * times - own)


def test_a_64th_of_whole_gas_stays(engine: Engine) -> None:
    nest = Nest(engine, {SELF: calls(), OTHER: contract("unreachable")})
    for gas in (701, 764, 765, 766, 10_000_000):
        left = gas - 701  # the fraction is rounded down
        result = nest(gas=gas)
        assert nest.host.calls[-1].gas == left - left // 64
        # What was forwarded is lost, the drop is paid from the fraction and perhaps one gas.
        assert result == Result(Status.SUCCESS, left // 64)


def test_stipend_of_a_real_callee(engine: Engine) -> None:
    body = answer("call", 0, 0, 32, 0, 0) + finish()
    spends = contract(op("useGas", 2_300))
    caller = contract(body, data={0: OTHER, 32: u128(1)})
    result = Nest(engine, {SELF: caller, OTHER: spends}, PLAIN)()
    assert (number(result.output), result.gas_left) == (0, GAS - 9_700)
    result = Nest(engine, {SELF: caller, OTHER: contract(op("useGas", 2_301))}, PLAIN)()
    assert (number(result.output), result.gas_left) == (1, GAS - 9_700)
    result = Nest(engine, {SELF: caller, OTHER: contract("")}, PLAIN)()
    assert (number(result.output), result.gas_left) == (0, GAS - 9_700 + 2_300)


def test_every_message_has_a_stack_of_its_own(engine: Engine) -> None:
    weighs = "(func $f (param $n i32) (if (local.get $n) (then (call $f (i32.sub (local.get $n) (i32.const 1))))))"

    def deep(then: str) -> bytes:
        body = f"(call $f (i32.const 3000)) {then}"
        return contract(body, data={0: OTHER}, more=weighs)

    nest = Nest(engine, {SELF: deep(drop("callStatic", MOST, 0, 0, 0)), OTHER: deep("")})
    assert nest().status is Status.SUCCESS
    # The call at the deepest place, which succeeds: no caller can starve a callee.
    last = f"""
        (func $f (param $n i32) (if (local.get $n)
          (then (call $f (i32.sub (local.get $n) (i32.const 1))))
          (else (if {op("callStatic", MOST, 0, 0, 0)} (then unreachable)))))"""
    caller = contract("(call $f (i32.const 3000))", data={0: OTHER}, more=last)
    assert Nest(engine, {SELF: caller, OTHER: deep("")})().status is Status.SUCCESS


def test_contracts_below_fail_alone(engine: Engine) -> None:
    for code, expected in (
        (contract("unreachable"), 1),
        (contract(SPIN), 1),
        (b"no contract", 1),
        (hostile.contract(after=b"\x0e\0"), 1),
        (deeper(indirectly=False), 1),
        (contract(op("storageStore", 0, 0)), 1),  # called statically
        (contract(op("revert", 0, 0)), 2),
        (contract(""), 0),
        (b"", 0),
    ):
        caller = contract(answer("callStatic", 10**6, 0, 0, 0) + finish(), data={0: OTHER})
        result = Nest(engine, {SELF: caller, OTHER: code})()
        assert (result.status, number(result.output)) == (Status.SUCCESS, expected)


# ---- Init frames ----

WRONG_FORM = [
    b"\0asm",
    b"\0asm\1\0\0\0",
    b"\0asm\2\0\0\0",
    hostile.contract(after=b"\x0e\0"),
    wat('(module (memory (export "memory") 1) (func (export "main")) (func) (start 1))'),
    contract("(drop (f32.const 0))"),
    contract("(drop (i32.add (i32.const 0) (i32.const 0)))")[:-3],
    wat('(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "main")))'),
]


@pytest.mark.parametrize("kind", [CallKind.CREATE, CallKind.CREATE2])
def test_init_code_returns_the_code_to_store(bench: Bench, kind: CallKind) -> None:
    for code in (contract(""), fixture_code("counter"), hostile.code_of_size(40_000)):
        result = bench(init_code(code), kind=kind)
        assert (result.status, result.output) == (Status.SUCCESS, code)
    for code in (b"", b"\0", b"\0as", b"\x60\x60\x60\x40\x52", b"asm\0\1\0\0\0", bytes(200_000)):
        result = bench(init_code(code), kind=kind)
        assert (result.status, result.output) == (Status.SUCCESS, code)


@pytest.mark.parametrize("code", WRONG_FORM)
def test_init_code_must_not_return_a_bad_contract(bench: Bench, code: bytes) -> None:
    for kind in (CallKind.CREATE, CallKind.CREATE2):
        assert bench(init_code(code), kind=kind) == Result(VALIDATION)
        (reason,) = bench.reasons
        assert isinstance(reason, Finding)
    for kind in (CallKind.CALL, CallKind.CALLCODE, CallKind.DELEGATECALL):
        assert bench(init_code(code), kind=kind).output == code


def test_a_reverting_constructor_may_return_anything(bench: Bench) -> None:
    code = contract(op("revert", 0, 8), data={0: b"\0asm\2\0\0\0"})
    assert bench(code, kind=CallKind.CREATE) == Result(Status.REVERT, GAS, b"\0asm\2\0\0\0")


def test_a_constructor_may_return_debug_functions_when_debugging_only(bench: Bench) -> None:
    code = init_code(contract(op("print32", 1)))
    assert bench(code, kind=CallKind.CREATE) == Result(VALIDATION)
    assert bench(code, kind=CallKind.CREATE, debug=True).status is Status.SUCCESS


def test_init_code_itself_is_checked(bench: Bench) -> None:
    assert bench(contract("(drop (f32.const 0))"), kind=CallKind.CREATE) == Result(VALIDATION)
    assert bench(b"\x60\x60", kind=CallKind.CREATE) == Result(Status.REJECTED)


def test_the_size_of_code_is_not_checked_at_run(bench: Bench) -> None:
    assert bench(hostile.code_of_size(131_073), ruleset=EWASM).status is Status.SUCCESS
    assert bench(hostile.code_of_size(300_000), ruleset=EWASM, kind=CallKind.CREATE).status is Status.SUCCESS


# ---- With a real state: what is kept and undone, and the ends that the host gives ----

KEY = Bytes32(bytes(32))
STORED = Bytes32(b"\1" + bytes(31))
CHANGE = op("storageStore", 0, 32) + op("log", 0, 4, 0, 0, 0, 0, 0)


class Chain:
    """A node's host with some contracts."""

    def __init__(self, engine: Engine, codes: dict[Address, bytes], ruleset: Ruleset = EWASM) -> None:
        accounts = {address: GenesisAccount(nonce=1, balance=U256(10**6), code=code) for address, code in codes.items()}
        accounts[CALLER] = GenesisAccount(balance=U256(10**6))
        self.journal = Journal(WorldState.genesis(Database(), accounts))
        vm = EwasmVM(ruleset, engine)
        self.host = NodeHost(self.journal, TxContext(), vm, ruleset, system_contracts(ruleset), lambda _: None)

    def __call__(self, **changes: Any) -> Result:
        return self.host.call(message(**changes))

    def create(self, code: bytes, **changes: Any) -> Result:
        return self.host.call(
            Message(**{"kind": CallKind.CREATE, "sender": CALLER, "input": code, "gas": GAS} | changes)
        )


ENDS = [
    ("", Status.SUCCESS),
    (finish(0, 0), Status.SUCCESS),
    (op("selfDestruct", 64), Status.SUCCESS),
    (op("revert", 0, 4), Status.REVERT),
    (op("useGas", GAS), Status.OUT_OF_GAS),
    (SPIN, Status.OUT_OF_GAS),
    ("unreachable", UNREACHABLE),
    ("(drop (i32.div_u (i32.const 0) (i32.const 0)))", TRAP),
    ("(drop (i32.load (i32.const -1)))", MEMORY),
    (op("finish", TOP, 1), MEMORY),
    (op("useGas", 2**63), Status.ARGUMENT_OUT_OF_RANGE),
    ("(call $deeper)", Status.STACK_OVERFLOW),
]


@pytest.mark.parametrize(("body", "status"), ENDS)
def test_what_an_end_does_to_the_state(engine: Engine, body: str, status: Status) -> None:
    data, more = {32: STORED, 64: OTHER}, "(func $deeper (call $deeper))"
    chain = Chain(engine, {SELF: contract(CHANGE + body, data=data, more=more), OTHER: b""})
    result = chain(value=U256(7))
    assert result.status is status
    kept = status is Status.SUCCESS
    assert bool(result.gas_left) == (status in (Status.SUCCESS, Status.REVERT))
    assert chain.journal.get_storage(SELF, KEY) == (STORED if kept else KEY)
    assert chain.journal.logs == ((Log(SELF, (), bytes(4)),) if kept else ())
    assert chain.journal.balance(CALLER) == (10**6 - 7 if kept else 10**6)
    assert chain.journal.balance(SELF) + chain.journal.balance(OTHER) == 2 * 10**6 + (7 if kept else 0)


def test_the_state_of_a_static_frame_stays(engine: Engine) -> None:
    chain = Chain(engine, {SELF: contract(CHANGE, data={32: STORED})})
    assert chain(is_static=True) == Result(Status.STATIC_MODE_VIOLATION)
    assert chain.journal.get_storage(SELF, KEY) == KEY


def test_code_deposit(engine: Engine) -> None:
    code = hostile.code_of_size(100)
    created = create_address(CALLER, 0)
    paid = Chain(engine, {}, PLAIN)
    result = paid.create(init_code(code))
    assert result == Result(Status.SUCCESS, GAS - 20_000, code, created)
    assert paid.journal.code(created) == code
    assert Chain(engine, {}, PLAIN).create(init_code(code), gas=20_000).gas_left == 0
    short = Chain(engine, {}, PLAIN)
    assert short.create(init_code(code), gas=19_999) == Result(Status.OUT_OF_GAS)
    assert short.journal.code(created) == b""
    assert Chain(engine, {}, PLAIN).create(b"", gas=0).status is Status.SUCCESS


@pytest.mark.parametrize(("ruleset", "bound"), [(EWASM, 131_072), (HERA, 24_576)])
def test_the_size_of_deployed_code(engine: Engine, ruleset: Ruleset, bound: int) -> None:
    for size, status in ((bound, Status.SUCCESS), (bound + 1, Status.OUT_OF_GAS)):
        code = init_code(bytes(size))
        assert Chain(engine, {}, ruleset).create(code, gas=10**9).status is status


def test_an_address_in_use(engine: Engine) -> None:
    chain = Chain(engine, {create_address(CALLER, 0): b"code"})
    assert chain.create(b"") == Result(Status.FAILURE)


def test_refusals_of_the_top_level(engine: Engine) -> None:
    chain = Chain(engine, {SELF: contract("")})
    assert chain(value=U256(10**6 + 1)) == Result(Status.INSUFFICIENT_BALANCE, GAS)
    assert chain(depth=MAX_DEPTH + 1) == Result(Status.CALL_DEPTH_EXCEEDED, GAS)
    assert chain(depth=MAX_DEPTH) == Result(Status.SUCCESS, GAS)
    assert chain.create(b"", value=U256(10**6 + 1)) == Result(Status.INSUFFICIENT_BALANCE, GAS)


def test_a_precompile_that_refuses(engine: Engine) -> None:
    chain = Chain(engine, {})
    at = Address.from_int(6)
    # A point that is not on the curve.
    assert chain(recipient=at, code_address=at, input=b"\1" * 128) == Result(Status.PRECOMPILE_FAILURE)
    caller = contract(answer("callStatic", MOST, 0, 0, 128) + finish(), data={0: at, 20: b"\1" * 128})
    assert number(Chain(engine, {SELF: caller})(input=b"").output) == 1


# ---- Listeners ----

REASONS: list[tuple[bytes | str, dict[str, Any], type[Any], Any]] = [
    ("unreachable", {}, Trap, TrapKind.UNREACHABLE),
    ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", {}, Trap, TrapKind.DIVISION_BY_ZERO),
    ("(drop (i32.div_s (i32.const -2147483648) (i32.const -1)))", {}, Trap, TrapKind.INTEGER_OVERFLOW),
    (indirect(0), {}, Trap, TrapKind.INDIRECT_CALL_TYPE),
    (indirect(1), {}, Trap, TrapKind.UNINITIALIZED_ELEMENT),
    (indirect(2), {}, Trap, TrapKind.UNDEFINED_ELEMENT),
    ("(drop (i32.load (i32.const -1)))", {}, Trap, TrapKind.MEMORY_BOUNDS),
    (op("finish", TOP, 1), {}, Trap, TrapKind.MEMORY_BOUNDS),
    (deeper(indirectly=False), {}, Trap, TrapKind.STACK_OVERFLOW),
    (SPIN, {"ruleset": EWASM}, Trap, TrapKind.OUT_OF_GAS),
    (op("useGas", GAS + 1), {}, OutOfGas, None),
    (contract("", pages=3), {"ruleset": EWASM, "gas": 0}, OutOfGas, None),
    (op("storageStore", 0, 0), {"is_static": True}, StaticModeViolation, None),
    (op("log", 0, 0, 5, 0, 0, 0, 0), {}, ArgumentOutOfRange, None),
    (op("callDataCopy", 0, 0, 1), {}, InvalidMemoryAccess, None),
    (b"text", {}, Finding, "preamble"),
    (contract("(drop (f32.const 0))"), {}, Finding, "floating-point"),
    (init_code(b"\0asm"), {"kind": CallKind.CREATE}, Finding, "malformed"),
]


@pytest.mark.parametrize(("code", "options", "kind", "detail"), REASONS)
def test_the_reason_of_a_failure(
    bench: Bench, code: bytes | str, options: dict[str, Any], kind: type[Any], detail: Any
) -> None:
    bench(code, **options)
    (reason,) = bench.reasons
    assert type(reason) is kind
    if kind is Trap:
        assert reason.kind is detail
    if kind is Finding:
        assert reason.rule == detail


def test_the_first_finding_is_the_reason(bench: Bench) -> None:
    bench(contract("(drop (f64.const 0)) (drop (f32.const 0))"))
    assert bench.reasons[0].message.startswith("floating point is not allowed (may differ between machines): f64.const")


def test_failures_below_are_told_with_their_message(engine: Engine) -> None:
    told: list[tuple[Message, Reason]] = []
    codes = {SELF: calls(2, "unreachable"), OTHER: contract("(drop (i32.load (i32.const -1)))")}
    nest = Nest(engine, codes, on_failure=lambda m, reason: told.append((m, reason)))
    assert nest() == Result(UNREACHABLE)
    kinds = [reason.kind for _, reason in told if isinstance(reason, Trap)]
    assert kinds == [TrapKind.MEMORY_BOUNDS, TrapKind.MEMORY_BOUNDS, TrapKind.UNREACHABLE]
    assert [m for m, _ in told] == [*nest.host.calls[1:], nest.host.calls[0]]


def test_listeners_change_nothing(engine: Engine) -> None:
    for code in (contract("nop"), contract("unreachable"), contract(op("revert", 0, 3)), b"text", b""):
        plain = EwasmVM(EWASM, engine).execute(world(), message(), code)
        listened = EwasmVM(
            EWASM,
            engine,
            on_failure=lambda *_: None,
            debug=lambda _: None,
            trace=(lambda _: lambda *_: None) if engine.traces else None,
        )
        assert listened.execute(world(), message(), code) == plain


def test_tracing_needs_an_engine_that_traces(engine: Engine) -> None:
    if engine.traces:
        EwasmVM(EWASM, engine, trace=lambda _: None)
    else:
        with pytest.raises(ValueError, match=f"the engine {engine.name} cannot trace"):
            EwasmVM(EWASM, engine, trace=lambda _: None)


def test_tracing_through_nested_messages() -> None:
    # Only the interpreter traces.
    steps: list[tuple[int, str]] = []
    seen: list[Message] = []

    def trace(message_: Message) -> Any:
        seen.append(message_)

        def tracer(function: int, offset: int, name: str, operands: tuple[Any, ...], gas: int) -> None:
            steps.append((message_.depth, name))

        return tracer if message_.depth < 2 else None

    middle = contract(drop("callStatic", MOST, 0, 0, 0) + "nop", data={0: NOBODY})
    nest = Nest(make_engine("interpreter"), {SELF: calls(), OTHER: middle, NOBODY: contract("nop nop")}, trace=trace)
    assert nest().status is Status.SUCCESS
    call = ["i64.const", "i32.const", "i32.const", "i32.const", "call"]
    assert steps == [(0, n) for n in call] + [(1, n) for n in (*call, "drop", "nop")] + [(0, "drop")]
    assert seen == nest.host.calls
    assert [m.depth for m in seen] == [0, 1, 2]


def test_a_trace_shows_operands_places_and_gas() -> None:
    code = contract(
        "(drop (i32.add (i32.const 5) (i32.const 7))) (call $f (i32.const 9))", more="(func $f (param i32))"
    )
    steps: list[tuple[Any, ...]] = []
    vm = EwasmVM(PLAIN, make_engine("interpreter"), trace=lambda _: lambda *step: steps.append(step))
    vm.execute(world(), message(gas=1), code)
    assert [(function, name, operands) for function, _, name, operands, _ in steps] == [
        (1, "i32.const", ()),
        (1, "i32.const", ()),
        (1, "i32.add", (5, 7)),
        (1, "drop", (12,)),
        (1, "i32.const", ()),
        (1, "call", (9,)),
    ]
    assert [code[offset] for _, offset, *_ in steps] == [0x41, 0x41, 0x6A, 0x1A, 0x41, 0x10]
    assert {gas for *_, gas in steps} == {10_000}


# ---- Faults of the node ----


class Fault(Exception):
    """Something that only a host knows."""


class Broken(MockHost):
    """A host of which one method raises."""

    def __init__(self, method: str, fault: BaseException) -> None:
        super().__init__({SELF: MockAccount(U256(10)), OTHER: MockAccount()})

        def broken(*_: Any) -> Any:
            raise fault

        setattr(self, method, broken)


ASKS = {
    "account_exists": op("selfDestruct", 0),
    "get_storage": op("storageLoad", 0, 32),
    "set_storage": op("storageStore", 0, 32),
    "get_balance": op("getExternalBalance", 0, 32),
    "get_code_size": drop("getExternalCodeSize", 0),
    "copy_code": op("externalCodeCopy", 0, 32, 0, 0),
    "selfdestruct": op("selfDestruct", 0),
    "call": drop("callStatic", 0, 0, 0, 0),
    "get_tx_context": op("getTxOrigin", 0),
    "get_block_hash": drop("getBlockHash", 0, 0),
    "emit_log": op("log", 0, 0, 0, 0, 0, 0, 0),
}
FAULTS = [KeyError, MemoryError, ZeroDivisionError, AssertionError, RecursionError, OSError, StopIteration, Fault]


@pytest.mark.parametrize("method", ASKS)
def test_an_exception_of_the_host_passes_through(engine: Engine, method: str) -> None:
    told: list[Any] = []
    vm = EwasmVM(PLAIN, engine, on_failure=lambda *failure: told.append(failure))
    # Whatever stands after the call: nothing runs any more.
    asks = ASKS[method]
    codes = [contract(body, data={0: OTHER}) for body in (asks, f"(loop {asks} (br 0))", f"{asks} unreachable")]
    for kind in FAULTS:
        fault = kind("fault")
        for code in codes:
            with pytest.raises(kind) as raised:
                vm.execute(Broken(method, fault), message(), code)
            assert raised.value is fault
    assert told == []
    assert vm.execute(world(), message(), contract("")) == Result(Status.SUCCESS, GAS)


@pytest.mark.parametrize("kind", [KeyError, MemoryError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("depth", [1, 5, 100])
def test_an_exception_passes_through_nested_messages(engine: Engine, kind: type[BaseException], depth: int) -> None:
    fault = kind("fault")
    told: list[Any] = []

    def fail(message_: Message) -> Result:
        if message_.depth == depth:
            raise fault
        return nest.run(message_)

    again = contract(op("getAddress", 0) + drop("callStatic", MOST, 0, 0, 0))
    nest = Nest(engine, {SELF: again}, PLAIN, on_failure=lambda *failure: told.append(failure))
    nest.host.on_call = fail
    with pytest.raises(kind) as raised:
        nest(gas=MOST)
    assert raised.value is fault
    assert told == []
    assert len(nest.host.calls) == depth + 1
    nest.host.on_call = lambda m: Result(Status.SUCCESS, m.gas)
    assert nest.run(message()).status is Status.SUCCESS


def test_a_fault_of_a_precompile_passes_through(engine: Engine) -> None:
    def broken(data: bytes, gas: Gas) -> Result:
        raise Fault

    host = world()
    host.precompiles = {OTHER: broken}
    with pytest.raises(Fault):
        EwasmVM(PLAIN, engine).execute(host, message(), calls())


def test_a_creation_without_an_address_is_a_fault(engine: Engine) -> None:
    host = world(on_call=lambda m: Result(Status.SUCCESS, m.gas))
    with pytest.raises(AssertionError, match="has an address"):
        EwasmVM(PLAIN, engine).execute(host, message(), contract(drop("create", 0, 0, 0, 0)))


# ---- Depth ----


@pytest.fixture
def default_recursion() -> Iterator[None]:
    """Give Python's default recursion limit to a test, whatever ran before."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(before)


def standing(frames: int, run: Callable[[], Any]) -> Any:
    """Run on a new thread whose stack has so many Python frames already."""

    def descend(left: int) -> Any:
        return descend(left - 1) if left > 1 else run()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(descend, frames).result()


REENTER = fixture_code("wat/reenter")


@pytest.mark.usefixtures("default_recursion")
@pytest.mark.parametrize("frames", [1, 150])
def test_messages_nest_to_the_limit(engine: Engine, frames: int) -> None:
    nest = Nest(engine, {SELF: REENTER})
    result = standing(frames, lambda: nest(gas=MOST))
    assert result.status is Status.SUCCESS
    assert int.from_bytes(result.output, "little") == MAX_DEPTH
    assert [m.depth for m in nest.host.calls] == list(range(MAX_DEPTH + 1))


@pytest.mark.usefixtures("default_recursion")
def test_messages_nest_to_the_limit_in_a_node(engine: Engine) -> None:
    chain = Chain(engine, {SELF: REENTER})
    for run in (lambda: chain(gas=MOST), lambda: standing(150, lambda: chain(gas=MOST))):
        assert int.from_bytes(run().output, "little") == MAX_DEPTH


@pytest.mark.usefixtures("default_recursion")
@pytest.mark.parametrize("depth", [1, 23, 24, 47, 48, 1_000, 1_023, 1_024])
def test_nesting_begins_anywhere(engine: Engine, depth: int) -> None:
    nest = Nest(engine, {SELF: REENTER})
    result = standing(150, lambda: nest(gas=MOST, depth=depth))
    assert int.from_bytes(result.output, "little") == MAX_DEPTH - depth


@pytest.mark.usefixtures("default_recursion")
def test_threads_made_for_depth_end(engine: Engine) -> None:
    nest = Nest(engine, {SELF: REENTER})
    nest(gas=MOST)
    assert 1 < len(nest.threads) <= 100
    assert nest.threads & {thread.ident for thread in threading.enumerate()} <= {threading.get_ident()}


@pytest.mark.usefixtures("default_recursion")
def test_tracing_goes_to_the_limit() -> None:
    seen: list[int] = []

    def trace(message_: Message) -> Any:
        seen.append(message_.depth)
        return lambda *_: None

    nest = Nest(make_engine("interpreter"), {SELF: REENTER}, trace=trace)
    assert int.from_bytes(standing(150, lambda: nest(gas=MOST)).output, "little") == MAX_DEPTH
    assert seen == list(range(MAX_DEPTH + 1))


# ---- One VM, several threads ----


def test_a_vm_can_be_shared_by_threads(engine: Engine) -> None:
    # Loops of different lengths, each with stores, calls of the host and nested messages between them.
    def work(n: int) -> bytes:
        return contract(
            f"""
            (local $i i32)
            (loop
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (i32.store (i32.const 100) (i32.mul (local.get $i) (i32.const {n})))
              {op("storageStore", 100, 100)} {drop("callStatic", MOST, 0, 0, 0)} {drop("getGasLeft")}
              (br_if 0 (i32.lt_u (local.get $i) (i32.const {n}))))
            """
            + answer("getGasLeft")
            + finish(100, 8),
            data={0: OTHER},
        )

    nest = Nest(engine, {OTHER: contract("nop " * 5)})
    codes = [work(n) for n in range(1, 9)]

    def execute(n: int) -> tuple[Result, dict[Bytes32, Bytes32]]:
        host = world(on_call=nest.run)
        return nest.vm.execute(host, message(gas=10**9), codes[n]), host.accounts[SELF].storage

    alone = [execute(n) for n in range(8)]
    assert len({result.gas_left for result, _ in alone}) == 8
    fresh = Nest(engine, {OTHER: contract("nop " * 5)})
    nest.vm = fresh.vm  # nothing is prepared yet
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(execute, [n for _ in range(10) for n in range(8)]))
    assert together == alone * 10


# ---- The rest ----


def test_names(engine: Engine) -> None:
    assert EwasmVM(HERA, engine).name == f"ewasm ({engine.name}, ruleset hera)"
    assert sorted(ENGINES) == sorted(make_engine(name).name for name in ENGINES)
    with pytest.raises(ValueError, match="unknown engine nonsense"):
        make_engine("nonsense")


def test_vms_share_nothing(engine: Engine) -> None:
    code = contract(drop("create2", 0, 0, 0, 0, 0))
    assert EwasmVM(HERA, engine).execute(world(), message(), code).status is VALIDATION
    assert EwasmVM(EWASM, engine).execute(world(), message(), code).status is Status.SUCCESS
    assert EwasmVM(HERA, engine).execute(world(), message(), code).status is VALIDATION


def test_memory_and_globals_are_new_for_every_message(bench: Bench) -> None:
    code = wat(f"""
        (module (import "ethereum" "finish" (func $finish (param i32 i32)))
          (memory (export "memory") 1) (global $g (mut i64) (i64.const 5)) (data (i32.const 8) "data")
          (func (export "main")
            (i64.store (i32.const 0) (global.get $g)) (global.set $g (i64.const 6))
            (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
            {finish(0, 24)}))""")
    outputs = {bench(code).output for _ in range(3)}
    assert outputs == {(5).to_bytes(8, "little") + b"data" + bytes(4) + b"\1" + bytes(7)}


def test_storage_status_decides_the_price_whoever_answers(bench: Bench) -> None:
    for status in StorageStatus:
        host = world()
        host.set_storage = lambda *_, status=status: status  # type: ignore[method-assign,misc]
        left = bench(op("storageStore", 0, 0), host).gas_left
        assert GAS - left == (20_000 if status is StorageStatus.ADDED else 5_000)


def test_logs_of_failures_below_are_the_hosts_to_undo(engine: Engine) -> None:
    failing = contract(CHANGE + "unreachable", data={32: STORED})
    caller = contract(CHANGE + drop("call", 10**6, 64, 96, 0, 0), data={32: STORED, 64: OTHER})
    chain = Chain(engine, {SELF: caller, OTHER: failing})
    assert chain().status is Status.SUCCESS
    assert chain.journal.logs == (Log(SELF, (), bytes(4)),)
    assert chain.journal.get_storage(OTHER, KEY) == KEY


def test_other_listeners_for_one_message(engine: Engine) -> None:
    told: list[str] = []
    vm = EwasmVM(PLAIN, engine, on_failure=lambda *_: told.append("first"))
    other = vm.listening(on_failure=lambda *_: told.append("second"))
    assert (other.cache, other.engine, other.ruleset) == (vm.cache, vm.engine, vm.ruleset)
    for each in (other, vm, vm.listening()):
        assert each.execute(MockHost(), Message(gas=GAS), b"no module").status is Status.REJECTED
    assert told == ["second", "first", "first"]
    if not engine.traces:
        with pytest.raises(ValueError, match="cannot trace"):
            vm.listening(trace=lambda _: None)
