"""What a VM is asked to execute, and what surrounds it (EVMC 12, `evmc_message`, `evmc_tx_context`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from evmc.types import U256, ZERO_ADDRESS, ZERO_BYTES32, Address, Bytes32, Gas

MAX_DEPTH = 1024
"""The deepest message: one at this depth may run, it may not call further."""


class CallKind(IntEnum):
    """How a message came to be (EVMC `evmc_call_kind`)."""

    CALL = 0
    DELEGATECALL = 1
    CALLCODE = 2
    CREATE = 3
    CREATE2 = 4

    @property
    def is_create(self) -> bool:
        """Whether the message makes a new contract, its code being the init code."""
        return self in (CallKind.CREATE, CallKind.CREATE2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One call or creation.

    `recipient` is the account whose storage and balance are used; `code_address` the account whose code runs (the
    same, except in `DELEGATECALL` and `CALLCODE`). `gas` is whole gas. A creation carries its init code in `input`
    and, at the `Host`, leaves `recipient` to be filled in by the host.
    """

    kind: CallKind = CallKind.CALL
    is_static: bool = False
    depth: int = 0
    gas: Gas
    recipient: Address = ZERO_ADDRESS
    sender: Address = ZERO_ADDRESS
    input: bytes = b""
    value: U256 = U256(0)
    salt: Bytes32 = ZERO_BYTES32
    code_address: Address = ZERO_ADDRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class TxContext:
    """The transaction and block that a message runs in; times in seconds, gas in whole gas."""

    gas_price: U256 = U256(0)
    origin: Address = ZERO_ADDRESS
    coinbase: Address = ZERO_ADDRESS
    number: int = 0
    timestamp: int = 0
    gas_limit: Gas = 0
    difficulty: U256 = U256(0)
    chain_id: U256 = U256(1)
