"""Keccak-256, the hash of all state (Yellow Paper section 3: KEC)."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from eth_hash.utils import auto_choose_backend

from evmc import Bytes32


def _chosen() -> Callable[[bytes], bytes]:
    """Return the hash of eth-hash's backend that the environment names, else the fastest that is installed.

    eth-hash itself would try pycryptodome before `sha3`, which is several times faster on short input and comes with
    the extra `fast`.
    """
    if not os.environ.get("ETH_HASH_BACKEND"):
        try:
            from eth_hash.backends.pysha3 import backend  # noqa: PLC0415  # not everybody has it
        except ImportError:
            pass
        else:
            return backend.keccak256
    return auto_choose_backend().keccak256


keccak = _chosen()
"""Keccak-256 as plain bytes, without what eth-hash has around it: a trie hashes much."""


def keccak256(data: bytes) -> Bytes32:
    """Return the Keccak-256 hash of `data`, the form before SHA-3 was standardised."""
    return Bytes32(keccak(data))


_REMEMBERED: Final = 1 << 16


@lru_cache(_REMEMBERED)
def hash_of_key(key: bytes) -> Bytes32:
    """Return the hash of an address or a slot; recent ones are remembered, since most are asked for again."""
    return keccak256(key)


EMPTY_CODE_HASH = keccak256(b"")
"""The code hash of every account without code."""
