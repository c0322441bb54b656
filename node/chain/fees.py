"""The base fee from block to block (EIP-1559)."""

from __future__ import annotations

from typing import Final

from evmc import Gas

ELASTICITY: Final = 2
"""How many times its target a block may hold."""
CHANGE_DENOMINATOR: Final = 8
"""A full block raises the fee by one part in so many, an empty one lowers it."""
MAX_FEE: Final = 2**256 - 1
"""The greatest price of gas that a transaction can name; what is reckoned from base fee and tip ends there."""
SUGGESTED_TIP: Final = 1_000_000_000
"""The priority fee that clients are told to offer, as Anvil and Hardhat do; any is enough here."""


def base_fee_after(base_fee: int, gas_used: Gas, gas_limit: Gas) -> int:
    """Return the base fee of the block after one with these values."""
    target = gas_limit // ELASTICITY
    if gas_used == target or not target:
        return base_fee
    change = base_fee * abs(gas_used - target) // target // CHANGE_DENOMINATOR
    return min(base_fee + max(change, 1), MAX_FEE) if gas_used > target else base_fee - change
