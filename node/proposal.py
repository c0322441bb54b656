"""A ruleset proposed from a calibration: prices raised to what a rate asks for, as a TOML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import ceil
from typing import Final

from ewasm.ruleset import RULESETS, Ruleset
from gas.meter import PARTICLES
from gas.programs import programs
from gas.schedule import MAX_PRICE
from node.calibrate import FLOOR, HOST_CALLS, Measurement
from wasm.instructions import ROWS

# Instructions that can be made to take as long as the slowest of their kind: by where they reach, or by branching so
# that no processor foresees it.
_ALIKE: Final = (
    frozenset(op.name for op in ROWS if op.immediate == "memarg" and op.results),
    frozenset(op.name for op in ROWS if op.immediate == "memarg" and op.results == []),
    frozenset({"if", "br_if"}),
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Prices that differ from a ruleset's: of instructions and by operand (particles), of host functions (gas)."""

    ruleset: Ruleset
    rate: float
    instructions: Mapping[str, int]
    operands: Mapping[str, tuple[int, int]]
    host: Mapping[str, int]

    def toml(self, name: str) -> str:
        """Return a ruleset of its own that extends the measured one."""
        lines = [
            f"# Prices at which nothing that was measured gives less than {self.rate:g} gas for a microsecond.",
            "# Written by `ewasm gas calibrate` from one machine's measurements: look at it before you use it.",
            f'name = "{name}"',
            f'extends = "{self.ruleset.name}"',
        ]
        if self.instructions:
            lines += ["", "[instructions]", *(f'"{key}" = {price}' for key, price in self.instructions.items())]
        if self.operands:
            pairs = (f'"{key}" = [{unit}, {shift}]' for key, (unit, shift) in self.operands.items())
            lines += ["", "[operands]", *pairs]
        if self.host:
            lines += ["", "[host]", *(f"{key} = {price}" for key, price in self.host.items())]
        return "\n".join(lines) + "\n"


def propose(ruleset: Ruleset, measured: Iterable[Measurement], rate: float, *, lower: bool = False) -> Proposal:
    """Return the prices at which everything measured gives at least `rate` gas for a microsecond.

    Prices are raised; with `lower` they are also lowered where less would do, to 1 particle or 1 gas at least. They are
    rounded up to two digits. A function that costs nothing by the interface stays so.
    """
    if RULESETS.get(ruleset.name) != ruleset:
        raise ValueError(
            f"{ruleset.name} is a ruleset of its own; what is proposed extends one of {', '.join(RULESETS)}"
        )
    found = list(measured)
    schedule = ruleset.schedule
    wanted: dict[str, float] = {}
    for each in found:
        if each.kind == "instruction" and "MiB" not in each.name:
            wanted[each.of] = max(wanted.get(each.of, 0), _particles(each, rate))
    for alike in _ALIKE:
        most = max((wanted[name] for name in alike if name in wanted), default=0)
        wanted.update(dict.fromkeys(alike & wanted.keys(), most))
    instructions = {
        name: price
        for name in schedule.instructions
        if name in wanted and (price := _settle(schedule.instructions[name], wanted[name], lower=lower)) is not None
    }
    operand = {program.name: program.operand for program in programs(ruleset.features) if program.operand}
    operands = {}
    for each in found:
        if each.name in operand and each.of in schedule.operands:
            unit, shift = schedule.operands[each.of]
            base = instructions.get(each.of, schedule.instructions[each.of])
            number = -(-operand[each.name] >> shift)
            price = _settle(unit, (_particles(each, rate) - base) / number, lower=lower)
            if price is not None:
                operands[each.of] = (price, shift)
    return Proposal(ruleset, rate, instructions, operands, _host(ruleset, found, rate, lower=lower))


def _host(ruleset: Ruleset, found: list[Measurement], rate: float, *, lower: bool) -> dict[str, int]:
    """Return prices of host functions: of each field, what the function asks for that follows it most closely."""
    prices = asdict(ruleset.host)
    call = ruleset.schedule.instructions["call"]
    factors: dict[str, float] = {}
    for each in found:
        if each.kind != "host function":
            continue
        field = HOST_CALLS[each.of][0].field
        charged = each.particles - call
        if field is not None and charged > 0:
            factors[field] = max(factors.get(field, 0), (_particles(each, rate) - call) / charged)
    proposed = {}
    for field, factor in factors.items():
        price = _settle(prices[field], prices[field] * factor, lower=lower)
        if price is not None:
            proposed[field] = price
    return proposed


def _particles(measured: Measurement, rate: float) -> float:
    """Return what a measured time should cost."""
    return 0.0 if measured.nanoseconds < FLOOR else measured.nanoseconds * rate * (PARTICLES / 1_000)


def _settle(price: int, wanted: float, *, lower: bool) -> int | None:
    """Return a new price with two digits, None if the old one stays."""
    if wanted <= price and not lower:
        return None
    if price == 0:
        return None
    whole = max(1, ceil(wanted))
    step = 10 ** max(0, len(str(whole)) - 2)
    new = min(-(-whole // step) * step, MAX_PRICE - 1)
    return None if new == price else new
