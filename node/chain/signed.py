"""Transactions as they are signed and sent: legacy, EIP-2930 and EIP-1559."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from evmc import U256, Address, Bytes32, Gas

LEGACY: Final = 0
ACCESS_LIST: Final = 1
DYNAMIC_FEE: Final = 2

AccessList: TypeAlias = tuple[tuple[Address, tuple[Bytes32, ...]], ...]
"""Addresses with slots, as EIP-2930 has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a sender signs. Fees are prices of whole gas in the smallest unit.

    `max_fee` is the gas price of types 0 and 1, whose `max_tip` is the same. `chain_id` is None for a legacy
    transaction without EIP-155. `to` is None for a creation.
    """

    type: int = DYNAMIC_FEE
    chain_id: int | None
    nonce: int
    max_fee: U256
    max_tip: U256
    gas_limit: Gas
    to: Address | None
    value: U256 = U256(0)
    data: bytes = b""
    access_list: AccessList = ()

    @property
    def signing_hash(self) -> Bytes32:
        """The hash that is signed."""
        raise NotImplementedError

    def effective_price(self, base_fee: int) -> int:
        """Return the price of gas in a block with this base fee (EIP-1559)."""
        return min(self.max_fee, base_fee + self.max_tip)

    def effective_tip(self, base_fee: int) -> int:
        """Return what of the price goes to the coinbase; negative if the fee is below the base fee."""
        return min(self.max_tip, self.max_fee - base_fee)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction(Payload):
    """A transaction with its signature, or of an impersonated sender without one: then r is the sender and s is 0."""

    y_parity: int
    r: int
    s: int
    sender: Address
    raw: bytes
    """The canonical encoding: RLP, after the type's byte unless that is 0 (EIP-2718)."""
    hash: Bytes32

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode a raw transaction and recover its sender.

        Raise MalformedTransaction, UnsupportedType or InvalidSignature. The chain id is not looked at.
        """
        raise NotImplementedError

    @classmethod
    def signed(cls, payload: Payload, y_parity: int, r: int, s: int) -> Self:
        """Return a payload with its signature; raise InvalidSignature if it is nobody's."""
        raise NotImplementedError

    @classmethod
    def impersonated(cls, payload: Payload, sender: Address) -> Self:
        """Return a payload as if `sender` had signed it; the hash differs by sender."""
        raise NotImplementedError

    @classmethod
    def restore(cls, raw: bytes, sender: Address) -> Self:
        """Decode what the chain has stored, the sender being known."""
        raise NotImplementedError

    @property
    def v(self) -> int:
        """The `v` of JSON-RPC: parity for typed transactions, with EIP-155's or the first chain's offset for others."""
        if self.type != LEGACY:
            return self.y_parity
        return self.y_parity + (27 if self.chain_id is None else 35 + 2 * self.chain_id)

    @property
    def is_impersonated(self) -> bool:
        """Whether nobody signed it."""
        return self.s == 0
