"""The accounts of a state as one file: gzipped JSON, in the form of Anvil's dumps."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from evmc import ZERO_BYTES32, Address
from evmc.reading import read_json
from node.chain.errors import ChainError, UnusableChain
from node.chain.genesis import Genesis
from state import AccountDiff, Change, Diff, GenesisAccount, StateView, WorldState
from state.account import NO_ACCOUNT

MAX_BYTES: Final = 1 << 30
"""The most that a dump is unpacked to."""


def dump(world: WorldState, number: int) -> bytes:
    """Return all accounts of a state, and the number of its block."""
    accounts = {
        str(address): {
            "nonce": account.nonce,
            "balance": hex(account.balance),
            "code": "0x" + world.code(account.code_hash).hex(),
            "storage": {str(key): str(value) for key, value in world.slots(address)},
        }
        for address, account in world.accounts()
    }
    document = {"accounts": accounts, "best_block_number": number}
    return gzip.compress(json.dumps(document).encode(), mtime=0)


def parse(dumped: bytes) -> Mapping[Address, GenesisAccount]:
    """Return the accounts of a dump, packed or not; raise ChainError if it is none."""
    try:
        document = read_json(_unpacked(dumped) if dumped[:2] == b"\x1f\x8b" else dumped)
    except (zlib.error, ValueError) as error:
        raise ChainError(f"not a dump of a state: {error}") from error
    if not isinstance(document, dict) or "accounts" not in document:
        raise ChainError("not a dump of a state: it has no accounts")
    try:
        return Genesis.parse({"alloc": document["accounts"]}).accounts
    except UnusableChain as error:
        raise ChainError(f"not a dump of a state: {error}") from error


def _unpacked(dumped: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    data = unpacker.decompress(dumped, MAX_BYTES)
    if not unpacker.eof:
        raise ValueError("cut off, or above a gigabyte")
    return data


def loading(view: StateView, accounts: Mapping[Address, GenesisAccount]) -> Diff:
    """Return what makes these accounts what a dump says; all others stay."""
    return Diff({address: _replaced(view, address, after) for address, after in sorted(accounts.items())})


def _replaced(view: StateView, address: Address, after: GenesisAccount) -> AccountDiff:
    found = view.account(address)
    before = found or NO_ACCOUNT
    code = view.code(before.code_hash)
    return AccountDiff(
        created=found is None,
        storage_cleared=found is not None,
        nonce=_change(before.nonce, after.nonce),
        balance=_change(before.balance, after.balance),
        code=_change(code, after.code),
        slots={key: Change(ZERO_BYTES32, value) for key, value in sorted(after.storage.items())},
    )


def _change(before: Any, after: Any) -> Change[Any] | None:
    return None if before == after else Change(before, after)
