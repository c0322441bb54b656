"""What `ewasm node` does: it reads what the user named, runs the node, and prints what happens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from evmc import U256
from evmc.reading import read_json
from ewasm.ruleset import Ruleset, RulesetError, find_ruleset
from node.abi import revert_reason
from node.chain import DERIVATION_PATH, Block, BlockReceipt, Genesis, UnusableChain, Wallet
from node.cli import show
from node.cli.files import read_bytes
from node.cli.options import InputError
from node.defaults import COIN
from node.rpc.access import Access
from node.rpc.errors import RpcError
from node.rpc.limits import Limits
from node.rpc.node import Node, Options, run
from state import GenesisAccount, StoreError


def serve(options: Mapping[str, Any], given: set[str]) -> None:
    """Run a node until it is told to end; `given` are the options of the genesis that the user gave."""
    quiet, host, port = options["quiet"], options["host"], options["port"]
    wallet = _wallet(options["mnemonic"], options["accounts"])
    ruleset = _ruleset(options["ruleset_name"])
    folder: Path | None = options["folder"]
    try:
        new = folder is None or not folder.exists() or not any(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from error
    with suppress(ImportError, ValueError, OSError):
        _raise_file_limit()
    try:
        node = Node(
            Options(
                wallet=wallet,
                genesis=_genesis(options, wallet) if new or given else None,
                ruleset=ruleset,
                ruleset_name=options["ruleset_name"],
                engine=options["engine"],
                state=folder,
                automine=not options["no_mining"] and options["block_time"] is None,
                block_time=options["block_time"],
                workers=options["workers"],
                call_timeout=options["call_timeout"],
                substrate_port=options["substrate_port"],
                access=Access(
                    hosts=frozenset({*options["allow_host"], host} - {"0.0.0.0", "::"}),  # noqa: S104  # taken out
                    origins=frozenset(options["allow_origin"]),
                    developer=options["allow_dev_methods"],
                ),
                limits=Limits(**{each.name: options[f"max_{each.name}"] for each in fields(Limits)}),
            ),
            on_call=(lambda _name, _error: None) if quiet else _print_call,
        )
    except UnusableChain as error:
        raise InputError(f"{folder}: {error}" if folder is not None else str(error)) from error
    except StoreError as error:
        raise InputError(str(error)) from error

    def listening(addresses: list[tuple[str, int]]) -> None:
        if not quiet:
            print_banner(node, options["mnemonic"])
        _print_addresses(addresses)

    if not quiet:
        node.chain.events.on_block(lambda block, receipts: _print_block(node, block, receipts))
    try:
        asyncio.run(run(node, host, port, listening))
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, OSError) and (error.errno or 0) > 0:
            reason = os.strerror(error.errno or 0)  # asyncio's text has the address in it once more
        ports = f"{port}" if options["substrate_port"] is None else f"{port} or {options['substrate_port']}"
        raise InputError(f"cannot listen on {host}:{ports}: {reason}; give another --host or --port") from error


def _wallet(mnemonic: str, accounts: int) -> Wallet:
    try:
        return Wallet.from_mnemonic(mnemonic, accounts)
    except ValueError as error:
        raise InputError(f"--mnemonic: {error}") from error


def _ruleset(name: str) -> Ruleset:
    try:
        found = find_ruleset(name)
    except RulesetError as error:
        raise InputError(f"--ruleset: {error}") from error
    if not found.metered:
        raise click.UsageError(
            f"--ruleset {name} cannot be used here: its instructions are free, a call could run forever"
        )
    return found


def _genesis(options: Mapping[str, Any], wallet: Wallet) -> Genesis:
    """Return the first block: from a file, or with the wallet's accounts."""
    file: Path | None = options["genesis_file"]
    if file is None:
        balance = U256(min(options["balance"] * COIN, 2**256 - 1))
        accounts = {address: GenesisAccount(balance=balance) for address in wallet.addresses}
        if options["substrate_port"] is not None:
            from node.substrate.accounts import HOME, development_accounts, genesis_account  # noqa: PLC0415

            accounts[HOME] = genesis_account(development_accounts())
        return Genesis(
            chain_id=options["chain_id"],
            accounts=accounts,
            gas_limit=options["gas_limit"],
            base_fee=int(options["base_fee"]),
        )
    try:
        return Genesis.parse(read_json(read_bytes(file)))
    except ValueError as error:
        raise InputError(f"{file}: no JSON: {error!s:.100}") from error
    except UnusableChain as error:
        raise InputError(f"{file}: {error}") from error


def _raise_file_limit() -> None:
    """Allow as many open files as the system does: every connection is one."""
    import resource  # noqa: PLC0415  # not on every system

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# What is printed


def print_banner(node: Node, mnemonic: str) -> None:
    """Print the accounts with their keys, and what the chain is."""
    wallet, genesis = node.chain.wallet, node.chain.header("earliest")
    state = node.chain.state()
    accounts = [(address, state.account(address)) for address in wallet.addresses]
    lines = [
        f"ewasm node: ruleset {node.chain.ruleset.name}, engine {node.chain.vm.engine.name}",
        "",
        "Available Accounts",
        "==================",
        *(
            f"({number}) {address} ({(account.balance if account else 0) / COIN:.6f} coins)"
            for number, (address, account) in enumerate(accounts)
        ),
        "",
        "Private Keys (known to everybody: never use them elsewhere)",
        "==================",
        *(f"({number}) {wallet.key(address)}" for number, address in enumerate(wallet.addresses)),
        "",
        "Wallet",
        "==================",
        f"Mnemonic:          {mnemonic}",
        f"Derivation path:   {DERIVATION_PATH}",
        "",
        f"Chain ID:          {node.chain.chain_id}",
        f"Base Fee:          {node.chain.head.base_fee}",
        f"Gas Limit:         {node.chain.head.gas_limit}",
        f"Genesis Timestamp: {genesis.timestamp}",
        f"Block Number:      {node.chain.head.number}",
        "",
    ]
    for line in lines:
        click.echo(show.one_line(line))


def _print_addresses(addresses: list[tuple[str, int]]) -> None:
    for host, port in addresses:
        click.echo(f"Listening on [{host}]:{port}" if ":" in host else f"Listening on {host}:{port}")


def _say(text: str) -> None:
    """Print what happens, if anybody listens and can read it: no request fails for that."""
    with suppress(OSError, ValueError):
        click.echo(text)


def _print_call(name: str, error: RpcError | None) -> None:
    _say(show.one_line(f"{name:.100}" if error is None else f"{name:.100}: {error.message} ({error.code})"))


def _print_block(node: Node, block: Block, receipts: tuple[BlockReceipt, ...]) -> None:
    """Print a block, with its transactions."""
    if not node.service.settings.logging:
        return
    lines = [""]
    for receipt in receipts:
        lines.append(f"    Transaction: {receipt.transaction.hash}")
        if receipt.contract is not None and receipt.succeeded:
            lines.append(f"    Contract created: {receipt.contract}")
        lines.append(f"    Gas used: {receipt.gas_used}")
        if not receipt.succeeded:
            lines.append(f"    Error: {_why(receipt)}")
        lines.append("")
    time = (
        datetime.fromtimestamp(block.header.timestamp, UTC).isoformat()
        if block.header.timestamp < 2**37
        else "far away"
    )
    lines += [
        f"    Block Number: {block.number}",
        f"    Block Hash: {block.hash}",
        f"    Block Time: {block.header.timestamp} ({time})",
        "",
    ]
    _say("\n".join(map(show.one_line, lines)))


def _why(receipt: BlockReceipt) -> str:
    reason = revert_reason(receipt.output)
    if reason is not None:
        return f"reverted with: {reason}"
    return receipt.status.name.lower().replace("_", " ")
