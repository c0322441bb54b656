"""The gas of many calls and transactions, by contract and function, in the form of `forge test --gas-report`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from evmc import Address, Bytes32, Gas
from node.chain import BlockReceipt, Chain
from node.testing.interface import Interface
from state import EMPTY_CODE_HASH
from state.account import NO_ACCOUNT

_DEPLOYMENT: Final = ("Deployment Cost", "Deployment Size")
_FUNCTION: Final = ("Function Name", "Min", "Avg", "Median", "Max", "# Calls")


class GasReport:
    """What was used where. Contracts of the same code are one; names come from ABIs, selectors stand in for others.

    Gas is what a receipt has: the whole transaction's, intrinsic gas and refund included, and for calls the same.
    Calls of one contract by another are part of what called them.
    """

    def __init__(self) -> None:
        self._deployed: dict[str, tuple[Gas, int]] = {}
        self._used: defaultdict[str, defaultdict[str, Counter[Gas]]] = defaultdict(lambda: defaultdict(Counter))
        self._names: dict[str, str] = {}
        self._functions: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def name(self, code_hash: Bytes32, name: str | None, interface: Interface) -> None:
        """Tell what the contract with this code is called, if anything, and its functions."""
        if name is not None:
            self._call(code_hash.hex(), name)
        shown = {selector.hex(): interface.shown(selector) for selector in interface.by_selector}
        self._functions[code_hash.hex()].update(shown)

    def block(self, chain: Chain, receipts: Sequence[BlockReceipt]) -> None:
        """Count the transactions of a block."""
        for receipt in receipts:
            tx = receipt.transaction
            if tx.to is not None:
                self.call(chain, tx.to, tx.data, receipt.gas_used)
            elif receipt.contract is not None and receipt.succeeded:
                code = _code_hash(chain, receipt.contract)
                self._deploy(code.hex(), receipt.gas_used, len(tx.data))

    def call(self, chain: Chain, to: Address, data: bytes, gas: Gas) -> None:
        """Count a call; one of an account without code is none."""
        code = _code_hash(chain, to)
        if code != EMPTY_CODE_HASH:
            self._used[code.hex()][data[:4].hex()][gas] += 1

    def _deploy(self, code: str, gas: Gas, size: int) -> None:
        # The highest: tests in another order, or on other processes, give the same.
        self._deployed[code] = max(self._deployed.get(code, (0, 0)), (gas, size))

    def _call(self, code: str, name: str) -> None:
        # The first in the alphabet, for the same reason.
        self._names[code] = min(self._names.get(code, name), name)

    # Between processes

    def document(self) -> dict[str, Any]:
        """Return everything as JSON values, for `merge`."""
        return {
            "deployed": {code: list(row) for code, row in self._deployed.items()},
            "used": [
                [code, selector, gas, count]
                for code, functions in self._used.items()
                for selector, used in functions.items()
                for gas, count in used.items()
            ],
            "names": self._names,
            "functions": dict(self._functions),
        }

    def merge(self, document: Mapping[str, Any]) -> None:
        """Add what another process counted."""
        for code, (gas, size) in document["deployed"].items():
            self._deploy(code, gas, size)
        for code, selector, gas, count in document["used"]:
            self._used[code][selector][gas] += count
        for code, name in document["names"].items():
            self._call(code, name)
        for code, functions in document["functions"].items():
            self._functions[code].update(functions)

    # The tables

    def tables(self) -> list[str]:
        """Return a table for each contract, by name."""
        codes = self._deployed.keys() | self._used.keys()
        named = sorted((self._names.get(code, f"code 0x{code[:8]}…"), code) for code in codes)
        return [self._table(name, code) for name, code in named]

    def _table(self, name: str, code: str) -> str:
        rows: list[Sequence[str]] = []
        if code in self._deployed:
            rows += [_DEPLOYMENT, tuple(map(str, self._deployed[code])), ()]
        rows.append(_FUNCTION)
        rows += sorted((self._shown(code, selector), *_numbers(used)) for selector, used in self._used[code].items())
        return _drawn(f"{name} Contract", rows)

    def _shown(self, code: str, selector: str) -> str:
        return self._functions[code].get(selector) or Interface().shown(bytes.fromhex(selector))


def _code_hash(chain: Chain, address: Address) -> Bytes32:
    return (chain.state().account(address) or NO_ACCOUNT).code_hash


def _numbers(used: Counter[Gas]) -> tuple[str, ...]:
    """Return least, mean, median and most, in whole gas rounded down, and how many."""
    gas = sorted(used.elements())
    half = len(gas) // 2
    median = gas[half] if len(gas) % 2 else (gas[half - 1] + gas[half]) // 2
    return tuple(map(str, (gas[0], sum(gas) // len(gas), median, gas[-1], len(gas))))


def _drawn(title: str, rows: Sequence[Sequence[str]]) -> str:
    """Return a table with lines around every row; short rows have empty cells."""
    cells = [[*row, *[""] * (len(_FUNCTION) - len(row))] for row in [(title,), *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    edge = "+".join("-" * (width + 2) for width in widths)
    body = f"\n|{edge}|\n".join(lines[1:])
    return f"╭{edge}╮\n{lines[0]}\n+{'=' * len(edge)}+\n{body}\n╰{edge}╯"
