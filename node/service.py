"""The engine as a service: one message executed on a state that is brought along, nothing kept afterwards.

The same request gives the same answer on every worker. Nobody pays for anything here: no intrinsic gas, no fee; value
moves, and the sender's nonce rises as it does in the pallet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from evmc import (
    U256,
    VM,
    ZERO_ADDRESS,
    ZERO_BYTES32,
    Address,
    Bytes32,
    CallKind,
    Gas,
    Log,
    Message,
    Precompiles,
    Status,
    TxContext,
)
from ewasm.ruleset import Ruleset
from node.host import MAX_NONCE, BlockHash, NodeHost
from state import (
    EMPTY_CODE_HASH,
    EMPTY_ROOT,
    Account,
    CodecError,
    CorruptEntry,
    Database,
    Diff,
    GenesisAccount,
    Journal,
    MissingEntry,
    StateView,
    WorldState,
    keccak256,
)
from state.cache import LeastRecentlyUsed
from state.witness import BadEntry, WitnessStore


class ServiceError(Exception):
    """A request that cannot be executed: no verdict about the contract, and nothing was changed."""


class UnknownCode(ServiceError):
    """Code that was named by its hash and is not known here: send it along."""

    def __init__(self, code_hash: Bytes32) -> None:
        super().__init__(f"the code {code_hash} is not known here: send it along")
        self.code_hash = code_hash


class HostFailure(ServiceError):
    """The host of a request did not answer, or not with what was asked for; the execution was aborted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A message from outside: to an account, or a creation where `to` is None, at an address from `salt` if given.

    `origin` is the sender where it is None; gas is whole gas, value and price are in the smallest unit.
    """

    sender: Address
    to: Address | None
    gas: Gas
    value: U256 = U256(0)
    input: bytes = b""
    salt: Bytes32 | None = None
    origin: Address | None = None
    gas_price: U256 = U256(0)

    @property
    def kind(self) -> CallKind:
        """The kind of message."""
        if self.to is not None:
            return CallKind.CALL
        return CallKind.CREATE if self.salt is None else CallKind.CREATE2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a message did; `gas_used` is after the refund, and with `gas_left` it is the message's gas.

    `created` is the address that a creation was for, made or not; `root` is the root after, where one was given.
    """

    status: Status
    output: bytes
    gas_used: Gas
    gas_left: Gas
    gas_refunded: Gas
    created: Address | None
    logs: tuple[Log, ...]
    diff: Diff
    root: Bytes32 | None = None


class Host(Protocol):
    """Who knows a state that is asked for piece by piece; each method raises `HostFailure`."""

    def account(self, address: Address) -> tuple[int, U256, Bytes32] | None:
        """Return nonce, balance and hash of the code, None if there is no such account."""

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot."""

    def code(self, code_hash: Bytes32) -> bytes:
        """Return code."""

    def block_hash(self, number: int) -> Bytes32 | None:
        """Return the hash of a block."""


class Codes:
    """Code by hash, the last used within a bound in bytes; threads may share one."""

    def __init__(self, limit: int = 64 << 20) -> None:
        self._codes: LeastRecentlyUsed[Bytes32, bytes] = LeastRecentlyUsed(limit)

    def add(self, code: bytes) -> Bytes32:
        """Keep code and return its hash."""
        code_hash = keccak256(code)
        self._codes.put(code_hash, code, len(code))
        return code_hash

    def get(self, code_hash: Bytes32) -> bytes:
        """Return code; raise `UnknownCode`."""
        code = b"" if code_hash == EMPTY_CODE_HASH else self._codes.get(code_hash)
        if code is None:
            raise UnknownCode(code_hash)
        return code


# States that a request brings along


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An account as a request gives it: `code_hash` names code that is known already, or goes with `code`."""

    nonce: int = 0
    balance: U256 = U256(0)
    code_hash: Bytes32 = EMPTY_CODE_HASH
    storage: Mapping[Bytes32, Bytes32] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Complete:
    """All accounts and slots there are; `root` is what they are vouched to add up to, if anybody did."""

    accounts: Mapping[Address, Given]
    root: Bytes32 | None = None


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A root, and the nodes and codes that the execution will need."""

    root: Bytes32
    nodes: tuple[bytes, ...]
    codes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class OnDemand:
    """Nothing yet: the host is asked for what is missing."""

    host: Host


State: TypeAlias = Complete | Witnessed | OnDemand


class _CompleteView:
    """A state in dictionaries; code comes from those known."""

    def __init__(self, accounts: Mapping[Address, Given], codes: Codes) -> None:
        self._accounts = accounts
        self.code = codes.get

    def account(self, address: Address) -> Account | None:
        given = self._accounts.get(address)
        return None if given is None else Account(given.nonce, given.balance, EMPTY_ROOT, given.code_hash)

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        given = self._accounts.get(address)
        return given.storage.get(key, ZERO_BYTES32) if given else ZERO_BYTES32


class _AskingView:
    """A state that is asked for; code that is known is not."""

    def __init__(self, host: Host, codes: Codes) -> None:
        self._host = host
        self._codes = codes
        self.storage = host.storage

    def account(self, address: Address) -> Account | None:
        found = self._host.account(address)
        return None if found is None else Account(found[0], found[1], EMPTY_ROOT, found[2])

    def code(self, code_hash: Bytes32) -> bytes:
        try:
            return self._codes.get(code_hash)
        except UnknownCode:
            code = self._host.code(code_hash)
        if self._codes.add(code) != code_hash:
            raise HostFailure(f"the host gave other code than {code_hash}")
        return code


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call, the block around it, the state it runs on, and code that comes along.

    `hashes` are those of earlier blocks by number; on demand the host is asked for them instead.
    """

    call: Call
    block: TxContext
    state: State
    codes: tuple[bytes, ...] = ()
    hashes: Mapping[int, Bytes32] = field(default_factory=dict)


class Service:
    """Executes requests on one machine; threads may share it."""

    def __init__(self, vm: VM, ruleset: Ruleset, precompiles: Precompiles, codes: Codes | None = None) -> None:
        self.vm = vm
        self.ruleset = ruleset
        self.precompiles = precompiles
        self.codes = codes or Codes()

    def execute(self, request: Request) -> Outcome:
        """Execute a request and forget it; raise `ServiceError` where there can be no verdict."""
        for code in request.codes:
            self.codes.add(code)
        world = self._world(request.state)
        if world is None:
            return self._run(request, self._view(request.state))
        try:
            outcome = self._run(request, world)
            return replace(outcome, root=world.changed(outcome.diff)[0].root)
        except (BadEntry, CodecError, CorruptEntry, MissingEntry) as error:
            raise ServiceError(f"the state that came along does not do: {error}") from error

    def _world(self, state: State) -> WorldState | None:
        """Return a state whose root is known, None if it has none."""
        if isinstance(state, Witnessed):
            nodes = {keccak256(node): node for node in state.nodes}
            codes = {self.codes.add(code): code for code in state.codes}
            return WorldState(Database(WitnessStore(nodes, codes)), state.root)
        if not isinstance(state, Complete) or state.root is None:
            return None
        world = WorldState.genesis(Database(), {a: self._genesis(given) for a, given in state.accounts.items()})
        if world.root != state.root:
            raise ServiceError(f"the accounts have the root {world.root}, not {state.root}")
        return world

    def _genesis(self, given: Given) -> GenesisAccount:
        return GenesisAccount(given.nonce, given.balance, self.codes.get(given.code_hash), given.storage)

    def _view(self, state: State) -> StateView:
        if isinstance(state, OnDemand):
            return _AskingView(state.host, self.codes)
        assert isinstance(state, Complete)
        return _CompleteView(state.accounts, self.codes)

    def _run(self, request: Request, view: StateView) -> Outcome:
        call, state = request.call, request.state
        block_hash = state.host.block_hash if isinstance(state, OnDemand) else request.hashes.get
        journal = Journal(view)
        return run_message(call, journal, request.block, self.vm, self.ruleset, self.precompiles, block_hash)


def run_message(
    call: Call,
    journal: Journal,
    block: TxContext,
    vm: VM,
    ruleset: Ruleset,
    precompiles: Precompiles,
    block_hash: BlockHash,
) -> Outcome:
    """Run a message on a journal and finish it: nobody pays for gas; what is refunded counts as not used.

    Raise `ServiceError` if init code is beyond the ruleset's bound or the sender has sent all it can.
    """
    bound = ruleset.max_init_code
    if call.to is None and bound is not None and len(call.input) > bound:
        raise ServiceError(f"init code of {len(call.input)} bytes, at most {bound}")
    if journal.nonce(call.sender) >= MAX_NONCE:
        raise ServiceError(f"{call.sender} has sent all it can: its nonce is the last, {MAX_NONCE}")
    context = replace(block, origin=call.origin or call.sender, gas_price=call.gas_price)
    host = NodeHost(journal, context, vm, ruleset, precompiles, block_hash)
    message = Message(
        kind=call.kind,
        gas=call.gas,
        sender=call.sender,
        recipient=call.to or ZERO_ADDRESS,
        code_address=call.to or ZERO_ADDRESS,
        value=call.value,
        input=call.input,
        salt=call.salt or ZERO_BYTES32,
    )
    created = None
    if call.to is None:
        created = host.address_of_creation(message)
    else:
        journal.increment_nonce(call.sender)
    result = host.call(message)
    spent = call.gas - result.gas_left
    refunded = min(journal.refund, spent // 2)
    logs = journal.logs
    return Outcome(
        status=result.status,
        output=result.output,
        gas_used=spent - refunded,
        gas_left=result.gas_left + refunded,
        gas_refunded=refunded,
        created=created,
        logs=logs,
        diff=journal.finish(),
    )
