"""What can be set of the blocks to come."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Final, Self

from evmc import Address, Bytes32, Gas
from node.chain.block import Header
from node.chain.errors import ChainError
from node.chain.fees import base_fee_after
from state import Store, Table

LAST_TIME: Final = 2**64 - 1
"""The last time that a header and a contract can hold."""

SETTINGS: Final = b"chain settings"
"""The key of META with the settings in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Times in seconds. What begins with `next` holds for one block only."""

    gas_limit: Gas
    coinbase: Address
    extra_data: bytes = b""
    time_offset: int = 0
    block_interval: int | None = None
    next_timestamp: int | None = None
    next_base_fee: int | None = None
    next_mix_hash: Bytes32 | None = None

    def encode(self) -> bytes:
        """Return the row of META."""
        fields = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in asdict(self).items()
            if value is not None
        }
        return json.dumps(fields).encode()

    @classmethod
    def decode(cls, row: bytes) -> Self:
        """Return the settings of a row."""
        fields = json.loads(row)
        for name, make in (("coinbase", Address), ("extra_data", bytes), ("next_mix_hash", Bytes32)):
            if name in fields:
                fields[name] = make(bytes.fromhex(fields[name]))
        return cls(**fields)

    @classmethod
    def of(cls, store: Store, head: Header) -> Self:
        """Return what was set when the store was written, or what follows from the last block."""
        row = store.get(Table.META, SETTINGS)
        if row is None:
            return cls(gas_limit=head.gas_limit, coinbase=head.coinbase, extra_data=head.extra_data)
        return cls.decode(row)

    def timestamp(self, head: Header, now: float) -> int:
        """Return the time of the block after `head`: always later. Raise ChainError beyond the last there is."""
        found = self._timestamp(head, now)
        if found > LAST_TIME:
            raise ChainError(f"Timestamp error: {found} is beyond {LAST_TIME}; set the clock back, or remove blocks")
        return found

    def _timestamp(self, head: Header, now: float) -> int:
        if self.next_timestamp is not None:
            return max(self.next_timestamp, head.timestamp + 1)
        if self.block_interval is not None:
            return head.timestamp + max(self.block_interval, 1)
        return max(int(now) + self.time_offset, head.timestamp + 1)

    def template(self, head: Header, now: float) -> Header:
        """Return the next block's header without what follows from its transactions."""
        fee = self.next_base_fee
        return Header(
            parent_hash=head.hash,
            coinbase=self.coinbase,
            number=head.number + 1,
            gas_limit=self.gas_limit,
            timestamp=self.timestamp(head, now),
            extra_data=self.extra_data,
            mix_hash=self.next_mix_hash or Bytes32(bytes(32)),
            base_fee=base_fee_after(head.base_fee, head.gas_used, head.gas_limit) if fee is None else fee,
        )

    def after(self, block: Header, now: float) -> Settings:
        """Return the settings after a block: what held for it is spent, and a time that was set stays ahead."""
        if self.next_timestamp is None and self.next_base_fee is None and self.next_mix_hash is None:
            return self
        offset = self.time_offset if self.next_timestamp is None else block.timestamp - int(now)
        return replace(self, next_timestamp=None, next_base_fee=None, next_mix_hash=None, time_offset=offset)
