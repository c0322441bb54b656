"""Reports of gas: what is counted, and the form of the tables."""

from __future__ import annotations

import pytest

from ewasm import Address
from ewasm.testing import Chain, GasReport, Reverted
from tests.helpers import FIXTURES
from tests.node.testing.reflect import ECHO, placed
from wasm.engine import Engine

DEPLOY, ABI = FIXTURES / "erc20_deploy.wasm", FIXTURES / "erc20.abi.json"


def used(report: GasReport, name: str) -> list[list[str]]:
    """Return the cells of a contract's table that say something."""
    (table,) = (each for each in report.tables() if f"| {name} Contract" in each)
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    return [cells for row in rows if any(cells := [cell.strip() for cell in row])]


def test_transactions_and_calls_are_counted(engine: Engine) -> None:
    report = GasReport()
    chain = Chain(engine=engine.name, report=report)
    bob, carol = chain.accounts[1:3]
    token = chain.deploy(DEPLOY, ABI)
    deployed = chain.core.receipts(1)[0].gas_used
    gas = [token.transfer(to, 1).gas_used for to in (bob, bob, carol)]
    with pytest.raises(Reverted) as failed:
        token.transfer(bob, 1, sender=chain.accounts[5])
    gas = sorted([*gas, failed.value.gas_used])
    token.balanceOf(bob)
    asked = chain.core.call(chain._asked(token, token.balanceOf.data(bob), None, 0, None)).gas_used
    chain.transact(bob, value=1)
    assert used(report, "erc20") == [
        ["erc20 Contract", "", "", "", "", ""],
        ["Deployment Cost", "Deployment Size", "", "", "", ""],
        [str(deployed), str(DEPLOY.stat().st_size), "", "", "", ""],
        ["Function Name", "Min", "Avg", "Median", "Max", "# Calls"],
        ["balanceOf", *[str(asked)] * 4, "1"],
        ["transfer", *map(str, (gas[0], sum(gas) // 4, (gas[1] + gas[2]) // 2, gas[3], 4))],
    ]
    assert len(report.tables()) == 1, "a payment is no call of a contract"
    chain.close()


def test_transactions_from_elsewhere_are_counted_and_selectors_stand_for_names() -> None:
    report = GasReport()
    chain = Chain(report=report)
    address = Address.from_int(0xEC40)
    chain.core.set_code(address, ECHO)
    chain.transact(address, b"\xab\xcd\xef\x01")
    chain.transact(address, b"\xab\xcd\xef\x01")
    code = chain.core.state().account(address).code_hash.hex()  # type: ignore[union-attr]
    rows = used(report, f"code 0x{code[:8]}…")
    assert [(row[0], row[-1]) for row in rows[1:]] == [("Function Name", "# Calls"), ("0xabcdef01", "2")]
    placed(chain, ECHO, [{"name": "f", "inputs": []}])
    assert used(report, "contract ec40")[2][0] == "0xabcdef01"
    chain.close()


def test_reports_of_processes_add_up() -> None:
    reports = [GasReport(), GasReport(), GasReport()]
    for report in reports[:2]:
        chain = Chain(report=report)
        token = chain.deploy(DEPLOY, ABI)
        token.transfer(chain.accounts[1], 1)
        chain.close()
    one = used(reports[0], "erc20")
    for report in reports[:2]:
        reports[2].merge(report.document())
    both = used(reports[2], "erc20")
    assert both[:-1] == one[:-1]
    assert both[-1] == [*one[-1][:-1], "2"]


def test_the_table_is_drawn_as_forge_draws_it() -> None:
    report = GasReport()
    report._deployed["aa"] = (164_635, 545)
    report._used["aa"]["371303c0"].update([26_417, 43_517])
    report._names["aa"] = "src/C.sol:C"
    report._functions["aa"] = {"371303c0": "inc"}
    assert report.tables() == [
        """\
╭----------------------+-----------------+-------+--------+-------+---------╮
| src/C.sol:C Contract |                 |       |        |       |         |
+===========================================================================+
| Deployment Cost      | Deployment Size |       |        |       |         |
|----------------------+-----------------+-------+--------+-------+---------|
| 164635               | 545             |       |        |       |         |
|----------------------+-----------------+-------+--------+-------+---------|
|                      |                 |       |        |       |         |
|----------------------+-----------------+-------+--------+-------+---------|
| Function Name        | Min             | Avg   | Median | Max   | # Calls |
|----------------------+-----------------+-------+--------+-------+---------|
| inc                  | 26417           | 34967 | 34967  | 43517 | 2       |
╰----------------------+-----------------+-------+--------+-------+---------╯"""
    ]
