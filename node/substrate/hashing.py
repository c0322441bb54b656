"""The hashes of Substrate: BLAKE2b, xxHash, and the keys of storage made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

from node.extras import needed_by

with needed_by("the Substrate side"):
    import xxhash


def blake2_64(data: bytes) -> bytes:
    """Return 8 bytes of BLAKE2b, as in the ids of runtime APIs."""
    return blake2b(data, digest_size=8).digest()


def blake2_128(data: bytes) -> bytes:
    """Return 16 bytes of BLAKE2b."""
    return blake2b(data, digest_size=16).digest()


def blake2_256(data: bytes) -> bytes:
    """Return 32 bytes of BLAKE2b, as in hashes of blocks and extrinsics."""
    return blake2b(data, digest_size=32).digest()


def _twox(data: bytes, words: int) -> bytes:
    return b"".join(xxhash.xxh64_digest(data, seed)[::-1] for seed in range(words))


def twox_64(data: bytes) -> bytes:
    """Return 8 bytes of xxHash."""
    return _twox(data, 1)


def twox_128(data: bytes) -> bytes:
    """Return 16 bytes of xxHash, as in the names of pallets and storage items."""
    return _twox(data, 2)


HASHERS: Final[Mapping[str, tuple[int, Callable[[bytes], bytes], int]]] = {
    "Blake2_128Concat": (2, lambda key: blake2_128(key) + key, 16),
    "Twox64Concat": (5, lambda key: twox_64(key) + key, 8),
    "Identity": (6, lambda key: key, 0),
}
"""Hashers of storage keys that can be read back: index in metadata, function, bytes before the key."""
