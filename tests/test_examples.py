"""The examples: each is run as a program, and prints what it should."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.helpers import ROOT

EXAMPLES = ROOT / "examples"
MAX_LINES = 80

# What each prints: a regular expression for the whole output. Gas is recorded, roots are not.
PRINTED = {
    "run_contract": r"""
increment\(\): SUCCESS, 21221 gas
add\(7\): SUCCESS, 6231 gas
get\(\): SUCCESS, 211 gas
  the count is 8
  slot 0 is 8
  events: \[1, 8\]
a call that nobody knows: REVERT, 21 gas
increment\(\) with 6,000 gas: OUT_OF_GAS, 6000 gas
  why: a charge of a host function could not be paid
""",
    "erc20_on_a_state": r"""
deployed at 0x5fbdb2315678afecb367f032d93f642f64180aa3 for (?P<deploy>\d+) gas
root (?P<before>0x[0-9a-f]{64})
Alice has 1000 and Bob has 0
transfer: SUCCESS for (?P<transfer>\d+) gas, 1 event
root (?P<after>0x[0-9a-f]{64})
Alice has 997 and Bob has 3
Alice paid (?P<paid>\d+) for 2 transactions
""",
    "erc20_on_a_pallet": r"""
5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY created 0xe2a313e210a6ec1d5a9c0806545670f2e6264f86
transfer: Log, Executed
Alice has 997
Bob has 3
too many: ExecutedFailed, ERC20: transfer amount exceeds balance
""",
    "measure_gas": r"""
function +instructions +gas
(?P<functions>(?:\w+ +[\d,]+ +[\d,.]+\n)+)SUCCESS, gas used (?P<used>[\d,]+)
""",
    "refuse": r"""
ewasm: 10 findings
(?P<ewasm>(?:  \[.*\n){10})hera: 10 findings
(?P<hera>(?:  \[.*\n){10})""",
    "web3_in_process": r"""
Fixture Token at 0x5FbDB2315678afecb367f032d93F642f64180aa3 for (?P<deploy>\d+) gas
transfer: (?P<transfer>\d+) gas, 3 to 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
Alice has 997 and Bob has 3
execution reverted: ERC20: transfer amount exceeds balance
""",
}


def run(name: str) -> re.Match[str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    match = re.fullmatch(PRINTED[name].lstrip(), done.stdout)
    assert match, done.stdout
    return match


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == PRINTED.keys()


@pytest.mark.parametrize("name", PRINTED)
def test_examples_are_short(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text("utf-8").splitlines()) < MAX_LINES


def test_run_contract() -> None:
    run("run_contract")


def test_erc20_on_a_state() -> None:
    printed = run("erc20_on_a_state")
    assert printed["before"] != printed["after"]
    assert int(printed["paid"]) == int(printed["deploy"]) + int(printed["transfer"])


def test_erc20_on_a_pallet() -> None:
    """The address is the one that the original publishes: Alice's first."""
    run("erc20_on_a_pallet")


def test_measure_gas() -> None:
    printed = run("measure_gas")
    rows = [line.split() for line in printed["functions"].replace(",", "").splitlines()]
    *functions, total = [(name, int(count), float(gas)) for name, count, gas in rows]
    assert {"main", "transfer", "storeAmount"} <= {name for name, _, _ in functions}
    assert total[0] == "all"
    assert total[1] == sum(count for _, count, _ in functions)
    assert total[2] == pytest.approx(sum(gas for _, _, gas in functions))
    assert 0 <= int(printed["used"].replace(",", "")) - total[2] < 1


def test_refuse() -> None:
    printed = run("refuse")
    rules = {name: re.findall(r"^  \[(.*?)\]", printed[name], re.MULTILINE) for name in ("ewasm", "hera")}
    assert set(rules["ewasm"]) == {"start", "limit", "floating-point", "import", "export"}
    assert set(rules["hera"]) == {"start", "memory-copy-fill", "floating-point", "import", "export"}
    assert 'f64.mul in function 3 "mix"' in printed["ewasm"]


def test_web3_in_process() -> None:
    run("web3_in_process")
