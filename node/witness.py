"""Witnesses: an execution with all it reads of the state, so that whoever knows the root before can check the result.

A witness holds steps (messages or transactions), the block they run in, the trie nodes and codes they read, and what is
claimed to come of them. The nodes are named by their hashes from the root before on, so nothing in them can be false
unnoticed; what the block is, and which hashes its ancestors have, is taken as given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeAlias

from evmc import U256, Address, Bytes32, CallKind, Gas, Log, Message, Status, TxContext
from ewasm.ruleset import RULESETS, Ruleset
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM
from node.host import BlockHash, NodeHost, no_block_hash
from node.transaction import InvalidTransaction, Transaction, execute_transaction
from state import CodecError, CorruptEntry, Database, Journal, MissingEntry, Table, WorldState
from state.witness import BadEntry, WitnessStore, recorded

Step: TypeAlias = Message | Transaction
"""What is executed: a transaction, or a message alone, without intrinsic gas: a call or creation as from outside."""

_SHOWN: Final = 80
"""Characters of a value that a difference shows."""


class WitnessError(Exception):
    """What is no witness, or one that cannot be checked here: the message says what is wrong and what to do."""


class MissingBlockHash(LookupError):
    """A contract asks for the hash of a block, and the witness does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a step; `contract` is the address that a creation was for."""

    status: Status
    gas_used: Gas
    output: bytes = b""
    logs: tuple[Log, ...] = ()
    contract: Address | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of all steps, and the state root after them."""

    outcomes: tuple[Outcome, ...]
    root: Bytes32


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """An execution that can be checked by itself; `root` is the state root before, `claim` what is said of it.

    `block` gives everything but origin and price. `block_hashes` are those that were asked for, None if there is none.
    """

    ruleset: str
    ruleset_hash: str
    block: TxContext
    steps: tuple[Step, ...]
    root: Bytes32
    nodes: Mapping[Bytes32, bytes]
    codes: Mapping[Bytes32, bytes]
    block_hashes: Mapping[int, Bytes32 | None]
    claim: Execution


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found, None where the execution could not be repeated, and how that differs from the witness."""

    found: Execution | None
    differences: tuple[str, ...]

    @property
    def confirmed(self) -> bool:
        """Whether the witness is right in every respect."""
        return not self.differences


def execute(
    world: WorldState, block: TxContext, steps: Sequence[Step], vm: EwasmVM, block_hash: BlockHash = no_block_hash
) -> Execution:
    """Execute steps one after the other in one block; raise InvalidTransaction that says which step cannot be."""
    journal = Journal(world)
    outcomes = []
    for number, step in enumerate(steps):
        try:
            outcomes.append(_outcome(journal, block, step, vm, block_hash))
        except InvalidTransaction as error:
            raise InvalidTransaction(f"step {number}: {error}") from error
    after, _ = world.changed(journal.finished())
    return Execution(tuple(outcomes), after.root)


def _outcome(journal: Journal, block: TxContext, step: Step, vm: EwasmVM, block_hash: BlockHash) -> Outcome:
    contracts = system_contracts(vm.ruleset)
    if isinstance(step, Transaction):
        receipt = execute_transaction(step, journal, block, vm, vm.ruleset, contracts, block_hash)
        result = receipt.result
        return Outcome(
            status=result.status,
            gas_used=receipt.gas_used,
            output=result.output,
            logs=receipt.logs,
            contract=receipt.contract,
        )
    context = replace(block, origin=step.sender, gas_price=U256(0))
    result = NodeHost(journal, context, vm, vm.ruleset, contracts, block_hash).call(step)
    logs = journal.logs
    journal.finish()
    return Outcome(
        status=result.status,
        gas_used=step.gas - result.gas_left,
        output=result.output,
        logs=logs,
        contract=result.created,
    )


def outer_message(sender: Address, to: Address | None, gas: Gas, value: U256, data: bytes) -> Message:
    """Return a message from outside: a call, or without a recipient a creation."""
    if to is None:
        return Message(kind=CallKind.CREATE, sender=sender, gas=gas, value=value, input=data)
    return Message(sender=sender, recipient=to, code_address=to, gas=gas, value=value, input=data)


def record(
    world: WorldState, block: TxContext, steps: Sequence[Step], vm: EwasmVM, block_hash: BlockHash = no_block_hash
) -> Witness:
    """Execute steps on a state, which stays as it is, and return the witness.

    `vm` has no debug functions: they would make code acceptable that a check refuses. Raise InvalidTransaction, and
    ValueError for a message that cannot come from outside.
    """
    for step in steps:
        if isinstance(step, Message):
            to = None if step.kind is CallKind.CREATE else step.recipient
            if step != outer_message(step.sender, to, step.gas, step.value, step.input):
                raise ValueError(f"a message that `outer_message` does not make cannot be witnessed: {step}")
    hashes: dict[int, Bytes32 | None] = {}

    def noted(number: int) -> Bytes32 | None:
        hashes[number] = block_hash(number)
        return hashes[number]

    view, recorder = recorded(world)
    claim = execute(view, block, steps, vm, noted)
    return Witness(
        ruleset=vm.ruleset.name,
        ruleset_hash=vm.ruleset.hash,
        block=block,
        steps=tuple(steps),
        root=world.root,
        nodes=dict(sorted(recorder.nodes.items())),
        codes=dict(sorted(recorder.codes.items())),
        block_hashes=dict(sorted(hashes.items())),
        claim=claim,
    )


def named_ruleset(witness: Witness) -> Ruleset:
    """Return the ruleset that a witness names; raise WitnessError if it is none of ours."""
    if witness.ruleset not in RULESETS:
        raise WitnessError(
            f"made with ruleset {witness.ruleset!r:.80}, which is none of ours; name its file with --ruleset"
        )
    return RULESETS[witness.ruleset]


def check_ruleset(witness: Witness, ruleset: Ruleset) -> None:
    """Raise WitnessError unless the witness was made with this ruleset, prices and all."""
    if witness.ruleset_hash != ruleset.hash:
        raise WitnessError(
            f"made with ruleset {witness.ruleset:.80} ({witness.ruleset_hash[:12]}), not with {ruleset.name}"
            f" ({ruleset.hash[:12]}): prices or limits differ, so nothing can be said"
        )


def verify(witness: Witness, vm: EwasmVM) -> Verdict:
    """Execute what a witness holds with nothing but the witness, and compare.

    A node or code that is missing or altered, and nodes that are no state, are differences too. Raise WitnessError if
    the VM has another ruleset.
    """
    check_ruleset(witness, vm.ruleset)
    store = WitnessStore(witness.nodes, witness.codes)
    asked = set[int]()

    def block_hash(number: int) -> Bytes32 | None:
        asked.add(number)
        if number not in witness.block_hashes:
            raise MissingBlockHash(f"block hash {number} is missing")
        return witness.block_hashes[number]

    try:
        found = execute(WorldState(Database(store), witness.root), witness.block, witness.steps, vm, block_hash)
    except (BadEntry, CorruptEntry, MissingEntry, MissingBlockHash) as error:
        return Verdict(None, (str(error),))
    except CodecError as error:
        return Verdict(None, (f"the root before is no state's: {error}",))
    except InvalidTransaction as error:
        return Verdict(None, (f"{error}: such a transaction cannot be executed",))
    return Verdict(
        found,
        (
            *_differences(witness.claim, found),
            *_spare("node", store.unread(Table.NODES)),
            *_spare("code", store.unread(Table.CODE)),
            *_spare("block hash", [number for number in witness.block_hashes if number not in asked]),
        ),
    )


def _spare(kind: str, unread: Sequence[object]) -> Iterator[str]:
    """Yield what nothing reads, in one text however much it is."""
    if len(unread) == 1:
        yield f"{kind} {unread[0]} is not needed"
    elif unread:
        yield f"{kind} {unread[0]} is not needed, and {len(unread) - 1:,} more"


def _differences(claim: Execution, found: Execution) -> Iterator[str]:
    """Yield what is claimed and not so."""
    if len(claim.outcomes) != len(found.outcomes):
        yield f"{len(claim.outcomes)} outcomes are claimed of {len(found.outcomes)} steps"
    for number, (claimed, real) in enumerate(zip(claim.outcomes, found.outcomes, strict=False)):
        for field in fields(Outcome):
            one, other = getattr(claimed, field.name), getattr(real, field.name)
            if one != other:
                name = field.name.replace("_", " ")
                yield f"step {number}, {name}: {_shown(one)} is claimed, it is {_shown(other)}"
    if claim.root != found.root:
        yield f"root after: {claim.root} is claimed, it is {found.root}"


def _shown(value: Any) -> str:
    """Return a value in few characters."""
    if isinstance(value, Status):
        return value.name
    if isinstance(value, Bytes32 | Address) or value is None:
        return str(value)
    if isinstance(value, bytes):
        text = "0x" + value.hex()
    elif isinstance(value, tuple):
        text = f"{len(value)} logs: " + ", ".join(f"{log.address} 0x{log.data.hex()}" for log in value)
    else:
        text = f"{value:,}"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
