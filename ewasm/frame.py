"""One running message as its host functions see it, and the ways in which they can end it.

    ContractEnd                 every end that a host function causes
    ├── Finish                  success, with output
    ├── Revert                  undone, gas kept, with output
    └── ContractFailure         undone, all gas lost; `status` says why
        ├── StaticModeViolation
        ├── ArgumentOutOfRange
        └── InvalidMemoryAccess a range outside of what is copied from

Memory ranges raise `wasm.Trap`, charges that cannot be paid `gas.OutOfGas`. `ewasm.vm` translates all of them in one
place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from evmc import U256, Address, Bytes32, Host, Message, Status, TxContext
from gas.meter import Meter
from wasm.engine import Instance, Memory

if TYPE_CHECKING:
    from ewasm.ruleset import HostPrices, Ruleset


class ContractEnd(Exception):
    """A host function ended the run."""


class Finish(ContractEnd):
    """The run succeeded, with output."""

    def __init__(self, output: bytes) -> None:
        super().__init__("finish")
        self.output = output


class Revert(ContractEnd):
    """The run is undone, its gas kept, with output."""

    def __init__(self, output: bytes) -> None:
        super().__init__("revert")
        self.output = output


class ContractFailure(ContractEnd):
    """The run is undone and all its gas lost."""

    status = Status.FAILURE


class StaticModeViolation(ContractFailure):
    """A state change in a static frame."""

    status = Status.STATIC_MODE_VIOLATION


class ArgumentOutOfRange(ContractFailure):
    """An argument that has no meaning, or an amount of 2^128 or more."""

    status = Status.ARGUMENT_OUT_OF_RANGE


class InvalidMemoryAccess(ContractFailure):
    """A range outside of what is copied from."""

    status = Status.INVALID_MEMORY_ACCESS


class Frame:
    """The message, the world around it, its gas, its memory, and what its last call returned."""

    __slots__ = (
        "_tx",
        "code",
        "host",
        "instance",
        "max_init_code",
        "message",
        "meter",
        "prices",
        "print",
        "return_data",
    )

    instance: Instance

    def __init__(
        self,
        host: Host,
        message: Message,
        code: bytes,
        meter: Meter,
        ruleset: Ruleset,
        print_: Callable[[str], None],
    ) -> None:
        self.host = host
        self.message = message
        self.code = code
        self.meter = meter
        self.prices: HostPrices = ruleset.host
        self.max_init_code = ruleset.max_init_code
        self.print = print_
        self.return_data = b""
        self._tx: TxContext | None = None

    @property
    def memory(self) -> Memory:
        """The contract's memory."""
        return self.instance.memory

    @property
    def tx(self) -> TxContext:
        """The transaction and block, asked for once."""
        if self._tx is None:
            self._tx = self.host.get_tx_context()
        return self._tx

    def read_address(self, offset: int) -> Address:
        """Read an address from memory."""
        return Address(self.memory.read(offset, 20))

    def read_bytes32(self, offset: int) -> Bytes32:
        """Read 32 bytes from memory."""
        return Bytes32(self.memory.read(offset, 32))

    def read_u128(self, offset: int) -> U256:
        """Read a 128-bit amount from memory."""
        return U256(int.from_bytes(self.memory.read(offset, 16), "little"))

    def write_u128(self, offset: int, value: int) -> None:
        """Write an amount to memory; one of 2^128 or more ends the run."""
        if value >> 128:
            raise ArgumentOutOfRange(f"{value} does not fit 128 bits")
        self.memory.write(offset, value.to_bytes(16, "little"))

    def copy_in(self, result: int, source: bytes, offset: int, length: int, what: str) -> None:
        """Copy from outside to memory; nothing is filled up with zeros."""
        if offset + length > len(source):
            raise InvalidMemoryAccess(f"{offset} … {offset + length} is outside the {what} of {len(source)} bytes")
        self.memory.write(result, source[offset : offset + length])

    def can_pay(self, value: int) -> bool:
        """Tell whether the running account has an amount; a balance of 2^128 or more ends the run."""
        balance = self.host.get_balance(self.message.recipient)
        if balance >> 128:
            raise ArgumentOutOfRange(f"the balance {balance} does not fit 128 bits")
        return balance >= value
