"""The pytest plugin, in sessions of pytest of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from eth_account import hdaccount

from ewasm.testing import Chain
from tests.helpers import FIXTURES, ROOT

LOADED_HERE = (Chain, hdaccount)
"""What sessions in this process share: native parts cannot be loaded twice."""

pytest_plugins = ["pytester"]

INSTALLED = any(each.value == "pytest_ewasm" for each in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "pytest_ewasm")

TESTS = """
def test_first(chain, accounts, deploy):
    token = deploy("erc20_deploy.wasm", "erc20.abi.json")
    token.transfer(accounts[1], 3)
    assert chain.block.number == 2


def test_second(chain, accounts, deploy):
    assert chain.block.number == 0
    token = deploy("erc20_deploy.wasm", "erc20.abi.json", name="second")
    assert token.label == "second"
    assert token.balanceOf(accounts[1]) == 0
    token.transfer(accounts[1], 3)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with tests and the files they name, in another than that of the run."""
    folder = pytester.mkdir("tests")
    for name in ("erc20_deploy.wasm", "erc20.abi.json"):
        shutil.copy(FIXTURES / name, folder)
    (folder / "test_token.py").write_text(TESTS)
    return pytester


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    # Without faulthandler: it would put its signal handlers over those by which Wasmtime sees traps, for good.
    return pytester.runpytest_inprocess(*PLUGIN, "-p", "no:faulthandler", "-p", "no:cacheprovider", *arguments)


@pytest.mark.parametrize("options", [(), ("--ewasm-engine", "interpreter"), ("--ewasm-ruleset", "ewasm")], ids=str)
def test_every_test_finds_the_chain_as_new(project: pytest.Pytester, options: tuple[str, ...]) -> None:
    run(project, *options).assert_outcomes(passed=2)


def test_what_wider_fixtures_do_stays(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def stranger(session_chain):
            session_chain.mine(3)
            return session_chain

        @pytest.mark.parametrize("time", [1, 2])
        def test_it(stranger, chain, time):
            assert chain.block.number == 3
            chain.mine()
        """
    )
    run(project, "-k", "test_it").assert_outcomes(passed=2, deselected=2)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--ewasm-engine", "evm", "--ewasm-engine: unknown engine evm; there are compiled, interpreter"),
        ("--ewasm-ruleset", "evm", "--ewasm-ruleset: unknown ruleset evm"),
        ("--ewasm-ruleset", "none.toml", "--ewasm-ruleset: *none.toml*"),
        ("--ewasm-ruleset", "hera", "--ewasm-ruleset: instructions of hera are free*"),
    ],
)
def test_wrong_options_are_refused_before_any_test(
    project: pytest.Pytester, option: str, value: str, said: str
) -> None:
    result = run(project, option, value)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}*"])


def test_the_report_of_gas(project: pytest.Pytester) -> None:
    result = run(project, "--gas-report")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*= gas report =*",
            "| erc20 Contract *",
            "| Deployment Cost *| Deployment Size *",
            "| Function Name *| Min *| Avg *| Median *| Max *| # Calls |",
            "| balanceOf *| 1 *|",
            "| transfer *| 2 *|",
        ]
    )


def test_the_example_passes_and_its_tests_can_fail(pytester: pytest.Pytester) -> None:
    example = ROOT / "examples" / "pytest"
    done = pytester.runpytest_subprocess(*PLUGIN, "-p", "no:cacheprovider", str(example))
    done.assert_outcomes(passed=3)
    text = (example / "test_token.py").read_text().replace("../../fixtures", str(FIXTURES))
    pytester.makepyfile(text.replace("(997, 3)", "(997, 4)"))
    run(pytester).assert_outcomes(passed=2, failed=1)


def test_a_report_of_nothing_says_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = run(pytester, "--gas-report")
    result.stdout.fnmatch_lines(["*= gas report =*", "no contract was used on the fixture `chain`"])
    assert "gas report" not in run(pytester).stdout.str()


def test_workers_send_their_reports(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    alone = [
        line for line in run(project, "--gas-report").stdout.lines if line.startswith(("| transfer", "| balanceOf"))
    ]
    result = project.runpytest_subprocess(*PLUGIN, "-n", "1", "--gas-report")
    result.assert_outcomes(passed=2)
    assert [line for line in result.stdout.lines if line.startswith(("| transfer", "| balanceOf"))] == alone


LOADED = """
import sys
class Look:
    def pytest_unconfigure(self):
        mine = ("ewasm", "node", "state", "wasm", "gas", "evmc", "wasmtime", "web3", "eth_account", "eth_abi")
        print("loaded:", sorted(m for m in sys.modules if m.partition(".")[0] in mine))
import pytest
raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", *PLUGIN, "test_theirs.py"], plugins=[Look()]))
"""


def test_tests_of_others_load_nothing_even_beside_files_of_the_same_names(tmp_path: Path) -> None:
    for name in ("state", "gas", "node", "wasm", "evmc"):
        (tmp_path / f"{name}.py").write_text("VALUE = 1\n")
    (tmp_path / "test_theirs.py").write_text("import state\n\ndef test_it():\n    assert state.VALUE == 1\n")
    (tmp_path / "look.py").write_text(f"import sys\nsys.path.append({str(ROOT)!r})\nPLUGIN = {PLUGIN}\n{LOADED}")
    done = subprocess.run([sys.executable, "look.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "loaded: ['state']" in done.stdout
