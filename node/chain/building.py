"""Making a block: transactions are executed one after the other, and everything is written in one piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from evmc import U256, Address, Gas, Precompiles, Status, TxContext
from ewasm.ruleset import Ruleset
from ewasm.threads import with_room
from ewasm.vm import EwasmVM
from node.chain.archive import Outcome, number_key
from node.chain.block import (
    BLOOM_BYTES,
    Block,
    Header,
    bloom_number,
    encode_logs,
    encode_receipt,
    index_root,
)
from node.chain.pool import Candidates
from node.chain.signed import Payload, SignedTransaction
from node.host import BlockHash
from node.transaction import TX_BASE, InvalidTransaction, Receipt, Transaction, execute_transaction
from state import Journal, Table, WorldState
from state.store import Draft


@dataclass(frozen=True, slots=True)
class Machine:
    """What executes transactions: the same for every block of a chain."""

    vm: EwasmVM
    ruleset: Ruleset
    precompiles: Precompiles
    chain_id: int

    def on(self, vm: EwasmVM) -> Machine:
        """Return the same with another machine of the ruleset."""
        return replace(self, vm=vm)

    def context(self, header: Header) -> TxContext:
        """Return what contracts see of a block."""
        return TxContext(
            coinbase=header.coinbase,
            number=header.number,
            timestamp=header.timestamp,
            gas_limit=header.gas_limit,
            chain_id=U256(self.chain_id),
        )

    def execute(self, tx: Transaction, journal: Journal, context: TxContext, block_hash: BlockHash) -> Receipt:
        """Execute a transaction in a block; raise InvalidTransaction if it cannot be."""
        return execute_transaction(tx, journal, context, self.vm, self.ruleset, self.precompiles, block_hash)


@dataclass(frozen=True, slots=True)
class Opened:
    """What an opening did: a commitment to it for the header's extra data, up to 32 bytes, and what is kept of it."""

    commitment: bytes
    row: bytes


Opening: TypeAlias = Callable[[Journal, TxContext, BlockHash], Opened | None]
"""Changes the state before a block's transactions, and finishes the journal; None if there was nothing to do."""


@dataclass(frozen=True, slots=True)
class Built:
    """A block that is not written yet: `changes` make the state after it readable.

    `refused` are those that cannot be executed any more, and why; `outcomes` are in the order of the block. `opened`
    tells that it does something even without transactions.
    """

    block: Block
    outcomes: tuple[Outcome, ...]
    after: WorldState
    changes: Draft
    refused: tuple[tuple[SignedTransaction, str], ...]
    opened: bool = False


def executable(tx: Payload, sender: Address, base_fee: int) -> Transaction:
    """Return a transaction as it is executed in a block with this base fee (EIP-1559)."""
    return Transaction(
        sender=sender,
        to=tx.to,
        nonce=tx.nonce,
        gas_limit=tx.gas_limit,
        gas_price=U256(tx.effective_price(base_fee)),
        value=tx.value,
        data=tx.data,
        tip=U256(tx.effective_tip(base_fee)),
        max_price=tx.max_fee,
        access_list=tx.access_list,
    )


def build(
    machine: Machine,
    template: Header,
    world: WorldState,
    candidates: Candidates,
    block_hash: BlockHash,
    opening: Opening | None = None,
) -> Built:
    """Execute candidates on a state until the block is full; the template has all fields that do not follow from them.

    The opening comes before them. A transaction that has no room any more is left for the next block, and with it its
    sender's others.
    """
    journal, work = Journal(world), _Work()
    opened = None
    if opening is not None:
        run = opening
        opened = with_room(machine.vm.engine, lambda: run(journal, machine.context(template), block_hash))
        if opened is not None:
            template = replace(template, extra_data=opened.commitment)
    if candidates:
        with_room(machine.vm.engine, lambda: work.execute(machine, template, journal, candidates, block_hash))
    after, changes = world.changed(journal.finished())
    header = replace(
        template,
        state_root=after.root,
        transactions_root=index_root(tx.raw for tx in work.taken),
        receipts_root=index_root(work.encoded),
        bloom=work.bloom.to_bytes(BLOOM_BYTES, "big"),
        gas_used=work.gas_used,
    )
    if opened is not None:
        changes[Table.OPENINGS][number_key(header.number)] = opened.row
    return Built(
        Block(header, tuple(work.taken)),
        tuple(work.outcomes),
        after,
        changes,
        tuple(work.refused),
        opened is not None,
    )


@dataclass(slots=True)
class _Work:
    """What a block has so far; `encoded` are the receipts that its root is over, `bloom` is a number."""

    taken: list[SignedTransaction] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    encoded: list[bytes] = field(default_factory=list)
    refused: list[tuple[SignedTransaction, str]] = field(default_factory=list)
    gas_used: Gas = 0
    log_count: int = 0
    bloom: int = 0

    def execute(
        self, machine: Machine, header: Header, journal: Journal, candidates: Candidates, block_hash: BlockHash
    ) -> None:
        """Execute candidates as long as there is room."""
        context = machine.context(header)
        for tx in candidates:
            left = header.gas_limit - self.gas_used
            if left < TX_BASE:
                break
            if tx.gas_limit > left:
                continue
            try:
                receipt = machine.execute(executable(tx, tx.sender, header.base_fee), journal, context, block_hash)
            except InvalidTransaction as error:
                self.refused.append((tx, str(error)))
                continue
            candidates.follow(tx)
            self._take(tx, receipt)

    def _take(self, tx: SignedTransaction, receipt: Receipt) -> None:
        self.gas_used += receipt.gas_used
        succeeded = receipt.result.status is Status.SUCCESS
        logs = receipt.logs if succeeded else ()
        bloom, logs_encoded = bloom_number(logs), encode_logs(logs)
        outcome = Outcome(
            status=receipt.result.status,
            output=b"" if tx.to is None and succeeded else receipt.result.output,
            gas_used=receipt.gas_used,
            cumulative_gas_used=self.gas_used,
            contract=receipt.contract,
            logs=logs,
            logs_encoded=logs_encoded,
            first_log=self.log_count,
        )
        encoded = encode_receipt(
            tx.type, self.gas_used, bloom.to_bytes(BLOOM_BYTES, "big"), logs_encoded, succeeded=succeeded
        )
        self.taken.append(tx)
        self.outcomes.append(outcome)
        self.encoded.append(encoded)
        self.log_count += len(logs)
        self.bloom |= bloom
