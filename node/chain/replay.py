"""Mined blocks and transactions, executed again: where a transaction began, and the witness of a block."""

from __future__ import annotations

from evmc import Bytes32
from ewasm.threads import with_room
from ewasm.vm import EwasmVM
from node.chain.block import Block
from node.chain.building import executable
from node.chain.errors import ChainError, UnknownBlock
from node.chain.reader import Reader, Tag
from node.measure import Sent
from node.transaction import Transaction
from node.witness import Witness, record
from state import Journal, JournalView


def replay(reader: Reader, transaction_hash: Bytes32, vm: EwasmVM | None = None) -> Sent:
    """Execute what is before a transaction in its block, and return the transaction as it was executed after that.

    `vm` is a machine of the chain's ruleset, None the chain's own. Raise ChainError if there is no such transaction in
    a block, or if the block cannot be executed again.
    """
    found = reader.transaction(transaction_hash)
    if found is None or found.block_number is None or found.index is None:
        raise ChainError("transaction not found")
    block = _repeatable(reader, found.block_number)
    machine = reader.machine if vm is None else reader.machine.on(vm)
    context = machine.context(block.header)
    before = reader.state(block.number - 1)
    steps, journal = _steps(block), Journal(before)

    def run() -> None:
        for step in steps[: found.index]:
            machine.execute(step, journal, context, reader.block_hash)

    if found.index:
        with_room(machine.vm.engine, run)
    view = JournalView(journal) if found.index else before
    return Sent(view=view, block=context, transaction=steps[found.index], block_hash=reader.block_hash)


def block_witness(reader: Reader, tag: Tag, vm: EwasmVM | None = None) -> Witness:
    """Return the witness of a whole block, which a transaction's hash names too.

    The root before is that of the state it was made on, the root after that of its header. Raise UnknownBlock, or
    ChainError if the block cannot be executed again.
    """
    block = _repeatable(reader, _number(reader, tag))
    vm = vm or reader.vm
    world, context = reader.state(block.number - 1), reader.machine.context(block.header)
    made = with_room(vm.engine, lambda: record(world, context, _steps(block), vm, reader.block_hash))
    if made.claim.root != block.header.state_root:
        raise ChainError(
            f"block {block.number} ends with state root {block.header.state_root}, executed again it is"
            f" {made.claim.root}: the store is damaged, or was written with other rules"
        )
    return made


def _number(reader: Reader, tag: Tag) -> int:
    """Return the number of a block, or of the one with a transaction."""
    if tag == "pending":
        raise ChainError("the pending block is not made yet: name one that is")
    try:
        return reader.number_of(tag)
    except UnknownBlock:
        found = reader.transaction(tag) if isinstance(tag, Bytes32) else None
        if found is None:
            raise
        if found.block_number is None:
            raise ChainError(f"transaction {tag} waits for its block") from None
        return found.block_number


def _repeatable(reader: Reader, number: int) -> Block:
    """Return a block that can be executed again by its transactions alone."""
    if number == 0:
        raise ChainError("block 0 was not executed: it is what the chain began with")
    if reader.opening(number) is not None:
        raise ChainError(
            f"block {number} began with extrinsics of the Substrate side, which cannot be executed again from here"
        )
    return reader.block(number)


def _steps(block: Block) -> list[Transaction]:
    return [executable(tx, tx.sender, block.header.base_fee) for tx in block.transactions]
