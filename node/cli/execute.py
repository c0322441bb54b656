"""`ewasm run`, `deploy` and `call`: execute a contract in a fresh state, or in one that lasts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import click

from evmc import Address, Gas, Log, Message, Result, Status, TxContext
from ewasm.artefacts import ArtefactStore, default_directory
from ewasm.cache import CodeCache
from ewasm.contract import Finding, has_preamble
from ewasm.ruleset import Ruleset
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM, Reason, make_engine
from node import defaults
from node.abi import Signature, decode_output, revert_reason
from node.cli import show
from node.cli.diff import diff_json, emit_diff
from node.cli.files import read_code
from node.cli.fresh import call_by_options
from node.cli.options import (
    ADDRESS,
    FILE_PATH,
    InputError,
    MessageOptions,
    call_data,
    input_options,
    message_options,
    state_option,
)
from node.host import NodeHost, no_block_hash
from node.statedir import Chain, StateError, opened
from node.transaction import InvalidTransaction, Transaction, check_transaction, execute_transaction
from state import EMPTY_CODE_HASH, Diff, Journal, WorldState
from wasm.engine import Tracer, Value
from wasm.errors import Trap


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(MessageOptions):
    """The options that every execution has."""

    trace: Path | None
    diff: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is shown of an execution."""

    result: Result
    gas_used: Gas
    logs: tuple[Log, ...]
    diff: Diff
    root: str
    contract: Address | None
    error: str | None
    note: str | None = None
    """What is likely to be meant where something else happened."""


@click.command(short_help="Run FILE as a contract in a fresh state.")
@click.argument("file", type=FILE_PATH)
@input_options
@message_options
@click.option("--address", type=ADDRESS, help="Address of the contract.  [default: the sender's first]")
def run(
    file: Path,
    arguments: tuple[str, ...],
    data: bytes | None,
    sig: str | None,
    address: Address | None,
    **options: Any,
) -> None:
    """Run FILE (.wasm, .wat or .hex) as the code of an account in a fresh state.

    The sender has 10,000 * 10^18, the block is number 1 at second 1,600,000,012 of chain 31337, gas has no price.
    The gas used is the message's own, without a transaction's intrinsic gas.

    \b
    Example:
      ewasm run counter.wasm --sig 'add(uint256)' 5
    """  # noqa: D301  # \b is click's
    given = Options(**options)
    call_input, signature = call_data(data, sig, arguments)
    fresh = call_by_options(file, given, data=call_input, address=address)
    with _machine(given) as machine:
        journal = Journal(fresh.world)
        context = replace(fresh.block, origin=fresh.sender)
        contracts = system_contracts(given.ruleset)
        result = NodeHost(journal, context, machine.vm, given.ruleset, contracts, no_block_hash).call(fresh.message)
        logs = journal.logs
        diff = journal.finish()
        outcome = Outcome(
            result=result,
            gas_used=given.gas - result.gas_left,
            logs=logs,
            diff=diff,
            root=str(fresh.world.apply(diff).root),
            contract=None,
            error=machine.error(result),
            note=_INIT_CODE if has_preamble(result.output) else None,
        )
    _finish(outcome, signature, given)


@click.command(short_help="Create a contract, on a state that lasts.")
@click.argument("file", type=FILE_PATH)
@state_option
@message_options
def deploy(file: Path, folder: Path, **options: Any) -> None:
    """Execute a transaction that creates a contract: FILE is its init code, whose output is stored.

    A new or empty directory becomes a state in which the sender has 10,000 * 10^18. The gas used is the transaction's.

    \b
    Example:
      ewasm deploy erc20_deploy.wasm --state ./chain
    """  # noqa: D301  # \b is click's
    _transact(folder, Options(**options), to=None, data=read_code(file), signature=None, dry_run=False)


@click.command(short_help="Call a contract, on a state that lasts.")
@click.argument("address", type=ADDRESS)
@input_options
@state_option
@click.option("--dry-run", is_flag=True, help="Show what would happen; write nothing.")
@message_options
def call(
    address: Address,
    arguments: tuple[str, ...],
    data: bytes | None,
    sig: str | None,
    folder: Path,
    dry_run: bool,  # noqa: FBT001  # click's
    **options: Any,
) -> None:
    """Execute a transaction that calls the contract at ADDRESS in a state that lasts.

    The gas used is the transaction's, intrinsic gas and refunds included.

    \b
    Example:
      ewasm call 0x5fbdb2315678afecb367f032d93f642f64180aa3 --state ./chain --sig 'totalSupply()(uint256)' --dry-run
    """  # noqa: D301  # \b is click's
    call_input, signature = call_data(data, sig, arguments)
    _transact(folder, Options(**options), to=address, data=call_input, signature=signature, dry_run=dry_run)


def _transact(
    folder: Path, given: Options, *, to: Address | None, data: bytes, signature: Signature | None, dry_run: bool
) -> None:
    """Execute a transaction against a state directory."""
    sender = given.sender or defaults.SENDER
    genesis = defaults.genesis(sender) if to is None else None
    try:
        with opened(folder, given.ruleset, genesis=genesis, readonly=dry_run) as chain:
            block = defaults.block(chain.number + 1, given.gas)
            journal = Journal(chain.world)
            transaction = Transaction(
                sender=sender, to=to, nonce=journal.nonce(sender), gas_limit=given.gas, value=given.value, data=data
            )
            check_transaction(transaction, journal, block, given.ruleset)  # before anything is written
            with _machine(given) as machine:
                outcome = _execute(transaction, journal, chain, block, machine)
            if not dry_run:
                chain.next(outcome.diff)
    except (StateError, InvalidTransaction) as error:
        raise InputError(str(error)) from error
    _finish(outcome, signature, given)


def _execute(transaction: Transaction, journal: Journal, chain: Chain, block: TxContext, machine: _Machine) -> Outcome:
    """Execute a transaction on a state; return what to show."""
    ruleset = machine.vm.ruleset
    receipt = execute_transaction(transaction, journal, block, machine.vm, ruleset, system_contracts(ruleset))
    after, _ = chain.world.changed(receipt.diff)
    return Outcome(
        result=receipt.result,
        gas_used=receipt.gas_used,
        logs=receipt.logs,
        diff=receipt.diff,
        root=str(after.root),
        contract=receipt.contract if receipt.result.status is Status.SUCCESS else None,
        error=machine.error(receipt.result, creation=transaction.to is None),
        note=_note(transaction, chain.world, receipt.result, ruleset),
    )


_INIT_CODE = "the output is a module: FILE looks like init code, which is for ewasm deploy"


def _note(transaction: Transaction, world: WorldState, result: Result, ruleset: Ruleset) -> str | None:
    """Return what is likely to be meant by a transaction that ran nothing, or ran a contract as init code."""
    if transaction.to is None:
        stores = result.status is Status.SUCCESS and has_preamble(result.output)
        if stores or result.status not in (Status.SUCCESS, Status.REVERT):
            return None
        return "FILE is run as init code, which returns the code to store"
    account = world.account(transaction.to)
    if transaction.to in system_contracts(ruleset) or (account is not None and account.code_hash != EMPTY_CODE_HASH):
        return None
    return f"nothing ran: {transaction.to} has no code" if transaction.data else None


class _Machine:
    """A VM that remembers why its outermost message failed."""

    def __init__(self, given: Options, trace: IO[str] | None) -> None:
        self.reason: Reason | None = None
        self.vm = EwasmVM(
            given.ruleset,
            make_engine(given.engine),
            cache=CodeCache(artefacts=artefacts(given.cache, no_cache=given.no_cache)),
            trace=_tracing(trace) if trace is not None else None,
            on_failure=self._note,
            debug=(lambda text: click.echo(f"debug: {text}", err=True)) if given.debug else None,
        )

    def _note(self, message: Message, reason: Reason) -> None:
        if message.depth == 0:
            self.reason = reason

    def error(self, result: Result, *, creation: bool = False) -> str | None:
        """Return why a message failed, in words, None if it did not."""
        if result.status is Status.SUCCESS:
            return None
        if result.status is Status.REVERT:
            reason = revert_reason(result.output)
            return f"reverted: {reason}" if reason else "reverted"
        if isinstance(self.reason, Finding):
            return self.reason.message
        if result.status is Status.OUT_OF_GAS:
            why = str(self.reason) if isinstance(self.reason, Trap) else "out of gas"
            if creation and self.reason is None:
                price, bound = self.vm.ruleset.host.code_byte, self.vm.ruleset.max_code
                why += f": the code to store costs {price} a byte" + (
                    "" if bound is None else f", at most {bound:,} bytes"
                )
            return f"{why}; give more with --gas"
        if self.reason is None:
            return _WORDS.get(result.status, result.status.name.lower().replace("_", " "))
        return str(self.reason)


_WORDS = {
    Status.INSUFFICIENT_BALANCE: "the sender's balance is below --value",
    Status.PRECOMPILE_FAILURE: "the precompiled contract refused its input",
    Status.FAILURE: "the address is already in use",
}


def artefacts(cache: Path | None, *, no_cache: bool) -> ArtefactStore | None:
    """Return where compiled code is kept, None if nowhere; a directory that the user names must be usable."""
    if no_cache:
        return None
    directory = cache or default_directory()
    if directory is None:
        return None
    store = ArtefactStore(directory)
    if cache is not None and not store.usable:
        raise InputError(f"{cache}: cannot be a cache: it must be yours and writable by nobody else")
    return store


@contextmanager
def _machine(given: Options) -> Iterator[_Machine]:
    """Make the VM, with the trace file open as long as it runs."""
    if given.trace is None:
        yield _Machine(given, None)
        return
    if not make_engine(given.engine).traces:
        raise click.UsageError(f"--trace needs --engine interpreter; {given.engine} cannot trace")
    try:
        with given.trace.open("w", encoding="utf-8") as file:
            yield _Machine(given, file)
    except OSError as error:
        raise InputError(f"{given.trace}: {error.strerror or error}; give --trace another file") from error


def _tracing(file: IO[str]) -> Callable[[Message], Tracer]:
    """Return what makes a tracer for each message: a JSON line for each instruction, gas in particles."""

    def tracer_of(message: Message) -> Tracer:
        def trace(function: int, offset: int, name: str, operands: tuple[Value, ...], gas: int) -> None:
            line = {
                "depth": message.depth,
                "address": str(message.code_address),
                "function": function,
                "offset": offset,
                "instruction": name,
                "operands": operands,
                "particles": gas,
            }
            file.write(json.dumps(line) + "\n")

        return trace

    return tracer_of


def _finish(outcome: Outcome, signature: Signature | None, given: Options) -> None:
    """Show an outcome and exit as it says."""
    decoded = decode_output(signature, outcome.result.output) if signature and outcome.error is None else None
    if signature and signature.results and decoded is None and outcome.error is None and outcome.note is None:
        outcome = replace(outcome, note=f"the output is no ({','.join(signature.results)})")
    if given.as_json:
        changes = {"diff": diff_json(outcome.diff)} if given.diff else {}
        show.emit_json({**_as_json(outcome, decoded), **changes})
    else:
        good = outcome.result.status is Status.SUCCESS
        show.emit_rows(_rows(outcome, decoded), style=show.GOOD if good else show.BAD)
        if given.diff:
            emit_diff(outcome.diff)
    sys.exit(0 if outcome.result.status is Status.SUCCESS else 1)


def _storage(diff: Diff) -> dict[str, dict[str, str]]:
    """Return the slots that changed, with their new values."""
    return {
        str(address): {str(key): str(change.after) for key, change in account.slots.items()}
        for address, account in diff.accounts.items()
        if account.slots
    }


def _as_json(outcome: Outcome, decoded: list[str] | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "status": outcome.result.status.name,
        "gas_used": outcome.gas_used,
        "gas_left": outcome.result.gas_left,
        "output": "0x" + outcome.result.output.hex(),
        "logs": [
            {"address": str(log.address), "topics": [str(t) for t in log.topics], "data": "0x" + log.data.hex()}
            for log in outcome.logs
        ],
        "storage": _storage(outcome.diff),
        "state_root": outcome.root,
    }
    if decoded is not None:
        document["decoded"] = decoded
    if outcome.contract is not None:
        document["contract"] = str(outcome.contract)
    if outcome.error is not None:
        document["error"] = outcome.error
    if outcome.note is not None:
        document["note"] = outcome.note
    return document


def _rows(outcome: Outcome, decoded: list[str] | None) -> Iterator[tuple[str, str]]:
    yield "status", outcome.result.status.name
    if outcome.error is not None:
        yield "error", outcome.error
    if outcome.note is not None:
        yield "note", outcome.note
    if outcome.contract is not None:
        yield "contract", str(outcome.contract)
    yield "gas used", f"{outcome.gas_used:,}"
    yield "gas left", f"{outcome.result.gas_left:,}"
    if decoded is not None:
        yield "result", ", ".join(decoded)
    elif outcome.contract is None:
        yield "output", "0x" + outcome.result.output.hex()
    else:
        yield "code", f"{len(outcome.result.output):,} bytes"
    for log in outcome.logs:
        yield "log", f"{log.address} {' '.join(map(str, log.topics))} data 0x{log.data.hex()}"
    for address, slots in _storage(outcome.diff).items():
        for key, value in slots.items():
            yield "storage", f"{address} {key} = {value}"
    yield "state root", outcome.root
