"""Rulesets: everything that decides what a contract may be and what its run costs, as one frozen value."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ewasm.precompiles import BYZANTIUM, PrecompilePrices
from gas.metering import MeteredModule, meter
from gas.schedule import COUNTING, FREE, MAX_PRICE, Schedule
from gas.schedule import EWASM as EWASM_SCHEDULE
from wasm.instructions import BY_NAME
from wasm.module import ValidModule
from wasm.proposals import MACHINE, PROPOSALS
from wasm.types import MAX_PAGES


class RulesetError(Exception):
    """A ruleset that cannot be: the message names the field and what it may be."""


@dataclass(frozen=True, slots=True)
class HostPrices:
    """What the functions of the Ethereum environment interface cost, in gas (Ewasm design, fee schedule)."""

    base: int = 2
    balance: int = 400
    block_hash: int = 800
    copy: int = 3
    copy_word: int = 3
    external_code: int = 700
    storage_load: int = 200
    storage_store: int = 5_000
    storage_add: int = 15_000
    storage_refund: int = 15_000
    log: int = 375
    log_topic: int = 375
    log_byte: int = 8
    call: int = 700
    call_value: int = 9_000
    call_new_account: int = 25_000
    call_stipend: int = 2_300
    create: int = 32_000
    create2_word: int = 6
    self_destruct: int = 5_000
    self_destruct_refund: int = 24_000
    code_byte: int = 200
    init_code_byte: int = 0


@dataclass(frozen=True, slots=True)
class ModuleLimits:
    """Bounds of a module; None leaves what the specification has.

    Sizes are in bytes, memory in pages, tables in entries. `memory_pages` refuses a greater initial memory and cuts a
    greater maximum.
    """

    functions: int | None = None
    body_bytes: int | None = None
    instructions: int | None = None
    params: int | None = None
    results: int | None = None
    locals: int | None = None
    module_locals: int | None = None
    globals: int | None = None
    imports: int | None = None
    types: int | None = None
    table_entries: int | None = None
    memory_pages: int | None = None
    data_segments: int | None = None
    element_segments: int | None = None
    br_table_targets: int | None = None
    nesting: int | None = None
    blocks: int | None = None
    name_bytes: int | None = None


@dataclass(frozen=True)
class Ruleset:
    """What a contract may be and what running it costs.

    `features` are slugs of `wasm.proposals`; `extra_functions` names host functions beyond the interface's revision 4.
    `max_code` and `max_init_code` are in bytes, None without a bound. Precompiled and system contracts stand at the
    addresses from 1 to `system_contracts`. `metered` is False where instructions are free, so that code can loop for
    ever: such rulesets serve published vectors.
    """

    name: str
    schedule: Schedule
    features: frozenset[str]
    host: HostPrices = HostPrices()
    precompiles: PrecompilePrices = BYZANTIUM
    limits: ModuleLimits = ModuleLimits()
    max_code: int | None = None
    max_init_code: int | None = None
    extra_functions: frozenset[str] = frozenset()
    system_contracts: int = 10
    metered: bool = True

    def __post_init__(self) -> None:
        for feature in sorted(self.features):
            if feature not in PROPOSALS:
                raise RulesetError(f"features: {feature} is unknown; known are {', '.join(sorted(MACHINE))}")
            if feature not in MACHINE:
                why = PROPOSALS[feature].why if not PROPOSALS[feature].deterministic else "the machine does not run it"
                raise RulesetError(f"features: {feature} cannot be switched on ({why})")
        unknown = self.extra_functions - {"create2", "getChainId"}
        if unknown:
            raise RulesetError(f"extra_functions: {', '.join(sorted(unknown))} unknown; known are create2, getChainId")

    def replace(self, **changes: Any) -> Ruleset:
        """Return a ruleset with some fields changed; give it a `name` of its own."""
        return replace(self, **changes)

    def meter(self, module: ValidModule) -> MeteredModule:
        """Meter a module at the ruleset's prices and limits."""
        return meter(module, self.schedule, self.limits.memory_pages, self.limits.table_entries)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over every field, as hex: two rulesets with the same hash judge and charge alike."""
        return hashlib.sha256(json.dumps(_plain(self), sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, sets and mappings in order."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in sorted(value.items())}
    if isinstance(value, frozenset):
        return sorted(value)
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return list(value) if isinstance(value, tuple) else value


EWASM: Final = Ruleset(
    name="ewasm",
    schedule=EWASM_SCHEDULE,
    features=frozenset({"sign-extension", "memory-copy-fill"}),
    host=HostPrices(init_code_byte=20),
    limits=ModuleLimits(
        functions=4_096,
        body_bytes=65_536,
        instructions=16_384,
        params=64,
        results=1,
        locals=1_024,
        module_locals=10_000,
        globals=256,
        imports=100,
        types=1_024,
        table_entries=4_096,
        memory_pages=128,
        data_segments=1_024,
        element_segments=128,
        br_table_targets=1_024,
        nesting=256,
        blocks=5_000,
        name_bytes=512,
    ),
    max_code=131_072,
    max_init_code=262_144,
    extra_functions=frozenset({"create2", "getChainId"}),
)
"""For running and measuring contracts."""

HERA: Final = Ruleset(
    name="hera",
    schedule=FREE,
    features=frozenset({"sign-extension"}),
    max_code=24_576,
    system_contracts=8,
    metered=False,
)
"""The rules of the published Ewasm state tests: the interface is charged for, instructions are free."""

SSVM: Final = Ruleset(
    name="ssvm",
    schedule=FREE,
    features=frozenset({"sign-extension"}),
    precompiles=replace(BYZANTIUM, sha256_base=0, sha256_word=0, keccak256_base=0, keccak256_word=3),
    extra_functions=frozenset({"create2", "getChainId"}),
    system_contracts=9,
    metered=False,
)
"""The rules of the published SSVM vectors."""

RULESETS: Final[Mapping[str, Ruleset]] = {ruleset.name: ruleset for ruleset in (EWASM, HERA, SSVM)}

_TABLES: Final[dict[str, type[Any]]] = {"host": HostPrices, "precompiles": PrecompilePrices, "limits": ModuleLimits}
_MAX_GAS: Final = (1 << 63) - 1
_SCALARS: Final = {"max_code": _MAX_GAS, "max_init_code": _MAX_GAS, "system_contracts": 10}
_BOUNDS: Final = {"limits.memory_pages": MAX_PAGES, "memory.local": MAX_PRICE - 1, "memory.page": MAX_PRICE - 1}


def find_ruleset(name: str) -> Ruleset:
    """Return a ruleset by name, or read one from a TOML file; raise `RulesetError`."""
    if name in RULESETS:
        return RULESETS[name]
    if name.endswith(".toml"):
        return read_ruleset(Path(name))
    raise RulesetError(f"unknown ruleset {name}; there are {', '.join(RULESETS)}, or name a .toml file")


def read_ruleset(path: Path) -> Ruleset:
    """Read a ruleset that says how it differs from another: `docs/rules.md` has an example.

    Raise `RulesetError` that names the file and the key.
    """
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RulesetError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RulesetError(f"{path}: not TOML: {error}") from error
    try:
        return _derive(given)
    except (RulesetError, ValueError) as error:
        raise RulesetError(f"{path}: {error}") from error


def _derive(given: dict[str, Any]) -> Ruleset:
    """Build a ruleset from what a file says."""
    extends = given.pop("extends", "ewasm")
    if not isinstance(extends, str) or extends not in RULESETS:
        raise RulesetError(f"extends: unknown ruleset; there are {', '.join(RULESETS)}")
    parent = RULESETS[extends]
    name = given.pop("name", None)
    if not isinstance(name, str) or not name or name in RULESETS:
        raise RulesetError("name: a ruleset of its own needs a name of its own")
    changes: dict[str, Any] = {"name": name}
    schedule = parent.schedule
    for key, value in given.items():
        if key in _TABLES:
            changes[key] = replace(getattr(parent, key), **_numbers(key, value, [f.name for f in fields(_TABLES[key])]))
        elif key in _SCALARS:
            changes[key] = _whole(key, value, _SCALARS[key])
        elif key == "metered":
            if not isinstance(value, bool):
                raise RulesetError(f"{key}: true or false is expected")
            changes[key] = value
        elif key in ("features", "extra_functions"):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise RulesetError(f"{key}: a list of names is expected")
            changes[key] = frozenset(value)
        elif key == "instructions":
            schedule = replace(schedule, instructions={**schedule.instructions, **_instructions(key, value)})
        elif key == "operands":
            schedule = replace(schedule, operands={**schedule.operands, **_operands(key, value)})
        elif key == "memory":
            schedule = replace(schedule, **_numbers(key, value, ["local", "page", "free_pages"]))  # type: ignore[arg-type]  # numbers
        else:
            raise RulesetError(f"unknown key {key}")
    return replace(parent, schedule=schedule, **changes)


def _whole(key: str, value: Any, bound: int) -> int:
    """Return a whole number within its bound."""
    if type(value) is not int or not 0 <= value <= bound:
        raise RulesetError(f"{key}: a whole number from 0 to {bound} is expected")
    return value


def _table(key: str, value: Any) -> dict[str, Any]:
    """Return a table."""
    if not isinstance(value, dict):
        raise RulesetError(f"{key}: a table is expected")
    return value


def _numbers(key: str, value: Any, known: Sequence[str]) -> dict[str, int]:
    """Return a table of whole numbers whose keys are known."""
    found = {}
    for name, number in _table(key, value).items():
        if name not in known:
            raise RulesetError(f"{key}.{name}: unknown; known are {', '.join(sorted(known))}")
        found[name] = _whole(f"{key}.{name}", number, _BOUNDS.get(f"{key}.{name}", _MAX_GAS))
    return found


def _instructions(key: str, value: Any) -> dict[str, int]:
    """Return prices of instructions."""
    found = {}
    for name, price in _table(key, value).items():
        if name not in BY_NAME:
            raise RulesetError(f"{key}.{name}: there is no such instruction")
        found[name] = _whole(f"{key}.{name}", price, MAX_PRICE - 1)
    return found


def _operands(key: str, value: Any) -> dict[str, tuple[int, int]]:
    """Return prices by operand, as (unit, shift)."""
    found = {}
    for name, price in _table(key, value).items():
        if name not in COUNTING:
            raise RulesetError(f"{key}.{name}: unknown; known are {', '.join(COUNTING)}")
        if not isinstance(price, list) or len(price) != 2:
            raise RulesetError(f"{key}.{name}: [unit, shift] is expected")
        unit, shift = price
        where = f"{key}.{name}"
        found[name] = (_whole(f"{where}, unit", unit, MAX_PRICE - 1), _whole(f"{where}, shift", shift, 31))
    return found
