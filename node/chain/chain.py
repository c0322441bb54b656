"""The development chain: one door for whoever sends, mines, asks, sets and rewinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evmc import U256, Address, Bytes32, Gas
from node.chain import dump
from node.chain.archive import put_head
from node.chain.block import Header
from node.chain.errors import ChainError
from node.chain.genesis import Genesis
from node.chain.mining import MiningChain
from node.chain.reader import Head
from node.chain.settings import SETTINGS, Settings
from node.chain.snapshot import Snapshot
from node.host import MAX_NONCE
from state import Account, AccountDiff, Change, Diff, GenesisAccount, Table
from state.account import NO_ACCOUNT
from state.store import draft


class Chain(MiningChain):
    """A chain for development: clock, fees, accounts and the past are what one makes them."""

    # Time, fees and block fields

    def increase_time(self, seconds: int) -> int:
        """Move the clock ahead and return by how many seconds it is ahead in all."""
        with self._lock:
            offset = self._settings.time_offset + seconds
            self._set(time_offset=offset)
            return offset

    def set_time(self, timestamp: int) -> int:
        """Set the clock, Unix seconds, and return the difference to the machine's."""
        with self._lock:
            offset = timestamp - int(self._clock())
            self._set(time_offset=offset)
            return offset

    def set_next_timestamp(self, timestamp: int) -> None:
        """Set the next block's time; raise ChainError if it is not above the last block's."""
        with self._lock:
            if timestamp <= self.head.timestamp:
                raise ChainError(
                    f"Timestamp error: {timestamp} is lower than or equal to previous block's timestamp "
                    f"{self.head.timestamp}"
                )
            self._set(next_timestamp=timestamp)

    def set_block_interval(self, seconds: int | None) -> None:
        """Have every block so many seconds after the one before; None lets the clock decide again."""
        self._set(block_interval=seconds)

    def set_next_base_fee(self, fee: int) -> None:
        """Set the next block's base fee."""
        self._set(next_base_fee=fee)

    def set_gas_limit(self, gas: Gas) -> None:
        """Set the gas limit of the blocks to come."""
        self._set(gas_limit=gas)

    def set_coinbase(self, address: Address) -> None:
        """Set who gets the priority fees of the blocks to come."""
        self._set(coinbase=address)

    def set_next_mix_hash(self, value: Bytes32) -> None:
        """Set the next block's mix hash, which clients know as prevRandao."""
        self._set(next_mix_hash=value)

    @property
    def settings(self) -> Settings:
        """What is set of the blocks to come."""
        return self._settings

    def _set(self, **fields: object) -> None:
        with self._lock:
            settings = replace(self._settings, **fields)  # type: ignore[arg-type]
            self.database.write({Table.META: {SETTINGS: settings.encode()}})
            self._settings = settings

    # Impersonation

    def impersonate(self, address: Address) -> None:
        """Let transactions of this sender in without a signature."""
        with self._lock:
            self._impersonated |= {address}

    def stop_impersonating(self, address: Address) -> None:
        """Ask for the signatures of this sender again."""
        with self._lock:
            self._impersonated -= {address}

    def set_auto_impersonate(self, on: bool) -> None:  # noqa: FBT001  # the switch is the argument
        """Let transactions of all senders in without a signature, or no longer."""
        self._auto_impersonate = on

    # The state of the last block

    def set_balance(self, address: Address, balance: U256) -> None:
        """Give an account a balance, from now on and in the state of the last block."""
        with self._lock:
            before, created = self._account(address)
            self._change(address, AccountDiff(created=created, balance=Change(before.balance, balance)))

    def set_nonce(self, address: Address, nonce: int) -> None:
        """Give an account a nonce; raise ChainError below its present one or beyond the last."""
        with self._lock:
            before, created = self._account(address)
            if not before.nonce <= nonce <= MAX_NONCE:
                raise ChainError(f"nonce {nonce} must be from the account's, {before.nonce}, to {MAX_NONCE}")
            self._change(address, AccountDiff(created=created, nonce=Change(before.nonce, nonce)))
            self._pool.remove_below(address, nonce)

    def set_code(self, address: Address, code: bytes) -> None:
        """Give an account code."""
        with self._lock:
            before, created = self._account(address)
            old = self._head.world.code(before.code_hash)
            self._change(address, AccountDiff(created=created, code=Change(old, code)))

    def set_storage(self, address: Address, key: Bytes32, value: Bytes32) -> None:
        """Write a slot."""
        with self._lock:
            _, created = self._account(address)
            old = self._head.world.storage(address, key)
            self._change(address, AccountDiff(created=created, slots={key: Change(old, value)}))

    def _account(self, address: Address) -> tuple[Account, bool]:
        """Return the account as it is, and whether a change has to make it."""
        found = self._head.world.account(address)
        return found or NO_ACCOUNT, found is None

    def _change(self, address: Address, diff: AccountDiff) -> None:
        self._apply(Diff({address: diff}))

    def _apply(self, diff: Diff) -> None:
        """Change the state of the last block; its header keeps the root that it had."""
        header = self.head
        world, changes = self._head.world.changed(diff)
        put_head(changes, header.number, world.root)
        self.database.write(changes)
        self._head = Head(header, world)

    # Rewinding

    def snapshot(self) -> int:
        """Remember the chain, its pool and its settings, and return a handle."""
        with self._lock:
            handle = self._next_snapshot
            self._next_snapshot += 1
            self._snapshots[handle] = Snapshot(
                self.head, self._head.world.root, self._pool.copy(), self._settings, self._impersonated, self._automine
            )
            return handle

    def revert(self, snapshot: int) -> bool:
        """Go back; handles from this one on are used up. Tell whether there was such a handle."""
        with self._lock:
            kept = self._snapshots.get(snapshot)
            if kept is None:
                return False
            self._snapshots = {handle: each for handle, each in self._snapshots.items() if handle < snapshot}
            self._go_back(kept.head.number, kept.root, kept.settings)
            self._pool, self._impersonated, self._automine = kept.pool, kept.impersonated, kept.automine
            self._level_waiting()
            return True

    def rollback(self, depth: int = 1) -> Header:
        """Remove the last blocks and return the header that is the last now; raise ChainError beyond the first.

        What waits stays; snapshots of what is removed are used up.
        """
        with self._lock:
            number = self.head.number - depth
            if number < 0:
                raise ChainError(f"cannot remove {depth} blocks, there are {self.head.number} after the first")
            self._go_back(number, self.state(number).root, self._settings)
            self._snapshots = {handle: each for handle, each in self._snapshots.items() if each.head.number <= number}
            self._forget_used()
            self._level_waiting()
            return self.head

    def _go_back(self, number: int, root: Bytes32, settings: Settings) -> None:
        changes = draft()
        for removed in range(number + 1, self.head.number + 1):
            self._archive.take_out(changes, removed)
        put_head(changes, number, root)
        changes[Table.META][SETTINGS] = settings.encode()
        self.database.write(changes)
        self._settings = settings
        self._head = self._found_head()

    def reset(self, genesis: Genesis | None = None) -> None:
        """Begin anew with a genesis, None for the wallet's accounts with 10,000 coins each; nothing waits then."""
        genesis = genesis or self._usual_genesis()
        with self._lock:
            changes = draft()
            for number in range(self.head.number + 1):
                self._archive.take_out(changes, number)
            changes[Table.META][SETTINGS] = None
            self._begin(self.database.store, genesis, self.ruleset, changes)
            self._machine = replace(self._machine, chain_id=genesis.chain_id)
            self._pool.clear()
            self._level_waiting()
            self._snapshots = {}
            self._impersonated = frozenset()
            self._head = self._found_head()
            self._settings = Settings.of(self.database.store, self.head)

    # Dumps

    def dump(self) -> bytes:
        """Return the state of the last block, and which block that is, as gzipped JSON."""
        head = self._head
        return dump.dump(head.world, head.header.number)

    def load(self, dumped: bytes) -> None:
        """Make the accounts of a dump what they were, in the state of the last block; or raise ChainError."""
        accounts: Mapping[Address, GenesisAccount] = dump.parse(dumped)
        with self._lock:
            self._apply(dump.loading(self._head.world, accounts))
            self._forget_used()
