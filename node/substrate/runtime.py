"""The runtime: what an extrinsic pays, does, and leaves behind as events.

A fee is a base, so much for each byte, gas at the price that the call names, and a tip. It is withdrawn before
anything runs, gas by the limit; gas that was not used is paid back. Fees go to the block's coinbase.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from evmc import U256, VM, Address, Bytes32, Gas, Log, Precompiles, Status, TxContext
from ewasm.ruleset import Ruleset
from node.host import MAX_NONCE, BlockHash, no_block_hash
from node.service import Call, Outcome, run_message
from node.substrate import validity
from node.substrate.accounts import MAX_BALANCE, Accounts
from node.substrate.extrinsic import Extrinsic, Signed, Surroundings, signature_holds
from node.substrate.hashing import blake2_256
from node.substrate.keys import h160
from node.substrate.pallets import BALANCES, EWASM, FAILURES, module_error
from node.substrate.settings import MAX_LENGTH, Settings, weight, weight_of
from state import Journal

Event: TypeAlias = tuple[str, tuple[str, Any]]
"""An event: pallet, (name, fields)."""

BAD_ORIGIN: Final = ("BadOrigin", None)
OVERFLOW: Final = ("Arithmetic", ("Overflow", None))

_CREATIONS: Final = ("create", "create2")
_MESSAGES: Final = ("call", *_CREATIONS)


@dataclass(frozen=True, slots=True)
class Fee:
    """The parts of a fee before anything runs; `gas` is the most that gas can cost."""

    base: int
    length: int
    gas: int
    tip: int

    @property
    def total(self) -> int:
        """The sum."""
        return self.base + self.length + self.gas + self.tip


@dataclass(slots=True)
class Applied:
    """What came of an extrinsic: its events, and why it failed if it did."""

    events: list[Event] = field(default_factory=list)
    error: tuple[str, Any] | None = None
    gas_used: Gas = 0


class Runtime:
    """Applies extrinsics to a journal under one machine's rules."""

    def __init__(self, settings: Settings, vm: VM, ruleset: Ruleset, precompiles: Precompiles) -> None:
        self.settings = settings
        self.vm = vm
        self.ruleset = ruleset
        self.precompiles = precompiles

    # Fees and weight

    def gas_of(self, call: tuple[str, Any]) -> tuple[Gas, int]:
        """Return the gas that a call may use, and the price it offers."""
        pallet, (name, arguments) = call
        if pallet == "Ewasm" and name in _MESSAGES:
            return arguments["gas_limit"], arguments["gas_price"]
        return 0, 0

    def fee(self, extrinsic: Extrinsic) -> Fee:
        """Return what an extrinsic must be able to pay."""
        gas, price = self.gas_of(extrinsic.call)
        tip = extrinsic.signed.tip if extrinsic.signed else 0
        return Fee(self.settings.base_fee, self.settings.byte_fee * len(extrinsic.encoded), gas * price, tip)

    def weight(self, extrinsic: Extrinsic) -> int:
        """Return the reference time that an extrinsic may take."""
        return weight_of(self.gas_of(extrinsic.call)[0])

    # Validity

    def check(
        self, extrinsic: Extrinsic, accounts: Accounts, around: Surroundings | None, known: Surroundings | None = None
    ) -> Signed:
        """Return who signed; raise `ExtrinsicRefused`. A nonce ahead of its time is let through.

        `around` is None where the era has ended or not begun; for `known` the signature is known to hold.
        """
        signed = extrinsic.signed
        if signed is None:
            raise validity.invalid(validity.UNEXPECTED)
        if len(extrinsic.encoded) > MAX_LENGTH or self.gas_of(extrinsic.call)[0] > self.settings.gas_limit:
            raise validity.invalid(validity.EXHAUSTS)
        if around is None:
            raise validity.invalid(validity.ANCIENT)
        if around != known and not signature_holds(extrinsic, around):
            raise validity.invalid(validity.BAD_SIGNATURE)
        native = accounts.get(signed.account)
        if signed.nonce < native.nonce:
            raise validity.invalid(validity.STALE)
        if self.fee(extrinsic).total > native.free:
            raise validity.invalid(validity.PAYMENT)
        return signed

    # Applying

    def apply(
        self,
        extrinsic: Extrinsic,
        signed: Signed,
        journal: Journal,
        block: TxContext,
        block_hash: BlockHash = no_block_hash,
    ) -> Applied:
        """Apply an extrinsic that was checked and whose nonce is the next, and finish the journal.

        Raise `ExtrinsicRefused`, with nothing changed, if the fee cannot be paid any more.
        """
        accounts, who, fee = Accounts(journal), signed.account, self.fee(extrinsic)
        if not accounts.take(who, fee.total):
            raise validity.invalid(validity.PAYMENT)
        accounts.use_nonce(who)
        done = Applied([_event("Balances", "Withdraw", who=who, amount=fee.total)])
        self._dispatch(extrinsic.call, who, journal, block, block_hash, done)
        gas, price = self.gas_of(extrinsic.call)
        unused = (gas - done.gas_used) * price
        if unused:
            accounts.give(who, unused)
            done.events.append(_event("Balances", "Deposit", who=who, amount=unused))
        paid = fee.total - unused
        journal.give(block.coinbase, paid)
        done.events.append(_event("TransactionPayment", "TransactionFeePaid", who=who, actual_fee=paid, tip=fee.tip))
        info = {"weight": weight(weight_of(done.gas_used)), "class": ("Normal", None), "pays_fee": ("Yes", None)}
        if done.error is None:
            done.events.append(_event("System", "ExtrinsicSuccess", dispatch_info=info))
        else:
            done.events.append(_event("System", "ExtrinsicFailed", dispatch_error=done.error, dispatch_info=info))
        journal.finish()
        return done

    def _dispatch(
        self,
        call: tuple[str, Any],
        who: bytes,
        journal: Journal,
        block: TxContext,
        block_hash: BlockHash,
        done: Applied,
    ) -> None:
        """Do what a call says; its events and error go to `done`."""
        accounts = Accounts(journal)
        match call:
            case ("System", ("remark", _)):
                pass
            case ("System", ("remark_with_event", {"remark": remark})):
                done.events.append(_event("System", "Remarked", sender=who, hash=blake2_256(remark)))
            case ("Balances", (_, {"dest": dest, "value": value})):
                _transfer(accounts, who, dest, value, done)
            case ("Ewasm", ("deposit_balance", {"value": value})):
                _deposit(accounts, journal, who, value, done)
            case ("Ewasm", ("withdraw_balance", {"value": value})):
                _withdraw(accounts, journal, who, value, done)
            case ("Ewasm", (name, arguments)):
                self._message(name, arguments, who, journal, block, block_hash, done)
            case _:
                done.error = BAD_ORIGIN

    def _message(
        self,
        name: str,
        arguments: dict[str, Any],
        who: bytes,
        journal: Journal,
        block: TxContext,
        block_hash: BlockHash,
        done: Applied,
    ) -> None:
        """Run a call or a creation."""
        call = Call(
            sender=h160(who),
            to=Address(arguments["target"]) if name == "call" else None,
            gas=arguments["gas_limit"],
            value=U256(arguments["value"]),
            input=arguments["input" if name == "call" else "code"],
            salt=Bytes32(arguments["salt"]) if name == "create2" else None,
            gas_price=U256(arguments["gas_price"]),
        )
        refusal = self.refusal(call, journal)
        if refusal is not None:
            done.error = module_error(EWASM, refusal)
            return
        outcome = run_message(call, journal, block, self.vm, self.ruleset, self.precompiles, block_hash)
        done.gas_used = outcome.gas_used
        done.events += [_event("Ewasm", "Log", log=log_value(log)) for log in outcome.logs]
        done.events.append(_outcome_event(call, outcome))
        done.error = failure(outcome.status)

    def refusal(self, call: Call, journal: Journal) -> str | None:
        """Return the name of the error for which a message is not run at all, None if it is."""
        if call.gas_price < self.settings.min_gas_price:
            return "GasPriceTooLow"
        if call.gas > self.settings.gas_limit:
            return "GasLimitTooHigh"
        bound = self.ruleset.max_init_code
        if call.to is None and bound is not None and len(call.input) > bound:
            return "CodeTooLarge"
        return "NonceExhausted" if journal.nonce(call.sender) >= MAX_NONCE else None


def failure(status: Status) -> tuple[str, Any] | None:
    """Return the `DispatchError` of an execution that ended so, None for success."""
    if status is Status.SUCCESS:
        return None
    name, _ = FAILURES.get(status, FAILURES[Status.FAILURE])
    return module_error(EWASM, name)


def log_value(log: Log) -> dict[str, Any]:
    """Return a contract's event as it is encoded."""
    return {"address": log.address, "topics": list(log.topics), "data": log.data}


def _event(pallet: str, _name: str, /, **fields: Any) -> Event:
    return pallet, (_name, fields)


def _outcome_event(call: Call, outcome: Outcome) -> Event:
    succeeded = outcome.status is Status.SUCCESS
    if call.to is None and succeeded:
        return _event("Ewasm", "Created", address=outcome.created, gas_used=outcome.gas_used)
    address = outcome.created if call.to is None else call.to
    name = ("Executed" if succeeded else "ExecutedFailed") if call.to is not None else "CreatedFailed"
    return _event("Ewasm", name, address=address, output=outcome.output, gas_used=outcome.gas_used)


def _transfer(accounts: Accounts, who: bytes, dest: tuple[str, Any], value: int, done: Applied) -> None:
    form, to = dest
    if form not in ("Id", "Address32"):
        done.error = ("CannotLookup", None)
    elif to != who and accounts.get(to).free + value > MAX_BALANCE:
        done.error = OVERFLOW
    elif not accounts.take(who, value):
        done.error = module_error(BALANCES, "InsufficientBalance")
    else:
        if accounts.give(to, value):
            done.events.append(_event("System", "NewAccount", account=to))
        done.events.append(("Balances", ("Transfer", {"from": who, "to": to, "amount": value})))


def _deposit(accounts: Accounts, journal: Journal, who: bytes, value: int, done: Applied) -> None:
    """Move coins to the contract side."""
    if journal.balance(h160(who)) + value >= 1 << 256:
        done.error = OVERFLOW
        return
    if not accounts.take(who, value):
        done.error = module_error(EWASM, "BalanceLow")
        return
    journal.add_balance(h160(who), value)
    done.events.append(_event("Ewasm", "BalanceDeposited", who=who, address=h160(who), value=value))


def _withdraw(accounts: Accounts, journal: Journal, who: bytes, value: int, done: Applied) -> None:
    """Move coins back from the contract side."""
    address = h160(who)
    if value > journal.balance(address):
        done.error = module_error(EWASM, "BalanceLow")
    elif accounts.get(who).free + value > MAX_BALANCE:
        done.error = OVERFLOW
    else:
        journal.sub_balance(address, value)
        accounts.give(who, value)
        done.events.append(_event("Ewasm", "BalanceWithdrawn", who=who, address=address, value=value))
