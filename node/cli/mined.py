"""`ewasm gas tx`: where the gas of a mined transaction went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from evmc import U256, Bytes32, Gas
from ewasm.ruleset import RULESETS, Ruleset
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM, make_engine
from node.cli.options import DIRECTORY, HASH, InputError, RulesetParam, mined_options
from node.cli.remote import ask, block_witness, rpc_option
from node.cli.report import Options, report, report_options
from node.measure import Sent
from node.statedir import StateError, held
from node.transaction import Transaction, execute_transaction
from node.witness import MissingBlockHash, Witness, WitnessError, check_ruleset, named_ruleset, verify
from state import Database, Journal, JournalView, WorldState
from state.witness import WitnessStore


@click.command("tx", short_help="Profile a transaction that was mined.")
@click.argument("transaction", metavar="HASH", type=HASH)
@rpc_option
@click.option("--state", "folder", type=DIRECTORY, help="Directory of a node's chain.")
@click.option("--ruleset", type=RulesetParam(), help="Prices and rules of the chain.  [default: those it names]")
@mined_options
@report_options
def tx(transaction: Bytes32, rpc: str | None, folder: Path | None, ruleset: Ruleset | None, **options: Any) -> None:
    """Profile the mined transaction HASH, executed again on the state that it had.

    The chain is a running node's (--rpc), or in the directory that one was started with (--state). A node gives the
    witness of the block, and all else is done here.

    \b
    Example:
      ewasm gas tx HASH --rpc http://127.0.0.1:8545
    """  # noqa: D301  # \b is click's
    if (rpc is None) == (folder is None):
        raise click.UsageError("name either a node with --rpc or a directory with --state")
    if rpc is not None:
        _of_node(rpc, transaction, ruleset, options)
    elif folder is not None:
        _of_directory(folder, transaction, ruleset, options)


def _given(ruleset: Ruleset, sent: Sent, options: dict[str, Any]) -> Options:
    return Options(value=U256(0), gas=sent.gas, sender=None, debug=False, ruleset=ruleset, **options)


def _of_directory(folder: Path, transaction: Bytes32, ruleset: Ruleset | None, options: dict[str, Any]) -> None:
    """Profile a transaction of a chain that a node keeps in a directory."""
    from node.chain import ChainError, Reader  # noqa: PLC0415  # slow to load, and only needed here
    from node.chain.identity import Identity  # noqa: PLC0415  # the same
    from node.chain.replay import replay  # noqa: PLC0415  # the same

    try:
        with held(folder, readonly=True) as store:
            if ruleset is None:
                found = Identity.find(store)
                name = "" if found is None else found.ruleset
                if name not in RULESETS:
                    raise InputError(f"{folder}: made with ruleset {name!r:.80}; name its file with --ruleset")
                ruleset = RULESETS[name]
            reader = Reader(store, ruleset=ruleset, engine=options["engine"])
            sent = replay(reader, transaction)
            report(sent, _given(ruleset, sent, options), str(transaction), most=max(sent.gas, sent.most))
    except (StateError, ChainError) as error:
        raise InputError(f"{folder}: {error}".removeprefix(f"{folder}: {folder}: ")) from error


def _of_node(url: str, transaction: Bytes32, ruleset: Ruleset | None, options: dict[str, Any]) -> None:
    """Profile a transaction of a node, from the witness of its block."""
    found = ask(url, "eth_getTransactionByHash", str(transaction))
    if not isinstance(found, dict) or not isinstance(found.get("transactionIndex"), str):
        raise InputError(f"{url}: transaction {transaction} is unknown there, or waits for its block")
    witness = block_witness(url, str(transaction))
    try:
        ruleset = ruleset or named_ruleset(witness)
        check_ruleset(witness, ruleset)
        vm = EwasmVM(ruleset, make_engine(options["engine"]))
        sent = _step(witness, int(found["transactionIndex"], 16), vm)
    except (WitnessError, ValueError) as error:
        raise InputError(f"{url}: {error}") from error

    def required(_: Exception) -> Gas | None:
        answer = ask(url, "ewasm_gasProfile", str(transaction), "latest", True)  # noqa: FBT003  # JSON's
        gas = answer.get("gas_required") if isinstance(answer, dict) else None
        return gas if isinstance(gas, int) else None

    given = _given(ruleset, sent, options)
    report(sent, given, str(transaction), most=max(sent.gas, sent.most), elsewhere=required)


def _step(witness: Witness, index: int, vm: EwasmVM) -> Sent:
    """Return a transaction of a witness as it is executed after those before it; raise WitnessError if none can be."""
    verdict = verify(witness, vm)
    if not verdict.confirmed:
        raise WitnessError(f"the witness of block {witness.block.number} is refuted: {verdict.differences[0]}")

    def block_hash(number: int) -> Bytes32 | None:
        if number not in witness.block_hashes:
            raise MissingBlockHash(f"block hash {number} is missing")
        return witness.block_hashes[number]

    steps = [step for step in witness.steps if isinstance(step, Transaction)]
    if not index < len(steps) == len(witness.steps):
        raise WitnessError(f"the witness of block {witness.block.number} has no transaction {index}")
    world = WorldState(Database(WitnessStore(witness.nodes, witness.codes)), witness.root)
    journal = Journal(world)
    contracts = system_contracts(vm.ruleset)
    for step in steps[:index]:
        execute_transaction(step, journal, witness.block, vm, vm.ruleset, contracts, block_hash)
    view = JournalView(journal) if index else world
    return Sent(view=view, block=witness.block, transaction=steps[index], block_hash=block_hash)
