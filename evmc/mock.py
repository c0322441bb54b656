"""A host in dictionaries, for running one contract without a chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from evmc.host import Precompiles, StorageStatus
from evmc.message import Message, TxContext
from evmc.result import Log, Result, Status
from evmc.types import U256, ZERO_BYTES32, Address, Bytes32


def _refuse(message: Message) -> Result:
    """Answer a call to another contract: there is none; a creation fails, as nobody gives it an address."""
    return Result(Status.FAILURE) if message.kind.is_create else Result(Status.SUCCESS, message.gas)


@dataclass
class MockAccount:
    """Balance, code and storage of one account."""

    balance: U256 = U256(0)
    code: bytes = b""
    storage: dict[Bytes32, Bytes32] = field(default_factory=dict)


@dataclass
class MockHost:
    """A `Host` whose state is a dictionary and whose answers to calls are given.

    Calls go to `precompiles` first, else to `on_call`, which by default finds an account without code (success, all
    gas left) and lets creations fail. Nothing is ever undone: `calls`, `logs` and `destroyed` record what was asked, in
    order.
    """

    accounts: dict[Address, MockAccount] = field(default_factory=dict)
    tx_context: TxContext = TxContext()
    precompiles: Precompiles = field(default_factory=dict)
    on_call: Callable[[Message], Result] = _refuse
    block_hashes: Mapping[int, Bytes32] = field(default_factory=dict)
    code_hash: Callable[[bytes], Bytes32] = lambda _code: ZERO_BYTES32
    calls: list[Message] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    destroyed: list[tuple[Address, Address]] = field(default_factory=list)

    def _account(self, address: Address) -> MockAccount:
        return self.accounts.get(address) or MockAccount()

    def account_exists(self, address: Address) -> bool:
        """Tell whether the account is in the dictionary."""
        return address in self.accounts

    def get_storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot, zero if never written."""
        return self._account(address).storage.get(key, ZERO_BYTES32)

    def set_storage(self, address: Address, key: Bytes32, value: Bytes32) -> StorageStatus:
        """Write a slot, making the account if need be."""
        storage = self.accounts.setdefault(address, MockAccount()).storage
        status = StorageStatus.of(storage.get(key, ZERO_BYTES32), value)
        storage[key] = value
        return status

    def get_balance(self, address: Address) -> U256:
        """Return the balance, 0 for a missing account."""
        return self._account(address).balance

    def get_code_size(self, address: Address) -> int:
        """Return the size of the code in bytes."""
        return len(self._account(address).code)

    def get_code_hash(self, address: Address) -> Bytes32:
        """Return what the given `code_hash` makes of the code, zero for a missing account."""
        return self.code_hash(self.accounts[address].code) if address in self.accounts else ZERO_BYTES32

    def copy_code(self, address: Address, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of code from `offset`."""
        return self._account(address).code[offset : offset + size]

    def selfdestruct(self, address: Address, beneficiary: Address) -> None:
        """Record the request."""
        self.destroyed.append((address, beneficiary))

    def call(self, message: Message) -> Result:
        """Record the message and answer it."""
        self.calls.append(message)
        precompile = None if message.kind.is_create else self.precompiles.get(message.code_address)
        return precompile(message.input, message.gas) if precompile else self.on_call(message)

    def get_tx_context(self) -> TxContext:
        """Return the given context."""
        return self.tx_context

    def get_block_hash(self, number: int) -> Bytes32 | None:
        """Return the given hash of a block, if any."""
        return self.block_hashes.get(number)

    def emit_log(self, log: Log) -> None:
        """Record the event."""
        self.logs.append(log)
