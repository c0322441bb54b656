"""The command `ewasm`."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import click

from node.cli.check import check, meter
from node.cli.execute import call, deploy, run
from node.cli.suites import spectest, statetest

__all__ = ["cli", "main"]

FAULT = 3
"""Exit status of a fault of this machine, as against 1 for the contract's and 2 for the user's."""


def _version() -> str:
    try:
        return version("ewasm")
    except PackageNotFoundError:
        return "unknown (not installed)"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(_version(), prog_name="ewasm")
def cli() -> None:
    """Run, check, meter and test Ewasm contracts.

    Exit status: 0 success; 1 the contract failed or reverted, the rules refuse it, or a test failed; 2 wrong usage, a
    file that cannot be read, bad hex, not WebAssembly at all; 3 a fault of this machine.
    """


for command in (run, deploy, call, check, meter, statetest, spectest):
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    try:
        cli(prog_name="ewasm")
    except MemoryError:
        click.echo("Error: out of memory; this says nothing about the contract", err=True)
        sys.exit(FAULT)
    except KeyboardInterrupt:
        sys.exit(130)
