"""How calls and transactions of a test fail, with what the contract said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evmc import Gas, Result, Status
from node.abi import revert_reason
from node.testing.interface import Interface

if TYPE_CHECKING:
    from node.testing.contract import Receipt

PANIC: Final = bytes.fromhex("4e487b71")
"""The selector of `Panic(uint256)`."""

_PANICS: Final = {
    0x01: "an assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division by zero",
    0x21: "not a member of the enumeration",
    0x22: "wrongly encoded bytes in storage",
    0x31: "pop from an empty array",
    0x32: "index out of bounds",
    0x41: "too much memory",
    0x51: "call of an uninitialised function",
}
"""The codes of Solidity's documentation, section *Panic via assert and Error via require*."""


@dataclass(frozen=True, slots=True)
class CustomError:
    """An error of the contract's ABI, and its values by name."""

    name: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.values.items())})"


class CallFailed(Exception):
    """A call or transaction that ended otherwise than in success; the message says how.

    `receipt` is the transaction's, None for a call.
    """

    def __init__(self, message: str, result: Result, gas_used: Gas, receipt: Receipt | None = None) -> None:
        super().__init__(message)
        self.status = result.status
        self.output = result.output
        self.gas_used = gas_used
        self.receipt = receipt


class Reverted(CallFailed):
    """A contract that reverted.

    `reason` is the text of `Error(string)`, `panic` the code of `Panic(uint256)`, `error` one of the ABI's errors; each
    is None where the contract gave something else.
    """

    reason: str | None = None
    panic: int | None = None
    error: CustomError | None = None


def failure(
    result: Result, reason: str, interface: Interface | None, gas_used: Gas, receipt: Receipt | None = None
) -> CallFailed:
    """Return the exception for a result; `reason` is what the chain says of it."""
    if result.status is not Status.REVERT:
        return CallFailed(reason, result, gas_used, receipt)
    output = result.output
    text = revert_reason(output)
    error = None
    panic = int.from_bytes(output[4:36], "big") if text is not None and output[:4] == PANIC else None
    if panic is not None:
        said = f"panic {panic:#04x}" + (f" ({_PANICS[panic]})" if panic in _PANICS else "")
    elif text is not None:
        said = text
    else:
        error = custom_error(output, interface)
        said = str(error) if error else f"0x{output.hex()}" if output else ""
    found = Reverted(f"execution reverted: {said}" if said else "execution reverted", result, gas_used, receipt)
    found.reason = text if panic is None else None
    found.panic, found.error = panic, error
    return found


def custom_error(output: bytes, interface: Interface | None) -> CustomError | None:
    """Return the error of an ABI that revert data is, None if it is none."""
    entry = None if interface is None else interface.errors.get(output[:4])
    values = None if entry is None else entry.decode_inputs(output[4:])
    return None if entry is None or values is None else CustomError(entry.name, values)
