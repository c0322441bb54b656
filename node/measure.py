"""Calls that can be executed again and again, measured: profile, gas used, gas required."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from evmc import U256, Address, Gas, Message, Result, Status, TxContext
from ewasm.cache import CodeCache
from ewasm.profiling import watched_precompiles
from ewasm.ruleset import Ruleset
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM
from gas.collector import Collector
from gas.profile import Profile
from gas.quick import QuickCollector
from gas.report import Labels, as_json
from node import defaults
from node.estimate import least_limit
from node.host import BlockHash, NodeHost, create_address, no_block_hash
from node.transaction import InvalidTransaction, Transaction, execute_transaction, intrinsic_gas
from state import Database, GenesisAccount, Journal, StateView, WorldState
from wasm.compiled import CompiledEngine
from wasm.engine import Engine
from wasm.interpreter import Interpreter


@dataclass(frozen=True, slots=True)
class Executed:
    """How a call went: its result, and in whole gas what was used, paid beforehand and refunded."""

    result: Result
    gas_used: Gas
    intrinsic: Gas
    refund: Gas

    @property
    def succeeded(self) -> bool:
        """Whether the call did what it was for."""
        return self.result.status is Status.SUCCESS


class Measurable(Protocol):
    """What can be executed again and again, with the same result and with other limits."""

    @property
    def to(self) -> Address | None:
        """The recipient, None for a creation."""
        ...

    @property
    def gas(self) -> Gas:
        """The limit, in whole gas."""
        ...

    def limited(self, gas: Gas) -> Self:
        """Return the same with another limit."""
        ...

    def execute(self, vm: EwasmVM, collector: Collector | None = None) -> Executed:
        """Execute it; the collector is the one that the VM has. Raise `InvalidTransaction`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A transaction as it is executed in a block, on the state just before it, which stays as it is."""

    view: StateView
    block: TxContext
    transaction: Transaction
    block_hash: BlockHash = no_block_hash

    @property
    def to(self) -> Address | None:
        """The recipient, None for a creation."""
        return self.transaction.to

    @property
    def gas(self) -> Gas:
        """The limit, in whole gas."""
        return self.transaction.gas_limit

    @property
    def most(self) -> Gas:
        """The greatest limit with which it can be executed: the block's, or what the sender can pay for."""
        tx = self.transaction
        price = tx.gas_price if tx.max_price is None else tx.max_price
        if not price:
            return self.block.gas_limit
        left = Journal(self.view).balance(tx.sender) - tx.value
        return min(self.block.gas_limit, max(0, left // price))

    def limited(self, gas: Gas) -> Sent:
        """Return the same with another limit."""
        return replace(self, transaction=replace(self.transaction, gas_limit=gas))

    def execute(self, vm: EwasmVM, collector: Collector | None = None) -> Executed:
        """Execute it; the collector is the one that the VM has. Raise `InvalidTransaction`."""
        contracts = system_contracts(vm.ruleset)
        if collector is not None:
            contracts = watched_precompiles(contracts, collector)
        tx = self.transaction
        receipt = execute_transaction(tx, Journal(self.view), self.block, vm, vm.ruleset, contracts, self.block_hash)
        spent = tx.gas_limit - receipt.result.gas_left
        intrinsic = intrinsic_gas(tx.data, vm.ruleset, tx.access_list, create=tx.to is None)
        return Executed(receipt.result, receipt.gas_used, intrinsic, spent - receipt.gas_used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call on a state, which it leaves as it is: a transaction, or a message by itself without intrinsic gas.

    `to` is None for a transaction that creates. `gas` is the limit, in whole gas.
    """

    world: WorldState
    block: TxContext
    sender: Address
    to: Address | None
    gas: Gas
    value: U256 = U256(0)
    data: bytes = b""
    transaction: bool = True

    def limited(self, gas: Gas) -> Call:
        """Return the same with another limit."""
        return replace(self, gas=gas)

    @property
    def message(self) -> Message:
        """The message that the call is, where it is no transaction."""
        assert self.to is not None, "a message by itself has a recipient"
        return Message(
            gas=self.gas,
            recipient=self.to,
            code_address=self.to,
            sender=self.sender,
            input=self.data,
            value=self.value,
        )

    def execute(self, vm: EwasmVM, collector: Collector | None = None) -> Executed:
        """Execute the call; the collector is the one that the VM has. Raise `InvalidTransaction`."""
        ruleset = vm.ruleset
        journal = Journal(self.world)
        if self.transaction:
            tx = Transaction(
                sender=self.sender,
                to=self.to,
                nonce=journal.nonce(self.sender),
                gas_limit=self.gas,
                value=self.value,
                data=self.data,
            )
            block = replace(self.block, gas_limit=max(self.block.gas_limit, self.gas))
            return Sent(view=self.world, block=block, transaction=tx).execute(vm, collector)
        contracts = system_contracts(ruleset)
        if collector is not None:
            contracts = watched_precompiles(contracts, collector)
        block = replace(self.block, origin=self.sender)
        result = NodeHost(journal, block, vm, ruleset, contracts, no_block_hash).call(self.message)
        return Executed(result, self.gas - result.gas_left, 0, 0)


def code_call(
    code: bytes,
    *,
    data: bytes,
    gas: Gas,
    sender: Address | None = None,
    value: U256 = U256(0),
    address: Address | None = None,
) -> Call:
    """Return a message to code that is an account's in a fresh state: see `node.defaults`."""
    sender = sender or defaults.SENDER
    contract = address or create_address(sender, 0)
    accounts = {**defaults.genesis(sender), contract: GenesisAccount(nonce=1, code=code)}
    return Call(
        world=WorldState.genesis(Database(), accounts),
        block=defaults.block(1, gas),
        sender=sender,
        to=contract,
        gas=gas,
        value=value,
        data=data,
        transaction=False,
    )


def profiled(
    call: Measurable,
    ruleset: Ruleset,
    *,
    quick: Engine | None = None,
    debug: Callable[[str], None] | None = None,
) -> tuple[Profile, Executed]:
    """Execute a call on the interpreter; return where its gas went. Raise `InvalidTransaction`.

    A `quick` profile is made on the engine given, from counters in the code; see `gas.quick` for what it lacks.
    """
    return profiled_on(EwasmVM(ruleset, quick or Interpreter(), debug=debug), call, quick=quick is not None)


def profiled_on(vm: EwasmVM, call: Measurable, *, quick: bool = False) -> tuple[Profile, Executed]:
    """Execute a call on a machine that traces, or with `quick` on any; otherwise it is as with `profiled`."""
    collector = QuickCollector(vm.ruleset.schedule) if quick else Collector(vm.ruleset.schedule)
    done = call.execute(vm.listening(profile=collector), collector)
    profile = collector.finish(
        call.gas,
        done.result.gas_left,
        intrinsic=done.intrinsic,
        refund=done.refund,
        stored=call.to is None and done.succeeded,
    )
    return profile, done


def gas_required(
    call: Measurable,
    ruleset: Ruleset,
    *,
    most: Gas,
    engine: Engine | None = None,
    cache: CodeCache | None = None,
    debug: bool = False,
) -> Gas | None:
    """Return the least gas limit with which a call succeeds, None if it does not with `most`; see `least_limit`."""
    vm = EwasmVM(ruleset, engine or CompiledEngine(), cache=cache, debug=(lambda _: None) if debug else None)
    return gas_required_on(vm, call, most=most)


def gas_required_on(vm: EwasmVM, call: Measurable, *, most: Gas) -> Gas | None:
    """Return the same as `gas_required`, found on a machine."""
    try:
        full = call.limited(most).execute(vm)
    except InvalidTransaction:
        return None
    if not full.succeeded:
        return None
    return least_limit(
        lambda limit: call.limited(limit).execute(vm).succeeded,
        spent=full.gas_used + full.refund,
        most=most,
        least=full.intrinsic,
    )


def document(profile: Profile, labels: Labels, done: Executed, *, gas: Gas, required: Gas | None) -> dict[str, Any]:
    """Return what was measured as JSON has it; numbers are numbers, gas is whole."""
    return {
        "status": done.result.status.name,
        "gas_limit": gas,
        "gas_used": done.gas_used,
        "gas_required": required,
        "profile": as_json(profile, labels),
    }
