"""Calibration: what instructions and host functions take on this machine, held against what they cost.

Instructions are run by the programs of `gas.programs`, host functions by those below, all as contracts through the
virtual machine, over a state in memory. A rate, gas for a microsecond, says what a price should be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import quantiles
from time import perf_counter_ns
from typing import Final

from evmc import U256, Address, Bytes32, Message, Status
from ewasm.cache import CodeCache
from ewasm.eei import EEI
from ewasm.ruleset import Ruleset
from ewasm.system import system_contracts
from ewasm.threads import on_fresh_thread
from ewasm.vm import EwasmVM
from gas.meter import PARTICLES
from gas.programs import INPUT, UNROLLED, call_data, executed, loop, programs
from gas.schedule import Schedule
from node import defaults
from node.host import NodeHost
from state import Database, GenesisAccount, Journal, WorldState
from wasm.engine import Engine
from wasm.text import assemble

RATE: Final = 10.0
"""Gas for a microsecond: the Ewasm design's own, 10 million gas for a second."""

ROUNDS: Final = 7
"""How often each program is timed; medians are taken."""

FLOOR: Final = 0.02
"""Nanoseconds below which nothing was measured: a tenth of a cycle or so."""

GAS: Final = 1 << 48
_WEIGHT: Final = 4
"""Share of the time of a program with a large memory: it spends most of it on making the memory."""

_CONTRACT, _CALLEE = (Address.from_int(number) for number in (0xC0DE, 0xCA11))
_KEY: Final = Bytes32.from_int(1)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one instruction or host function takes (nanoseconds, and half their interquartile range) and costs.

    `name` may tell a variant behind a comma, `of` is the instruction or function alone; `particles` are its own price,
    of a host function what is charged for a call of it, the instruction `call` included.
    """

    kind: str
    name: str
    nanoseconds: float
    spread: float
    particles: float

    @property
    def of(self) -> str:
        """The instruction or host function, without the variant."""
        return self.name.partition(",")[0]

    @property
    def rate(self) -> float | None:
        """Gas for a microsecond; None where the time is too short to measure."""
        return None if self.nanoseconds < FLOOR else self.particles / self.nanoseconds * (1_000 / PARTICLES)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two contracts whose difference is measured `units` times an iteration.

    `charged` is what that difference costs by instructions that are not to be counted, and `counted` by those that are,
    in particles for a unit; what is charged beyond both is a host function's. `weight` is its share of the time.
    """

    kind: str
    name: str
    code: bytes
    reference: bytes
    units: int
    charged: float
    counted: float
    weight: int = 1


# Host functions: what stands before the call, the arguments, and what becomes of a result. Where an answer could be
# remembered, each call asks for something else. `field` is the price in the ruleset that the function follows.


@dataclass(frozen=True, slots=True)
class HostCall:
    """How a host function is called to be measured, and the field of `HostPrices` that its price follows."""

    arguments: str
    field: str | None = "base"
    before: str = ""
    variant: str = ""


def _words(*numbers: int) -> str:
    return " ".join(f"i32.const {number}" for number in numbers)


_ZERO, _ADDRESS, _SLOT, _CALLED, _FIXED, _RESULT = 1024, 1152, 1216, 1280, 1344, 2048
_FRESH_ADDRESS: Final = f"i32.const {_ADDRESS} local.get $n i32.store"
_FRESH_SLOT: Final = f"i32.const {_SLOT} local.get $n i32.store"
_GAS_ARGUMENT: Final = "i64.const 1000 "

HOST_CALLS: Final[Mapping[str, tuple[HostCall, ...]]] = {
    "useGas": (HostCall("i64.const 0", None),),
    **dict.fromkeys(
        "getGasLeft getCallDataSize getCodeSize getReturnDataSize getBlockGasLimit getBlockNumber getBlockTimestamp".split(),  # noqa: E501, SIM905  # one row
        (HostCall(""),),
    ),
    **dict.fromkeys(
        "getAddress getCaller getCallValue getTxOrigin getTxGasPrice getBlockCoinbase getBlockDifficulty getChainId".split(),  # noqa: E501, SIM905  # one row
        (HostCall(_words(_RESULT)),),
    ),
    "callDataCopy": (
        HostCall(_words(_RESULT, 0, 0), "copy"),
        HostCall(_words(_RESULT, 0, len(INPUT)), "copy", variant=f", {len(INPUT)} bytes"),
    ),
    **dict.fromkeys(("codeCopy", "returnDataCopy"), (HostCall(_words(_RESULT, 0, 0), "copy"),)),
    "getBlockHash": (HostCall("i64.const 0 " + _words(_RESULT), "block_hash"),),
    "getExternalBalance": (HostCall(_words(_ADDRESS, _RESULT), "balance", _FRESH_ADDRESS),),
    "getExternalCodeSize": (HostCall(_words(_ADDRESS), "external_code", _FRESH_ADDRESS),),
    "externalCodeCopy": (HostCall(_words(_ADDRESS, _RESULT, 0, 0), "external_code", _FRESH_ADDRESS),),
    "storageLoad": (
        HostCall(_words(_FIXED, _RESULT), "storage_load"),
        HostCall(_words(_SLOT, _RESULT), "storage_load", _FRESH_SLOT, ", another slot each time"),
    ),
    "storageStore": (
        HostCall(_words(_FIXED, _FIXED), "storage_store"),
        HostCall(_words(_SLOT, _FIXED), "storage_store", _FRESH_SLOT, ", a new slot each time"),
    ),
    "log": (
        HostCall(_words(_RESULT, 0, 0, 0, 0, 0, 0), "log"),
        HostCall(_words(_RESULT, 32, 4, _FIXED, _FIXED, _FIXED, _FIXED), "log", variant=", 4 topics and 32 bytes"),
    ),
    "call": (
        HostCall(_GAS_ARGUMENT + _words(_ADDRESS, _ZERO, 0, 0), "call", _FRESH_ADDRESS, ", no code there"),
        HostCall(_GAS_ARGUMENT + _words(_CALLED, _ZERO, 0, 0), "call"),
    ),
    "callCode": (HostCall(_GAS_ARGUMENT + _words(_CALLED, _ZERO, 0, 0), "call"),),
    **dict.fromkeys(("callDelegate", "callStatic"), (HostCall(_GAS_ARGUMENT + _words(_CALLED, 0, 0), "call"),)),
    "create": (HostCall(_words(_ZERO, 0, 0, _RESULT), "create"),),
    "create2": (HostCall(_words(_ZERO, 0, 0, _SLOT, _RESULT), "create", _FRESH_SLOT),),
}
"""Every host function that is measured."""

UNMEASURED: Final = dict.fromkeys(("finish", "revert", "selfDestruct"), "it ends the run")
"""Host functions that are not, and why."""

_CALLEE_CODE: Final = '(module (memory (export "memory") 1) (func (export "main")))'


def _escape(data: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in data)


_DATA: Final = (
    f'(data (i32.const {_CALLED}) "{_escape(_CALLEE)}")'
    f'(data (i32.const {_FIXED}) "{_escape(_KEY)}")'
    f'(data (i32.const {_ADDRESS + 4}) "{_escape(bytes([0xAA] * 16))}")'
    f'(data (i32.const {_SLOT + 4}) "{_escape(bytes([0xBB] * 28))}")'
)


def host_pairs(ruleset: Ruleset) -> Iterator[Pair]:
    """Yield the pairs of the host functions that a ruleset has."""
    for name, function in EEI.items():
        if name in UNMEASURED or (function.extra and name not in ruleset.extra_functions):
            continue
        params = " ".join(function.type.params)
        results = " ".join(function.type.results)
        imported = f'(import "ethereum" "{name}" (func $f (param {params}) (result {results})))'
        for way in HOST_CALLS[name]:
            unit = f"{way.before} {way.arguments} call $f{' drop' * len(function.type.results)}"
            code, reference = (assemble(loop(text, imports=imported, data=_DATA)) for text in (unit, way.before))
            charged = priced(ruleset.schedule, executed(unit)) - priced(ruleset.schedule, executed(way.before))
            call = ruleset.schedule.instructions["call"]
            yield Pair("host function", name + way.variant, code, reference, 1, charged - call, call)


def instruction_pairs(ruleset: Ruleset) -> Iterator[Pair]:
    """Yield the pairs of the instructions that a ruleset has."""
    schedule = ruleset.schedule
    for program in programs(ruleset.features):
        own = float(sum(schedule.instructions[name] for name in program.paid))
        unit, shift = schedule.operands.get(program.paid[-1], (0, 0))
        own += unit * -(-program.operand >> shift)
        weight = _WEIGHT if program.pages > 2 else 1
        units = UNROLLED * program.times
        yield Pair("instruction", program.name, program.code, program.reference_code, units, 0, own, weight)


def priced(schedule: Schedule, counts: Counter[str]) -> int:
    """Return what instructions cost together, without prices by operand."""
    return sum(schedule.instructions[name] * number for name, number in counts.items())


class _Bench:
    """A virtual machine with a state in memory, to time contracts on."""

    def __init__(self, ruleset: Ruleset, engine: Engine) -> None:
        self.ruleset = ruleset
        self.vm = EwasmVM(ruleset, engine, cache=CodeCache())
        self.contracts = system_contracts(ruleset)
        accounts = {
            **defaults.genesis(defaults.SENDER),
            _CONTRACT: GenesisAccount(nonce=1, balance=U256(1), storage={_KEY: _KEY}),
            _CALLEE: GenesisAccount(nonce=1, code=assemble(_CALLEE_CODE)),
        }
        self.world = WorldState.genesis(Database(), accounts)
        self.block = replace(defaults.block(1, GAS), origin=defaults.SENDER)

    def run(self, code: bytes, iterations: int) -> tuple[int, int]:
        """Run a contract on a fresh state; return nanoseconds and the gas used."""
        journal = Journal(self.world)
        host = NodeHost(journal, self.block, self.vm, self.ruleset, self.contracts, lambda _number: _KEY)
        message = Message(
            gas=GAS, recipient=_CONTRACT, code_address=_CONTRACT, sender=defaults.SENDER, input=call_data(iterations)
        )
        begin = perf_counter_ns()
        result = self.vm.execute(host, message, code)
        end = perf_counter_ns()
        if result.status is not Status.SUCCESS:
            raise RuntimeError(f"a measuring program ended with {result.status.name}")
        return end - begin, GAS - result.gas_left

    def measure(self, pair: Pair, seconds: float) -> Measurement:
        """Time both contracts by turns, as long as there is time."""
        wanted = seconds / (2 * ROUNDS + 4) * 1e9
        iterations = 4
        self.run(pair.code, 1)
        before, _ = self.run(pair.code, 1)
        while True:
            took = self.run(pair.code, iterations)[0] - before
            if took > wanted / 4 or iterations > 1 << 24:
                break
            iterations *= 4
        iterations = max(1, min(1 << 26, int(iterations * wanted / took)))
        times, extra = [], 0
        for _ in range(ROUNDS):
            took, gas = self.run(pair.code, iterations)
            base, base_gas = self.run(pair.reference, iterations)
            times.append((took - base) / (iterations * pair.units))
            extra = gas - base_gas
        low, middle, high = quantiles(times, n=4, method="inclusive")
        beyond = extra / (iterations * pair.units) * PARTICLES - pair.charged - pair.counted
        host = round(beyond / PARTICLES) * PARTICLES if pair.kind == "host function" else 0
        return Measurement(pair.kind, pair.name, max(0.0, middle), (high - low) / 2, pair.counted + host)


def calibrate(
    ruleset: Ruleset,
    engine: Engine,
    seconds: float,
    *,
    chosen: Callable[[str], bool] = lambda _: True,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Measurement]:
    """Measure every instruction and host function of a ruleset in about so many seconds.

    `chosen` picks by name; `progress` is told after each how many are done, of how many.
    """
    pairs = [pair for pair in (*instruction_pairs(ruleset), *host_pairs(ruleset)) if chosen(pair.name)]
    bench = _Bench(ruleset, engine)
    share = seconds / max(1, sum(pair.weight for pair in pairs))

    def measure() -> list[Measurement]:
        found = []
        for number, pair in enumerate(pairs, 1):
            found.append(bench.measure(pair, share * pair.weight))
            progress(number, len(pairs))
        return found

    # One thread for all: changing to another would be a good part of a short run.
    return on_fresh_thread(engine, measure)
