"""The account side: nonce and coins of Substrate accounts, kept in the chain's own state.

They are slots of one account that no key and no code belongs to: the slot is the account id, its value the nonce (8
bytes), 8 zeros and the free balance (16 bytes). So they are under the same root, in the same journal, and are undone,
proven, saved and rewound with everything else. Coins are either here or on the contract side; moving them makes none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from evmc import Address, Bytes32
from node.defaults import BALANCE
from node.substrate.keys import Scheme, keypair
from state import GenesisAccount, Journal, StateView, WorldState, keccak256

HOME: Final = Address(keccak256(b"modlpy/ewasm")[12:])
"""The account whose slots are the account side; its nonce is 1, so that it counts as there."""

MAX_BALANCE: Final = (1 << 128) - 1
PREFUNDED: Final = int(BALANCE)
"""What each development account begins with."""

_NAMES: Final = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")
_SCHEMES: Final[tuple[Scheme, ...]] = ("sr25519", "ed25519", "ecdsa")


@dataclass(frozen=True, slots=True)
class Native:
    """Nonce and free balance of an account."""

    nonce: int = 0
    free: int = 0

    def encode(self) -> Bytes32:
        """Return the slot."""
        return Bytes32(self.nonce.to_bytes(8, "big") + bytes(8) + self.free.to_bytes(16, "big"))

    @classmethod
    def decode(cls, slot: bytes) -> Native:
        """Return what a slot says."""
        return cls(int.from_bytes(slot[:8], "big"), int.from_bytes(slot[16:], "big"))

    def info(self) -> dict[str, Any]:
        """Return it as `System.Account` has it."""
        there = int(self != Native())
        data = {"free": self.free, "reserved": 0, "frozen": 0, "flags": 1 << 127}
        return {"nonce": self.nonce, "consumers": 0, "providers": there, "sufficients": 0, "data": data}


def read(view: StateView, account: bytes) -> Native:
    """Return what an account has in a state."""
    return Native.decode(view.storage(HOME, Bytes32(account)))


def everyone(world: WorldState, start: Bytes32 | None = None) -> Iterator[tuple[bytes, Native]]:
    """Yield all accounts that have anything, by ascending hash of their id."""
    if world.account(HOME) is not None:
        for account, slot in world.slots(HOME) if start is None else world.slots(HOME, start):
            yield account, Native.decode(slot)


class Accounts:
    """The account side in a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def get(self, account: bytes) -> Native:
        """Return what an account has."""
        return Native.decode(self._journal.get_storage(HOME, Bytes32(account)))

    def _put(self, account: bytes, native: Native) -> None:
        if not self._journal.nonce(HOME):
            self._journal.increment_nonce(HOME)
        self._journal.set_storage(HOME, Bytes32(account), native.encode())

    def use_nonce(self, account: bytes) -> None:
        """Raise the nonce by one."""
        native = self.get(account)
        self._put(account, replace(native, nonce=native.nonce + 1))

    def take(self, account: bytes, amount: int) -> bool:
        """Take coins; tell whether there were as many, and take none if not."""
        native = self.get(account)
        if amount > native.free:
            return False
        if amount:
            self._put(account, replace(native, free=native.free - amount))
        return True

    def give(self, account: bytes, amount: int) -> bool:
        """Give coins; tell whether these are the first thing the account has. Raise OverflowError beyond 128 bits."""
        native = self.get(account)
        if native.free + amount > MAX_BALANCE:
            raise OverflowError("a balance has 128 bits")
        if amount:
            self._put(account, replace(native, free=native.free + amount))
        return amount > 0 and native == Native()


def development_accounts() -> dict[bytes, Native]:
    """Return what Alice, Bob, Charlie, Dave, Eve and Ferdie begin with, by each of the three schemes."""
    return {keypair(f"//{name}", scheme).account: Native(free=PREFUNDED) for scheme in _SCHEMES for name in _NAMES}


def genesis_account(accounts: Mapping[bytes, Native]) -> GenesisAccount:
    """Return the account `HOME` as a genesis has it."""
    return GenesisAccount(nonce=1, storage={Bytes32(each): native.encode() for each, native in accounts.items()})
