"""Every function of the environment interface: price, order of checks, memory, data, messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from evmc import (
    MAX_DEPTH,
    U256,
    Address,
    Bytes32,
    CallKind,
    Log,
    Message,
    MockHost,
    Result,
    Status,
    TxContext,
)
from ewasm.frame import ArgumentOutOfRange, StaticModeViolation
from ewasm.ruleset import EWASM, HERA, SSVM
from fixtures import hostile
from gas.meter import OutOfGas
from tests.ewasm.interface import (
    CALLER,
    GAS,
    NOBODY,
    OTHER,
    PAGE,
    SELF,
    TOP,
    Bench,
    answer,
    contract,
    drop,
    finish,
    number,
    op,
    u128,
    world,
)

OK = {Status.SUCCESS, Status.REVERT}
ALL_GAS = 2**63 - 1
NEW = Address(bytes(range(0x81, 0x95)))
EMPTY_SLOT, FULL_SLOT = Bytes32(b"empty".ljust(32, b".")), Bytes32(b"full".ljust(32, b"."))
ONE_VALUE, OTHER_VALUE = Bytes32(bytes(range(0xA0, 0xC0))), Bytes32(bytes(range(0xC0, 0xE0)))
SALT = Bytes32(bytes(range(0xE0, 0x100)))
HASH = Bytes32(bytes(range(0x30, 0x50)))

# The memory at the start.
AT_OTHER, AT_NOBODY, AT_FIVE, AT_ZERO, AT_EMPTY, AT_FULL, AT_ONE, AT_ANOTHER, AT_SALT, AT_TEXT = range(0, 320, 32)
AT_FREE = 0x1000
MEMORY = {
    AT_OTHER: OTHER,
    AT_NOBODY: NOBODY,
    AT_FIVE: u128(5),
    AT_EMPTY: EMPTY_SLOT,
    AT_FULL: FULL_SLOT,
    AT_ONE: ONE_VALUE,
    AT_ANOTHER: OTHER_VALUE,
    AT_SALT: SALT,
    AT_TEXT: b"some text of forty bytes, more or less...",
}
CALL_DATA = bytes(range(100))
CONTEXT = TxContext(
    gas_price=U256(0x0102030405060708090A0B0C0D0E0F10),
    origin=Address(bytes(range(0xB0, 0xC4))),
    coinbase=Address(bytes(range(0xD0, 0xE4))),
    number=0x1122334455,
    timestamp=0x66778899AA,
    gas_limit=0x7766554433221100,
    difficulty=U256(int.from_bytes(bytes(range(1, 33)))),
    chain_id=U256(0x0F0E0D0C0B0A09080706050403020100),
)


def created(message: Message) -> Result:
    """Answer a creation or a call; nothing uses gas."""
    return Result(Status.SUCCESS, message.gas, b"output", NEW if message.kind.is_create else None)


def scene(balance: int = 10, **options: Any) -> MockHost:
    """Return a host that has something for every function."""
    host = world(balance, **{"tx_context": CONTEXT, "block_hashes": {7: HASH}, "on_call": created} | options)
    host.accounts[SELF].storage[FULL_SLOT] = ONE_VALUE
    host.accounts[OTHER].code = bytes(range(200))
    host.accounts[OTHER].balance = U256(0xABCDEF)
    return host


def answering(result: Result) -> Callable[[Message], Result]:
    """Answer every message with a result."""
    return lambda _: result


@pytest.fixture
def run(bench: Bench) -> Callable[..., Result]:
    """Run a body in the scene."""

    def run(body: str | bytes, host: MockHost | None = None, **options: Any) -> Result:
        return bench(body, host or scene(), **{"data": MEMORY, "input": CALL_DATA} | options)

    return run


# ---- Prices (published table; create2, getChainId and init code: RULES 1 and 6) ----

PRICES: list[tuple[str, int]] = [
    *((op(name, AT_FREE), 2) for name in ("getAddress", "getCaller", "getTxOrigin", "getBlockCoinbase")),
    *((op(name, AT_FREE), 2) for name in ("getCallValue", "getTxGasPrice", "getBlockDifficulty", "getChainId")),
    *((drop(n), 2) for n in ("getGasLeft", "getBlockGasLimit", "getBlockNumber", "getBlockTimestamp")),
    *((drop(n), 2) for n in ("getCallDataSize", "getCodeSize", "getReturnDataSize")),
    *((op("useGas", gas), gas) for gas in (0, 1, 12_345)),
    (op("getExternalBalance", AT_OTHER, AT_FREE), 400),
    (drop("getBlockHash", 7, AT_FREE), 800),
    (drop("getBlockHash", 99, AT_FREE), 800),
    *((op("callDataCopy", AT_FREE, 0, n), 3 + 3 * w) for n, w in ((0, 0), (1, 1), (31, 1), (32, 1), (33, 2), (64, 2))),
    *((op("codeCopy", AT_FREE, 0, n), 3 + 3 * w) for n, w in ((0, 0), (1, 1), (32, 1), (33, 2))),
    (op("returnDataCopy", AT_FREE, 0, 0), 3),
    *((op("externalCodeCopy", AT_OTHER, AT_FREE, 0, n), 700 + 3 * w) for n, w in ((0, 0), (1, 1), (32, 1), (33, 2))),
    (drop("getExternalCodeSize", AT_OTHER), 700),
    (drop("getExternalCodeSize", AT_NOBODY), 700),
    (op("storageLoad", AT_FULL, AT_FREE), 200),
    (op("storageLoad", AT_EMPTY, AT_FREE), 200),
    (op("storageStore", AT_EMPTY, AT_ONE), 20_000),  # zero to non-zero
    (op("storageStore", AT_EMPTY, AT_ZERO), 5_000),  # zero to zero
    (op("storageStore", AT_FULL, AT_ANOTHER), 5_000),  # one value to another
    (op("storageStore", AT_FULL, AT_ZERO), 5_000),  # clearing
    (op("storageStore", AT_FULL, AT_ONE), 5_000),  # the same again
    *((op("log", 0, n, t, 0, 0, 0, 0), 375 + 375 * t + 8 * n) for n in (0, 1, 100) for t in range(5)),
    *((op(name, 0, n), 0) for name in ("finish", "revert") for n in (0, 100)),
    (op("selfDestruct", AT_OTHER), 5_000),
    (op("selfDestruct", AT_NOBODY), 30_000),
    *((drop(n, 0, at, AT_ZERO, 0, 0), 700) for n in ("call", "callCode") for at in (AT_OTHER, AT_NOBODY)),
    *((drop(n, 0, at, 0, 0), 700) for n in ("callDelegate", "callStatic") for at in (AT_OTHER, AT_NOBODY)),
    *((drop("create", AT_ZERO, 0, n, AT_FREE), 32_000 + 20 * n) for n in (0, 1, 33)),
    (drop("create", AT_FIVE, 0, 0, AT_FREE), 32_000),
    *(
        (drop("create2", AT_ZERO, 0, n, 0, AT_FREE), 32_000 + 6 * w + 20 * n)
        for n, w in ((0, 0), (1, 1), (32, 1), (33, 2))
    ),
]


# Calls with value: the callee gets 2,300 for nothing, and here leaves them.
STIPEND = 2_300
VALUE_PRICES = [
    (drop("call", 0, AT_OTHER, AT_FIVE, 0, 0), 9_700),
    (drop("call", 0, AT_NOBODY, AT_FIVE, 0, 0), 34_700),
    (drop("callCode", 0, AT_OTHER, AT_FIVE, 0, 0), 9_700),
    (drop("callCode", 0, AT_NOBODY, AT_FIVE, 0, 0), 9_700),
]


@pytest.mark.parametrize(
    ("body", "price", "back"),
    [*((body, price, 0) for body, price in PRICES), *((body, price, STIPEND) for body, price in VALUE_PRICES)],
)
def test_price(run: Callable[..., Result], body: str, price: int, back: int) -> None:
    result = run(body)
    assert result.status in OK
    assert result.gas_left == GAS - price + back
    exactly = run(body, gas=price)
    assert (exactly.status, exactly.gas_left) == (result.status, back)
    if price:
        assert run(body, gas=price - 1).status is Status.OUT_OF_GAS
        assert run(body, gas=0).status is Status.OUT_OF_GAS


def test_return_data_copy_is_paid_by_the_word(run: Callable[..., Result]) -> None:
    call = drop("callStatic", 0, AT_OTHER, 0, 0)
    host = scene(on_call=answering(Result(Status.SUCCESS, 0, bytes(100))))
    for length, words in ((0, 0), (1, 1), (32, 1), (33, 2), (100, 4)):
        assert run(call + op("returnDataCopy", AT_FREE, 0, length), host).gas_left == GAS - 700 - 3 - 3 * words


def test_init_code_is_free_of_charge_where_the_ruleset_says_so(run: Callable[..., Result]) -> None:
    create = drop("create", AT_ZERO, 0, 33, AT_FREE)
    create2 = drop("create2", AT_ZERO, 0, 33, 0, AT_FREE)
    assert run(create, ruleset=HERA).gas_left == GAS - 32_000
    assert run(create, ruleset=SSVM).gas_left == GAS - 32_000
    assert run(create2, ruleset=SSVM).gas_left == GAS - 32_000 - 12


def test_memory_is_not_paid_for_by_the_functions(run: Callable[..., Result]) -> None:
    assert run(finish(PAGE - 1, 1)).gas_left == GAS


# ---- The order of checks: the price, static mode, memory, arguments ----

STATIC = {"is_static": True}
ORDER: list[tuple[str, dict[str, Any], int, Status]] = []
for name, price, args in (
    *((name, 2, (TOP,)) for name in ("getAddress", "getCaller", "getTxOrigin", "getBlockCoinbase", "getCallValue")),
    *((name, 2, (TOP,)) for name in ("getTxGasPrice", "getBlockDifficulty", "getChainId")),
    ("getExternalBalance", 400, (TOP, AT_FREE)),
    ("getExternalBalance", 400, (AT_OTHER, TOP)),
    ("getBlockHash", 800, (7, TOP)),
    ("callDataCopy", 6, (TOP, 0, 1)),
    ("callDataCopy", 6, (AT_FREE, TOP, 1)),
    ("codeCopy", 6, (TOP, 0, 1)),
    ("codeCopy", 6, (AT_FREE, TOP, 1)),
    ("returnDataCopy", 6, (AT_FREE, 0, 1)),
    ("externalCodeCopy", 703, (TOP, AT_FREE, 0, 1)),
    ("externalCodeCopy", 703, (AT_OTHER, TOP, 0, 1)),
    ("externalCodeCopy", 703, (AT_OTHER, AT_FREE, TOP, 1)),
    ("getExternalCodeSize", 700, (TOP,)),
    ("storageLoad", 200, (TOP, AT_FREE)),
    ("storageLoad", 200, (AT_FULL, TOP)),
    ("storageStore", 5_000, (TOP, AT_ONE)),
    ("storageStore", 5_000, (AT_EMPTY, TOP)),
    ("log", 375, (TOP, 0, 0, 0, 0, 0, 0)),
    ("log", 383, (TOP, 1, 0, 0, 0, 0, 0)),
    ("log", 750, (0, 0, 1, TOP, 0, 0, 0)),
    ("selfDestruct", 5_000, (TOP,)),
    ("create", 32_000, (TOP, 0, 0, 0)),
    ("create", 32_000, (AT_ZERO, TOP, 1, 0)),
    ("create2", 32_000, (TOP, 0, 0, 0, 0)),
    ("create2", 32_006, (AT_ZERO, TOP, 1, 0, 0)),
    ("create2", 32_000, (AT_ZERO, 0, 0, TOP, 0)),
):
    body = drop(name, *args)
    changes = name in ("storageStore", "log", "selfDestruct", "create", "create2")
    ORDER += [
        (body, {}, price - 1, Status.OUT_OF_GAS),
        (body, {}, price, Status.INVALID_MEMORY_ACCESS),
        (body, STATIC, price - 1, Status.OUT_OF_GAS),
        (body, STATIC, price, Status.STATIC_MODE_VIOLATION if changes else Status.INVALID_MEMORY_ACCESS),
    ]
ORDER += [
    # Five topics: paid first, then forbidden in a static frame, then too many.
    (op("log", 0, 0, 5, 0, 0, 0, 0), {}, 2_249, Status.OUT_OF_GAS),
    (op("log", 0, 0, 5, 0, 0, 0, 0), STATIC, 2_250, Status.STATIC_MODE_VIOLATION),
    (op("log", 0, 0, 5, 0, 0, 0, 0), {}, 2_250, Status.ARGUMENT_OUT_OF_RANGE),
    (op("log", 0, 0, TOP, 0, 0, 0, 0), {}, 375 * 2**32 - 1, Status.OUT_OF_GAS),
    (op("log", 0, 0, TOP, 0, 0, 0, 0), {}, 375 * 2**32, Status.ARGUMENT_OUT_OF_RANGE),
    (op("log", 0, TOP, 0, 0, 0, 0, 0), {}, 375 + 8 * TOP - 1, Status.OUT_OF_GAS),
    (op("log", 0, TOP, 0, 0, 0, 0, 0), {}, 375 + 8 * TOP, Status.INVALID_MEMORY_ACCESS),
    # A new slot: the greater price comes last.
    (op("storageStore", AT_EMPTY, AT_ONE), STATIC, 5_000, Status.STATIC_MODE_VIOLATION),
    (op("storageStore", AT_EMPTY, AT_ONE), {}, 19_999, Status.OUT_OF_GAS),
    (op("selfDestruct", AT_NOBODY), STATIC, 5_000, Status.STATIC_MODE_VIOLATION),
    (op("selfDestruct", AT_NOBODY), {}, 29_999, Status.OUT_OF_GAS),
    # finish and revert cost nothing.
    *((op(name, TOP, 0), {}, 0, Status.INVALID_MEMORY_ACCESS) for name in ("finish", "revert")),
    # Calls look at memory, gas and static mode before the 700, and then at what the value costs.
    *((drop(n, 0, TOP, AT_ZERO, 0, 0), {}, 0, Status.INVALID_MEMORY_ACCESS) for n in ("call", "callCode")),
    *((drop(n, 0, AT_OTHER, TOP, 0, 0), {}, 0, Status.INVALID_MEMORY_ACCESS) for n in ("call", "callCode")),
    *((drop(n, 0, AT_OTHER, AT_ZERO, TOP, 1), {}, 0, Status.INVALID_MEMORY_ACCESS) for n in ("call", "callCode")),
    *((drop(n, 0, TOP, 0, 0), {}, 0, Status.INVALID_MEMORY_ACCESS) for n in ("callDelegate", "callStatic")),
    *((drop(n, 0, AT_OTHER, TOP, 1), {}, 0, Status.INVALID_MEMORY_ACCESS) for n in ("callDelegate", "callStatic")),
    *((drop(n, 2**63, AT_OTHER, AT_ZERO, 0, 0), {}, 0, Status.ARGUMENT_OUT_OF_RANGE) for n in ("call", "callCode")),
    *(
        (drop(n, 2**64 - 1, AT_OTHER, 0, 0), {}, 0, Status.ARGUMENT_OUT_OF_RANGE)
        for n in ("callDelegate", "callStatic")
    ),
    (drop("call", 0, AT_OTHER, AT_FIVE, 0, 0), STATIC, 0, Status.STATIC_MODE_VIOLATION),
    (drop("callCode", 0, AT_OTHER, AT_FIVE, 0, 0), STATIC, 699, Status.OUT_OF_GAS),
    (drop("call", 0, AT_NOBODY, AT_FIVE, 0, 0), {}, 699, Status.OUT_OF_GAS),
    (drop("call", 0, AT_NOBODY, AT_FIVE, 0, 0), {}, 9_699, Status.OUT_OF_GAS),
    (drop("call", 0, AT_NOBODY, AT_FIVE, 0, 0), {}, 34_699, Status.OUT_OF_GAS),
    # A creation in a static frame is refused before anything of it is looked at; create2 is paid with its words.
    (drop("create", AT_FIVE, 0, 0, 0), STATIC, 31_999, Status.OUT_OF_GAS),
    (drop("create2", AT_FIVE, 0, 33, 0, 0), STATIC, 32_011, Status.OUT_OF_GAS),
    (drop("create2", AT_FIVE, 0, 33, 0, 0), STATIC, 32_012, Status.STATIC_MODE_VIOLATION),
    (op("useGas", 2**63), {}, 0, Status.ARGUMENT_OUT_OF_RANGE),
    (op("useGas", ALL_GAS), {}, GAS, Status.OUT_OF_GAS),
]


@pytest.mark.parametrize(("body", "options", "gas", "status"), ORDER)
def test_order_of_checks(
    run: Callable[..., Result], body: str, options: dict[str, Any], gas: int, status: Status
) -> None:
    host = scene()
    assert run(body, host, gas=gas, **options).status is status
    assert (host.calls, host.logs, host.destroyed) == ([], [], [])


# ---- Memory: ranges at the edge ----

FIXED: dict[str, tuple[Callable[[int], str], int]] = {
    "getAddress": (lambda o: op("getAddress", o), 20),
    "getCaller": (lambda o: op("getCaller", o), 20),
    "getTxOrigin": (lambda o: op("getTxOrigin", o), 20),
    "getBlockCoinbase": (lambda o: op("getBlockCoinbase", o), 20),
    "getCallValue": (lambda o: op("getCallValue", o), 16),
    "getTxGasPrice": (lambda o: op("getTxGasPrice", o), 16),
    "getChainId": (lambda o: op("getChainId", o), 16),
    "getBlockDifficulty": (lambda o: op("getBlockDifficulty", o), 32),
    "getBlockHash": (lambda o: drop("getBlockHash", 7, o), 32),
    "getExternalBalance address": (lambda o: op("getExternalBalance", o, 0), 20),
    "getExternalBalance result": (lambda o: op("getExternalBalance", 0, o), 16),
    "getExternalCodeSize": (lambda o: drop("getExternalCodeSize", o), 20),
    "externalCodeCopy address": (lambda o: op("externalCodeCopy", o, 0, 0, 0), 20),
    "storageLoad key": (lambda o: op("storageLoad", o, 0), 32),
    "storageLoad result": (lambda o: op("storageLoad", 0, o), 32),
    "storageStore key": (lambda o: op("storageStore", o, 0), 32),
    "storageStore value": (lambda o: op("storageStore", 0, o), 32),
    "log topic 1": (lambda o: op("log", 0, 0, 1, o, TOP, TOP, TOP), 32),
    "log topic 2": (lambda o: op("log", 0, 0, 2, 0, o, TOP, TOP), 32),
    "log topic 3": (lambda o: op("log", 0, 0, 3, 0, 0, o, TOP), 32),
    "log topic 4": (lambda o: op("log", 0, 0, 4, 0, 0, 0, o), 32),
    "selfDestruct": (lambda o: op("selfDestruct", o), 20),
    "call address": (lambda o: drop("call", 0, o, AT_ZERO, 0, 0), 20),
    "call value": (lambda o: drop("call", 0, 0, o, 0, 0), 16),
    "callCode address": (lambda o: drop("callCode", 0, o, AT_ZERO, 0, 0), 20),
    "callCode value": (lambda o: drop("callCode", 0, 0, o, 0, 0), 16),
    "callDelegate address": (lambda o: drop("callDelegate", 0, o, 0, 0), 20),
    "callStatic address": (lambda o: drop("callStatic", 0, o, 0, 0), 20),
    "create value": (lambda o: drop("create", o, 0, 0, 0), 16),
    "create result": (lambda o: drop("create", AT_ZERO, 0, 0, o), 20),
    "create2 value": (lambda o: drop("create2", o, 0, 0, 0, 0), 16),
    "create2 salt": (lambda o: drop("create2", AT_ZERO, 0, 0, o, 0), 32),
    "create2 result": (lambda o: drop("create2", AT_ZERO, 0, 0, 0, o), 20),
}


@pytest.mark.parametrize("what", FIXED)
def test_fixed_ranges(run: Callable[..., Result], what: str) -> None:
    body, size = FIXED[what]
    assert run(body(PAGE - size)).status is Status.SUCCESS
    for outside in (PAGE - size + 1, PAGE - 1, PAGE, 2**31, 2**32 - size, 2**32 - size + 1, TOP):
        assert run(body(outside)).status is Status.INVALID_MEMORY_ACCESS, outside


@pytest.mark.parametrize("what", ["getAddress", "getCallValue", "storageLoad result"])
def test_the_whole_of_a_grown_memory_counts(run: Callable[..., Result], what: str) -> None:
    body, size = FIXED[what]
    grow = "(drop (memory.grow (i32.const 1)))"
    assert run(grow + body(2 * PAGE - size)).status is Status.SUCCESS
    assert run(grow + body(2 * PAGE - size + 1)).status is Status.INVALID_MEMORY_ACCESS
    assert run(body(0), pages=0, data={}).status is Status.INVALID_MEMORY_ACCESS


RETURN_MUCH = drop("callStatic", 0, AT_OTHER, 0, 0)
VARIABLE: dict[str, Callable[[int, int], str]] = {
    "callDataCopy": lambda o, n: op("callDataCopy", o, 0, n),
    "codeCopy": lambda o, n: op("codeCopy", o, 0, n),
    "returnDataCopy": lambda o, n: RETURN_MUCH + op("returnDataCopy", o, 0, n),
    "externalCodeCopy": lambda o, n: op("externalCodeCopy", AT_OTHER, o, 0, n),
    "log": lambda o, n: op("log", o, n, 0, 0, 0, 0, 0),
    "finish": lambda o, n: op("finish", o, n),
    "revert": lambda o, n: op("revert", o, n),
}
UNUSED_WHERE_EMPTY: dict[str, Callable[[int, int], str]] = {
    "call": lambda o, n: drop("call", 0, AT_OTHER, AT_ZERO, o, n),
    "callCode": lambda o, n: drop("callCode", 0, AT_OTHER, AT_ZERO, o, n),
    "callDelegate": lambda o, n: drop("callDelegate", 0, AT_OTHER, o, n),
    "callStatic": lambda o, n: drop("callStatic", 0, AT_OTHER, o, n),
    "create": lambda o, n: drop("create", AT_ZERO, o, n, AT_FREE),
    "create2": lambda o, n: drop("create2", AT_ZERO, o, n, 0, AT_FREE),
}


@pytest.mark.parametrize("what", VARIABLE | UNUSED_WHERE_EMPTY)
def test_ranges_of_any_length(run: Callable[..., Result], what: str) -> None:
    body = (VARIABLE | UNUSED_WHERE_EMPTY)[what]
    host = scene(on_call=lambda m: replace(created(m), output=bytes(2 * PAGE)))
    host.accounts[OTHER].code = bytes(2 * PAGE)

    def status(offset: int, length: int) -> Status:
        code = contract(body(offset, length), data=MEMORY) + hostile.custom(b"fill", bytes(2 * PAGE))
        return run(code, host, input=bytes(2 * PAGE), gas=10**12).status

    for inside in ((0, 0), (0, 1), (PAGE - 1, 1), (1, PAGE - 1), (0, PAGE), (PAGE, 0)):
        assert status(*inside) in OK, inside
    for outside in ((PAGE, 1), (PAGE - 1, 2), (0, PAGE + 1), (1, PAGE), (TOP, 1), (TOP, 2), (1, TOP), (TOP, TOP)):
        assert status(*outside) is Status.INVALID_MEMORY_ACCESS, outside
    for empty in ((PAGE + 1, 0), (2**31, 0), (TOP, 0)):
        if what in UNUSED_WHERE_EMPTY:
            assert status(*empty) in OK, empty
        else:
            assert status(*empty) is Status.INVALID_MEMORY_ACCESS, empty


SOURCES: dict[str, Callable[[int, int], str]] = {
    "callDataCopy": lambda o, n: op("callDataCopy", AT_FREE, o, n),
    "returnDataCopy": lambda o, n: RETURN_MUCH + op("returnDataCopy", AT_FREE, o, n),
    "externalCodeCopy": lambda o, n: op("externalCodeCopy", AT_OTHER, AT_FREE, o, n),
    "codeCopy": lambda o, n: op("codeCopy", AT_FREE, o, n),
}


@pytest.mark.parametrize("what", SOURCES)
def test_copies_never_go_past_the_end_of_their_source(run: Callable[..., Result], what: str) -> None:
    size = 1_000
    given = bytes(n % 251 + 1 for n in range(size))
    host = scene(on_call=lambda m: Result(Status.SUCCESS, m.gas, given))
    host.accounts[OTHER].code = given

    def copied(offset: int, length: int) -> tuple[Result, bytes]:
        code = contract(SOURCES[what](offset, length) + finish(AT_FREE, size), data=MEMORY)
        room = size - len(code) - 6
        code += b"\0" + hostile.padded(room, 5) + b"\0" + given[: room - 1]
        return run(code, host, input=given, gas=10**12), code if what == "codeCopy" else given

    for offset, length in ((0, 0), (0, 1), (0, size), (1, size - 1), (999, 1), (990, 10), (size, 0)):
        result, source = copied(offset, length)
        assert result.output == source[offset : offset + length].ljust(size, b"\0")
    for outside in (
        (size, 1),
        (999, 2),
        (size + 1, 0),
        (0, size + 1),
        (0, TOP),
        (TOP, 0),
        (TOP, 1),
        (TOP, 2),
        (TOP, TOP),
    ):
        assert copied(*outside)[0].status is Status.INVALID_MEMORY_ACCESS, outside


# ---- What the functions give ----

# Where each writes at the very end of the memory (sizes from the published table; amounts little-endian).
WRITTEN = {
    "getAddress": (lambda o: op("getAddress", o), bytes(SELF)),
    "getCaller": (lambda o: op("getCaller", o), bytes(CALLER)),
    "getTxOrigin": (lambda o: op("getTxOrigin", o), bytes(CONTEXT.origin)),
    "getBlockCoinbase": (lambda o: op("getBlockCoinbase", o), bytes(CONTEXT.coinbase)),
    "getCallValue": (lambda o: op("getCallValue", o), bytes.fromhex("efcdab8967452301000000000000ad0b")),
    "getTxGasPrice": (lambda o: op("getTxGasPrice", o), bytes.fromhex("100f0e0d0c0b0a090807060504030201")),
    "getChainId": (lambda o: op("getChainId", o), bytes(range(16))),
    "getBlockDifficulty": (lambda o: op("getBlockDifficulty", o), bytes(range(32, 0, -1))),
    "getBlockHash": (lambda o: drop("getBlockHash", 7, o), bytes(HASH)),
    "getExternalBalance": (lambda o: op("getExternalBalance", AT_OTHER, o), bytes.fromhex("efcdab").ljust(16, b"\0")),
    "getExternalBalance of nobody": (lambda o: op("getExternalBalance", AT_NOBODY, o), bytes(16)),
    "storageLoad": (lambda o: op("storageLoad", AT_FULL, o), bytes(ONE_VALUE)),
    "storageLoad of nothing": (lambda o: op("storageLoad", AT_EMPTY, o), bytes(32)),
    "callDataCopy": (lambda o: op("callDataCopy", o, 10, 40), bytes(range(10, 50))),
    "externalCodeCopy": (lambda o: op("externalCodeCopy", AT_OTHER, o, 100, 40), bytes(range(100, 140))),
    "create": (lambda o: drop("create", AT_ZERO, 0, 0, o), bytes(NEW)),
    "create2": (lambda o: drop("create2", AT_ZERO, 0, 0, 0, o), bytes(NEW)),
}


@pytest.mark.parametrize("what", WRITTEN)
def test_what_is_written_and_nothing_beside_it(run: Callable[..., Result], what: str) -> None:
    body, expected = WRITTEN[what]
    at = PAGE - len(expected) - 32
    frame = b"\xee" * 32
    around = {at - 32: frame + b"\xee" * len(expected) + frame}
    value = U256(0x0BAD0000000000000123456789ABCDEF)
    result = run(body(at) + finish(at - 32, len(expected) + 64), value=value, data=MEMORY | around)
    assert result.output == frame + expected + frame


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("getBlockNumber", (), CONTEXT.number),
        ("getBlockTimestamp", (), CONTEXT.timestamp),
        ("getBlockGasLimit", (), CONTEXT.gas_limit),
        ("getCallDataSize", (), len(CALL_DATA)),
        ("getReturnDataSize", (), 0),
        ("getExternalCodeSize", (AT_OTHER,), 200),
        ("getExternalCodeSize", (AT_NOBODY,), 0),
        ("getBlockHash", (7, AT_FREE), 0),
        ("getBlockHash", (8, AT_FREE), 1),
        ("getBlockHash", (2**64 - 1, AT_FREE), 1),
    ],
)
def test_what_is_returned(run: Callable[..., Result], name: str, args: tuple[int, ...], expected: int) -> None:
    assert number(run(answer(name, *args) + finish()).output) == expected


def test_code_size_is_that_of_the_running_code(run: Callable[..., Result]) -> None:
    code = contract(answer("getCodeSize") + finish())
    host = scene()
    host.accounts[SELF].code = b"what the account has is not asked for"
    assert number(run(code, host).output) == len(code)


def test_a_block_that_is_not_found_leaves_memory_alone(run: Callable[..., Result]) -> None:
    assert run(drop("getBlockHash", 8, AT_ONE) + finish(AT_ONE, 32)).output == ONE_VALUE
    assert run(drop("getBlockHash", 8, TOP)).status is Status.SUCCESS


def test_the_block_is_asked_for_by_an_unsigned_number(run: Callable[..., Result]) -> None:
    host = scene(block_hashes={2**64 - 1: HASH})
    assert run(drop("getBlockHash", 2**64 - 1, AT_FREE) + finish(AT_FREE, 32), host).output == HASH


def test_storage(run: Callable[..., Result]) -> None:
    host = scene()
    assert (
        run(op("storageStore", AT_EMPTY, AT_ANOTHER) + op("storageStore", AT_FULL, AT_ZERO), host).gas_left
        == GAS - 25_000
    )
    assert host.accounts[SELF].storage == {EMPTY_SLOT: OTHER_VALUE, FULL_SLOT: Bytes32(bytes(32))}
    assert list(host.accounts) == list(scene().accounts)


def test_the_address_is_the_recipients(run: Callable[..., Result]) -> None:
    assert run(op("getAddress", AT_FREE) + finish(AT_FREE, 20), code_address=OTHER).output == SELF


def test_storage_is_the_recipients(run: Callable[..., Result]) -> None:
    host = scene()
    run(op("storageStore", AT_EMPTY, AT_ANOTHER), host, code_address=OTHER)
    assert host.accounts[SELF].storage[EMPTY_SLOT] == OTHER_VALUE
    assert host.accounts[OTHER].storage == {}


@pytest.mark.parametrize(("name", "status"), [("finish", Status.SUCCESS), ("revert", Status.REVERT)])
def test_an_end_with_output(run: Callable[..., Result], name: str, status: Status) -> None:
    result = run(op(name, AT_ONE, 32) + "unreachable")
    assert (result.status, result.output, result.gas_left) == (status, ONE_VALUE, GAS)
    assert run(op(name, PAGE - 1, 1)).output == b"\0"
    assert run(op(name, PAGE, 0)).output == b""


# ---- 128 bits ----


@pytest.mark.parametrize("name", ["getCallValue", "getTxGasPrice", "getExternalBalance", "getChainId"])
def test_amounts_of_more_than_128_bits_end_the_run(run: Callable[..., Result], name: str) -> None:
    body = op(name, AT_OTHER, AT_FREE) if name == "getExternalBalance" else op(name, AT_FREE)
    for amount, fits in ((2**128 - 1, True), (2**128, False), (2**256 - 1, False)):
        value = U256(amount)
        host = scene(tx_context=TxContext(gas_price=value, chain_id=value))
        host.accounts[OTHER].balance = value
        result = run(body + finish(AT_FREE, 16), host, value=value)
        if fits:
            assert result.output == b"\xff" * 16
        else:
            assert result.status is Status.ARGUMENT_OUT_OF_RANGE


def test_calls_from_an_account_of_more_than_128_bits(run: Callable[..., Result]) -> None:
    rich = 2**128
    for name in ("call", "callCode"):
        assert run(drop(name, 0, AT_OTHER, AT_FIVE, 0, 0), scene(rich)).status is Status.ARGUMENT_OUT_OF_RANGE
        assert run(drop(name, 0, AT_OTHER, AT_ZERO, 0, 0), scene(rich)).status is Status.SUCCESS
        assert run(drop(name, 0, AT_OTHER, AT_FIVE, 0, 0), scene(rich - 1)).status is Status.SUCCESS
    for name in ("callDelegate", "callStatic"):
        host = scene(rich)
        assert run(drop(name, 0, AT_OTHER, 0, 0), host, value=U256(rich)).status is Status.SUCCESS
        assert host.calls[0].value == (rich if name == "callDelegate" else 0)


def test_creations_from_an_account_of_more_than_128_bits(run: Callable[..., Result]) -> None:
    for amount in (AT_ZERO, AT_FIVE):
        for body in (drop("create", amount, 0, 0, AT_FREE), drop("create2", amount, 0, 0, 0, AT_FREE)):
            assert run(body, scene(2**128)).status is Status.ARGUMENT_OUT_OF_RANGE
            assert run(body, scene(2**128 - 1)).status is Status.SUCCESS


# ---- Gas ----


def test_use_gas(run: Callable[..., Result]) -> None:
    assert run(op("useGas", GAS)) == Result(Status.SUCCESS, 0)
    assert run(op("useGas", GAS + 1)).status is Status.OUT_OF_GAS
    assert run(op("useGas", ALL_GAS)).status is Status.OUT_OF_GAS
    for negative in (2**63, 2**64 - 1):
        assert run(op("useGas", negative)).status is Status.ARGUMENT_OUT_OF_RANGE


def test_gas_left_is_exact(run: Callable[..., Result]) -> None:
    assert number(run(answer("getGasLeft") + finish()).output) == GAS - 2
    assert number(run(op("useGas", 1_000) + answer("getGasLeft") + finish()).output) == GAS - 1_002
    twice = answer("getGasLeft", at=0) + answer("getGasLeft", at=8) + finish(0, 16)
    assert run(twice, gas=4).output == (2).to_bytes(8, "little") + bytes(8)
    assert run(answer("getGasLeft") + finish(), gas=2).output == bytes(8)


def test_gas_left_is_rounded_down(run: Callable[..., Result]) -> None:
    # Under the default prices, before each time: i32.const 1, call 90 particles; i64.store 120 after. So 91 particles
    # and 2 gas before the first answer, 20,000 + 91 + 120 + 91 (a rest of 302 particles of 10,000) before the second.
    body = answer("getGasLeft", at=0) + answer("getGasLeft", at=8) + finish(0, 16)
    result = run(body, ruleset=EWASM)
    assert result.output == (GAS - 3).to_bytes(8, "little") + (GAS - 5).to_bytes(8, "little")
    assert result.gas_left == GAS - 5


# ---- Logs ----


@pytest.mark.parametrize("count", range(5))
def test_log(run: Callable[..., Result], count: int) -> None:
    host = scene()
    topics = (ONE_VALUE, OTHER_VALUE, SALT, FULL_SLOT)[:count]
    offsets = [AT_ONE, AT_ANOTHER, AT_SALT, AT_FULL][:count] + [TOP] * (4 - count)  # the rest is not looked at
    run(op("log", AT_TEXT, 9, count, *offsets), host, code_address=OTHER)
    assert host.logs == [Log(SELF, topics, b"some text")]


def test_logs_in_order(run: Callable[..., Result]) -> None:
    host = scene()
    run(op("log", PAGE, 0, 0, 0, 0, 0, 0) + op("log", AT_TEXT, 4, 2, AT_ONE, AT_ONE, 0, 0), host)
    assert host.logs == [Log(SELF, (), b""), Log(SELF, (ONE_VALUE, ONE_VALUE), b"some")]


@pytest.mark.parametrize("count", [5, 6, 2**31, TOP])
def test_too_many_topics(run: Callable[..., Result], count: int) -> None:
    host = scene()
    assert run(op("log", 0, 0, count, 0, 0, 0, 0), host, gas=10**13).status is Status.ARGUMENT_OUT_OF_RANGE
    assert host.logs == []


# ---- Static frames ----


@pytest.mark.parametrize(("body", "price"), [*PRICES, *VALUE_PRICES])
def test_a_static_frame_must_not_change_state(run: Callable[..., Result], body: str, price: int) -> None:
    changes = any(f"(call ${name} " in body for name in ("storageStore", "log", "create", "create2", "selfDestruct"))
    changes |= (body, price) in VALUE_PRICES and "(call $call " in body
    host = scene()
    result = run(body, host, is_static=True)
    assert (result.status is Status.STATIC_MODE_VIOLATION) == changes
    assert changes or result.status in OK
    if changes:
        untouched = scene()
        assert (host.calls, host.logs, host.destroyed) == ([], [], [])
        assert host.accounts == untouched.accounts


# ---- Calls: the message ----

FIVE = U256(5)
WHOLE = {"gas": 100_000, "value": U256(77)}
CALLS: dict[str, tuple[str, Message]] = {
    "call": (
        drop("call", 5_000, AT_OTHER, AT_FIVE, AT_TEXT, 9),
        Message(
            kind=CallKind.CALL,
            depth=8,
            gas=5_000 + STIPEND,
            recipient=OTHER,
            sender=SELF,
            input=b"some text",
            value=FIVE,
            code_address=OTHER,
        ),
    ),
    "call without value": (
        drop("call", 5_000, AT_OTHER, AT_ZERO, AT_TEXT, 9),
        Message(depth=8, gas=5_000, recipient=OTHER, sender=SELF, input=b"some text", code_address=OTHER),
    ),
    "callCode": (
        drop("callCode", 5_000, AT_OTHER, AT_FIVE, AT_TEXT, 9),
        Message(
            kind=CallKind.CALLCODE,
            depth=8,
            gas=5_000 + STIPEND,
            recipient=SELF,
            sender=SELF,
            input=b"some text",
            value=FIVE,
            code_address=OTHER,
        ),
    ),
    "callCode without value": (
        drop("callCode", 5_000, AT_OTHER, AT_ZERO, TOP, 0),
        Message(kind=CallKind.CALLCODE, depth=8, gas=5_000, recipient=SELF, sender=SELF, code_address=OTHER),
    ),
    # The caller's caller and value; no stipend, whatever the value.
    "callDelegate": (
        drop("callDelegate", 5_000, AT_OTHER, AT_TEXT, 9),
        Message(
            kind=CallKind.DELEGATECALL,
            depth=8,
            gas=5_000,
            recipient=SELF,
            sender=CALLER,
            input=b"some text",
            value=U256(77),
            code_address=OTHER,
        ),
    ),
    "callStatic": (
        drop("callStatic", 5_000, AT_OTHER, AT_TEXT, 9),
        Message(
            is_static=True,
            depth=8,
            gas=5_000,
            recipient=OTHER,
            sender=SELF,
            input=b"some text",
            code_address=OTHER,
        ),
    ),
}


@pytest.mark.parametrize("what", CALLS)
def test_messages_of_calls(run: Callable[..., Result], what: str) -> None:
    body, expected = CALLS[what]
    host = scene()
    assert run(body, host, depth=7, code_address=NOBODY, **WHOLE).status is Status.SUCCESS
    assert host.calls == [expected]


@pytest.mark.parametrize("what", [what for what in CALLS if what != "call"])
def test_static_mode_is_handed_down(run: Callable[..., Result], what: str) -> None:
    body, expected = CALLS[what]
    host = scene()
    assert run(body, host, depth=7, is_static=True, **WHOLE).status is Status.SUCCESS
    assert host.calls == [replace(expected, is_static=True)]


@pytest.mark.parametrize("left", [0, 1, 63, 64, 65, 127, 128, 129, 6_399, 6_400, 10**9 + 7])
def test_all_but_a_64th_can_be_handed_down(run: Callable[..., Result], left: int) -> None:
    most = left - left // 64
    for name, price, value, extra in (
        ("call", 700, (AT_ZERO,), 0),
        ("call", 9_700, (AT_FIVE,), STIPEND),
        ("callCode", 700, (AT_ZERO,), 0),
        ("callCode", 9_700, (AT_FIVE,), STIPEND),
        ("callDelegate", 700, (), 0),
        ("callStatic", 700, (), 0),
    ):
        for requested in {0, 1, max(0, most - 1), most, most + 1, left, ALL_GAS}:
            host = scene(on_call=answering(Result(Status.FAILURE)))
            result = run(drop(name, requested, AT_OTHER, *value, 0, 0), host, gas=price + left)
            forwarded = min(requested, most)
            assert host.calls[0].gas == forwarded + extra
            assert result == Result(Status.SUCCESS, left - forwarded)


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.REVERT])
def test_what_the_callee_leaves_is_given_back(run: Callable[..., Result], status: Status) -> None:
    for name, price, value, most in (
        ("call", 700, (AT_ZERO,), 5_000),
        ("call", 9_700, (AT_FIVE,), 7_300),
        ("callCode", 9_700, (AT_FIVE,), 7_300),
        ("callDelegate", 700, (), 5_000),
        ("callStatic", 700, (), 5_000),
    ):
        for left in (0, 1, most):
            host = scene(on_call=answering(Result(status, left)))
            result = run(drop(name, 5_000, AT_OTHER, *value, 0, 0), host)
            assert result.gas_left == GAS - price - 5_000 + left


CALL_FORMS = [
    ("call", (0, AT_OTHER, AT_ZERO, 0, 0)),
    ("callCode", (0, AT_OTHER, AT_ZERO, 0, 0)),
    ("callDelegate", (0, AT_OTHER, 0, 0)),
    ("callStatic", (0, AT_OTHER, 0, 0)),
    ("create", (AT_ZERO, 0, 0, AT_FREE)),
    ("create2", (AT_ZERO, 0, 0, 0, AT_FREE)),
]


@pytest.mark.parametrize(("name", "args"), CALL_FORMS)
def test_answers(run: Callable[..., Result], name: str, args: tuple[int, ...]) -> None:
    body = answer(name, *args) + finish()
    for status in Status:
        host = scene(on_call=answering(Result(status, created=NEW if status is Status.SUCCESS else None)))
        expected = {Status.SUCCESS: 0, Status.REVERT: 2}.get(status, 1)
        assert number(run(body, host).output) == expected, status


# ---- Calls: what is in the way ----


@pytest.mark.parametrize(("name", "args"), CALL_FORMS)
def test_the_depth_limit(run: Callable[..., Result], name: str, args: tuple[int, ...]) -> None:
    price = 32_000 if name.startswith("create") else 700
    host = scene()
    body = answer(name, *args) + finish()
    last = run(body, host, depth=MAX_DEPTH - 1)
    assert (number(last.output), last.gas_left) == (0, GAS - price)
    assert [m.depth for m in host.calls] == [MAX_DEPTH]
    host.calls.clear()
    deeper = run(body, host, depth=MAX_DEPTH)
    assert (number(deeper.output), deeper.gas_left) == (1, GAS - price)
    assert host.calls == []


@pytest.mark.parametrize("name", ["call", "callCode"])
def test_at_the_depth_limit_value_is_not_paid_for(run: Callable[..., Result], name: str) -> None:
    host = scene(on_call=answering(Result(Status.FAILURE)))
    result = run(answer(name, 0, AT_NOBODY, AT_FIVE, 0, 0) + finish(), host, depth=MAX_DEPTH)
    assert (number(result.output), result.gas_left, host.calls) == (1, GAS - 700, [])


@pytest.mark.parametrize("name", ["call", "callCode"])
def test_too_small_a_balance_for_a_call(run: Callable[..., Result], name: str) -> None:
    body = answer(name, 5_000, AT_NOBODY, AT_FIVE, 0, 0) + finish()
    host = scene(4)
    result = run(body, host)
    assert (number(result.output), result.gas_left, host.calls) == (1, GAS - 9_700, [])
    assert number(run(body, scene(5)).output) == 0


@pytest.mark.parametrize("name", ["create", "create2"])
def test_too_small_a_balance_for_a_creation(run: Callable[..., Result], name: str) -> None:
    args = (AT_FIVE, 0, 0, AT_ONE) if name == "create" else (AT_FIVE, 0, 0, AT_SALT, AT_ONE)
    host = scene(4)
    result = run(answer(name, *args) + finish(), host)
    assert (number(result.output), result.gas_left, host.calls) == (1, GAS - 32_000, [])
    assert number(run(answer(name, *args) + finish(), scene(5)).output) == 0


def test_the_fees_of_a_creation_that_cannot_be_paid(run: Callable[..., Result]) -> None:
    result = run(answer("create", AT_FIVE, 0, 33, AT_ONE) + finish(), scene(4), ruleset=HERA)
    assert (number(result.output), result.gas_left) == (1, GAS - 32_000)


def test_the_running_account_pays(run: Callable[..., Result]) -> None:
    host = scene(0)
    host.accounts[OTHER].balance = U256(100)
    host.accounts[CALLER].balance = U256(100)
    body = answer("call", 0, AT_OTHER, AT_FIVE, 0, 0) + finish()
    assert number(run(body, host, code_address=OTHER).output) == 1
    assert number(run(body, host, recipient=OTHER).output) == 0


# ---- Return data ----

GIVES = drop("callStatic", 0, AT_NOBODY, 0, 0)  # answered with "before"
KEPT = answer("getReturnDataSize") + op("returnDataCopy", AT_FREE, 0, "(i32.load (i32.const 65280))")


def with_return_data(run: Callable[..., Result], body: str, answered: Result, balance: int = 10) -> bytes:
    """Return what there is as return data after a body that runs when there was some before."""
    before = Result(Status.SUCCESS, 0, b"before")
    host = scene(balance, on_call=lambda m: before if m.code_address == NOBODY else answered)
    result = run(GIVES + body + KEPT + finish(0xFF00, 8), host)
    size = number(result.output)
    result = run(GIVES + body + KEPT + finish(AT_FREE, size), host)
    assert result.status is Status.SUCCESS
    return result.output


@pytest.mark.parametrize(("name", "args"), CALL_FORMS)
def test_return_data(run: Callable[..., Result], name: str, args: tuple[int, ...]) -> None:
    body = drop(name, *args)
    is_create = name.startswith("create")
    for answered, expected in (
        (Result(Status.SUCCESS, 0, b"given", NEW), b"" if is_create else b"given"),
        (Result(Status.SUCCESS, 0, b"", NEW), b""),
        (Result(Status.REVERT, 0, b"reason"), b"reason"),
        (Result(Status.REVERT), b""),
        (Result(Status.OUT_OF_GAS), b""),
        (Result(Status.WASM_TRAP), b""),
    ):
        assert with_return_data(run, body, answered) == expected, answered


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("call", (0, AT_OTHER, AT_FIVE, 0, 0)),
        ("callCode", (0, AT_OTHER, AT_FIVE, 0, 0)),
        ("create", (AT_FIVE, 0, 0, AT_FREE)),
        ("create2", (AT_FIVE, 0, 0, 0, AT_FREE)),
    ],
)
def test_return_data_stays_when_the_balance_is_too_small(
    run: Callable[..., Result], name: str, args: tuple[int, ...]
) -> None:
    assert with_return_data(run, drop(name, *args), Result(Status.REVERT, 0, b"after"), 4) == b"before"
    assert with_return_data(run, drop(name, *args), Result(Status.REVERT, 0, b"after"), 5) == b"after"


def test_other_functions_leave_return_data_alone(run: Callable[..., Result]) -> None:
    others = op("storageLoad", AT_FULL, 0) + op("log", 0, 0, 0, 0, 0, 0, 0) + op("callDataCopy", AT_FREE, 0, 100)
    assert with_return_data(run, others, Result(Status.SUCCESS)) == b"before"


# ---- Creations ----


@pytest.mark.parametrize("name", ["create", "create2"])
def test_messages_of_creations(run: Callable[..., Result], name: str) -> None:
    args = (AT_FIVE, AT_TEXT, 9, AT_FREE) if name == "create" else (AT_FIVE, AT_TEXT, 9, AT_SALT, AT_FREE)
    host = scene()
    result = run(answer(name, *args) + op("finish", AT_FREE, 21), host, depth=7, code_address=NOBODY, value=U256(77))
    assert result.output == NEW + b"\0"
    left = GAS - 32_000 - 9 * 20 - (6 if name == "create2" else 0)
    assert host.calls == [
        Message(
            kind=CallKind.CREATE if name == "create" else CallKind.CREATE2,
            depth=8,
            gas=left - left // 64,
            sender=SELF,
            input=b"some text",
            value=FIVE,
            salt=Bytes32(bytes(32)) if name == "create" else SALT,
            recipient=Address(bytes(20)),
            code_address=Address(bytes(20)),
        )
    ]


@pytest.mark.parametrize("name", ["create", "create2"])
def test_what_a_creation_leaves_is_given_back(run: Callable[..., Result], name: str) -> None:
    args = (AT_ZERO, 0, 0, AT_FREE) if name == "create" else (AT_ZERO, 0, 0, 0, AT_FREE)
    for gas in (32_000, 32_063, 32_064, 1_000_000):
        left = gas - 32_000
        for status, back in (
            (Status.SUCCESS, 0),
            (Status.SUCCESS, left // 3),
            (Status.REVERT, left // 3),
            (Status.FAILURE, 0),
        ):
            given = Result(status, back, created=NEW if status is Status.SUCCESS else None)
            result = run(drop(name, *args), scene(on_call=answering(given)), gas=gas)
            assert result == Result(Status.SUCCESS, left // 64 + back)


@pytest.mark.parametrize("name", ["create", "create2"])
@pytest.mark.parametrize("status", [Status.REVERT, Status.FAILURE, Status.OUT_OF_GAS])
def test_the_address_is_written_after_success_only(run: Callable[..., Result], name: str, status: Status) -> None:
    def args(at: int) -> tuple[int, ...]:
        return (AT_ZERO, 0, 0, at) if name == "create" else (AT_ZERO, 0, 0, 0, at)

    host = scene(on_call=answering(Result(status)))
    assert run(drop(name, *args(AT_ONE)) + finish(AT_ONE, 32), host).output == ONE_VALUE
    assert run(drop(name, *args(TOP)), host).status is Status.SUCCESS
    assert run(drop(name, *args(TOP))).status is Status.INVALID_MEMORY_ACCESS
    assert run(drop(name, *args(TOP)), depth=MAX_DEPTH).status is Status.SUCCESS


@pytest.mark.parametrize("name", ["create", "create2"])
def test_the_bound_of_init_code(run: Callable[..., Result], name: str) -> None:
    bound = 262_144

    def body(length: int) -> str:
        return drop(name, AT_ZERO, 0, length, *(() if name == "create" else (AT_SALT,)), AT_FREE)

    host = scene()
    price = 32_000 + 20 * bound + (0 if name == "create" else 6 * bound // 32)
    result = run(body(bound), host, pages=5)
    assert (result.status, result.gas_left) == (Status.SUCCESS, GAS - price)
    assert len(host.calls[0].input) == bound
    host.calls.clear()
    assert run(body(bound + 1), host, pages=5, gas=10**12).status is Status.OUT_OF_GAS
    assert run(body(bound), host, pages=5, gas=price - 1).status is Status.OUT_OF_GAS
    assert host.calls == []
    assert run(body(bound + 1), host, pages=5, ruleset=SSVM).status is Status.SUCCESS


# ---- Self-destruction ----


def test_self_destruct(run: Callable[..., Result]) -> None:
    for offset, heir, price in ((AT_OTHER, OTHER, 5_000), (AT_NOBODY, NOBODY, 30_000)):
        for balance in (0, 10):
            host = scene(balance)
            result = run(op("selfDestruct", offset) + "unreachable", host, code_address=OTHER)
            assert result == Result(Status.SUCCESS, GAS - price)
            assert host.destroyed == [(SELF, heir)]


def test_self_destruct_to_itself(run: Callable[..., Result]) -> None:
    host = scene()
    assert run(op("getAddress", 0) + op("selfDestruct", 0), host) == Result(Status.SUCCESS, GAS - 5_002)
    assert host.destroyed == [(SELF, SELF)]


def test_self_destruct_leaves_no_output(run: Callable[..., Result]) -> None:
    host = scene(on_call=answering(Result(Status.SUCCESS, 0, b"return data")))
    assert run(GIVES + op("selfDestruct", AT_OTHER), host).output == b""


# ---- Debugging ----

PRINTED = [
    (op("print32", 0), ["0"]),
    (op("print32", 0x89ABCDEF), ["2309737967", "89abcdef"]),
    (op("print64", 0x0123456789ABCDEF), ["81985529216486895", "0123456789abcdef"]),
    (op("printMem", AT_TEXT, 9), ["some text"]),
    (op("printMem", PAGE, 0), []),
    (op("printMemHex", AT_ONE, 32), [ONE_VALUE.hex()]),
    (op("printStorage", AT_FULL), [str(int.from_bytes(ONE_VALUE))]),
    (op("printStorage", AT_EMPTY), ["0"]),
    (op("printStorageHex", AT_FULL), [ONE_VALUE.hex()]),
    (op("printStorageHex", AT_EMPTY), ["00" * 32]),
]


@pytest.mark.parametrize(("body", "texts"), PRINTED)
def test_debug_functions_print_and_cost_nothing(
    run: Callable[..., Result], bench: Bench, body: str, texts: list[str]
) -> None:
    assert run(body, debug=True, gas=0) == Result(Status.SUCCESS)
    assert len(bench.printed) == 1
    assert all(text in bench.printed[0] for text in texts)
    assert run(body, debug=True, is_static=True).gas_left == GAS


@pytest.mark.parametrize("body", [body for body, _ in PRINTED])
def test_debug_functions_exist_in_debugging_runs_only(run: Callable[..., Result], bench: Bench, body: str) -> None:
    assert run(body).status is Status.CONTRACT_VALIDATION_FAILURE
    assert bench.printed == []


def test_printed_text_has_no_control_characters(run: Callable[..., Result], bench: Bench) -> None:
    text = b"\x1b[31mred\x00\xff\xfe\x80 \xe2\x80\xae end"
    assert run(op("printMem", 0, len(text)), debug=True, data={0: text}).status is Status.SUCCESS
    assert not [c for c in bench.printed[0] if not c.isprintable()]
    assert "red" in bench.printed[0]


DEBUG_RANGES: dict[str, tuple[Callable[[int, int], str], int | None]] = {
    "printMem": (lambda o, n: op("printMem", o, n), None),
    "printMemHex": (lambda o, n: op("printMemHex", o, n), None),
    "printStorage": (lambda o, _: op("printStorage", o), 32),
    "printStorageHex": (lambda o, _: op("printStorageHex", o), 32),
}


@pytest.mark.parametrize("what", DEBUG_RANGES)
def test_debug_functions_look_inside_memory_only(run: Callable[..., Result], what: str) -> None:
    body, size = DEBUG_RANGES[what]
    for length in (size,) if size else (0, 1, PAGE):
        assert run(body(PAGE - length, length), debug=True).status is Status.SUCCESS
        for outside in (PAGE - length + 1, 2**32 - length if length else TOP, TOP):
            assert run(body(outside, length), debug=True).status is Status.INVALID_MEMORY_ACCESS


# ---- Reasons ----


@pytest.mark.parametrize(
    ("body", "options", "kind"),
    [
        (op("useGas", 2**63), {}, ArgumentOutOfRange),
        (op("log", 0, 0, 5, 0, 0, 0, 0), {}, ArgumentOutOfRange),
        (op("storageStore", 0, 0), STATIC, StaticModeViolation),
        (op("useGas", GAS + 1), {}, OutOfGas),
    ],
)
def test_reasons(
    run: Callable[..., Result], bench: Bench, body: str, options: dict[str, Any], kind: type[Exception]
) -> None:
    run(body, **options)
    assert [type(reason) for reason in bench.reasons] == [kind]
