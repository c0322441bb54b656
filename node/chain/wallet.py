"""The accounts of the node, whose keys it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from coincurve import PrivateKey

from evmc import Address, Bytes32
from node.chain.errors import NotAuthorised
from node.chain.signed import Payload, SignedTransaction
from node.defaults import MNEMONIC
from node.extras import needed_by
from state import keccak256

DERIVATION_PATH: Final = "m/44'/60'/0'/0/"
ACCOUNTS: Final = 10


class Wallet:
    """Private keys by address, in order. Every method that signs raises NotAuthorised for an address without a key."""

    def __init__(self, keys: Iterable[Bytes32] = ()) -> None:
        """Hold these keys; raise ValueError for a number that is no key."""
        self._keys = {_address(key): key for key in map(PrivateKey, keys)}

    @classmethod
    def from_mnemonic(cls, mnemonic: str = MNEMONIC, count: int = ACCOUNTS, path: str = DERIVATION_PATH) -> Wallet:
        """Return the first accounts of a mnemonic (BIP-39, BIP-44); raise ValueError if it is none."""
        # Only here, since it takes a while to load.
        with needed_by("a wallet from a mnemonic"):
            from eth_account.hdaccount import key_from_seed, seed_from_mnemonic  # noqa: PLC0415
        from eth_utils.exceptions import ValidationError  # noqa: PLC0415

        try:
            seed = seed_from_mnemonic(mnemonic, passphrase="")
            return cls(Bytes32(key_from_seed(seed, f"{path}{index}")) for index in range(count))
        except ValidationError as error:
            raise ValueError(f"not a mnemonic or derivation path: {error}") from error

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The accounts, in order."""
        return tuple(self._keys)

    def key(self, address: Address) -> Bytes32:
        """Return the private key."""
        return Bytes32(self._key(address).secret)

    def __contains__(self, address: object) -> bool:
        return address in self._keys

    def sign(self, payload: Payload, sender: Address) -> SignedTransaction:
        """Sign a transaction."""
        signature = self._signature(sender, payload.signing_hash)
        return SignedTransaction.signed(
            payload, signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        )

    def sign_message(self, address: Address, message: bytes) -> bytes:
        """Sign a text as `eth_sign` and `personal_sign` do (EIP-191); return r, s and v in 65 bytes."""
        prefixed = b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message
        return self._with_v(address, keccak256(prefixed))

    def sign_typed_data(self, address: Address, document: Mapping[str, Any]) -> bytes:
        """Sign typed data (EIP-712) and return r, s and v; raise ValueError if the document is none."""
        with needed_by("signing typed data"):
            from eth_account.messages import encode_typed_data  # noqa: PLC0415  # as above

        self._key(address)
        try:
            message = encode_typed_data(full_message=dict(document))
        except Exception as error:  # the library raises whatever its parts raise
            raise ValueError(f"not typed data after EIP-712: {error}") from error
        return self._with_v(address, keccak256(b"\x19" + message.version + message.header + message.body))

    def _with_v(self, address: Address, digest: Bytes32) -> bytes:
        signature = self._signature(address, digest)
        return signature[:64] + bytes([27 + signature[64]])

    def _signature(self, address: Address, digest: Bytes32) -> bytes:
        """Return r, s and the parity."""
        return bytes(self._key(address).sign_recoverable(digest, hasher=None))

    def _key(self, address: Address) -> PrivateKey:
        try:
            return self._keys[address]
        except KeyError:
            raise NotAuthorised(f"unknown account: no key for {address}, and it is not impersonated") from None


def _address(key: PrivateKey) -> Address:
    return Address(keccak256(key.public_key.format(compressed=False)[1:])[12:])
