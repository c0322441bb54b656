"""Calls that leave no trace: `eth_call`, the gas a transaction needs, its access list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evmc import U256, ZERO_ADDRESS, Address, Bytes32, Gas, Log, Result
from node.chain.signed import AccessList
from state import Diff


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a client asks to run, or to be sent from an account of the node; what is None is chosen by the node."""

    sender: Address | None = None
    to: Address | None = None
    gas: Gas | None = None
    gas_price: int | None = None
    max_fee: int | None = None
    max_tip: int | None = None
    value: U256 = U256(0)
    data: bytes = b""
    nonce: int | None = None
    access_list: AccessList | None = None
    chain_id: int | None = None
    type: int | None = None

    @property
    def origin(self) -> Address:
        """The sender, the zero address where none is given."""
        return self.sender or ZERO_ADDRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What an account has during a call (geth's state override set); `state` replaces all slots, `slots` some."""

    balance: U256 | None = None
    nonce: int | None = None
    code: bytes | None = None
    state: Mapping[Bytes32, Bytes32] | None = None
    slots: Mapping[Bytes32, Bytes32] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOverride:
    """What the block has during a call."""

    number: int | None = None
    timestamp: int | None = None
    gas_limit: Gas | None = None
    coinbase: Address | None = None
    base_fee: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What a call did; `gas_used` is after the refund and with the intrinsic gas.

    `reason` says why it failed, for people; None if it succeeded.
    """

    result: Result
    gas_used: Gas
    logs: tuple[Log, ...]
    diff: Diff
    contract: Address | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessListResult:
    """The accounts and slots that a call touched, the gas it uses with them listed, why it failed if it did."""

    access_list: AccessList
    gas_used: Gas
    reason: str | None
