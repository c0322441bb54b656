"""`ewasm gas`: where the gas of a call goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from evmc import Address
from node import defaults
from node.cli.calibrate import calibrate
from node.cli.compare import compare, import_
from node.cli.fresh import call_by_options
from node.cli.mined import tx
from node.cli.options import ADDRESS, FILE_PATH, InputError, call_data, input_options, measuring_options, state_option
from node.cli.report import Options, report, report_options
from node.cli.snapshot import snapshot
from node.measure import Call
from node.statedir import StateError, opened
from node.transaction import InvalidTransaction


@click.group()
def gas() -> None:
    """Measure gas: where a call spends it, and how much it needs.

    \b
    Example:
      ewasm gas run counter.wasm --sig 'add(uint256)' 5
    """  # noqa: D301  # \b is click's


@gas.command("run", short_help="Profile FILE, run in a fresh state.")
@click.argument("file", type=FILE_PATH)
@input_options
@measuring_options
@click.option("--address", type=ADDRESS, help="Address of the contract.  [default: the sender's first]")
@report_options
def run(
    file: Path,
    arguments: tuple[str, ...],
    data: bytes | None,
    sig: str | None,
    address: Address | None,
    **options: Any,
) -> None:
    """Profile FILE run as `ewasm run` does: as the code of an account in a fresh state.

    \b
    Example:
      ewasm gas run counter.wasm --sig 'add(uint256)' 5
    """  # noqa: D301  # \b is click's
    given = Options(**options)
    call_input, _ = call_data(data, sig, arguments)
    call = call_by_options(file, given, data=call_input, address=address)
    report(call, given, file.stem, most=max(given.gas, defaults.BLOCK_GAS_LIMIT))


@gas.command("call", short_help="Profile a call on a state that lasts.")
@click.argument("address", type=ADDRESS)
@input_options
@state_option
@measuring_options
@report_options
def call(
    address: Address,
    arguments: tuple[str, ...],
    data: bytes | None,
    sig: str | None,
    folder: Path,
    **options: Any,
) -> None:
    """Profile a transaction that calls the contract at ADDRESS in a state that lasts, which stays as it is.

    \b
    Example:
      ewasm gas call 0x5fbdb2315678afecb367f032d93f642f64180aa3 --state ./chain --sig 'totalSupply()'
    """  # noqa: D301  # \b is click's
    given = Options(**options)
    call_input, _ = call_data(data, sig, arguments)
    try:
        with opened(folder, given.ruleset, readonly=True) as chain:
            measured = Call(
                world=chain.world,
                block=defaults.block(chain.number + 1, given.gas),
                sender=given.sender or defaults.SENDER,
                to=address,
                gas=given.gas,
                value=given.value,
                data=call_input,
            )
            report(measured, given, str(address), most=max(given.gas, defaults.BLOCK_GAS_LIMIT))
    except (StateError, InvalidTransaction) as error:
        raise InputError(str(error)) from error


for command in (tx, calibrate, compare, import_, snapshot):
    gas.add_command(command)
