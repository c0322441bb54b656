"""What a contract may be: form, features, limits, and how a refusal reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import Status
from ewasm.cache import prepare
from ewasm.contract import Verdict, check, has_preamble
from ewasm.ruleset import EWASM, HERA, SSVM, Ruleset
from fixtures import hostile
from gas.schedule import Schedule
from tests.ewasm.interface import DEBUG, ETHEREUM, EXTRA, Bench, contract, drop, import_, op, types
from tests.helpers import FIXTURES, fixture_code, wat
from wasm.engine import Engine
from wasm.proposals import PROPOSALS

REFUSED = list(hostile.cases("proposal", "import", "form", "limit", "malformed", "invalid", "rejected"))
ACCEPTED = list(hostile.cases("accepted"))
CONTRACTS = sorted(path.stem for path in FIXTURES.glob("*.wasm") if path.stem != "debug")
TEXTS = sorted(path.stem for path in FIXTURES.glob("wat/*.wasm"))

# The rules that a case of a group may break; a neighbour may be broken as well.
RULES = {
    "proposal": set(PROPOSALS),
    "import": {"import"},
    "form": {"start", "export", "segment", "import"},
    "limit": {"limit"},
    "malformed": {"malformed"},
    "invalid": {"invalid"},
    "rejected": {"preamble"},
}


def rules(verdict: Verdict) -> list[str]:
    return [finding.rule for finding in verdict.findings]


def messages(verdict: Verdict) -> str:
    return "\n".join(finding.message for finding in verdict.findings)


# ---- Hostile modules ----


def test_there_are_cases_of_every_group() -> None:
    assert {case.group for case in REFUSED} == set(RULES)
    assert len(REFUSED) > 250
    assert len(ACCEPTED) > 30


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_hostile_modules_are_refused_with_the_words_that_they_must_have(case: hostile.Case) -> None:
    verdict = check(case.binary, EWASM)
    assert not verdict.accepted
    assert verdict.module is None
    text = messages(verdict).lower()
    assert [says for says in case.says if says.lower() not in text] == []
    assert RULES[case.group] & set(rules(verdict))
    if case.group in ("malformed", "rejected"):
        assert len(verdict.findings) == 1


@pytest.mark.parametrize("case", list(hostile.cases("limit")), ids=lambda case: case.name)
def test_a_limit_is_named_with_value_and_bound(case: hostile.Case) -> None:
    found = [finding.message for finding in check(case.binary, EWASM).findings if finding.rule == "limit"]
    numbers = {str(case.value), str(case.bound)}
    assert any(
        numbers <= set(re.findall(r"\b\d+\b", message)) and all(says in message for says in case.says)
        for message in found
    ), found


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_their_neighbours_are_accepted(case: hostile.Case) -> None:
    verdict = check(case.binary, EWASM)
    assert verdict.findings == ()
    assert verdict.accepted
    assert verdict.module is not None


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_is_accepted_runs(bench: Bench, case: hostile.Case) -> None:
    result = bench(case.binary, ruleset=EWASM, gas=1_000_000)
    expected = {
        "main_calls_itself": {Status.STACK_OVERFLOW},
        "dead_code": set(Status) - {Status.CONTRACT_VALIDATION_FAILURE, Status.REJECTED},
        "padded_table_index": {Status.WASM_TRAP},  # the table is empty
    }.get(case.name, {Status.SUCCESS})
    assert result.status in expected


@pytest.mark.parametrize("name", [*CONTRACTS, *(f"wat/{name}" for name in TEXTS)])
def test_our_own_contracts_are_accepted(name: str) -> None:
    assert check(fixture_code(name), EWASM).findings == ()


def test_the_contract_for_debugging() -> None:
    code = fixture_code("debug")
    assert check(code, EWASM, debug=True).accepted
    assert set(rules(check(code, EWASM))) == {"import"}
    assert "debug.print32 is not allowed: the debug functions, which exist only in debugging runs" in messages(
        check(code, EWASM)
    )


# ---- Bytes of any kind ----


TO_THE_LAST_BYTE = wat("""
    (module
      (import "ethereum" "finish" (func (param i32 i32)))
      (memory (export "memory") 1) (table 2 funcref) (global i64 (i64.const 5)) (elem (i32.const 0) 1 1)
      (func (export "main") (local i32 i64) (block (br_table 0 0 (local.get 0))) (call 0 (i32.const 0) (i32.const 9))))""")


@pytest.mark.parametrize("code", [hostile.contract(), TO_THE_LAST_BYTE])
def test_no_beginning_of_a_module_is_accepted(code: bytes) -> None:
    assert check(code, EWASM).accepted
    for part in hostile.truncations(code):
        verdict = check(part, EWASM)
        assert not verdict.accepted
        assert has_preamble(part) == (len(part) >= 4)
        assert (rules(verdict) == ["preamble"]) == (len(part) < 4)


def test_code_without_preamble() -> None:
    for code in (b"", b"\0", b"\0as", b"\0asn\1\0\0\0", b"\x60\x60\x60\x40", b" \0asm\1\0\0\0"):
        assert not has_preamble(code)
        assert rules(check(code, EWASM)) == ["preamble"]
    assert has_preamble(b"\0asm")
    assert rules(check(b"\0asm", EWASM)) == ["malformed"]


SEEDS = [fixture_code(name) for name in ("counter", "wat/indirect_bad", "wat/memory_copy_fill", "wat/global")]
SEEDS += [case.binary for case in hostile.cases("proposal") if 20 < len(case.binary) < 200]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(8, 2_000), st.integers(0, 255)), max_size=4))
def test_any_bytes_get_a_verdict(seed: bytes, changes: list[tuple[int, int]]) -> None:
    code = bytearray(seed)
    for position, byte in changes:
        code[8 + (position - 8) % (len(code) - 8)] = byte
    for ruleset in (EWASM, HERA):
        verdict = check(bytes(code), ruleset)
        assert verdict.accepted == (verdict.module is not None)
        offsets = [finding.offset for finding in verdict.findings if finding.offset is not None]
        assert offsets == sorted(offsets)
        assert all(0 <= offset <= len(code) for offset in offsets)


# ---- Several faults at once ----

FAULTY = """
    (module
      (import "env" "abort" (func))
      (import "ethereum" "finish" (func (param i32)))
      (table 1 funcref)
      (memory (export "memory") 1)
      (global (export "heap") i32 (i32.const 0))
      (export "main" (func $main))
      (start $main)
      (elem (i32.const 1) $main)
      (func $main)
      (func $float (local f32))
      (func $vector (drop (i32x4.extract_lane 0 (v128.load (i32.const 0)))))
      (func (drop (i32.trunc_sat_f32_s (f32.const 0))))
      (data (i32.const 65530) "1234567"))"""


def test_all_faults_are_found_in_order_of_offset() -> None:
    code = wat(FAULTY)
    verdict = check(code, EWASM)
    at = {
        "import": [code.index(b"\3env\5abort"), code.index(b"\x08ethereum\6finish")],
        "export": [code.index(b"\4heap")],
    }
    found = [(finding.rule, finding.offset) for finding in verdict.findings]
    # What has no place of its own stands first.
    assert found[0] == ("start", None)
    offsets = [offset for _, offset in found[1:]]
    assert offsets == sorted(offset or 0 for offset in offsets)
    for rule, expected in at.items():
        assert [offset for found_rule, offset in found if found_rule == rule] == expected
    assert [rule for rule, _ in found] == [
        "start",
        "import",
        "import",
        "export",
        "segment",  # of elements
        "floating-point",  # the local
        "simd",
        "simd",
        "floating-point",  # f32.const
        "saturating-conversion",
        "segment",  # of data
    ]
    assert [finding.function for finding in verdict.findings[5:10]] == [3, 4, 4, 5, 5]


def test_a_type_error_is_found_beside_a_refused_feature() -> None:
    wrong = hostile.contract({hostile.CODE: hostile.vector(hostile.body(b"\x41\0\x43\0\0\0\0\x6a\x1a"))})
    assert rules(check(wrong, EWASM)) == ["floating-point", "invalid"]


def test_every_use_is_found() -> None:
    code = contract("(drop (f64.const 1)) (drop (f64.neg (f64.const 2)))")
    places = [finding.offset for finding in check(code, EWASM).findings]
    assert [code[offset] for offset in places if offset is not None] == [0x44, 0x44, 0x9A]


# ---- How a refusal reads ----


def mix(names: str = "$mix") -> bytes:
    """Build a module whose function 3 has v128.load at offset 0x1f2."""
    for nops in range(500):
        code = wat(f"""
            (module
              (memory (export "memory") 1)
              (func (export "main"))
              (func {"nop " * nops})
              (func)
              (func {names} (drop (i32x4.extract_lane 1 (v128.load (i32.const 0))))))""")
        if code.find(b"\xfd\0\4\0") == 0x1F2:
            return code
    raise AssertionError


def test_the_form_of_a_refusal() -> None:
    verdict = check(mix(), EWASM)
    finding = verdict.findings[0]
    assert (
        finding.message
        == 'fixed-width SIMD is not allowed (may differ between machines): v128.load in function 3 "mix" at offset 0x1f2'
    )
    assert (finding.rule, finding.offset, finding.function) == ("simd", 0x1F2, 3)
    assert verdict.findings[1].message == (
        "fixed-width SIMD is not allowed (may differ between machines): "
        'i32x4.extract_lane in function 3 "mix" at offset 0x1f6'
    )


def test_a_function_without_a_name() -> None:
    assert check(mix(""), EWASM).findings[0].message == (
        "fixed-width SIMD is not allowed (may differ between machines): v128.load in function 3 at offset 0x1f2"
    )


def test_functions_are_counted_with_the_imported_ones() -> None:
    code = contract(f"{op('useGas', 0)} {drop('getGasLeft')} (drop (f32.const 0))")
    (finding,) = check(code, EWASM).findings
    at = code.index(b"\x43\0\0\0\0\x1a")
    assert finding.message == (
        f'floating point is not allowed (may differ between machines): f32.const in function 2 "main" at offset {at:#x}'
    )


def test_names_are_cut_and_made_harmless() -> None:
    long, control = "n" * 600, "a\\1b[31m\\0a\\e2\\80\\aeb"
    (finding,) = check(
        wat(f'(module (memory (export "memory") 1) (func (export "main")) (func ${long} (drop (f32.const 0))))'), EWASM
    ).findings
    assert len(finding.message) < 300
    assert '"nnnn' in finding.message
    verdict = check(
        wat(
            f'(module (import "{control}" "{control}" (func)) (memory (export "memory") 1) (func (export "main")) (export "{control}" (func 0)))'
        ),
        EWASM,
    )
    assert rules(verdict) == ["import", "export"]
    for finding in verdict.findings:
        assert finding.message.isprintable()


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("wasi_snapshot_preview1", "WASI"),
        ("wasi_unstable", "WASI"),
        ("env", "tool chains"),
        ("wasmedge_process", "process"),
        ("wasm:js-string", "JavaScript"),
        ("__wbindgen_placeholder__", "wasm-bindgen"),
        ("ethereum", "no such host function"),
        ("anything", "no such host function"),
    ],
)
def test_a_foreign_import_is_named_and_explained(module: str, says: str) -> None:
    code = wat(f'(module (import "{module}" "field" (func)) (memory (export "memory") 1) (func (export "main")))')
    (finding,) = check(code, EWASM).findings
    assert finding.message.startswith(f"import {module}.field is not allowed")
    assert says in finding.message
    assert finding.message.endswith(f"at offset {code.index(bytes([len(module)]) + module.encode()):#x}")


# ---- Imports of the interface ----


def importing(module: str, name: str, signature: str) -> bytes:
    imported = import_(module, name, signature).replace(f"func ${name}", "func")
    return wat(f'(module {imported} (memory (export "memory") 1) (func (export "main")))')


def wrong(signature: str) -> Iterator[str]:
    """Yield signatures beside the right one."""
    params, _, results = signature.partition(":")
    flip = {"i": "I", "I": "i"}
    yield from (f"{params[:n]}{flip[c]}{params[n + 1 :]}:{results}" for n, c in enumerate(params))
    yield from (f"{params[:n]}{params[n + 1 :]}:{results}" for n in range(len(params)))
    yield f"{params}i:{results}"
    yield f"I{params}:{results}"
    yield from (f"{params}:{result}" for result in ("", "i", "I") if result != results)


@pytest.mark.parametrize("name", ETHEREUM)
def test_a_wrong_signature(name: str) -> None:
    right = ETHEREUM[name]
    assert check(importing("ethereum", name, right), EWASM).accepted
    for signature in set(wrong(right)) - {right}:
        verdict = check(importing("ethereum", name, signature), EWASM)
        (given_params, given_results), (params, results) = types(signature), types(right)
        assert rules(verdict) == ["import"]
        assert (
            f"import ethereum.{name} has the signature [{' '.join(given_params)}] -> [{' '.join(given_results)}], "
            f"it must be [{' '.join(params)}] -> [{' '.join(results)}] at offset 0x" in messages(verdict)
        )


@pytest.mark.parametrize("name", ETHEREUM)
def test_a_wrong_name(name: str) -> None:
    for other in (name + "_", name[:-1], name.upper(), f" {name}", name[0].upper() + name[1:]):
        assert rules(check(importing("ethereum", other, ETHEREUM[name]), EWASM)) == ["import"]
    for module in ("ethereum2", "Ethereum", "", "env", "debug"):
        assert rules(check(importing(module, name, ETHEREUM[name]), EWASM)) == ["import"]


@pytest.mark.parametrize("name", ETHEREUM)
@pytest.mark.parametrize(("kind", "text"), [("global", "i32"), ("memory", "1"), ("table", "1 funcref")])
def test_only_functions_are_imported(name: str, kind: str, text: str) -> None:
    code = wat(
        f'(module (import "ethereum" "{name}" ({kind} {text})) (memory (export "memory") 1) (func (export "main")))'
    )
    verdict = check(code, EWASM)
    assert "import" in rules(verdict)
    assert f"import ethereum.{name} is not allowed as a {kind}" in messages(verdict)


@pytest.mark.parametrize("name", EXTRA)
def test_the_extra_functions_are_the_rulesets(name: str) -> None:
    code = importing("ethereum", name, EXTRA[name])
    assert check(code, EWASM).accepted
    assert check(code, SSVM).accepted
    assert rules(check(code, HERA)) == ["import"]
    assert f"import ethereum.{name} is not allowed: no such host function" in messages(check(code, HERA))
    assert not check(code, EWASM.replace(name="fewer", extra_functions=frozenset(set(EXTRA) - {name}))).accepted
    assert check(code, HERA.replace(name="more", extra_functions=frozenset({name}))).accepted


@pytest.mark.parametrize("name", DEBUG)
def test_debug_functions_when_debugging_only(name: str) -> None:
    code = importing("debug", name, DEBUG[name])
    for ruleset in (EWASM, HERA, SSVM):
        assert check(code, ruleset, debug=True).accepted
        assert rules(check(code, ruleset)) == ["import"]
    for signature in set(wrong(DEBUG[name])):
        assert rules(check(importing("debug", name, signature), EWASM, debug=True)) == ["import"]
    assert rules(check(importing("ethereum", name, DEBUG[name]), EWASM, debug=True)) == ["import"]
    assert rules(check(importing("debug", name + "x", DEBUG[name]), EWASM, debug=True)) == ["import"]


def test_debugging_allows_nothing_else() -> None:
    for case in REFUSED:
        if case.name != "debug_without_flag" and len(case.binary) < 10_000:
            assert not check(case.binary, EWASM, debug=True).accepted, case.name


# ---- Form ----


@pytest.mark.parametrize(
    ("binary", "rule"),
    [
        (hostile.PREAMBLE, "export"),
        (b"\0asm\2\0\0\0", "malformed"),
        (b"\0asm\1\0\0", "malformed"),
    ],
)
def test_version_and_emptiness(binary: bytes, rule: str) -> None:
    assert rule in rules(check(binary, EWASM))


def test_exactly_two_exports() -> None:
    def exports(*text: str) -> list[str]:
        return rules(
            check(wat(f"(module (memory 1) (table 1 funcref) (func) (func (param i32)) {' '.join(text)})"), EWASM)
        )

    memory, main = '(export "memory" (memory 0))', '(export "main" (func 0))'
    assert exports(memory, main) == exports(main, memory) == []
    assert exports(memory) == exports(main) == ["export"]
    assert exports() == ["export", "export"]
    assert exports(memory, main, '(export "x" (func 0))') == ["export"]
    assert exports(memory, main, '(export "" (func 0))') == ["export"]
    assert exports(memory, '(export "main" (func 1))') == ["export"]
    assert exports(memory, '(export "main" (memory 0))') == ["export"]
    assert exports(main, '(export "memory" (table 0))') == ["export"]


def test_segments_at_the_edge() -> None:
    def verdict(text: str) -> list[str]:
        return rules(
            check(wat(f'(module (memory (export "memory") 1) (table 4 funcref) (func (export "main")) {text})'), EWASM)
        )

    assert verdict('(data (i32.const 65536) "")') == []
    assert verdict('(data (i32.const 65535) "x")') == []
    assert verdict('(data (i32.const 65535) "xy")') == ["segment"]
    assert verdict('(data (i32.const 65537) "")') == ["segment"]
    assert verdict('(data (i32.const -1) "")') == verdict('(data (i32.const -1) "xy")') == ["segment"]
    assert verdict("(elem (i32.const 4))") == verdict("(elem (i32.const 3) 0)") == []
    assert verdict("(elem (i32.const 3) 0 0)") == verdict("(elem (i32.const 5))") == ["segment"]
    assert verdict("(elem (i32.const -1) 0 0)") == ["segment"]
    assert verdict('(data (i32.const 65536) "x") (data (i32.const 70000) "")') == ["segment", "segment"]


# ---- Features by ruleset (RULES 1 and 3) ----

FEATURES = {
    "sign-extension": ("(drop (i32.extend8_s (i32.const 0)))", {"ewasm", "hera", "ssvm"}),
    "memory-copy-fill": ("(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))", {"ewasm"}),
    "bulk-memory": ("(data.drop 0)", set()),
    "reference-types": ("(drop (table.size 0))", set()),
    "multi-value": ("(block (result i32 i32) (i32.const 0) (i32.const 0)) drop drop", set()),
    "tail-call": ("(return_call 0)", set()),
    "floating-point": ("(drop (f32.const 0))", set()),
    "saturating-conversion": ("(drop (i32.trunc_sat_f32_u (f32.const 0)))", set()),
    "simd": ("(drop (v128.const i64x2 0 0))", set()),
    "wide-arithmetic": ("(i64.mul_wide_u (i64.const 1) (i64.const 1)) drop drop", set()),
}


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("ruleset", [EWASM, HERA, SSVM], ids=lambda ruleset: ruleset.name)
def test_features_of_the_rulesets(ruleset: Ruleset, feature: str) -> None:
    body, where = FEATURES[feature]
    more = '(data "x")' if feature == "bulk-memory" else "(table 1 funcref)" if feature == "reference-types" else ""
    verdict = check(contract(body, more=more), ruleset)
    assert verdict.accepted == (ruleset.name in where)
    assert verdict.accepted or feature in rules(verdict)


@pytest.mark.parametrize("ruleset", [HERA, SSVM], ids=lambda ruleset: ruleset.name)
@pytest.mark.parametrize("group", ["proposal", "import", "form", "malformed", "invalid", "rejected"])
def test_what_is_hostile_is_so_under_every_ruleset(ruleset: Ruleset, group: str) -> None:
    for case in hostile.cases(group):
        verdict = check(case.binary, ruleset)
        assert not verdict.accepted, case.name
        assert [says for says in case.says if says.lower() not in messages(verdict).lower()] == [], case.name


def test_a_second_table_or_memory_is_a_feature() -> None:
    def verdict(text: str, ruleset: Ruleset) -> list[str]:
        return rules(check(wat(f'(module {text} (memory (export "memory") 1) (func (export "main")))'), ruleset))

    tables = "(table 1 funcref) (table 1 funcref)"
    for ruleset in (EWASM, HERA, SSVM):
        assert "reference-types" in verdict(tables, ruleset)
        assert "multi-memory" in verdict("(memory 1)", ruleset)
        assert {"import", "reference-types"} <= set(
            verdict('(import "env" "t" (table 1 funcref))' + tables[:18], ruleset)
        )
    assert verdict(tables, HERA.replace(name="more", features=HERA.features | {"reference-types"})) == []
    assert verdict(tables, EWASM.replace(name="more", features=EWASM.features | {"reference-types"})) == ["limit"]


def test_limits_are_the_rulesets() -> None:
    for case in hostile.cases("limit"):
        verdict = check(case.binary, HERA)
        assert "limit" not in rules(verdict), case.name
        bound = 50_000  # of the machine itself
        if case.name not in ("import_name", "export_name", "locals_run_length", "table_huge", "nesting_deep"):
            assert verdict.accepted or (case.value or 0) > bound, (case.name, messages(verdict))
    one = EWASM.replace(name="one", limits=replace(EWASM.limits, functions=1))
    two = contract("", more="(func)")
    assert messages(check(two, one)) == "limit exceeded: 2 functions, at most 1"
    assert check(contract(""), one).accepted


def test_an_instruction_without_a_price_is_refused() -> None:
    schedule = EWASM.schedule
    fewer = {name: price for name, price in schedule.instructions.items() if name != "i32.rotl"}
    ruleset = EWASM.replace(name="fewer", schedule=Schedule(fewer, schedule.operands, schedule.local, schedule.page))
    code = contract("(drop (i32.rotl (i32.const 1) (i32.const 1))) (drop (i32.rotl (i32.const 1) (i32.const 1)))")
    verdict = check(code, ruleset)
    assert rules(verdict) == ["price"]
    assert messages(verdict) == (
        f'i32.rotl has no price in ruleset fewer in function 0 "main" at offset {code.index(0x77):#x}'
    )
    assert check(code, EWASM).accepted
    assert check(contract("(drop (i32.rotr (i32.const 1) (i32.const 1)))"), ruleset).accepted
    dead = contract("unreachable (drop (i32.rotl (i32.const 1) (i32.const 1)))")
    assert rules(check(dead, ruleset)) == ["price"]


def test_what_is_accepted_can_be_metered_and_loaded(engine: Engine) -> None:
    for name in (*CONTRACTS, *(f"wat/{name}" for name in TEXTS)):
        assert prepare(fixture_code(name), EWASM, engine).loaded is not None
