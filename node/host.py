"""The host over the journal: state, block, and the rules of calls and creations (Yellow Paper, sections 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from evmc import (
    MAX_DEPTH,
    U256,
    VM,
    Address,
    Bytes32,
    CallKind,
    Log,
    Message,
    Precompiles,
    Result,
    Status,
    StorageStatus,
    TxContext,
)
from ewasm.ruleset import Ruleset
from state import EMPTY_CODE_HASH, MAX_BALANCE, Journal, encode, keccak256

BlockHash: TypeAlias = Callable[[int], Bytes32 | None]


def no_block_hash(_number: int) -> Bytes32 | None:
    """Answer that no block has a hash."""
    return None


MAX_NONCE = 2**64 - 1
"""An account at this nonce can neither create nor send anything more (EIP-2681)."""


def create_address(sender: Address, nonce: int) -> Address:
    """Return the address of a contract that `sender` creates at `nonce` (Yellow Paper, section 7)."""
    encoded = encode([sender, nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")])
    return Address(keccak256(encoded)[12:])


def create2_address(sender: Address, salt: Bytes32, init_code: bytes) -> Address:
    """Return the address of a contract that is created with a salt (EIP-1014)."""
    return Address(keccak256(b"\xff" + sender + salt + keccak256(init_code))[12:])


class NodeHost:
    """A `Host` over a journal, for one transaction; `block_hash` answers for the last 256 blocks."""

    def __init__(
        self,
        journal: Journal,
        tx_context: TxContext,
        vm: VM,
        ruleset: Ruleset,
        precompiles: Precompiles,
        block_hash: BlockHash,
    ) -> None:
        self.journal = journal
        self.tx_context = tx_context
        self.vm = vm
        self.ruleset = ruleset
        self.precompiles = precompiles
        self.block_hash = block_hash

    # What contracts ask

    def account_exists(self, address: Address) -> bool:
        """Tell whether the account is there and not empty."""
        return not self.journal.is_dead(address)

    def get_storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot."""
        return self.journal.get_storage(address, key)

    def set_storage(self, address: Address, key: Bytes32, value: Bytes32) -> StorageStatus:
        """Write a slot; clearing one earns a refund."""
        status = self.journal.set_storage(address, key, value)
        if status is StorageStatus.DELETED:
            self.journal.add_refund(self.ruleset.host.storage_refund)
        return status

    def get_balance(self, address: Address) -> U256:
        """Return the balance."""
        return self.journal.balance(address)

    def get_code_size(self, address: Address) -> int:
        """Return the size of the code in bytes."""
        return len(self.journal.code(address))

    def get_code_hash(self, address: Address) -> Bytes32:
        """Return the hash of the code, zero for a missing account."""
        return self.journal.code_hash(address)

    def copy_code(self, address: Address, offset: int, size: int) -> bytes:
        """Return a part of the code."""
        return self.journal.code(address)[offset : offset + size]

    def selfdestruct(self, address: Address, beneficiary: Address) -> None:
        """Move the balance, mark the account; the first time in a transaction earns a refund."""
        if self.journal.selfdestruct(address, beneficiary):
            self.journal.add_refund(self.ruleset.host.self_destruct_refund)

    def get_tx_context(self) -> TxContext:
        """Return the transaction and block."""
        return self.tx_context

    def get_block_hash(self, number: int) -> Bytes32 | None:
        """Return the hash of one of the last 256 blocks."""
        if not max(0, self.tx_context.number - 256) <= number < self.tx_context.number:
            return None
        return self.block_hash(number)

    def emit_log(self, log: Log) -> None:
        """Record an event."""
        self.journal.emit_log(log)

    # Messages

    def call(self, message: Message) -> Result:
        """Execute a message: a call or a creation; a failure undoes exactly what it did."""
        if message.depth > MAX_DEPTH:
            return Result(Status.CALL_DEPTH_EXCEEDED, message.gas)
        if message.kind is not CallKind.DELEGATECALL and message.value > self.journal.balance(message.sender):
            return Result(Status.INSUFFICIENT_BALANCE, message.gas)
        if message.kind.is_create:
            return self._create(message)
        return self._undone_on_failure(lambda: self._call(message))

    def _undone_on_failure(self, run: Callable[[], Result]) -> Result:
        """Run; keep the changes on success only."""
        checkpoint = self.journal.checkpoint()
        result = run()
        if result.status is Status.SUCCESS:
            self.journal.commit(checkpoint)
        else:
            self.journal.revert(checkpoint)
        return result

    def _call(self, message: Message) -> Result:
        """Move the value, then run the precompile or the code."""
        moves = message.kind is CallKind.CALL
        if moves and not self._transfer(message.sender, message.recipient, message.value):
            return Result(Status.FAILURE)
        precompile = self.precompiles.get(message.code_address)
        if precompile is not None:
            return precompile(message.input, message.gas)
        return self.vm.execute(self, message, self.journal.code(message.code_address))

    def _transfer(self, sender: Address, recipient: Address, value: int) -> bool:
        """Move value; both accounts are touched, also by none. Tell whether the recipient can hold it."""
        self.journal.sub_balance(sender, value)
        if self.journal.balance(recipient) + value > MAX_BALANCE:
            return False
        self.journal.add_balance(recipient, value)
        return True

    def _create(self, message: Message) -> Result:
        """Create a contract; the creator's nonce rises even if that fails."""
        journal, sender = self.journal, message.sender
        if journal.nonce(sender) >= MAX_NONCE:
            return Result(Status.FAILURE)
        address = self.address_of_creation(message)
        journal.increment_nonce(sender)
        if journal.nonce(address) or journal.code_hash(address) not in (bytes(32), EMPTY_CODE_HASH):
            return Result(Status.FAILURE)
        placed = replace(message, recipient=address, code_address=address, input=b"")
        return self._undone_on_failure(lambda: self._initialise(placed, message.input))

    def address_of_creation(self, message: Message) -> Address:
        """Return the address that a creation is for, as the creator's nonce stands now."""
        if message.kind is CallKind.CREATE2:
            return create2_address(message.sender, message.salt, message.input)
        return create_address(message.sender, self.journal.nonce(message.sender))

    def _initialise(self, message: Message, init_code: bytes) -> Result:
        """Run the init code at the new account and store what it returns."""
        journal, address = self.journal, message.recipient
        journal.create_account(address)
        journal.increment_nonce(address)
        if not self._transfer(message.sender, address, message.value):
            return Result(Status.FAILURE)
        result = self.vm.execute(self, message, init_code)
        if result.status is not Status.SUCCESS:
            return result
        ruleset, code = self.ruleset, result.output
        deposit = ruleset.host.code_byte * len(code)
        if deposit > result.gas_left or (ruleset.max_code is not None and len(code) > ruleset.max_code):
            return Result(Status.OUT_OF_GAS)
        journal.set_code(address, code)
        return Result(Status.SUCCESS, result.gas_left - deposit, code, address)
