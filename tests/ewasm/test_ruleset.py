"""The three rulesets against the rules restated by hand; deriving, hashing and reading others."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evmc import Status
from ewasm.precompiles import PrecompilePrices
from ewasm.ruleset import (
    EWASM,
    HERA,
    RULESETS,
    SSVM,
    HostPrices,
    ModuleLimits,
    Ruleset,
    RulesetError,
    find_ruleset,
    read_ruleset,
)
from tests.ewasm.interface import ANSWER, Bench, contract, finish
from wasm.instructions import ROWS
from wasm.proposals import MACHINE, PROPOSALS

ALL = [EWASM, HERA, SSVM]

# ---- The rules restated ----

# Prices in particles (the published cycle table and the metering tool's table).
INSTRUCTIONS = {
    1: "i32.const i64.const nop block loop unreachable",
    0: "end else",
    90: "if br return call br_if i32.rotl i32.rotr i64.rotl i64.rotr",
    120: """
        br_table local.get local.set local.tee global.get global.set drop select
        i32.load i64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u
        i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u
        i32.store i64.store i32.store8 i32.store16 i64.store8 i64.store16 i64.store32
        i32.wrap_i64 i64.extend_i32_s i64.extend_i32_u
        i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s""",
    10_000: "call_indirect memory.grow",
    45: """
        i32.add i32.sub i32.mul i32.and i32.or i32.xor i64.add i64.sub i64.mul i64.and i64.or i64.xor
        i32.clz i32.ctz i32.popcnt i64.clz i64.ctz i64.popcnt
        i32.eqz i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u
        i64.eqz i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s i64.ge_u""",
    67: "i32.shl i32.shr_s i32.shr_u i64.shl i64.shr_s i64.shr_u",
    3_600: "i32.div_s i32.div_u i32.rem_s i32.rem_u i64.div_s i64.div_u i64.rem_s i64.rem_u",
    100: "memory.size",
    1_000: "memory.fill memory.copy",
}

HOST = {
    "base": 2,
    "balance": 400,
    "block_hash": 800,
    "copy": 3,
    "copy_word": 3,
    "external_code": 700,
    "storage_load": 200,
    "storage_store": 5_000,
    "storage_add": 15_000,
    "storage_refund": 15_000,
    "log": 375,
    "log_topic": 375,
    "log_byte": 8,
    "call": 700,
    "call_value": 9_000,
    "call_new_account": 25_000,
    "call_stipend": 2_300,
    "create": 32_000,
    "create2_word": 6,
    "self_destruct": 5_000,
    "self_destruct_refund": 24_000,
    "code_byte": 200,
}

PRECOMPILES = {
    "ecrecover": 3_000,
    "sha256_base": 60,
    "sha256_word": 12,
    "ripemd160_base": 600,
    "ripemd160_word": 120,
    "identity_base": 15,
    "identity_word": 3,
    "modexp_divisor": 20,
    "bn128_add": 500,
    "bn128_mul": 40_000,
    "bn128_pairing_base": 100_000,
    "bn128_pairing_pair": 80_000,
    "keccak256_base": 30,
    "keccak256_word": 6,
}

LIMITS = {
    "functions": 4_096,
    "body_bytes": 64 * 1024,
    "instructions": 16_384,
    "params": 64,
    "results": 1,
    "locals": 1_024,
    "module_locals": 10_000,
    "globals": 256,
    "imports": 100,
    "types": 1_024,
    "table_entries": 4_096,
    "memory_pages": 128,
    "data_segments": 1_024,
    "element_segments": 128,
    "br_table_targets": 1_024,
    "nesting": 256,
    "blocks": 5_000,
    "name_bytes": 512,
}


def test_instruction_prices_of_ewasm() -> None:
    expected = {name: price for price, names in INSTRUCTIONS.items() for name in names.split()}
    assert dict(EWASM.schedule.instructions) == expected
    allowed = {row.name for row in ROWS if row.proposal in {"mvp", *EWASM.features}}
    assert allowed == set(expected)


def test_memory_prices_of_ewasm() -> None:
    schedule = EWASM.schedule
    assert (schedule.local, schedule.page, schedule.free_pages) == (1, 1_000 * 10_000, 2)
    assert dict(schedule.operands) == {
        "memory.grow": (1_000 * 10_000, 0),
        "memory.fill": (1_000, 6),
        "memory.copy": (1_000, 6),
    }


@pytest.mark.parametrize("ruleset", [HERA, SSVM], ids=lambda ruleset: ruleset.name)
def test_the_vectors_rulesets_charge_for_the_interface_only(ruleset: Ruleset) -> None:
    schedule = ruleset.schedule
    assert set(schedule.instructions.values()) == {0}
    assert (schedule.local, schedule.page, dict(schedule.operands)) == (0, 0, {})
    assert not ruleset.metered
    assert EWASM.metered


def test_host_prices() -> None:
    assert dataclasses.asdict(EWASM.host) == HOST | {"init_code_byte": 20}
    assert dataclasses.asdict(HERA.host) == dataclasses.asdict(SSVM.host) == HOST | {"init_code_byte": 0}


def test_precompiles() -> None:
    assert dataclasses.asdict(EWASM.precompiles) == dataclasses.asdict(HERA.precompiles) == PRECOMPILES
    changed = {"sha256_base": 0, "sha256_word": 0, "keccak256_base": 0, "keccak256_word": 3}
    assert dataclasses.asdict(SSVM.precompiles) == PRECOMPILES | changed
    assert [ruleset.system_contracts for ruleset in (HERA, SSVM, EWASM)] == [8, 9, 10]


def test_features() -> None:
    assert EWASM.features == {"sign-extension", "memory-copy-fill"}
    assert HERA.features == SSVM.features == {"sign-extension"}


def test_limits() -> None:
    assert dataclasses.asdict(EWASM.limits) == LIMITS
    for ruleset in (HERA, SSVM):
        assert set(dataclasses.asdict(ruleset.limits).values()) == {None}


def test_code_sizes() -> None:
    assert [(r.max_code, r.max_init_code) for r in (HERA, SSVM, EWASM)] == [
        (24_576, None),
        (None, None),
        (131_072, 262_144),
    ]


def test_extra_functions() -> None:
    assert HERA.extra_functions == set()
    assert SSVM.extra_functions == EWASM.extra_functions == {"create2", "getChainId"}


def test_names() -> None:
    assert dict(RULESETS) == {"ewasm": EWASM, "hera": HERA, "ssvm": SSVM}
    assert all(find_ruleset(name) is ruleset for name, ruleset in RULESETS.items())
    for name in ("", "Ewasm", "ewasm ", "ewasm.tom", "byzantium"):
        with pytest.raises(RulesetError, match="there are ewasm, hera, ssvm"):
            find_ruleset(name)


# ---- Values ----


def test_a_ruleset_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EWASM.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        EWASM.schedule.instructions["i32.add"] = 0  # type: ignore[index]
    with pytest.raises(TypeError):
        EWASM.schedule.operands["memory.grow"] = (0, 0)  # type: ignore[index]


def test_replace() -> None:
    before = EWASM.hash
    other = EWASM.replace(name="other", max_code=5)
    assert (other.name, other.max_code, other.limits) == ("other", 5, EWASM.limits)
    assert (EWASM.name, EWASM.max_code, EWASM.hash) == ("ewasm", 131_072, before)
    assert other.hash != before
    assert other.replace(name="ewasm", max_code=131_072).hash == before
    with pytest.raises(TypeError):
        EWASM.replace(nonsense=1)


@pytest.mark.parametrize("feature", PROPOSALS)
def test_features_that_can_be_switched_on(feature: str) -> None:
    if feature in MACHINE:
        assert feature in EWASM.replace(name="x", features=frozenset({feature})).features
    else:
        with pytest.raises(RulesetError, match=f"features: {feature} cannot be switched on"):
            EWASM.replace(name="x", features=frozenset({feature}))


def test_what_is_always_refused_is_no_feature_of_the_machine() -> None:
    never = {"floating-point", "saturating-conversion", "simd", "relaxed-simd", "threads", "shared-everything-threads"}
    never |= {"exceptions", "gc", "function-references", "memory64", "custom-page-sizes", "stack-switching"}
    never |= {"component-model", "legacy-exceptions", "half-precision"}
    assert never <= set(PROPOSALS)
    assert not never & MACHINE


def test_unknown_features_and_functions() -> None:
    with pytest.raises(RulesetError, match="features: nonsense is unknown"):
        EWASM.replace(name="x", features=frozenset({"nonsense"}))
    with pytest.raises(RulesetError, match="extra_functions: keccak256 unknown"):
        EWASM.replace(name="x", extra_functions=frozenset({"create2", "keccak256"}))


# ---- The hash ----


def changed(value: Any) -> Any:
    """Return something else of the same type."""
    if isinstance(value, bool):
        return not value
    if value is None:
        return 7
    if isinstance(value, int):
        return value + 1
    return value + "x"


def variants(base: Ruleset) -> Iterator[tuple[str, Ruleset]]:
    """Yield rulesets that differ in one field each, in nested ones too."""
    for name in ("name", "max_code", "max_init_code", "system_contracts", "metered"):
        yield name, base.replace(**{name: changed(getattr(base, name))})
    yield "max_code None", base.replace(max_code=None)
    yield "features", base.replace(features=base.features | {"multi-value"})
    yield "fewer features", base.replace(features=frozenset())
    yield "extra_functions", base.replace(extra_functions=frozenset({"create2"}))
    for table in ("host", "precompiles", "limits"):
        value = getattr(base, table)
        for field in fields(value):
            yield (
                f"{table}.{field.name}",
                base.replace(**{table: replace(value, **{field.name: changed(getattr(value, field.name))})}),
            )
    schedule = base.schedule
    for name in ("local", "page", "free_pages"):
        yield name, base.replace(schedule=replace(schedule, **{name: getattr(schedule, name) + 1}))
    for name, price in schedule.instructions.items():
        yield name, base.replace(schedule=replace(schedule, instructions={**schedule.instructions, name: price + 1}))
    fewer = {name: price for name, price in schedule.instructions.items() if name != "i32.add"}
    yield "no price", base.replace(schedule=replace(schedule, instructions=fewer))
    for name, (unit, shift) in schedule.operands.items():
        for price in ((unit + 1, shift), (unit, shift + 1)):
            yield (
                f"{name} {price}",
                base.replace(schedule=replace(schedule, operands={**schedule.operands, name: price})),
            )
    yield "no operands", base.replace(schedule=replace(schedule, operands={}))


def test_every_field_changes_the_hash() -> None:
    assert {field.name for field in fields(Ruleset)} == {
        "name",
        "schedule",
        "features",
        "host",
        "precompiles",
        "limits",
        "max_code",
        "max_init_code",
        "extra_functions",
        "system_contracts",
        "metered",
    }
    found: dict[str, str] = {EWASM.hash: "ewasm", HERA.hash: "hera", SSVM.hash: "ssvm"}
    assert len(found) == 3
    for what, ruleset in variants(EWASM):
        assert ruleset.hash not in found, (what, found.get(ruleset.hash))
        found[ruleset.hash] = what
    assert len(found) > 150


def test_every_nested_field_is_named() -> None:
    assert {f.name for f in fields(HostPrices)} == {*HOST, "init_code_byte"}
    assert {f.name for f in fields(PrecompilePrices)} == set(PRECOMPILES)
    assert {f.name for f in fields(ModuleLimits)} == set(LIMITS)


def test_the_hash_does_not_depend_on_the_order_of_building() -> None:
    schedule = EWASM.schedule
    backwards = dict(reversed(schedule.instructions.items()))
    same = EWASM.replace(
        schedule=replace(schedule, instructions=backwards, operands=dict(reversed(schedule.operands.items()))),
        features=frozenset(sorted(EWASM.features, reverse=True)),
    )
    assert same.hash == EWASM.hash
    assert len(EWASM.hash) == 64
    assert int(EWASM.hash, 16)


def test_the_hash_is_the_same_in_every_process() -> None:
    program = "from ewasm.ruleset import *; print(EWASM.hash, HERA.hash, SSVM.hash)"
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.split() == [ruleset.hash for ruleset in ALL]


# ---- Files ----

File = Callable[[str | bytes], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    """Write a ruleset file."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "mine.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_file_says_how_it_differs(file: File) -> None:
    path = file("""
        name = "mine"
        features = ["sign-extension", "multi-value"]
        extra_functions = ["create2"]
        max_code = 1000
        max_init_code = 2000
        system_contracts = 9
        metered = false
        [host]
        base = 3
        [precompiles]
        sha256_base = 61
        [limits]
        results = 4
        memory_pages = 65536
        [instructions]
        "i32.add" = 46
        "i32.trunc_f32_s" = 7
        [operands]
        "memory.grow" = [5, 1]
        "table.grow" = [6, 0]
        [memory]
        local = 2
        page = 2147483647
        free_pages = 0
        """)
    mine = read_ruleset(path)
    schedule = EWASM.schedule
    assert mine == EWASM.replace(
        name="mine",
        features=frozenset({"sign-extension", "multi-value"}),
        extra_functions=frozenset({"create2"}),
        max_code=1000,
        max_init_code=2000,
        system_contracts=9,
        metered=False,
        host=replace(EWASM.host, base=3),
        precompiles=replace(EWASM.precompiles, sha256_base=61),
        limits=replace(EWASM.limits, results=4, memory_pages=65536),
        schedule=replace(
            schedule,
            instructions={**schedule.instructions, "i32.add": 46, "i32.trunc_f32_s": 7},
            operands={**schedule.operands, "memory.grow": (5, 1), "table.grow": (6, 0)},
            local=2,
            page=2147483647,
            free_pages=0,
        ),
    )
    assert find_ruleset(str(path)) == mine
    assert read_ruleset(path).hash == mine.hash


@pytest.mark.parametrize("parent", ALL, ids=lambda ruleset: ruleset.name)
def test_a_file_extends_a_ruleset(file: File, parent: Ruleset) -> None:
    assert read_ruleset(file(f'name = "mine"\nextends = "{parent.name}"')) == parent.replace(name="mine")
    assert read_ruleset(file('name = "mine"')) == EWASM.replace(name="mine")
    assert read_ruleset(file('name = "mine"\nfeatures = []\nextra_functions = []')).features == set()


WHOLE = "a whole number from 0"
BAD: list[tuple[str, str, str]] = [
    # What is wrong, the file, the key that the error names (and words).
    ("no name", "", "name: "),
    ("empty name", 'name = ""', "name: "),
    ("name is a number", "name = 5", "name: "),
    ("name is a list", 'name = ["x"]', "name: "),
    ("name is taken", 'name = "hera"', "name: "),
    ("unknown parent", 'name = "x"\nextends = "nobody"', "extends: "),
    ("parent is a number", 'name = "x"\nextends = 5', "extends: "),
    ("parent is a list", 'name = "x"\nextends = ["ewasm"]', "extends: "),
    ("parent is a table", 'name = "x"\nextends = {ewasm = 1}', "extends: "),
    ("parent is a date", 'name = "x"\nextends = 2020-01-01', "extends: "),
    ("unknown key", 'name = "x"\nnonsense = 1', "nonsense"),
    ("unknown table", 'name = "x"\n[nonsense]\na = 1', "nonsense"),
    ("field that is no key", 'name = "x"\nschedule = 1', "schedule"),
    ("property", 'name = "x"\nhash = "00"', "hash"),
    ("dunder", 'name = "x"\n"__class__" = 1', "__class__"),
    ("empty key", 'name = "x"\n"" = 1', "unknown key"),
    *((f"features {value}", f'name = "x"\nfeatures = {value}', "features: ") for value in (
        "5", "true", "1.5", '"multi-value"', "{a = 1}", "[1]", "[true]", '["multi-value", 1]', '[["multi-value"]]',
        "[{}]", '["nonsense"]', '[""]', '["Multi-Value"]', "[1979-05-27]", '["simd"]', '["floating-point"]',
        '["threads"]', '["relaxed-simd"]', '["tail-call"]', '["gc"]', '["exceptions"]', '["memory64"]', '["mvp"]',
    )),
    *((f"extra_functions {value}", f'name = "x"\nextra_functions = {value}', "extra_functions: ") for value in (
        "5", "true", '"create2"', "{create2 = 1}", "[1]", '["create2", 1]', '[["create2"]]', '["keccak256"]', '["getCaller"]',
    )),
    *((f"{key} {value}", f'name = "x"\n{key} = {value}', f"{key}: {WHOLE}") for key in ("max_code", "max_init_code", "system_contracts") for value in (
        "-1", "true", "1.0", "nan", "inf", '"5"', "[5]", "{a = 5}", "1979-05-27", "07:32:00", "9223372036854775808", "0x" + "f" * 5_000,
    )),
    ("system_contracts 11", 'name = "x"\nsystem_contracts = 11', f"system_contracts: {WHOLE} to 10"),
    *((f"metered {value}", f'name = "x"\nmetered = {value}', "metered: true or false") for value in ("1", "0", '"no"', "[]", "1.0")),
    *((f"{table} {value}", f'name = "x"\n{table} = {value}', f"{table}: a table") for table in ("host", "precompiles", "limits", "instructions", "operands", "memory") for value in (
        "5", "true", '"x"', "[]", "[{a = 1}]", "1.5", "1979-05-27",
    )),
    *((f"{key} {value}", f'name = "x"\n[{table}]\n"{key}" = {value}', f"{table}.{key}: {WHOLE}") for table, key in (
        ("host", "base"), ("precompiles", "ecrecover"), ("limits", "functions"), ("instructions", "i32.add"), ("memory", "page"), ("memory", "free_pages"), ("memory", "local"),
    ) for value in ("-1", "1.0", "0.5", "nan", "true", "false", '"1"', "[1]", "{a = 1}", "1979-05-27T07:32:00Z", "9223372036854775808", "0x" + "f" * 5_000)),
    *((f"unknown {table}", f'name = "x"\n[{table}]\nnonsense = 1', f"{table}.nonsense: unknown") for table in ("host", "precompiles", "limits", "operands", "memory")),
    ("dividing by nothing", 'name = "x"\n[precompiles]\nmodexp_divisor = 0', "modexp_divisor"),
    ("more pages than memory has", 'name = "x"\n[limits]\nmemory_pages = 65537', f"limits.memory_pages: {WHOLE} to 65536"),
    ("unknown instruction", 'name = "x"\n[instructions]\n"i32.plus" = 1', "instructions.i32.plus: "),
    ("inserted instruction", 'name = "x"\n[instructions]\ncharge = 1', "instructions.charge: "),
    ("instruction without quotes", 'name = "x"\n[instructions]\ni32.add = 1', "instructions.i32: "),
    ("price above 2^31", 'name = "x"\n[instructions]\n"i32.add" = 2147483648', "instructions.i32.add: "),
    ("page above 2^31", 'name = "x"\n[memory]\npage = 2147483648', "memory.page: "),
    *((f"operand {value}", f'name = "x"\n[operands]\n"memory.grow" = {value}', "operands.memory.grow") for value in (
        "5", "true", '"ab"', "[]", "[1]", "[1, 2, 3]", '["a", "b"]', "[1.0, 0]", "[1, 0.0]", "[true, 0]", "[1, false]", "[-1, 0]", "[1, -1]",
        "[1, 32]", "[2147483648, 0]", "{unit = 1, shift = 0}", "[[1, 0]]", "[[1], [0]]",
    )),
    ("operand of an instruction without", 'name = "x"\n[operands]\nnop = [1, 0]', "operands.nop: "),
    ("operand that counts nothing", 'name = "x"\n[operands]\n"i32.load" = [1, 0]', "operands.i32.load: "),
]  # fmt: skip


@pytest.mark.parametrize(("content", "says"), [case[1:] for case in BAD], ids=[case[0][:60] for case in BAD])
def test_a_bad_file_is_an_error_that_names_file_and_key(file: File, content: str, says: str) -> None:
    path = file(content)
    with pytest.raises(RulesetError) as raised:
        read_ruleset(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert says in str(raised.value)
    assert len(str(raised.value)) < 1_000


@pytest.mark.parametrize(
    "content",
    [
        "name",
        "name =",
        'name = "x"\nname = "y"',
        "name = 'x",
        "[host",
        "\0",
        b"\xff\xfe",
        b'name = "\xed\xa0\x80"',
        'name = "x"\nmax_code = ' + "9" * 5_000,
        'name = "x"\na = ' + "[" * 5_000,
        'name = "x"\na = ' + "[" * 5_000 + "]" * 5_000,
        'name = "x"\na = ' + "{a = " * 5_000,
        'name = "x"\nmax_code = 2020-99-99',
        "\x7fELF",
    ],
    ids=range(14),
)
def test_what_is_not_toml(file: File, content: str | bytes) -> None:
    path = file(content)
    with pytest.raises(RulesetError, match="not TOML") as raised:
        read_ruleset(path)
    assert str(raised.value).startswith(f"{path}: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    for name in ("missing.toml", "folder.toml", "missing/mine.toml", "x" * 5_000 + ".toml", "\0.toml"):
        with pytest.raises(RulesetError) as raised:
            find_ruleset(str(tmp_path / name))
        assert str(raised.value).startswith(f"{tmp_path / name}: ")


SCALARS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["ewasm", "hera", "multi-value", "create2", "i32.add", "memory.grow"]),
)
KEYS = st.one_of(
    st.sampled_from(
        [
            "name",
            "extends",
            "features",
            "extra_functions",
            "max_code",
            "metered",
            "host",
            "limits",
            "instructions",
            "operands",
            "memory",
        ]
    ),
    st.sampled_from(["base", "page", "functions", "i32.add", "memory.grow", "memory.fill"]),
    st.text(max_size=3),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


def toml(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" for c in value if not 0xD800 <= ord(c) < 0xE000) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return str(value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_garbage_is_an_error_or_a_ruleset_that_can_be_used(file: File, content: dict[str, Any]) -> None:
    path = file("\n".join(f"{toml(key)} = {toml(value)}" for key, value in ({"name": "mine"} | content).items()))
    try:
        ruleset = read_ruleset(path)
    except RulesetError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
    else:
        assert len(ruleset.hash) == 64


# ---- A ruleset with more features ----

SWAP = contract(
    f"""
    (local i64 i64) (call $swap (i64.const 3) (i64.const 4)) (local.set 0) (local.set 1)
    (i64.store (i32.const {ANSWER}) (local.get 0)) (i64.store (i32.const {ANSWER + 8}) (local.get 1))"""
    + finish(ANSWER, 16),
    more="(func $swap (param i64 i64) (result i64 i64) (local.get 1) (local.get 0))",
)
TABLE_SIZE = contract(
    f"(i64.store (i32.const {ANSWER}) (i64.extend_i32_u (table.size 0)))" + finish(), more="(table 5 funcref)"
)


def test_multi_value_can_be_switched_on(bench: Bench, file: File) -> None:
    switched = 'name = "mine"\nfeatures = ["sign-extension", "memory-copy-fill", "multi-value"]\n'
    assert bench(SWAP, ruleset=EWASM).status is Status.CONTRACT_VALIDATION_FAILURE
    # The limit of results is a thing of its own.
    assert bench(SWAP, ruleset=read_ruleset(file(switched))).status is Status.CONTRACT_VALIDATION_FAILURE
    assert [reason.rule for reason in bench.reasons] == ["limit"]
    mine = read_ruleset(file(switched + "limits.results = 2"))
    result = bench(SWAP, ruleset=mine, gas=1_000)
    # (3, 4) becomes (4, 3), of which 3 is on top.
    assert result.output == (3).to_bytes(8, "little") + (4).to_bytes(8, "little")


def test_what_is_switched_on_is_paid_for(bench: Bench, file: File) -> None:
    # A thousand gas for an instruction: the price of a run with and without.
    def left(**prices: int) -> int:
        lines = "\n".join(f'"{name.replace("_", ".")}" = {price}' for name, price in prices.items())
        path = file(
            'name = "mine"\nfeatures = ["sign-extension", "multi-value"]\nlimits.results = 2\n[instructions]\n' + lines
        )
        return bench(SWAP, ruleset=read_ruleset(path), gas=100_000).gas_left

    base = left(local_get=0)
    assert base - left(local_get=10_000_000) == 4_000  # two in main, two in $swap
    assert base - left(local_get=0, call=10_000_000) == 2_000  # $swap and finish


def test_a_feature_without_a_price_is_refused(bench: Bench, file: File) -> None:
    switched = 'name = "mine"\nfeatures = ["reference-types"]\n'
    assert bench(TABLE_SIZE, ruleset=read_ruleset(file(switched))).status is Status.CONTRACT_VALIDATION_FAILURE
    (reason,) = bench.reasons
    assert (reason.rule, reason.message[:40]) == ("price", "table.size has no price in ruleset mine ")
    free = read_ruleset(file(switched + '[instructions]\n"table.size" = 0'))
    paid = read_ruleset(file(switched + '[instructions]\n"table.size" = 10000'))
    results = [bench(TABLE_SIZE, ruleset=ruleset, gas=1_000) for ruleset in (free, paid)]
    assert [result.output for result in results] == [(5).to_bytes(8, "little")] * 2
    assert results[0].gas_left - results[1].gas_left == 1
