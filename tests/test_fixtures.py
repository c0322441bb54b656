"""The fixture contracts: sources, binaries, and what their README says of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import wasmtime

from ewasm.contract import check
from ewasm.ruleset import EWASM, RULESETS
from fixtures import build, hostile
from state import keccak256
from tests.helpers import FIXTURES, ROOT, fixture_code
from wasm.decode import decode

SOURCES = list(build.sources())
CONTRACTS = [name for name in SOURCES if not name.startswith("hostile/")]
README = (FIXTURES / "README.md").read_text()

# README: all run under `ewasm` (`debug` with debugging switched on); what the others refuse.
REFUSED_BY = {
    "ewasm": set(),
    "ssvm": {"wat/memory_copy_fill"},
    "hera": {"wat/memory_copy_fill", "caller", "every_extra"},
}


def same_version(package: str) -> None:
    """Skip where the tool is not the one that the README promises the same bytes with."""
    wanted = re.search(rf"\b{package} ([\d.]+\d)", README)
    assert wanted is not None
    try:
        found = version(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    if found != wanted[1]:
        pytest.skip(f"binaries are the same with {package} {wanted[1]}, this is {found}")


def test_every_source_has_its_binary_and_the_other_way_round() -> None:
    binaries = {path.relative_to(FIXTURES).with_suffix("").as_posix() for path in FIXTURES.rglob("*.wasm")}
    assert binaries == set(SOURCES)


@pytest.mark.parametrize("name", [name for name in SOURCES if (FIXTURES / f"{name}.wat").exists()])
def test_text_gives_its_binary(name: str) -> None:
    same_version("wasmtime")
    assert wasmtime.wat2wasm((FIXTURES / f"{name}.wat").read_text()) == fixture_code(name)


def test_c_gives_its_binaries() -> None:
    """The project's own check: the compiler's output, byte for byte, and the signatures beside the selectors."""
    same_version("ziglang")
    names = [name for name in SOURCES if (FIXTURES / f"{name}.c").exists()]
    done = subprocess.run(
        [sys.executable, FIXTURES / "build.py", "--check", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(names) > 10


@pytest.mark.parametrize("ruleset", RULESETS)
@pytest.mark.parametrize("name", CONTRACTS)
def test_contracts_are_accepted_as_their_readme_says(name: str, ruleset: str) -> None:
    verdict = check(fixture_code(name), RULESETS[ruleset], debug=name == "debug")
    assert verdict.accepted is (name not in REFUSED_BY[ruleset]), verdict.findings


def test_the_readme_names_these_exceptions() -> None:
    text = " ".join(README.split())
    assert "All run under `ewasm`, `debug` only with debugging switched on." in text
    assert "`ssvm` refuses `memory_copy_fill`" in text
    assert "`hera` refuses that, `caller` and `every_extra` (because of `create2`)" in text
    assert not check(fixture_code("debug"), EWASM).accepted


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_readme_has_every_contract(name: str) -> None:
    base = name.removeprefix("wat/").removesuffix("_deploy")
    assert f"`{base}`" in README


@pytest.mark.parametrize("name", [name for name in CONTRACTS if (FIXTURES / f"{name}.c").exists()])
def test_c_contracts_keep_their_form(name: str) -> None:
    """One page, names of functions, no custom section but those, nothing imported that is not called."""
    module = decode(fixture_code(name), keep_customs=True)
    assert [memory.limits.minimum for memory in module.memories] == [1]
    kept = {custom.name for custom in module.customs} - {"name"}
    assert not kept or (name == "lines" and ".debug_line" in kept)
    assert len(module.names) == len(module.func_types)
    called = {imm for function in module.functions for op, imm, _ in function.body if op.name == "call"}
    assert set(range(len(module.imports))) <= called
    assert not {use.feature for use in module.uses} - {"sign-extension"}


@pytest.mark.parametrize("name", ["counter", "erc20"])
def test_init_code_carries_the_contract(name: str) -> None:
    assert fixture_code(name) in fixture_code(f"{name}_deploy")


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.abi.json")), ids=lambda path: path.stem)
def test_interfaces_for_clients(path: Path) -> None:
    """Every function of the JSON is in the README with its selector, and every event with its topic."""
    entries = json.loads(path.read_text())
    source = path.with_name(path.name.replace(".abi.json", ".c")).read_text() + (FIXTURES / "erc20.h").read_text()
    for entry in entries:
        if entry["type"] not in ("function", "event"):
            continue
        signature = f"{entry['name']}({','.join(item['type'] for item in entry['inputs'])})"
        digest = keccak256(signature.encode()).hex()
        assert signature in source
        if entry["type"] == "function":
            assert f"0x{digest[:8]}" in source
            assert digest[:8] in README
        else:
            assert digest[:16] in source.lower()


# Hostile modules


def test_every_hostile_module_is_listed() -> None:
    listed = {case.name for case in hostile.cases()}
    files = {path.stem for path in (FIXTURES / "hostile").glob("*.wat")}
    assert files <= listed
    made = {name for name in listed if name not in files and not name.endswith("_at_limit")}
    assert made == hostile.GENERATED.keys() | hostile.LIMITS.keys()


def test_the_limits_are_those_of_the_ruleset() -> None:
    bounds = {case.bound for case in hostile.cases("limit")}
    limits = {getattr(EWASM.limits, name) for name in EWASM.limits.__dataclass_fields__}
    assert bounds <= limits


@pytest.mark.parametrize("case", list(hostile.cases()), ids=lambda case: case.name)
def test_hostile_modules_are_refused_by_name(case: hostile.Case) -> None:
    verdict = check(case.binary, EWASM)
    assert verdict.accepted is (case.group == "accepted")
    messages = " / ".join(finding.message for finding in verdict.findings)
    for text in case.says:
        assert text.lower() in messages.lower()
    if case.group == "limit":
        assert re.search(rf"\b{case.value}\b.* at most {case.bound}\b", messages)
    if case.group == "rejected":
        assert [finding.rule for finding in verdict.findings] == ["preamble"]


def test_the_helper_makes_code_of_any_size() -> None:
    for size in (100, 24_576, 262_144):
        code = hostile.code_of_size(size)
        assert len(code) == size
        assert check(code, EWASM).accepted
