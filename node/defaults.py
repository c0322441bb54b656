"""What a run on the command line and a development chain take for granted.

State roots depend on it, so `docs/cli.md` lists it.
"""

from __future__ import annotations

from typing import Final

from evmc import U256, Address, TxContext
from state import GenesisAccount

MNEMONIC: Final = "test test test test test test test test test test test junk"
"""The words that development nodes derive their accounts from: everybody knows the keys."""

SENDER: Final = Address.from_hex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266")
"""The first account of these words."""

COIN: Final = 10**18
"""The smallest units of a coin."""

BALANCE: Final = U256(10_000 * COIN)
GAS: Final = 10_000_000
CHAIN_ID: Final = U256(31_337)
BLOCK_GAS_LIMIT: Final = 30_000_000
FIRST_TIMESTAMP: Final = 1_600_000_000
BLOCK_SECONDS: Final = 12


def block(number: int, gas: int) -> TxContext:
    """Return the block a transaction runs in: no coinbase, no fees, a time that follows from the number."""
    return TxContext(
        number=number,
        timestamp=FIRST_TIMESTAMP + BLOCK_SECONDS * number,
        gas_limit=max(BLOCK_GAS_LIMIT, gas),
        chain_id=CHAIN_ID,
    )


def genesis(sender: Address) -> dict[Address, GenesisAccount]:
    """Return the accounts of a fresh state: the sender with its balance."""
    return {sender: GenesisAccount(balance=BALANCE)}
