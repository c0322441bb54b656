"""`ewasm node`: a development chain that Ethereum's tools can use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final, TypeVar

import click

from node.cli.options import DIRECTORY, FILE_PATH, AmountParam, GasParam, SecondsParam, engine_option
from node.defaults import BLOCK_GAS_LIMIT, CHAIN_ID, MNEMONIC
from node.extras import needed_by
from node.rpc.limits import Limits

F = TypeVar("F", bound=Callable[..., Any])

LIMITS: Final = {
    "body": "Bytes of a request.",
    "batch": "Requests in a batch.",
    "depth": "Levels of arrays and objects in a request.",
    "response": "Bytes of the answers to a batch.",
    "connections": "Connections open at once.",
    "in_flight": "Requests of one WebSocket that are worked on at once.",
    "queue": "Notifications that may wait for a slow reader before it is disconnected.",
    "subscriptions": "Subscriptions of one WebSocket.",
    "filters": "Filters of all clients.",
    "filter_seconds": "Seconds after which a filter that nobody asks is dropped.",
    "logs": "Logs in one answer.",
    "body_seconds": "Seconds that sending a request may take, and that a new connection may be silent.",
}
"""The limits of the server, each an option `--max-…`."""

_GENESIS_OPTIONS: Final = ("accounts", "balance", "mnemonic", "chain_id", "gas_limit", "base_fee", "genesis_file")


def _limit_options(function: F) -> F:
    """Add an option for each limit."""
    defaults = Limits()
    for each in reversed(fields(Limits)):
        option = click.option(
            f"--max-{each.name.replace('_', '-')}",
            f"max_{each.name}",
            type=click.IntRange(1),
            default=getattr(defaults, each.name),
            show_default=True,
            help=LIMITS[each.name],
        )
        function = option(function)
    return function


@click.command(short_help="Run a development chain for tools of Ethereum.")
@click.option(
    "--accounts", type=click.IntRange(0, 1000), default=10, show_default=True, help="Accounts with coins and keys."
)
@click.option(
    "--balance", type=click.IntRange(0, 10**40), default=10_000, show_default=True, help="Coins of each account."
)
@click.option("--mnemonic", default=MNEMONIC, help="Words that the keys are derived from.  [default: test test … junk]")
@click.option(
    "--chain-id", type=click.IntRange(1, 2**53 - 1), default=int(CHAIN_ID), show_default=True, help="Id of the chain."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8_545,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--substrate-port",
    type=click.IntRange(0, 65_535),
    help="Port of the Substrate side, usually 9944; 0 takes a free one.  [default: none]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--block-time", type=SecondsParam(0.01), help="Seconds between blocks, in place of one for each transaction."
)
@click.option("--no-mining", is_flag=True, help="Make blocks only when told to.")
@click.option(
    "--gas-limit", type=GasParam(), default=str(BLOCK_GAS_LIMIT), show_default=True, help="Gas limit of a block."
)
@click.option(
    "--base-fee", type=AmountParam(), default="1000000000", show_default=True, help="Base fee of the first block."
)
@click.option(
    "--genesis",
    "genesis_file",
    type=FILE_PATH,
    help="First block, in geth's JSON form.",
)
@click.option(
    "--state",
    "folder",
    type=DIRECTORY,
    help="Directory to keep the chain in.  [default: memory]",
)
@click.option(
    "--ruleset", "ruleset_name", default="ewasm", show_default=True, help="Rules to apply: ewasm, or a TOML file."
)
@engine_option
@click.option(
    "--call-timeout", type=SecondsParam(0.001), help="Seconds after which a call is aborted.  [default: never]"
)
@click.option(
    "--workers", type=click.IntRange(0, 256), default=0, show_default=True, help="Processes for calls that only read."
)
@click.option("--allow-host", multiple=True, help="Host name that clients may use; * is any.")
@click.option("--allow-origin", multiple=True, help="Origin whose pages may ask; * is any.")
@click.option("--allow-dev-methods", is_flag=True, help="Open developer methods and accounts to all addresses.")
@click.option("--quiet", is_flag=True, help="Print nothing but the address.")
@_limit_options
@click.pass_context
def node(ctx: click.Context, /, **options: Any) -> None:
    """Run a development chain for tools of Ethereum: JSON-RPC over HTTP and WebSocket.

    Accounts with coins, whose keys everybody knows; a block for each transaction; nothing leaves this machine. Ctrl-C
    ends it, with the chain kept if --state was given.

    \b
    Example:
      ewasm node --port 8545 --state ./chain
    """  # noqa: D301  # \b is click's
    if options["block_time"] and options["no_mining"]:
        raise click.UsageError("give either --block-time or --no-mining, not both")
    if options["port"] and options["port"] == options["substrate_port"]:
        raise click.UsageError("--port and --substrate-port must differ")
    if not options["host"]:
        raise click.UsageError("--host is empty, which would be all addresses; name one, or 0.0.0.0")
    given = {
        name for name in _GENESIS_OPTIONS if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    with needed_by("ewasm node"):
        from node.cli.serve import serve  # noqa: PLC0415  # needs the extra `node`

    if options["substrate_port"] is not None:
        import node.substrate.keys  # noqa: F401, PLC0415  # needs the extra `substrate`, as is said before anything else
    serve(options, given)
