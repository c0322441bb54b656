"""Calls that can be executed again and again, measured: profile, gas used, gas required."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from evmc import U256, Address, Gas, Message, Result, Status, TxContext
from ewasm.cache import CodeCache
from ewasm.profiling import watched_precompiles
from ewasm.ruleset import Ruleset
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM
from gas.collector import Collector
from gas.profile import Profile
from gas.quick import QuickCollector
from node import defaults
from node.estimate import least_limit
from node.host import NodeHost, create_address
from node.transaction import Transaction, execute_transaction, intrinsic_gas
from state import Database, GenesisAccount, Journal, WorldState
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

    def execute(self, vm: EwasmVM, collector: Collector | None = None) -> Executed:
        """Execute the call; the collector is the one that the VM has. Raise `InvalidTransaction`."""
        ruleset = vm.ruleset
        contracts = system_contracts(ruleset)
        if collector is not None:
            contracts = watched_precompiles(contracts, collector)
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
            receipt = execute_transaction(tx, journal, block, vm, ruleset, contracts)
            spent = self.gas - receipt.result.gas_left
            intrinsic = intrinsic_gas(self.data, ruleset, create=self.to is None)
            return Executed(receipt.result, receipt.gas_used, intrinsic, spent - receipt.gas_used)
        assert self.to is not None, "a message by itself has a recipient"
        block = replace(self.block, origin=self.sender)
        host = NodeHost(journal, block, vm, ruleset, contracts, lambda _number: None)
        result = host.call(
            Message(
                gas=self.gas,
                recipient=self.to,
                code_address=self.to,
                sender=self.sender,
                input=self.data,
                value=self.value,
            )
        )
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
    call: Call,
    ruleset: Ruleset,
    *,
    quick: Engine | None = None,
    debug: Callable[[str], None] | None = None,
) -> tuple[Profile, Executed]:
    """Execute a call on the interpreter; return where its gas went. Raise `InvalidTransaction`.

    A `quick` profile is made on the engine given, from counters in the code; see `gas.quick` for what it lacks.
    """
    collector = Collector(ruleset.schedule) if quick is None else QuickCollector(ruleset.schedule)
    done = call.execute(EwasmVM(ruleset, quick or Interpreter(), profile=collector, debug=debug), collector)
    profile = collector.finish(
        call.gas,
        done.result.gas_left,
        intrinsic=done.intrinsic,
        refund=done.refund,
        stored=call.to is None and done.succeeded,
    )
    return profile, done


def gas_required(
    call: Call,
    ruleset: Ruleset,
    *,
    most: Gas,
    engine: Engine | None = None,
    cache: CodeCache | None = None,
    debug: bool = False,
) -> Gas | None:
    """Return the least gas limit with which a call succeeds, None if it does not with `most`; see `least_limit`."""
    vm = EwasmVM(ruleset, engine or CompiledEngine(), cache=cache, debug=(lambda _: None) if debug else None)
    full = replace(call, gas=most).execute(vm)
    if not full.succeeded:
        return None
    return least_limit(
        lambda limit: replace(call, gas=limit).execute(vm).succeeded,
        spent=full.gas_used + full.refund,
        most=most,
        least=full.intrinsic,
    )
