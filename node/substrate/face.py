"""The chain with its Substrate side: extrinsics in, blocks with them out, and runs that leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from evmc import Gas, Status, TxContext
from ewasm.contract import Finding, check
from node.chain.block import Block
from node.chain.building import Opened
from node.chain.chain import Chain
from node.estimate import least_limit
from node.host import BlockHash
from node.service import Call, Outcome, run_message
from node.substrate import blocks as bodies
from node.substrate import types as t
from node.substrate import validity
from node.substrate.accounts import Accounts
from node.substrate.blocks import Blocks, record
from node.substrate.extrinsic import Extrinsic, Surroundings, read_extrinsic
from node.substrate.metadata import metadata
from node.substrate.pool import Entry, Pool
from node.substrate.runtime import Runtime
from node.substrate.scale import ScaleError
from node.substrate.settings import BLOCK_HASH_COUNT, MAX_LENGTH, Settings
from node.substrate.storage import Storage
from node.substrate.validity import ExtrinsicRefused
from state import Journal


class Face:
    """A chain as Substrate's clients see it. Any thread may use it; extrinsics are in blocks from then on.

    `close` takes the chain back to blocks without extrinsics.
    """

    def __init__(self, chain: Chain, settings: Settings | None = None) -> None:
        self.chain = chain
        self.settings = settings or Settings(chain_id=chain.chain_id, gas_limit=chain.head.gas_limit)
        machine = chain.machine
        self.runtime = Runtime(self.settings, machine.vm, machine.ruleset, machine.precompiles)
        self.blocks = Blocks(chain)
        self.storage = Storage(chain, self.blocks)
        self.pool = Pool()
        self._metadata: dict[int, bytes] = {}
        self._block_listeners: list[Callable[[int], None]] = []
        chain.open_blocks_with(self._open)
        self._end = chain.events.on_block(self._block)

    def close(self) -> None:
        """Have no more to do with the chain, which stays open."""
        self._end()
        self.chain.open_blocks_with(None)

    def on_block(self, listener: Callable[[int], None]) -> None:
        """Have a listener told the number of every new block, before extrinsics are told theirs."""
        self._block_listeners.append(listener)

    def metadata(self, version: int) -> bytes:
        """Return metadata of a version; raise ValueError for one there is not."""
        if version not in self._metadata:
            self._metadata[version] = metadata(version, self.settings.constants())
        return self._metadata[version]

    # Taking extrinsics

    def surroundings(self, era: t.Era, number: int) -> Surroundings | None:
        """Return what an extrinsic of an era is signed with in a block; None if the era cannot hold there."""
        birth = era.birth(number)
        if era.period and not number - BLOCK_HASH_COUNT <= birth < number:
            return None
        genesis, first = self.blocks.hash(0), self.blocks.hash(birth)
        assert genesis is not None
        versions = self.settings.spec_version, self.settings.transaction_version
        return None if first is None else Surroundings(*versions, genesis, first)

    def read(self, data: bytes) -> Extrinsic:
        """Return the extrinsic that `data` is; raise `ExtrinsicRefused`."""
        try:
            return read_extrinsic(data)
        except ScaleError as error:
            raise validity.malformed(str(error)) from error

    def submit(self, data: bytes) -> bytes:
        """Take an extrinsic and return its hash; raise `ExtrinsicRefused`. With automine it is in a block then."""
        extrinsic = self.read(data)
        number = self.chain.head.number + 1
        accounts = Accounts(Journal(self.chain.state()))
        era = extrinsic.signed.era if extrinsic.signed else t.IMMORTAL
        around = self.surroundings(era, number)
        signed = self.runtime.check(extrinsic, accounts, around)
        entry = Entry(extrinsic, signed, extrinsic.hash, around)
        with self.chain.alone():  # else a block in between could have the one before, or this one
            next_nonce = Accounts(Journal(self.chain.state())).get(signed.account).nonce
            if signed.nonce < next_nonce:
                raise validity.invalid(validity.STALE)
            self.pool.add(entry, next_nonce)
            ready = self.pool.next_nonce(signed.account, next_nonce) > signed.nonce
            self.pool.tell(entry.hash, "ready" if ready else "future")
            if ready and self.chain.automine:
                self.chain.mine()
        return entry.hash

    # Making blocks

    def _open(self, journal: Journal, block: TxContext, block_hash: BlockHash) -> Opened | None:
        """Apply what waits and can be in the block."""
        body: list[bytes] = []
        events: list[dict[str, Any]] = []
        gas, size = self.settings.gas_limit, MAX_LENGTH
        for entry in self.pool:
            accounts = Accounts(journal)
            wanted = self.runtime.gas_of(entry.extrinsic.call)[0]
            if entry.signed.nonce != accounts.get(entry.signed.account).nonce:
                continue
            if wanted > gas or len(entry.extrinsic.raw) > size:
                continue
            try:
                around = self.surroundings(entry.signed.era, block.number)
                self.runtime.check(entry.extrinsic, accounts, around, entry.around)
                done = self.runtime.apply(entry.extrinsic, entry.signed, journal, block, block_hash)
            except ExtrinsicRefused:
                self.pool.remove(entry)
                self.pool.tell(entry.hash, "invalid")
                continue
            gas -= done.gas_used
            size -= len(entry.extrinsic.raw)
            body.append(entry.extrinsic.raw)
            events += [record(len(body), each) for each in done.events]
        if not body:
            return None
        return Opened(bodies.commitment(block.timestamp, body), bodies.encode_row(body, events))

    def _block(self, block: Block, _receipts: object) -> None:
        """Take note of a block: tell of it, and of the extrinsics in it."""
        number = block.number
        included = set(self.blocks.body(number)[1:])
        for entry in self.pool if included else ():
            if entry.extrinsic.raw in included:
                self.pool.remove(entry)
                self.pool.tell(entry.hash, {"inBlock": "0x" + (self.blocks.hash(number) or b"").hex()})
        for listener in self._block_listeners:
            listener(number)

    # Runs that leave no trace

    def run(self, call: Call, number: int) -> Outcome:
        """Run a message on the state after a block and forget it; raise `ServiceError` if it cannot be run at all."""
        return run_message(
            call,
            Journal(self.chain.state(number)),
            self.chain.context(number),
            self.runtime.vm,
            self.runtime.ruleset,
            self.runtime.precompiles,
            self.chain.block_hash,
        )

    def estimate(self, call: Call, number: int) -> tuple[Gas, Outcome]:
        """Return the least gas with which a message succeeds, and how it ends with all gas of a block."""
        limit = self.settings.gas_limit
        outcome = self.run(replace(call, gas=limit), number)
        if outcome.status is not Status.SUCCESS:
            return limit, outcome

        def succeeds(gas: Gas) -> bool:
            return self.run(replace(call, gas=gas), number).status is Status.SUCCESS

        found = least_limit(succeeds, spent=outcome.gas_used + outcome.gas_refunded, most=limit)
        assert found is not None, "it has succeeded with that"
        return found, outcome

    def findings(self, code: bytes) -> tuple[Finding, ...]:
        """Return why code is refused, nothing if it is not."""
        return check(code, self.runtime.ruleset).findings
