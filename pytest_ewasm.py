"""The pytest plugin: a chain for every test, isolated from all others, and a report of gas.

It is a module of its own, and loads the engine only for tests that use it: whoever has it installed and does not use it
pays nothing, and files of theirs named like parts of the engine are in nobody's way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ewasm import Address
    from ewasm.testing import Chain, Contract, GasReport

REPORT: pytest.StashKey[GasReport] = pytest.StashKey()
WORKER = "ewasm_gas_report"
"""Under which name a worker of pytest-xdist sends its report."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("ewasm", "Ewasm contracts")
    group.addoption("--ewasm-engine", metavar="NAME", help="Engine of the chain: compiled (the default), interpreter.")
    group.addoption("--ewasm-ruleset", metavar="NAME|FILE", help="Ruleset of the chain: ewasm (the default), or TOML.")
    group.addoption("--gas-report", action="store_true", help="Print what contracts and their functions cost.")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an engine or ruleset that there is none of, before any test runs."""
    engine, ruleset = config.getoption("--ewasm-engine"), config.getoption("--ewasm-ruleset")
    if engine is not None:
        from ewasm.vm import ENGINES  # noqa: PLC0415  # here and below: only if it is used

        if engine not in ENGINES:
            raise pytest.UsageError(f"--ewasm-engine: unknown engine {engine}; there are {', '.join(ENGINES)}")
    if ruleset is not None:
        from ewasm import RulesetError, find_ruleset  # noqa: PLC0415

        try:
            found = find_ruleset(ruleset)
        except RulesetError as error:
            raise pytest.UsageError(f"--ewasm-ruleset: {error}") from error
        if not found.metered:
            raise pytest.UsageError(f"--ewasm-ruleset: instructions of {ruleset} are free, which no chain can have")
    if config.getoption("--gas-report"):
        from ewasm.testing import GasReport  # noqa: PLC0415

        config.stash[REPORT] = GasReport()


@pytest.fixture(scope="session")
def session_chain(request: pytest.FixtureRequest) -> Iterator[Chain]:
    """Return the chain of the whole session: for fixtures of a wider scope, whose work stays on it."""
    from ewasm.testing import Chain  # noqa: PLC0415

    config = request.config
    chain = Chain(
        engine=config.getoption("--ewasm-engine") or "compiled",
        ruleset=config.getoption("--ewasm-ruleset") or "ewasm",
        report=config.stash.get(REPORT, None),
    )
    yield chain
    chain.close()


@pytest.fixture
def chain(session_chain: Chain) -> Iterator[Chain]:
    """Return the chain; what a test does on it is forgotten after the test."""
    with session_chain.isolated():
        yield session_chain


@pytest.fixture
def accounts(chain: Chain) -> tuple[Address, ...]:
    """Return the chain's accounts, 10,000 coins each."""
    return chain.accounts


@pytest.fixture
def deploy(request: pytest.FixtureRequest, chain: Chain) -> Callable[..., Contract]:
    """Return `chain.deploy`, with files looked for beside the test's own, then from where pytest runs."""
    folder = request.path.parent

    def found(file: Any) -> Any:
        beside = folder / file if isinstance(file, str | Path) and len(str(file)) < 4_096 else None
        return beside if beside is not None and beside.is_file() else file

    def deploy(code: bytes | str | Path, abi: Any = (), **options: Any) -> Contract:
        return chain.deploy(found(code), found(abi), **options)

    return deploy


# The report: of this process, or of all workers


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the report of gas."""
    report = config.stash.get(REPORT, None)
    tables = [] if report is None else report.tables()
    for number, table in enumerate(tables):
        if not number:
            terminalreporter.section("gas report")
        terminalreporter.write_line(table)
        terminalreporter.write_line("")
    if report is not None and not tables:
        terminalreporter.section("gas report")
        terminalreporter.write_line("no contract was used on the fixture `chain`")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send a worker's report to the process that prints it."""
    report = session.config.stash.get(REPORT, None)
    output = getattr(session.config, "workeroutput", None)
    if report is not None and output is not None:
        output[WORKER] = json.dumps(report.document())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the report of a worker that is done."""
    report = node.config.stash.get(REPORT, None)
    sent = getattr(node, "workeroutput", {}).get(WORKER)
    if report is not None and sent is not None:
        report.merge(json.loads(sent))
