"""What a chain begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from evmc import ZERO_ADDRESS, ZERO_BYTES32, Address, Bytes32, Gas
from state import GenesisAccount

CHAIN_ID: Final = 31_337
GAS_LIMIT: Final = 30_000_000
BASE_FEE: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The first block and its accounts. `timestamp` is in Unix seconds, None for the clock's."""

    chain_id: int = CHAIN_ID
    accounts: Mapping[Address, GenesisAccount] = field(default_factory=dict)
    timestamp: int | None = None
    gas_limit: Gas = GAS_LIMIT
    base_fee: int = BASE_FEE
    coinbase: Address = ZERO_ADDRESS
    extra_data: bytes = b""
    mix_hash: Bytes32 = ZERO_BYTES32

    @classmethod
    def parse(cls, document: Any) -> Self:
        """Read a genesis in geth's JSON form (`config.chainId`, `alloc`, …); raise UnusableChain that names the field."""
        raise NotImplementedError
