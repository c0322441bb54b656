"""The benchmark of the pallet, with few executions: it runs, and its tables have what they say."""

from __future__ import annotations

import os
import re

import pytest

from benchmarks import pallet
from benchmarks.pallet import Size
from benchmarks.table import Table

FEW = Size(workers=(0,), rounds=1, executions=8, alone=2, few=2, many=4, transfers=6, block=6)


def cells(table: Table) -> dict[str, list[str]]:
    """Return the rows by their first cell; each has a cell for each column."""
    assert all(len(row) == len(table.header) for row in table.rows)
    return {row[0]: list(row[1:]) for row in table.rows}


def number(cell: str) -> float:
    """Return the number that a cell begins with."""
    found = re.match(r"-?[\d,]+(\.\d+)?(e[+-]\d+)?", cell)
    assert found is not None, cell
    return float(found[0].replace(",", ""))


def test_executions_are_counted_over_both_kinds_of_connections() -> None:
    found = cells(pallet.executions(FEW))
    assert list(found) == ["complete, WebSocket, 0", "complete, HTTP, 0", "on demand, WebSocket, 0"]
    for rate, median, worst, _ in found.values():
        assert number(rate) > 0
        assert 0 < number(median) <= number(worst)


def test_questions_are_those_that_the_contracts_make() -> None:
    found = cells(pallet.questions(FEW))
    asked = {name: int(row[0]) for name, row in found.items()}
    assert asked.pop("ERC-20 transfer") == 5, "both accounts, that of the Keccak contract, both balances"
    for name, count in asked.items():
        times = int(name.partition(", ")[2].removesuffix(" times"))
        assert count == 2 + times, "both accounts, and what is asked in the loop"


def test_extrinsics_and_transactions_move_the_same_tokens() -> None:
    modules, reason = pallet.find_modules(None)
    if modules is None:
        pytest.skip(reason)
    found = cells(pallet.extrinsics(FEW, os.fspath(modules)))
    assert len(found) == 3
    assert all(number(cell) > 0 for row in found.values() for cell in row)


def test_without_the_client_the_table_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.delenv("EWASM_NODE_MODULES", raising=False)
    assert pallet.extrinsics(FEW, None).notes == ["Not measured: @polkadot/api is not there: see `--node-modules`."]
    assert "has no @polkadot/api" in str(pallet.extrinsics(FEW, str(tmp_path)))
