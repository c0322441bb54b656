"""The accounts of the node, whose keys it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from evmc import Address, Bytes32
from node.chain.signed import Payload, SignedTransaction

MNEMONIC: Final = "test test test test test test test test test test test junk"
DERIVATION_PATH: Final = "m/44'/60'/0'/0/"


class Wallet:
    """Private keys by address, in order. Every method that signs raises NotAuthorised for an address without a key."""

    def __init__(self, keys: Iterable[Bytes32] = ()) -> None:
        raise NotImplementedError

    @classmethod
    def from_mnemonic(cls, mnemonic: str = MNEMONIC, count: int = 10, path: str = DERIVATION_PATH) -> Wallet:
        """Return the first accounts of a mnemonic (BIP-39, BIP-44); raise ValueError if it is none."""
        raise NotImplementedError

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The accounts, in order."""
        raise NotImplementedError

    def key(self, address: Address) -> Bytes32:
        """Return the private key."""
        raise NotImplementedError

    def __contains__(self, address: object) -> bool:
        raise NotImplementedError

    def sign(self, payload: Payload, sender: Address) -> SignedTransaction:
        """Sign a transaction."""
        raise NotImplementedError

    def sign_message(self, address: Address, message: bytes) -> bytes:
        """Sign a text as `eth_sign` and `personal_sign` do (EIP-191); return r, s and v in 65 bytes."""
        raise NotImplementedError

    def sign_typed_data(self, address: Address, document: Mapping[str, Any]) -> bytes:
        """Sign typed data (EIP-712); raise ValueError if the document is none."""
        raise NotImplementedError
