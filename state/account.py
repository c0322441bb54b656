"""What an address has in the state trie (Yellow Paper section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from evmc import U256, Bytes32
from state.codec import CodecError, decode_scalar, decode_strings, encode_list, encode_string, scalar
from state.hash import EMPTY_CODE_HASH
from state.trie import EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Account:
    """An account; the balance is in the smallest unit, the default account has nothing."""

    nonce: int = 0
    balance: U256 = U256(0)
    storage_root: Bytes32 = EMPTY_ROOT
    code_hash: Bytes32 = EMPTY_CODE_HASH

    @property
    def is_empty(self) -> bool:
        """Whether nonce and balance are 0 and there is no code (EIP-161)."""
        return not self.nonce and not self.balance and self.code_hash == EMPTY_CODE_HASH

    def encode(self) -> bytes:
        """Return the account's RLP."""
        items = scalar(self.nonce), scalar(self.balance), self.storage_root, self.code_hash
        return encode_list(b"".join(map(encode_string, items)))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the account whose RLP is `data`; raise CodecError if it is none."""
        nonce, balance, storage_root, code_hash = decode_strings(data, 4)
        try:
            return cls(decode_scalar(nonce), U256(decode_scalar(balance)), Bytes32(storage_root), Bytes32(code_hash))
        except ValueError as error:
            raise CodecError(f"not an account: {error}") from error


NO_ACCOUNT = Account()
"""What a missing account counts as where a nonce, a balance or code is asked for."""
