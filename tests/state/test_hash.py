"""Keccak-256: published values, and which implementation gives them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from state import keccak256

PUBLISHED = {
    b"": "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
    b"\x80": "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    b"transfer(address,uint256)": "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b",
}


@pytest.mark.parametrize("data", PUBLISHED)
def test_published_hashes(data: bytes) -> None:
    assert keccak256(data).hex() == PUBLISHED[data]


def backend(choice: str) -> str:
    """Return the module that hashes in a fresh process."""
    code = "import sys, state; print(*[m for m in ('sha3', 'Crypto.Hash.keccak') if m in sys.modules])"
    environment = {**os.environ, "ETH_HASH_BACKEND": choice}
    if not choice:
        del environment["ETH_HASH_BACKEND"]
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_fastest_is_taken_unless_another_is_asked_for() -> None:
    try:
        import sha3  # noqa: F401
    except ImportError:
        assert backend("") == "Crypto.Hash.keccak"
    else:
        assert backend("") == "sha3"
    assert backend("pycryptodome") == "Crypto.Hash.keccak"
