"""Calls that leave no trace: `eth_call`, the gas a transaction needs, its access list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache

from evmc import U256, ZERO_ADDRESS, ZERO_BYTES32, Address, Bytes32, Gas, Log, Message, Result, Status
from ewasm.contract import Finding
from ewasm.threads import with_room
from ewasm.vm import EwasmVM, Reason
from node.abi import revert_reason
from node.chain.admission import check_fee, check_funds, check_init_code, check_intrinsic, check_tip
from node.chain.block import Header
from node.chain.building import Machine, executable
from node.chain.errors import ExecutionFailed, TransactionRefused
from node.chain.fees import MAX_FEE
from node.chain.signed import Payload
from node.estimate import least_limit
from node.host import BlockHash, create_address
from node.measure import Sent
from node.transaction import AccessList, InvalidTransaction, Transaction, intrinsic_gas
from state import Account, Diff, Journal, StateView, keccak256
from state.account import NO_ACCOUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a client asks to run, or to be sent from an account of the node; what is None is chosen by the node."""

    sender: Address | None = None
    to: Address | None = None
    gas: Gas | None = None
    gas_price: int | None = None
    max_fee: int | None = None
    max_tip: int | None = None
    value: U256 = U256(0)
    data: bytes = b""
    nonce: int | None = None
    access_list: AccessList | None = None
    chain_id: int | None = None
    type: int | None = None

    @property
    def origin(self) -> Address:
        """The sender, the zero address where none is given."""
        return self.sender or ZERO_ADDRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What an account has during a call (geth's state override set); `state` replaces all slots, `slots` some."""

    balance: U256 | None = None
    nonce: int | None = None
    code: bytes | None = None
    state: Mapping[Bytes32, Bytes32] | None = None
    slots: Mapping[Bytes32, Bytes32] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOverride:
    """What the block has during a call."""

    number: int | None = None
    timestamp: int | None = None
    gas_limit: Gas | None = None
    coinbase: Address | None = None
    base_fee: int | None = None

    def apply(self, header: Header) -> Header:
        """Return a header with these values."""
        return replace(header, **{name: value for name, value in asdict(self).items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What a call did; `gas_used` is after the refund and with the intrinsic gas.

    `reason` says why it failed, for people; None if it succeeded.
    """

    result: Result
    gas_used: Gas
    logs: tuple[Log, ...]
    diff: Diff
    contract: Address | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessListResult:
    """The accounts and slots that a call touched, the gas it uses with them listed, why it failed if it did."""

    access_list: AccessList
    gas_used: Gas
    reason: str | None


@dataclass(frozen=True, slots=True)
class CallSite:
    """Where calls run: a state, the block around them, and who executes."""

    machine: Machine
    view: StateView
    header: Header
    block_hash: BlockHash

    def on(self, vm: EwasmVM) -> CallSite:
        """Return the same place with another machine."""
        return replace(self, machine=self.machine.on(vm))

    def run(self, call: Call) -> CallResult:
        """Run a call; raise TransactionRefused where it could not begin."""
        limit = self.header.gas_limit
        return self._run(call, min(call.gas or limit, limit), self.view)

    def estimate(self, call: Call) -> Gas:
        """Return the least gas limit with which the call succeeds; raise ExecutionFailed if none does."""
        return with_room(self.machine.vm.engine, lambda: self._estimate(call))

    def access_list(self, call: Call) -> AccessListResult:
        """Return what a call touches, and run it again with that in its access list."""
        limit = self.header.gas_limit
        gas = min(call.gas or limit, limit)
        touched = _Touched(self.view)
        self._run(call, gas, touched)
        recipient = call.to or self._created(call)
        found = touched.found(without={call.origin, recipient, self.header.coinbase, *self.machine.precompiles})
        again = self._run(replace(call, access_list=found), gas, self.view)
        return AccessListResult(access_list=found, gas_used=again.gas_used, reason=again.reason)

    def _created(self, call: Call) -> Address:
        return create_address(call.origin, (self.view.account(call.origin) or NO_ACCOUNT).nonce)

    def _estimate(self, call: Call) -> Gas:
        high = self._affordable(call, min(call.gas or self.header.gas_limit, self.header.gas_limit))
        view = _Once(self.view)
        first = self._run(call, high, view)
        if first.result.status is Status.OUT_OF_GAS:
            raise ExecutionFailed(f"out of gas: gas required exceeds allowance ({high})", first.result)
        if first.reason is not None:
            raise ExecutionFailed(first.reason, first.result)
        found = least_limit(
            lambda gas: self._run(call, gas, view).reason is None,
            spent=high - first.result.gas_left,
            most=high,
            least=intrinsic_gas(call.data, self.machine.ruleset, call.access_list or (), create=call.to is None),
        )
        assert found is not None, "it has succeeded with that"
        return found

    def _affordable(self, call: Call, gas: Gas) -> Gas:
        """Return how much gas the sender can pay for, if the call says at what price."""
        price = _prices(call, self.header)[0]
        if not price:
            return gas
        balance = (self.view.account(call.origin) or NO_ACCOUNT).balance
        return max(0, min(gas, (balance - call.value) // price))

    def sent(self, call: Call) -> Sent:
        """Return a call as it is executed here, to be measured; raise TransactionRefused where it could not begin."""
        limit = self.header.gas_limit
        transaction = self._transaction(call, min(call.gas or limit, limit), Journal(self.view))
        return Sent(
            view=self.view,
            block=self.machine.context(self.header),
            transaction=transaction,
            block_hash=self.block_hash,
        )

    def _transaction(self, call: Call, gas: Gas, journal: Journal) -> Transaction:
        """Return the transaction that a call is; raise TransactionRefused where it could not begin."""
        machine, header = self.machine, self.header
        max_fee, max_tip = _prices(call, header)
        payload = Payload(
            chain_id=machine.chain_id,
            nonce=journal.nonce(call.origin),
            max_fee=U256(max_fee),
            max_tip=U256(max_tip),
            gas_limit=gas,
            to=call.to,
            value=call.value,
            data=call.data,
            access_list=call.access_list or (),
        )
        if max_fee:
            check_fee(payload, call.origin, header.base_fee)
        check_funds(payload, call.origin, journal.balance(call.origin))
        if call.to is None:
            check_init_code(call.data, machine.ruleset)
        check_intrinsic(payload, gas, machine.ruleset)
        return executable(payload, call.origin, header.base_fee if max_fee else 0)

    def _run(self, call: Call, gas: Gas, view: StateView) -> CallResult:
        machine = self.machine
        journal = Journal(view)
        transaction = self._transaction(call, gas, journal)
        heard: list[Reason] = []

        def listen(message: Message, reason: Reason) -> None:
            if message.depth == 0:
                heard.append(reason)

        listening = machine.on(machine.vm.listening(on_failure=listen))
        try:
            receipt = listening.execute(transaction, journal, machine.context(self.header), self.block_hash)
        except InvalidTransaction as error:
            raise TransactionRefused(str(error)) from error
        return CallResult(
            result=receipt.result,
            gas_used=receipt.gas_used,
            logs=receipt.logs if receipt.result.status is Status.SUCCESS else (),
            diff=receipt.diff,
            contract=receipt.contract,
            reason=explain(receipt.result, heard[-1] if heard else None),
        )


def _prices(call: Call, header: Header) -> tuple[int, int]:
    """Return the highest fee and tip that a call names, 0 and 0 if it names none."""
    if call.gas_price is not None:
        return call.gas_price, call.gas_price
    tip = call.max_tip or 0
    fee = (min(header.base_fee + tip, MAX_FEE) if tip else 0) if call.max_fee is None else call.max_fee
    check_tip(fee, tip, call.origin)
    return fee, tip


def explain(result: Result, reason: Reason | None = None) -> str | None:
    """Return why a message failed, for people, beginning as clients know it; None if it succeeded."""
    if result.status is Status.SUCCESS:
        return None
    if result.status is Status.REVERT:
        text = revert_reason(result.output)
        return f"execution reverted: {text}" if text else "execution reverted"
    if isinstance(reason, Finding):
        return f"contract refused: {reason.message}"
    what = result.status.name.lower().replace("_", " ")
    why = "" if reason is None else str(reason)
    if why.startswith(what):
        return why
    return f"{what}: {why}" if why else what


class _Once:
    """A view that is asked only once for each thing, over many executions."""

    def __init__(self, view: StateView) -> None:
        self.account = cache(view.account)
        self.storage = cache(view.storage)
        self.code = cache(view.code)


class _Touched:
    """A view that notes which accounts and slots were asked for."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self._slots: defaultdict[Address, dict[Bytes32, None]] = defaultdict(dict)

    def account(self, address: Address) -> Account | None:
        """Return the account."""
        self._slots[address]  # the look-up adds it
        return self._view.account(address)

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot."""
        self._slots[address][key] = None
        return self._view.storage(address, key)

    def code(self, code_hash: Bytes32) -> bytes:
        """Return code."""
        return self._view.code(code_hash)

    def found(self, *, without: set[Address]) -> AccessList:
        """Return what was noted; the addresses in `without` are listed for their slots only."""
        return tuple(
            (address, tuple(sorted(slots)))
            for address, slots in sorted(self._slots.items())
            if slots or address not in without
        )


class Overridden:
    """A view in which some accounts are what a call says."""

    def __init__(self, view: StateView, overrides: Mapping[Address, Override]) -> None:
        self._view = view
        self._overrides = overrides
        self._codes = {keccak256(each.code): each.code for each in overrides.values() if each.code is not None}

    def account(self, address: Address) -> Account | None:
        """Return the account, None if there is none."""
        account = self._view.account(address)
        override = self._overrides.get(address)
        if override is None:
            return account
        account = account or NO_ACCOUNT
        return replace(
            account,
            nonce=account.nonce if override.nonce is None else override.nonce,
            balance=account.balance if override.balance is None else override.balance,
            code_hash=account.code_hash if override.code is None else keccak256(override.code),
        )

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot."""
        override = self._overrides.get(address)
        if override is None:
            return self._view.storage(address, key)
        if key in override.slots:
            return override.slots[key]
        if override.state is not None:
            return override.state.get(key, ZERO_BYTES32)
        return self._view.storage(address, key)

    def code(self, code_hash: Bytes32) -> bytes:
        """Return code."""
        code = self._codes.get(code_hash)
        return self._view.code(code_hash) if code is None else code
