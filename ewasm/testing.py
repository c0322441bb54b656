"""Test contracts: a chain in this process, contracts as objects, web3.py and eth-tester over it.

What is used is loaded when it is first asked for. `docs/testing.md` shows how it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from node.abi import AbiError
    from node.chain import TransactionRefused
    from node.testing.backend import EthTesterBackend
    from node.testing.chain import Chain
    from node.testing.contract import Contract, Event, Receipt
    from node.testing.errors import CallFailed, CustomError, Reverted
    from node.testing.provider import EwasmProvider
    from node.testing.report import GasReport

_HOME: Final = {
    "AbiError": "node.abi",
    "CallFailed": "node.testing.errors",
    "Chain": "node.testing.chain",
    "Contract": "node.testing.contract",
    "CustomError": "node.testing.errors",
    "EthTesterBackend": "node.testing.backend",
    "Event": "node.testing.contract",
    "EwasmProvider": "node.testing.provider",
    "GasReport": "node.testing.report",
    "Receipt": "node.testing.contract",
    "Reverted": "node.testing.errors",
    "TransactionRefused": "node.chain",
}

__all__ = [
    "AbiError",
    "CallFailed",
    "Chain",
    "Contract",
    "CustomError",
    "EthTesterBackend",
    "Event",
    "EwasmProvider",
    "GasReport",
    "Receipt",
    "Reverted",
    "TransactionRefused",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module  # noqa: PLC0415  # this door looks up only when it is asked to

    from node.extras import needed_by  # noqa: PLC0415  # the same

    if name not in _HOME:
        raise AttributeError(f"module 'ewasm.testing' has no attribute {name!r}")
    with needed_by(f"ewasm.testing.{name}"):
        return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
