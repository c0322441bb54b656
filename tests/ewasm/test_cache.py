"""Prepared code: what is prepared once, what is told apart, what is dropped."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from evmc import Result, Status
from ewasm import cache
from ewasm.cache import ENTRY_BYTES, CodeCache, prepare
from ewasm.ruleset import EWASM, HERA, SSVM
from ewasm.vm import EwasmVM
from fixtures import hostile
from tests.ewasm.interface import contract, message, op, world
from tests.helpers import fixture_code
from wasm.engine import Engine, Loaded
from wasm.module import ValidModule


class Counting:
    """An engine that counts what it loads."""

    traces = False
    native_stack = 0
    nesting = 1

    def __init__(self, name: str = "counting", identity: str = "1") -> None:
        self.name = name
        self.identity = identity
        self.loaded = 0

    def load(self, module: ValidModule) -> Any:
        self.loaded += 1
        return [module]

    def revive(self, artefact: bytes) -> Loaded:
        raise NotImplementedError(artefact)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """Count how often each code is checked."""
    counter: Counter[bytes] = Counter()
    check = cache.check

    def counting(code: bytes, *args: Any, **options: Any) -> Any:
        counter[code] += 1
        return check(code, *args, **options)

    monkeypatch.setattr(cache, "check", counting)
    return counter


GOOD, BAD = contract("nop"), contract("(drop (f32.const 0))")


def test_prepared_code() -> None:
    engine = Counting()
    prepared = prepare(GOOD, EWASM, engine)
    assert (prepared.findings, prepared.entry_price) == ((), 0)
    assert prepared.loaded is not None
    refused = prepare(BAD, EWASM, engine)
    assert [finding.rule for finding in refused.findings] == ["floating-point"]
    assert (refused.loaded, refused.entry_price) == (None, 0)
    assert engine.loaded == 1
    # Two pages are free, a page costs 1,000 gas of 10,000 particles.
    for pages, price in ((0, 0), (2, 0), (3, 10_000_000), (128, 1_260_000_000)):
        assert prepare(contract("", pages=pages), EWASM, engine).entry_price == price
        assert prepare(contract("", pages=pages), HERA, engine).entry_price == 0


@pytest.mark.parametrize("code", [GOOD, BAD, b"\0asm", b"text"])
def test_code_is_prepared_once(checks: Counter[bytes], code: bytes) -> None:
    kept, engine = CodeCache(), Counting()
    first = kept.get(code, EWASM, engine)
    for again in (code, bytes(bytearray(code))):
        assert kept.get(again, EWASM, engine) is first
    assert checks == {code: 1}
    assert engine.loaded == (code == GOOD)


def test_a_vm_checks_code_once(checks: Counter[bytes], engine: Engine) -> None:
    vm = EwasmVM(EWASM, engine)
    for code in (GOOD, BAD):
        results = [vm.execute(world(), message(), code) for _ in range(3)]
        assert len(set(results)) == 1
    assert checks == {GOOD: 1, BAD: 1}


def test_a_cache_can_be_shared(checks: Counter[bytes], engine: Engine) -> None:
    kept = CodeCache()
    for _ in range(3):
        assert EwasmVM(EWASM, engine, cache=kept).execute(world(), message(), GOOD).status is Status.SUCCESS
    assert checks == {GOOD: 1}
    assert EwasmVM(EWASM, engine).execute(world(), message(), GOOD).status is Status.SUCCESS
    assert checks == {GOOD: 2}


def test_what_is_told_apart() -> None:
    kept, engine = CodeCache(), Counting()
    same_name = EWASM.replace(limits=replace(EWASM.limits, imports=7))
    ways: list[tuple[bytes, Any, Any, bool]] = [
        (GOOD, EWASM, engine, False),
        (GOOD + b"\0\1\0", EWASM, engine, False),  # a custom section more
        (GOOD, EWASM, engine, True),
        (GOOD, HERA, engine, False),
        (GOOD, SSVM, engine, False),
        (GOOD, same_name, engine, False),
        (GOOD, EWASM, Counting("counting", "2"), False),
    ]
    found = [kept.get(code, ruleset, machine, debug=debug) for code, ruleset, machine, debug in ways]
    assert len({id(prepared) for prepared in found}) == len(ways)
    for prepared, (code, ruleset, machine, debug) in zip(found, ways, strict=True):
        assert kept.get(code, ruleset, machine, debug=debug) is prepared
        assert kept.get(code, ruleset.replace(), machine, debug=debug) is prepared


def test_what_debugging_allows_stays_in_debugging_runs(engine: Engine) -> None:
    code, kept = contract(op("print32", 1)), CodeCache()
    debugging = EwasmVM(EWASM, engine, cache=kept, debug=lambda _: None)
    plain = EwasmVM(EWASM, engine, cache=kept)
    for _ in range(2):
        assert debugging.execute(world(), message(), code).status is Status.SUCCESS
        assert plain.execute(world(), message(), code) == Result(Status.CONTRACT_VALIDATION_FAILURE)


def test_what_one_ruleset_allows_stays_there(engine: Engine) -> None:
    code, kept = contract(op("getChainId", 0)), CodeCache()
    for _ in range(2):
        assert EwasmVM(SSVM, engine, cache=kept).execute(world(), message(), code).status is Status.SUCCESS
        assert not EwasmVM(HERA, engine, cache=kept).execute(world(), message(), code).gas_left


# ---- The bound ----


def code(n: int, units: int = 1) -> bytes:
    """Build a contract of so many times what an entry counts at least, and a few bytes."""
    return hostile.code_of_size(units * ENTRY_BYTES + n)


def test_the_least_recently_used_is_dropped(checks: Counter[bytes]) -> None:
    a, b, c, d = map(code, range(4))
    kept, engine = CodeCache(max_bytes=3 * ENTRY_BYTES + 10), Counting()

    def get(*codes: bytes) -> int:
        before = sum(checks.values())
        for each in codes:
            kept.get(each, EWASM, engine)
        return sum(checks.values()) - before

    assert get(a, b, c) == 3
    assert get(a, b, c) == 0
    assert get(a) == 0  # so that b is the oldest
    assert get(d) == 1
    assert get(a, c, d) == 0
    assert get(b) == 1
    # a was used longest ago now.
    assert get(c, d, b) == 0
    assert get(a) == 1


def test_the_bound_is_in_bytes_of_code(checks: Counter[bytes]) -> None:
    codes = [code(n) for n in range(10)]
    kept, engine = CodeCache(max_bytes=10 * ENTRY_BYTES + 50), Counting()
    for each in codes * 2:
        kept.get(each, EWASM, engine)
    assert set(checks.values()) == {1}
    kept.get(code(0, units=6), EWASM, engine)  # drops the first six
    for each in codes[6:]:
        kept.get(each, EWASM, engine)
    assert set(checks.values()) == {1}
    kept.get(codes[0], EWASM, engine)
    assert checks[codes[0]] == 2


def test_small_code_counts_as_much_as_an_entry_at_least(checks: Counter[bytes]) -> None:
    kept, engine = CodeCache(max_bytes=2 * ENTRY_BYTES), Counting()
    codes = [contract("nop " * n) for n in range(3)]
    for each in codes[:2] * 3:
        kept.get(each, EWASM, engine)
    assert set(checks.values()) == {1}
    for each in (codes[2], codes[1], codes[0]):
        kept.get(each, EWASM, engine)
    assert [checks[each] for each in codes] == [2, 1, 1]


def test_code_above_the_bound_is_kept_alone(checks: Counter[bytes]) -> None:
    kept, engine = CodeCache(max_bytes=10), Counting()
    large, other = code(0), code(1)
    for each in (large, large, other, other):
        kept.get(each, EWASM, engine)
    assert set(checks.values()) == {1}
    kept.get(large, EWASM, engine)
    assert checks[large] == 2


def test_refused_code_counts_as_well(checks: Counter[bytes]) -> None:
    kept, engine = CodeCache(max_bytes=2 * ENTRY_BYTES), Counting()
    for filler in range(5):
        kept.get(bytes([filler]), EWASM, engine)
    kept.get(bytes(1), EWASM, engine)
    assert checks[bytes(1)] == 2


def test_dropped_code_runs_again(engine: Engine) -> None:
    vm = EwasmVM(EWASM, engine, cache=CodeCache(max_bytes=1))
    codes = [contract("nop " * n) for n in range(3)]
    for _ in range(2):
        assert [vm.execute(world(), message(gas=5), each).gas_left for each in codes] == [5, 4, 4]


# ---- Threads ----


def test_many_threads(engine: Engine) -> None:
    codes = [fixture_code(f"wat/{name}") for name in ("empty", "grow", "global", "store_load", "indirect_bad")]
    codes += [BAD, b"\0asm", code(0)]
    kept = CodeCache(max_bytes=3 * ENTRY_BYTES)
    expected = [bool(prepare(each, EWASM, engine).findings) for each in codes]

    def get(n: int) -> bool:
        return bool(kept.get(codes[n % len(codes)], EWASM, engine).findings)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(get, range(400)))
    assert found == expected * 50
    # Whoever comes last does not count bytes twice: three small codes still find room.
    counting, few = Counting(), [contract("nop " * n) for n in range(3)]
    for each in few * 3:
        kept.get(each, EWASM, counting)
    assert counting.loaded == 3
