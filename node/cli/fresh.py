"""A file as a call that can be measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from evmc import Address
from ewasm.ruleset import Ruleset
from ewasm.system import system_contracts
from node.cli.files import read_code
from node.cli.options import MessageOptions
from node.measure import Call, code_call


def fresh_call(
    file: Path, *, address: Address | None, rulesets: Sequence[Ruleset], sender: Address | None, **fields: Any
) -> Call:
    """Return the call of a file in a fresh state; an error that says what is wrong with its address."""
    call = code_call(read_code(file), address=address, sender=sender, **fields)
    if call.to == call.sender:
        raise click.UsageError("--address and --sender must differ")
    if any(call.to in system_contracts(ruleset) for ruleset in rulesets):
        raise click.UsageError(f"--address {call.to} is a precompiled contract, whose code cannot be another")
    return call


def call_by_options(file: Path, given: MessageOptions, *, data: bytes, address: Address | None) -> Call:
    """Return the same, with what the options say of the message."""
    return fresh_call(
        file,
        data=data,
        address=address,
        rulesets=(given.ruleset,),
        gas=given.gas,
        sender=given.sender,
        value=given.value,
    )
