"""Integer semantics against definitions written here from the specification (4.3.2), and against Wasmtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Any

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.hostile import CODE, EXPORT, FUNCTION, PREAMBLE, TYPE, body, section, sized, unsigned, vector
from tests.wasm.oracle import ORACLE
from wasm.decode import decode
from wasm.engine import Engine
from wasm.errors import Trap, TrapKind
from wasm.instructions import BY_NAME
from wasm.numeric import BINARY, TRAPPING, UNARY, extend, signed
from wasm.validate import validate

WIDTHS = {"i32": 32, "i64": 64}
Outcome = int | TrapKind

# The specification's definitions, in words of lists of bits (4.3.2.1) and mathematical integers.


def bits_of(value: int, width: int) -> list[int]:
    """`ibits`: the most significant first."""
    return [value >> place & 1 for place in reversed(range(width))]


def value_of(bits: list[int]) -> int:
    """The inverse of `ibits`."""
    return sum(bit * 2**place for place, bit in enumerate(reversed(bits)))


def read_signed(value: int, width: int) -> int:
    return value if value < 2 ** (width - 1) else value - 2**width


def truncated(quotient: tuple[int, int]) -> int:
    """Round a fraction towards zero."""
    dividend, divisor = quotient
    sign = -1 if (dividend < 0) != (divisor < 0) else 1
    return sign * (abs(dividend) // abs(divisor))


def div_u(a: int, b: int, _: int) -> Outcome:
    return a // b if b else TrapKind.DIVISION_BY_ZERO


def rem_u(a: int, b: int, _: int) -> Outcome:
    return a - b * (a // b) if b else TrapKind.DIVISION_BY_ZERO


def div_s(a: int, b: int, n: int) -> Outcome:
    x, y = read_signed(a, n), read_signed(b, n)
    if y == 0:
        return TrapKind.DIVISION_BY_ZERO
    quotient = truncated((x, y))
    return TrapKind.INTEGER_OVERFLOW if quotient == 2 ** (n - 1) else quotient % 2**n


def rem_s(a: int, b: int, n: int) -> Outcome:
    x, y = read_signed(a, n), read_signed(b, n)
    return (x - y * truncated((x, y))) % 2**n if y else TrapKind.DIVISION_BY_ZERO


def bitwise(rule: Callable[[int, int], int]) -> Callable[[int, int, int], int]:
    return lambda a, b, n: value_of([rule(x, y) for x, y in zip(bits_of(a, n), bits_of(b, n), strict=True)])


def shl(a: int, b: int, n: int) -> int:
    bits, k = bits_of(a, n), b % n
    return value_of(bits[k:] + [0] * k)


def shr_u(a: int, b: int, n: int) -> int:
    bits, k = bits_of(a, n), b % n
    return value_of([0] * k + bits[: n - k])


def shr_s(a: int, b: int, n: int) -> int:
    bits, k = bits_of(a, n), b % n
    return value_of([bits[0]] * k + bits[: n - k])


def rotl(a: int, b: int, n: int) -> int:
    bits, k = bits_of(a, n), b % n
    return value_of(bits[k:] + bits[:k])


def rotr(a: int, b: int, n: int) -> int:
    bits, k = bits_of(a, n), b % n
    return value_of(bits[n - k :] + bits[: n - k])


def compared(rule: Callable[[int, int], bool], *, with_sign: bool = False) -> Callable[[int, int, int], int]:
    def rule_of(a: int, b: int, n: int) -> int:
        return 1 if (rule(read_signed(a, n), read_signed(b, n)) if with_sign else rule(a, b)) else 0

    return rule_of


def leading(bits: list[int]) -> int:
    """Count the zeros before the first one."""
    return bits.index(1) if 1 in bits else len(bits)


DEFINED_BINARY: dict[str, Callable[[int, int, int], Outcome]] = {
    "add": lambda a, b, n: (a + b) % 2**n,
    "sub": lambda a, b, n: (a - b + 2**n) % 2**n,
    "mul": lambda a, b, n: (a * b) % 2**n,
    "div_u": div_u,
    "div_s": div_s,
    "rem_u": rem_u,
    "rem_s": rem_s,
    "and": bitwise(min),
    "or": bitwise(max),
    "xor": bitwise(lambda x, y: (x + y) % 2),
    "shl": shl,
    "shr_u": shr_u,
    "shr_s": shr_s,
    "rotl": rotl,
    "rotr": rotr,
    "eq": compared(lambda a, b: a == b),
    "ne": compared(lambda a, b: a != b),
    "lt_u": compared(lambda a, b: a < b),
    "gt_u": compared(lambda a, b: a > b),
    "le_u": compared(lambda a, b: a <= b),
    "ge_u": compared(lambda a, b: a >= b),
    "lt_s": compared(lambda a, b: a < b, with_sign=True),
    "gt_s": compared(lambda a, b: a > b, with_sign=True),
    "le_s": compared(lambda a, b: a <= b, with_sign=True),
    "ge_s": compared(lambda a, b: a >= b, with_sign=True),
}
DEFINED_UNARY: dict[str, Callable[[int, int], int]] = {
    "eqz": lambda a, _: 1 if a == 0 else 0,
    "clz": lambda a, n: leading(bits_of(a, n)),
    "ctz": lambda a, n: leading(bits_of(a, n)[::-1]),
    "popcnt": lambda a, n: sum(bits_of(a, n)),
    "extend8_s": lambda a, n: read_signed(a % 2**8, 8) % 2**n,
    "extend16_s": lambda a, n: read_signed(a % 2**16, 16) % 2**n,
    "extend32_s": lambda a, n: read_signed(a % 2**32, 32) % 2**n,
    "wrap_i64": lambda a, _: a % 2**32,
    "extend_i32_s": lambda a, _: read_signed(a, 32) % 2**64,
    "extend_i32_u": lambda a, _: a,
}

EDGES = [0, 1, 2, 3, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 2**15 - 1, 2**15, 2**16 - 1, 2**16]
EDGES += [2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]


def edges(width: int) -> list[int]:
    return [value for value in EDGES if value < 2**width]


def numbers(rng: Random, width: int) -> int:
    """Draw a number: an edge, one with few bits, or any."""
    kind = rng.randrange(3)
    if kind == 0:
        return rng.choice(edges(width))
    value = rng.getrandbits(width if kind == 1 else rng.randint(1, width))
    return value ^ (2**width - 1) if rng.random() < 0.3 else value


def ended(do: Callable[..., Any], *args: Any) -> Outcome:
    """Return a result, or the kind of trap."""
    try:
        result: int = do(*args)
    except Trap as trap:
        return trap.kind
    return result


def width_of(name: str) -> int:
    """Return the width of an operation's operands."""
    params = BY_NAME[name].params
    assert params is not None
    return WIDTHS[params[0]]


def arguments(name: str, seed: int, count: int) -> Sequence[tuple[int, ...]]:
    """Return all pairs of edges and some more operands."""
    rng, width = Random(f"{name} {seed}"), width_of(name)
    if name in UNARY:
        powers = [1 << place for place in range(width)]
        return [
            (a,)
            for a in (*edges(width), *powers, *(p - 1 for p in powers), *(numbers(rng, width) for _ in range(count)))
        ]
    pairs = [(a, b) for a in edges(width) for b in edges(width)]
    return pairs + [(numbers(rng, width), numbers(rng, width)) for _ in range(count)]


def defined(name: str, *args: int) -> Outcome:
    """Return what the definition says."""
    short = name.partition(".")[2]
    if name in UNARY:
        return DEFINED_UNARY[short](args[0], width_of(name))
    return DEFINED_BINARY[short](args[0], args[1], width_of(name))


def operation(name: str) -> Callable[..., int]:
    return UNARY.get(name) or BINARY[name]


NAMES = [*UNARY, *BINARY]


def test_every_operation_is_defined_here() -> None:
    assert {name.partition(".")[2] for name in BINARY} == set(DEFINED_BINARY)
    assert {name.partition(".")[2] for name in UNARY} == set(DEFINED_UNARY)
    assert len(NAMES) == 2 * len(DEFINED_BINARY) + 2 * 6 + 1 + 3


@pytest.mark.parametrize("name", NAMES)
def test_operations_are_as_defined(name: str) -> None:
    for args in arguments(name, 1, 200):
        assert ended(operation(name), *args) == defined(name, *args), args


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_any_operands(name: str, a: int, b: int) -> None:
    width = width_of(name)
    args = (a % 2**width,) if name in UNARY else (a % 2**width, b % 2**width)
    result = ended(operation(name), *args)
    assert result == defined(name, *args)
    results = BY_NAME[name].results
    assert results is not None
    assert isinstance(result, TrapKind) or 0 <= result < 2 ** WIDTHS[results[0]]


def test_what_may_trap_is_known() -> None:
    trapping = {name for name in NAMES if any(isinstance(defined(name, *a), TrapKind) for a in arguments(name, 2, 0))}
    assert trapping == TRAPPING


def test_signed_and_extend() -> None:
    assert [signed(v, 8) for v in (0, 127, 128, 255)] == [0, 127, -128, -1]
    assert [extend(8, 16)(v) for v in (0, 0x7F, 0x80, 0x1FF, 0x100)] == [0, 0x7F, 0xFF80, 0xFFFF, 0]


# Wasmtime, and the engines: one module with a function for every operation, and one that takes constants


@cache
def module() -> bytes:
    """Return a module that exports every operation by its name."""
    codes = {"i32": b"\x7f", "i64": b"\x7e"}
    types, bodies, exports = [], [], []
    for number, name in enumerate(NAMES):
        row = BY_NAME[name]
        params = vector(*(codes[t] for t in row.params or ()))
        types.append(b"\x60" + params + vector(*(codes[t] for t in row.results or ())))
        gets = b"".join(b"\x20" + unsigned(n) for n in range(len(row.params or ())))
        bodies.append(body(gets + bytes([row.code])))
        exports.append(sized(name.encode()) + b"\0" + unsigned(number))
    indices = [unsigned(n) for n in range(len(NAMES))]
    content = {TYPE: types, FUNCTION: indices, EXPORT: exports, CODE: bodies}
    return PREAMBLE + b"".join(section(kind, vector(*items)) for kind, items in content.items())


_CODES = {
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: TrapKind.DIVISION_BY_ZERO,
    wasmtime.TrapCode.INTEGER_OVERFLOW: TrapKind.INTEGER_OVERFLOW,
}


@pytest.fixture(scope="module")
def on_wasmtime() -> Callable[..., Outcome]:
    """Return a function that runs an operation on Wasmtime."""
    store = wasmtime.Store(ORACLE)
    exports = wasmtime.Instance(store, wasmtime.Module(ORACLE, module()), []).exports(store)

    def run(name: str, *args: int) -> Outcome:
        function = exports[name]
        assert isinstance(function, wasmtime.Func)
        results = BY_NAME[name].results or ["i32"]
        try:
            result: int = function(store, *(read_signed(a, width_of(name)) for a in args))
        except wasmtime.Trap as trap:
            return _CODES[trap.trap_code]  # type: ignore[index]  # a trap without code fails
        return result % 2 ** WIDTHS[results[0]]

    return run


@pytest.mark.parametrize("name", NAMES)
def test_operations_are_those_of_wasmtime(name: str, on_wasmtime: Callable[..., Outcome]) -> None:
    samples = arguments(name, 3, 150)
    for args in Random(name).sample(samples, min(len(samples), 200)):
        assert ended(operation(name), *args) == on_wasmtime(name, *args), args


def test_engines_compute_as_defined(engine: Engine) -> None:
    """Every operation with its operands in locals."""
    instance = engine.load(validate(decode(module()))).instantiate({})
    for name in NAMES:
        for args in Random(name).sample(arguments(name, 4, 30), 25):
            outcome = ended(lambda *a, n=name: instance.invoke(n, *a)[0], *args)
            assert outcome == defined(name, *args), (name, args)


def test_engines_compute_constants_as_defined(engine: Engine) -> None:
    """Every operation on constants, which an optimiser folds: many functions, each for one pair of operands."""
    cases = [(name, args) for name in NAMES for args in Random(name).sample(arguments(name, 5, 30), 6)]
    wide = {name: width_of(name) == 64 for name in NAMES}
    bodies = []
    for name, args in cases:
        write = b"".join((b"\x42" if wide[name] else b"\x41") + leb(read_signed(a, width_of(name))) for a in args)
        bodies.append(body(write + bytes([BY_NAME[name].code])))
    types = [b"\x60\0\1\x7f", b"\x60\0\1\x7e"]
    indices = [bytes([BY_NAME[name].results == ["i64"]]) for name, _ in cases]
    exports = [sized(str(n).encode()) + b"\0" + unsigned(n) for n in range(len(cases))]
    content = {TYPE: types, FUNCTION: indices, EXPORT: exports, CODE: bodies}
    binary = PREAMBLE + b"".join(section(kind, vector(*items)) for kind, items in content.items())
    instance = engine.load(validate(decode(binary))).instantiate({})
    for number, (name, args) in enumerate(cases):
        assert ended(lambda n=number: instance.invoke(str(n))[0]) == defined(name, *args), (name, args)


def leb(value: int) -> bytes:
    """Encode in signed LEB128."""
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value & 0x7F])
