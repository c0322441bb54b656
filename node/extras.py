"""Libraries that only some need: which extra of the package brings one that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

EXTRAS: Final = {
    "aiohttp": "node",
    "eth_account": "node",
    "eth_tester": "eth-tester",
    "nacl": "substrate",
    "sr25519": "substrate",
    "web3": "web3",
    "xxhash": "substrate",
}
"""The extra, by the name under which the library is imported."""


class MissingExtra(ImportError):
    """A library of an extra is not installed: the message says what needs it, and what to install."""


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Import libraries of extras for something; raise MissingExtra if one is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        raise MissingExtra(f"{what} needs {library}: pip install 'ewasm[{EXTRAS[library]}]'", name=library) from error
