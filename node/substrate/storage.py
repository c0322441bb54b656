"""Storage as clients read it: by key, by page, at any block. Nothing is kept: every entry follows from the chain."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from evmc import Address, Bytes32
from node.chain.reader import Reader
from node.substrate import accounts
from node.substrate.blocks import Blocks
from node.substrate.pallets import EWASM, PALLETS, Item, Pallet, read_storage_key, storage_key, storage_prefix
from node.substrate.scale import encode
from state import EMPTY_CODE_HASH, WorldState, keccak256

PREFIX_BYTES: Final = 32
FEE_MULTIPLIER: Final = 10**18
"""One, in parts of 10^18: fees do not depend on how full blocks are."""


class Storage:
    """The storage of a chain."""

    def __init__(self, chain: Reader, blocks: Blocks) -> None:
        self._chain = chain
        self._blocks = blocks

    # By key

    def value(self, key: bytes, number: int) -> bytes | None:
        """Return an entry at a block, encoded; None where there is none."""
        found = read_storage_key(key)
        if found is None or len(found[2]) < len(found[1].keys):
            return None
        pallet, item, keys = found
        value = self._read(pallet.name, item.name, keys, number)
        return None if value is None else encode(item.value, value)

    def _read(self, pallet: str, item: str, keys: tuple[Any, ...], number: int) -> Any:
        """Return the value of an entry, None where there is none."""
        blocks = self._blocks
        match pallet, item:
            case "System", "Account":
                native = accounts.read(self._chain.state(number), keys[0])
                return None if native == accounts.Native() else native.info()
            case "System", "BlockHash":
                return blocks.hash(keys[0]) if keys[0] < number else None
            case "System", "Number":
                return number
            case "System", "ParentHash":
                return blocks.hash(number - 1)
            case "System", "Digest":
                header = blocks.header(number)
                return None if header is None else header["digest"]
            case "System", "Events":
                return blocks.events(number)
            case "System", "EventCount":
                return len(blocks.events(number))
            case "System", "ExtrinsicCount":
                return len(blocks.body(number))
            case "Timestamp", "Now":
                return blocks.time(number)
            case "Balances", "TotalIssuance":
                return sum(native.free for _, native in accounts.everyone(self._chain.state(number)))
            case "TransactionPayment", "NextFeeMultiplier":
                return FEE_MULTIPLIER
        return self._read_contract(item, Address(keys[0]), keys[1:], number)

    def _read_contract(self, item: str, address: Address, keys: tuple[Any, ...], number: int) -> Any:
        """Return an entry of the pallet `Ewasm`; the account that is the account side is not among its own."""
        world = self._chain.state(number)
        account = world.account(address)
        if account is None or address == accounts.HOME:
            return None
        if item == "Accounts":
            return {"nonce": account.nonce, "balance": account.balance}
        if item == "AccountCodes":
            return None if account.code_hash == EMPTY_CODE_HASH else world.code(account.code_hash)
        value = world.storage(address, Bytes32(keys[0]))
        return value if any(value) else None

    # By page

    def keys(self, prefix: bytes, start: bytes | None, count: int, number: int) -> list[bytes]:
        """Return up to `count` keys that begin with `prefix`, those after the key `start` if one is given.

        Entries of maps come by the Keccak-256 of what they are keyed by, which is how the chain keeps them.
        """
        return list(islice(self._all_keys(prefix, start or b"", number), count))

    def _all_keys(self, prefix: bytes, start: bytes, number: int) -> Iterator[bytes]:
        passed = not start
        for pallet, item in sorted(_ITEMS, key=lambda each: storage_prefix(*each)):
            own = storage_prefix(pallet, item)
            begins = start[:PREFIX_BYTES] == own
            if not passed and not begins:
                continue
            passed = True
            if not (own.startswith(prefix) or prefix.startswith(own)):
                continue
            after = read_storage_key(start) if begins else None
            for key in self._keys_of(pallet, item, prefix, after[2] if after else (), number):
                if key.startswith(prefix) and not (begins and key == start):
                    yield key

    def _keys_of(
        self, pallet: Pallet, item: Item, prefix: bytes, after: tuple[Any, ...], number: int
    ) -> Iterator[bytes]:
        """Yield the keys of an item, from the one with the keys `after` on."""
        if not item.keys:
            if self.value(storage_prefix(pallet, item), number) is not None:
                yield storage_prefix(pallet, item)
            return
        world = self._chain.state(number)
        first = keccak256(after[0]) if after else Bytes32(bytes(32))
        match pallet.name, item.name:
            case "System", "Account":
                for who, _ in accounts.everyone(world, first):
                    yield storage_key(pallet, item, who)
            case "System", "BlockHash":
                for each in range(after[0] if after else 0, number):
                    yield storage_key(pallet, item, each)
            case "Ewasm", "AccountStorages":
                yield from self._slot_keys(world, item, prefix, after)
            case _:
                for address, account in world.accounts(first):
                    if address != accounts.HOME and (item.name == "Accounts" or account.code_hash != EMPTY_CODE_HASH):
                        yield storage_key(pallet, item, address)

    def _slot_keys(self, world: WorldState, item: Item, prefix: bytes, after: tuple[Any, ...]) -> Iterator[bytes]:
        wanted = read_storage_key(prefix)
        if wanted is not None and wanted[2]:
            addresses: Iterator[Address] = iter([Address(wanted[2][0])])
        else:
            begin = keccak256(after[0]) if after else Bytes32(bytes(32))
            addresses = (address for address, _ in world.accounts(begin))
        for address in addresses:
            if address == accounts.HOME:
                continue
            first = keccak256(after[1]) if len(after) > 1 and address == after[0] else Bytes32(bytes(32))
            for key, _ in world.slots(address, first):
                yield storage_key(EWASM, item, address, key)


_ITEMS: Final = [(pallet, item) for pallet in PALLETS for item in pallet.storage]
