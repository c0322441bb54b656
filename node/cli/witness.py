"""`ewasm witness` and `verify`: write an execution down with all it reads of the state, and check it by that alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from evmc import U256, Address, Bytes32, Gas
from ewasm.cache import CodeCache
from ewasm.ruleset import Ruleset
from ewasm.vm import EwasmVM, make_engine
from node import defaults
from node.cli import show
from node.cli.execute import artefacts
from node.cli.files import read_bytes, write
from node.cli.fresh import fresh_call
from node.cli.options import (
    ADDRESS,
    DIRECTORY,
    FILE_PATH,
    ROOT,
    InputError,
    RulesetParam,
    call_data,
    engine_option,
    gas_option,
    input_options,
    json_option,
    ruleset_option,
    sender_option,
    value_option,
)
from node.cli.remote import block_witness, rpc_option, state_root
from node.statedir import StateError, opened
from node.transaction import InvalidTransaction, Transaction
from node.witness import Outcome, Verdict, Witness, WitnessError, check_ruleset, named_ruleset, record
from node.witness import verify as check_witness
from node.witnessfile import dump, parse

MAX_WITNESS: Final = 64 << 20
"""Bytes of a witness that is read."""

_OF_BLOCKS: Final = ("target", "output", "rpc", "as_json")
"""Parameters that a block's witness has."""

_SHOWN: Final = 64
"""Bytes of an output that are shown."""


@click.command(short_help="Write an execution down with all it reads.")
@click.argument("target")
@input_options
@click.option("-o", "--output", required=True, type=FILE_PATH, help="File to write.")
@click.option("--state", "folder", type=DIRECTORY, help="Directory of the state.")
@click.option("--address", type=ADDRESS, help="Address of FILE's contract.  [default: the sender's first]")
@rpc_option
@value_option
@gas_option
@sender_option
@engine_option
@ruleset_option
@json_option
def witness(
    target: str,
    arguments: tuple[str, ...],
    data: bytes | None,
    sig: str | None,
    output: Path,
    folder: Path | None,
    address: Address | None,
    rpc: str | None,
    value: U256,
    gas: Gas,
    sender: Address | None,
    engine: str,
    ruleset: Ruleset,
    as_json: bool,  # noqa: FBT001  # click's
) -> None:
    """Write the witness of an execution: all that it reads of the state, and what comes of it.

    Without --state, TARGET is a file (.wasm, .wat or .hex), executed as by `ewasm run`. With it, TARGET is the address
    of a contract, called as by `ewasm call --dry-run`. With --rpc, it is a block that a node has made: its number, its
    hash, or the hash of a transaction in it. Whoever knows the root before checks it with `ewasm verify`.

    \b
    Example:
      ewasm witness counter.wasm --sig 'add(uint256)' 5 -o add.json
    """  # noqa: D301  # \b is click's
    if rpc is not None:
        _refuse_others(click.get_current_context())
        made = block_witness(rpc, target)
        headers = _headers(rpc, made)
        _write(made, output, headers, as_json=as_json)
        return
    call_input, _ = call_data(data, sig, arguments)
    vm = EwasmVM(ruleset, make_engine(engine), cache=CodeCache(artefacts=artefacts(None, no_cache=False)))
    if folder is None:
        if not Path(target).exists():
            raise InputError(
                f"{target}: there is no such file; the address of a contract goes with --state, a block with --rpc"
            )
        fresh = fresh_call(
            Path(target), data=call_input, address=address, rulesets=(ruleset,), gas=gas, sender=sender, value=value
        )
        made = record(fresh.world, fresh.block, [fresh.message], vm)
    elif address is not None:
        raise click.UsageError("--address is for a FILE; with --state, TARGET is the address")
    else:
        made = _call(folder, Address(ADDRESS.convert(target, None, None)), call_input, vm, gas, value, sender)
    _write(made, output, [], as_json=as_json)


def _refuse_others(ctx: click.Context) -> None:
    """Raise UsageError if an option is given that says how to execute: the block has been."""
    for param in ctx.command.params:
        name = param.name or ""
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE and name not in _OF_BLOCKS:
            raise click.UsageError(f"{param.opts[0]} is not for a block: with --rpc there are only -o and --json")


def _headers(url: str, made: Witness) -> list[tuple[str, str]]:
    """Hold the roots of a block's witness against the headers that the node has; raise InputError if one is another."""
    number = made.block.number
    if state_root(url, number) != str(made.claim.root):
        raise InputError(f"{url}: the witness of block {number} ends with another state than the block's header")
    same = state_root(url, number - 1) == str(made.root)
    before = "the root before is that of the header before" if same else "the state was changed between the blocks"
    return [("headers", f"the root after is that of the block's header, {before}")]


def _write(made: Witness, output: Path, more: list[tuple[str, str]], *, as_json: bool) -> None:
    """Write a witness and show what is in it."""
    text = dump(made)
    write(output, text)
    if as_json:
        show.emit_json({"file": str(output), "bytes": len(text), **_summary(made)})
    else:
        show.emit_rows([("witness", f"{output}, {len(text):,} bytes"), *_rows(made), *more], style=show.GOOD)


def _call(
    folder: Path, address: Address, call_input: bytes, vm: EwasmVM, gas: Gas, value: U256, sender: Address | None
) -> Witness:
    """Record a transaction that calls a contract in a state directory, which stays as it is."""
    sender = sender or defaults.SENDER
    try:
        with opened(folder, vm.ruleset, readonly=True) as chain:
            account = chain.world.account(sender)
            transaction = Transaction(
                sender=sender,
                to=address,
                nonce=0 if account is None else account.nonce,
                gas_limit=gas,
                value=value,
                data=call_input,
            )
            return record(chain.world, defaults.block(chain.number + 1, gas), [transaction], vm)
    except (StateError, InvalidTransaction) as error:
        raise InputError(str(error)) from error


@click.command(short_help="Check a witness by nothing but itself.")
@click.argument("file", type=FILE_PATH)
@click.option("--root", type=ROOT, help="State root before, as you know it.  [default: the file's own]")
@click.option("--ruleset", type=RulesetParam(), help="Rules it was made with.  [default: those it names]")
@engine_option
@json_option
def verify(
    file: Path,
    root: Bytes32 | None,
    ruleset: Ruleset | None,
    engine: str,
    as_json: bool,  # noqa: FBT001  # click's
) -> None:
    """Execute again what the witness in FILE holds, with nothing but FILE, and compare what comes of it.

    What is confirmed follows from the root before, so give the one that you trust. This takes the gas of the execution;
    code of an unmetered ruleset may run for ever.

    \b
    Example:
      ewasm verify add.json
    """  # noqa: D301  # \b is click's
    try:
        given = parse(read_bytes(file, MAX_WITNESS, "witness"))
        if ruleset is None:
            ruleset = named_ruleset(given)
        check_ruleset(given, ruleset)
    except WitnessError as error:
        raise InputError(f"{file}: {error}") from error
    if root is not None and root != given.root:
        verdict = Verdict(None, (f"root before: the witness begins at {given.root}, not at {root}",))
    else:
        verdict = check_witness(given, EwasmVM(ruleset, make_engine(engine)))
    if as_json:
        document = {"confirmed": verdict.confirmed, "differences": list(verdict.differences), **_summary(given)}
        show.emit_json(document)
    else:
        word = "confirmed" if verdict.confirmed else "refuted"
        differences = [("difference", text) for text in verdict.differences]
        rows = [("witness", word), *differences, *_rows(given)]
        show.emit_rows(rows, style=show.GOOD if verdict.confirmed else show.BAD)
    sys.exit(0 if verdict.confirmed else 1)


def _summary(given: Witness) -> dict[str, Any]:
    """Return what a witness claims and how much it holds, as JSON has it."""
    return {
        "ruleset": given.ruleset,
        "chain_id": int(given.block.chain_id),
        "block": given.block.number,
        "root_before": str(given.root),
        "outcomes": [
            {"status": outcome.status.name, "gas_used": outcome.gas_used, "output": "0x" + outcome.output.hex()}
            for outcome in given.claim.outcomes
        ],
        "root_after": str(given.claim.root),
        "nodes": len(given.nodes),
        "node_bytes": sum(map(len, given.nodes.values())),
        "codes": len(given.codes),
        "code_bytes": sum(map(len, given.codes.values())),
    }


def _rows(given: Witness) -> Iterator[tuple[str, str]]:
    yield "ruleset", f"{given.ruleset:.80} ({given.ruleset_hash[:12]})"
    yield "block", f"{given.block.number} of chain {given.block.chain_id}"
    yield "nodes", f"{len(given.nodes):,}, {sum(map(len, given.nodes.values())):,} bytes"
    yield "codes", f"{len(given.codes):,}, {sum(map(len, given.codes.values())):,} bytes"
    yield "root before", str(given.root)
    for outcome in given.claim.outcomes:
        yield "claim", _claim(outcome)
    yield "root after", str(given.claim.root)


def _claim(outcome: Outcome) -> str:
    output = f"output 0x{outcome.output.hex()}" if len(outcome.output) <= _SHOWN else f"{len(outcome.output):,} bytes"
    logs = f", {len(outcome.logs)} logs" if outcome.logs else ""
    return f"{outcome.status.name}, gas used {outcome.gas_used:,}, {output}{logs}"
