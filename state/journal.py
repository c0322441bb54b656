"""The state while transactions run: changes that can be undone, over a state that is only read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from evmc import U256, ZERO_BYTES32, Address, Bytes32, Log, StorageStatus
from state.account import NO_ACCOUNT, Account
from state.diff import AccountDiff, Change, Diff
from state.hash import EMPTY_CODE_HASH, keccak256
from state.trie import EMPTY_ROOT
from state.view import StateView

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Any = object()

MAX_BALANCE = 2**256 - 1
"""The most that an account can have."""


class InsufficientBalance(ValueError):
    """More was to be taken from an account than it has."""


class ExcessBalance(ValueError):
    """An account was to be given more than 256 bits hold: the balances of the state add up to too much."""


class _Cached:
    """A view that is asked only once for each thing."""

    def __init__(self, view: StateView) -> None:
        self.account = cache(view.account)
        self.storage = cache(view.storage)
        self.code = cache(view.code)


class _Layer:
    """Accounts, slots and code written on top of a view.

    An account that was removed is None here. Slots of a `cleared` address are those written here and no others.
    """

    __slots__ = ("accounts", "below", "cleared", "codes", "slots")

    def __init__(self, below: StateView) -> None:
        self.below = below
        self.accounts: dict[Address, Account | None] = {}
        self.slots: dict[Address, dict[Bytes32, Bytes32]] = {}
        self.cleared: dict[Address, bool] = {}
        self.codes: dict[Bytes32, bytes] = {}

    def account(self, address: Address) -> Account | None:
        account: Account | None = self.accounts.get(address, _ABSENT)
        return self.below.account(address) if account is _ABSENT else account

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        slots = self.slots.get(address)
        if slots is not None and key in slots:
            return slots[key]
        return ZERO_BYTES32 if address in self.cleared else self.below.storage(address, key)

    def code(self, code_hash: Bytes32) -> bytes:
        if code_hash == EMPTY_CODE_HASH:
            return b""
        code = self.codes.get(code_hash)
        return self.below.code(code_hash) if code is None else code

    def remove(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            self.accounts[address] = None
            self.slots[address] = {}
            self.cleared[address] = True

    def absorb(self, above: _Layer) -> None:
        """Take in what was written in a layer on top of this one."""
        self.accounts.update(above.accounts)
        for address in above.cleared:
            self.cleared[address] = True
            self.slots[address] = {}
        for address, slots in above.slots.items():
            self.slots.setdefault(address, {}).update(slots)
        self.codes.update(above.codes)

    def diff(self) -> Diff:
        """Return what differs from the view below."""
        addresses = sorted(self.accounts.keys() | self.slots.keys() | self.cleared.keys())
        diffs = ((address, self._account_diff(address)) for address in addresses)
        return Diff({address: diff for address, diff in diffs if diff != AccountDiff()})

    def _account_diff(self, address: Address) -> AccountDiff:
        before, after = self.below.account(address), self.account(address)
        old, new = before or NO_ACCOUNT, after or NO_ACCOUNT
        cleared = address in self.cleared and before is not None and after is not None
        code = None
        if old.code_hash != new.code_hash:
            code = Change(self.below.code(old.code_hash), self.code(new.code_hash))
        slots: dict[Bytes32, Change[Bytes32]] = {}
        for key, value in sorted(self.slots.get(address, {}).items()):
            change = Change(self.below.storage(address, key), value)
            if change.before != value or (cleared and any(value)):
                slots[key] = change
        return AccountDiff(
            created=before is None and after is not None,
            deleted=before is not None and after is None,
            storage_cleared=cleared,
            nonce=_change(old.nonce, new.nonce),
            balance=_change(old.balance, new.balance),
            code=code,
            slots=slots,
        )


def _change(before: T, after: T) -> Change[T] | None:
    """Return the change between two values, None if there is none."""
    return None if before == after else Change(before, after)


class Journal:
    """Transactions, one after the other, over a view that stays as it is while the journal lives.

    `checkpoint`, `revert` and `commit` bracket what may be undone, nested at will; each costs in proportion to what
    was changed in between. `finish` ends a transaction: the next one sees its changes and begins with no logs, no
    refunds and nothing touched. A journal serves one transaction or all those of a block.

    Every method that writes to an account touches it. An account that is missing has nonce and balance 0 and no code;
    writing gives it what is written. Balances are in the smallest unit.
    """

    __slots__ = ("_checkpoints", "_destroyed", "_finished", "_logs", "_now", "_refund", "_touched", "_undo")

    def __init__(self, view: StateView) -> None:
        self._finished = _Layer(_Cached(view))
        self._checkpoints: list[tuple[int, int, int]] = []
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        self._begin()

    def _begin(self) -> None:
        self._now = _Layer(self._finished)
        self._touched: dict[Address, bool] = {}
        self._destroyed: dict[Address, bool] = {}
        self._logs: list[Log] = []
        self._refund = 0

    # What can be undone

    def checkpoint(self) -> int:
        """Begin changes that can be undone together and return their handle, good until they or older ones end."""
        self._checkpoints.append((len(self._undo), len(self._logs), self._refund))
        return len(self._checkpoints) - 1

    def revert(self, checkpoint: int) -> None:
        """Undo all since the checkpoint, newer checkpoints included; raise ValueError if it has ended."""
        size, log_count, self._refund = self._end(checkpoint)
        del self._logs[log_count:]
        while len(self._undo) > size:
            mapping, key, previous = self._undo.pop()
            if previous is _ABSENT:
                del mapping[key]
            else:
                mapping[key] = previous

    def commit(self, checkpoint: int) -> None:
        """Keep all since the checkpoint, as part of the next older one; raise ValueError if it has ended."""
        self._end(checkpoint)
        if not self._checkpoints:
            self._undo.clear()

    def _end(self, checkpoint: int) -> tuple[int, int, int]:
        if not 0 <= checkpoint < len(self._checkpoints):
            raise ValueError(f"checkpoint {checkpoint} is not open")
        mark = self._checkpoints[checkpoint]
        del self._checkpoints[checkpoint:]
        return mark

    def _put(self, mapping: dict[K, V], key: K, value: V) -> None:
        """Set an entry so that `revert` sets it back."""
        if self._checkpoints:
            self._undo.append((mapping, key, mapping.get(key, _ABSENT)))
        mapping[key] = value

    # Accounts

    def exists(self, address: Address) -> bool:
        """Tell whether the account is there, be it empty."""
        return self._now.account(address) is not None

    def is_empty(self, address: Address) -> bool:
        """Tell whether the account is there and has nonce 0, balance 0 and no code (EIP-161)."""
        account = self._now.account(address)
        return account is not None and account.is_empty

    def is_dead(self, address: Address) -> bool:
        """Tell whether the account is missing or empty (EIP-161)."""
        return (self._now.account(address) or NO_ACCOUNT).is_empty

    def touch(self, address: Address) -> None:
        """Have the account removed at the end of the transaction if it is empty then."""
        if address not in self._touched:
            self._put(self._touched, address, value=True)

    def create_account(self, address: Address) -> None:
        """Begin a contract: nonce 0, no code, no storage; a balance that is there already stays."""
        self._write(address, Account(balance=self.balance(address)))
        self._put(self._now.slots, address, {})
        self._put(self._now.cleared, address, value=True)

    def selfdestruct(self, address: Address, beneficiary: Address) -> bool:
        """Move the balance to `beneficiary` and have the account removed at the end of the transaction.

        To itself, the balance is burnt, and so is what the beneficiary cannot hold. Until the end, the account keeps
        its code and storage and can be paid. Return whether this is the account's first time in the transaction, which
        is what a refund is for.
        """
        amount = self.balance(address)
        self.sub_balance(address, amount)
        if beneficiary != address:
            self.give(beneficiary, amount)
        if address in self._destroyed:
            return False
        self._put(self._destroyed, address, value=True)
        return True

    def balance(self, address: Address) -> U256:
        """Return the balance."""
        return self._account(address).balance

    def add_balance(self, address: Address, amount: int) -> None:
        """Add to the balance, 0 being a mere touch; raise ExcessBalance if the sum leaves 256 bits."""
        if amount:
            account = self._account(address)
            balance = account.balance + amount
            if balance >> 256:
                raise ExcessBalance(f"{address} has {account.balance} and cannot be given {amount}")
            self._write(address, replace(account, balance=U256(balance)))
        self.touch(address)

    def give(self, address: Address, amount: int) -> None:
        """Add to the balance as far as 256 bits hold it; the rest is lost."""
        self.add_balance(address, min(amount, MAX_BALANCE - self.balance(address)))

    def sub_balance(self, address: Address, amount: int) -> None:
        """Take from the balance, 0 being a mere touch; raise InsufficientBalance if that is more than there is."""
        balance = self.balance(address)
        if amount > balance:
            raise InsufficientBalance(f"cannot take {amount} from {address}, which has {balance}")
        self.add_balance(address, -amount)

    def nonce(self, address: Address) -> int:
        """Return the nonce."""
        return self._account(address).nonce

    def increment_nonce(self, address: Address) -> None:
        """Add 1 to the nonce."""
        account = self._account(address)
        self._write(address, replace(account, nonce=account.nonce + 1))

    def code(self, address: Address) -> bytes:
        """Return the code."""
        return self._now.code(self._account(address).code_hash)

    def code_hash(self, address: Address) -> Bytes32:
        """Return the Keccak-256 of the code, zero for a missing account."""
        account = self._now.account(address)
        return ZERO_BYTES32 if account is None else account.code_hash

    def set_code(self, address: Address, code: bytes) -> None:
        """Give the account its code."""
        code_hash = keccak256(code)
        self._now.codes[code_hash] = code
        self._write(address, replace(self._account(address), code_hash=code_hash))

    def _account(self, address: Address) -> Account:
        return self._now.account(address) or NO_ACCOUNT

    def _write(self, address: Address, account: Account) -> None:
        self._put(self._now.accounts, address, account)
        self.touch(address)

    # Storage

    def get_storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot, zero if never written."""
        return self._now.storage(address, key)

    def original_storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value that a slot had when the transaction began."""
        return self._finished.storage(address, key)

    def set_storage(self, address: Address, key: Bytes32, value: Bytes32) -> StorageStatus:
        """Write a slot and tell what that changed; an account that is still dead when the transaction ends loses it."""
        status = StorageStatus.of(self.get_storage(address, key), value)
        if status is not StorageStatus.UNCHANGED:
            if address not in self._now.slots:
                self._put(self._now.slots, address, {})
            self._put(self._now.slots[address], key, value)
        self.touch(address)
        return status

    # Logs and refunds

    @property
    def logs(self) -> tuple[Log, ...]:
        """The transaction's events so far, in order."""
        return tuple(self._logs)

    def emit_log(self, log: Log) -> None:
        """Record an event."""
        self._logs.append(log)

    @property
    def refund(self) -> int:
        """The transaction's refund counter, in whole gas."""
        return self._refund

    def add_refund(self, amount: int) -> None:
        """Add to the refund counter."""
        self._refund += amount

    # The end

    def finish(self) -> Diff:
        """End the transaction and return what it changed; raise ValueError while a checkpoint is open.

        Accounts that destroyed themselves are removed, and so are those touched and dead (EIP-161). Logs and refund
        are forgotten: read them before.
        """
        if self._checkpoints:
            raise ValueError(f"{len(self._checkpoints)} checkpoints are open")
        self._now.remove(address for address in self._touched if address in self._destroyed or self.is_dead(address))
        diff = self._now.diff()
        self._finished.absorb(self._now)
        self._begin()
        return diff

    def finished(self) -> Diff:
        """Return what all finished transactions changed, taken together."""
        return self._finished.diff()


class JournalView:
    """The state in the middle of a block: what a journal has after the transactions before."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._codes: dict[Bytes32, bytes] = {EMPTY_CODE_HASH: b""}

    def account(self, address: Address) -> Account | None:
        """Return the account, None if there is none."""
        journal = self._journal
        if not journal.exists(address):
            return None
        code_hash = journal.code_hash(address)
        self._codes[code_hash] = journal.code(address)
        return Account(journal.nonce(address), journal.balance(address), EMPTY_ROOT, code_hash)

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot."""
        return self._journal.get_storage(address, key)

    def code(self, code_hash: Bytes32) -> bytes:
        """Return code of an account that was asked for."""
        return self._codes[code_hash]
