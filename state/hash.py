"""Keccak-256, the hash of all state (Yellow Paper section 3: KEC)."""

from __future__ import annotations

from eth_hash.auto import keccak

from evmc import Bytes32


def keccak256(data: bytes) -> Bytes32:
    """Return the Keccak-256 hash of `data`, the form before SHA-3 was standardised."""
    return Bytes32(keccak(data))


EMPTY_CODE_HASH = keccak256(b"")
"""The code hash of every account without code."""
