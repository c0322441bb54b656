"""What a VM asks of the world around it (EVMC 12, `evmc_host_interface`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Protocol, TypeAlias

from evmc.message import Message, TxContext
from evmc.result import Log, Result
from evmc.types import U256, Address, Bytes32, Gas


class StorageStatus(IntEnum):
    """What a write to storage did to the slot, as a price needs to know it (zero and non-zero values)."""

    UNCHANGED = 0
    ADDED = 1
    DELETED = 2
    MODIFIED = 3

    @classmethod
    def of(cls, old: bytes, new: bytes) -> StorageStatus:
        """Classify a change from `old` to `new`, both 32 bytes."""
        if old == new:
            return cls.UNCHANGED
        if not any(old):
            return cls.ADDED
        return cls.MODIFIED if any(new) else cls.DELETED


Precompile: TypeAlias = Callable[[bytes, Gas], Result]
"""A contract in native code: call data and whole gas in, result out. It never touches state."""

Precompiles: TypeAlias = Mapping[Address, Precompile]


class Host(Protocol):
    """State, block and calls, as one running message sees them.

    Nothing here charges gas and nothing raises for what a contract did; an exception is a fault of the node.
    """

    def account_exists(self, address: Address) -> bool:
        """Tell whether the account is there and not empty (EIP-161)."""

    def get_storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot, zero if never written."""

    def set_storage(self, address: Address, key: Bytes32, value: Bytes32) -> StorageStatus:
        """Write a slot and tell what that changed."""

    def get_balance(self, address: Address) -> U256:
        """Return the balance in the smallest unit, 0 for a missing account."""

    def get_code_size(self, address: Address) -> int:
        """Return the size of the account's code in bytes."""

    def get_code_hash(self, address: Address) -> Bytes32:
        """Return the Keccak-256 of the account's code, zero for a missing account."""

    def copy_code(self, address: Address, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of the account's code from `offset`, fewer where it ends."""

    def selfdestruct(self, address: Address, beneficiary: Address) -> None:
        """Move the balance of `address` to `beneficiary` and mark it for deletion at the end of the transaction."""

    def call(self, message: Message) -> Result:
        """Execute a message one level deeper; its changes are kept or undone before this returns."""

    def get_tx_context(self) -> TxContext:
        """Return the transaction and block."""

    def get_block_hash(self, number: int) -> Bytes32 | None:
        """Return the hash of one of the 256 blocks before this one, None for any other number."""

    def emit_log(self, log: Log) -> None:
        """Record an event."""
