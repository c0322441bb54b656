"""The command `ewasm`."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from node.cli import show
from node.cli.check import check, meter
from node.cli.execute import call, deploy, run
from node.cli.gas import gas
from node.cli.node import node
from node.cli.options import InputError
from node.cli.state import state
from node.cli.suites import spectest, statetest
from node.cli.witness import verify, witness
from node.extras import MissingExtra
from wasm.compiled import NativeFault

__all__ = ["cli", "main"]

FAULT = 3
"""Exit status of a fault of this machine, as against 1 for the contract's and 2 for the user's."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


class _Commands(click.Group):
    """A group whose errors take one line each, and whose exit status tells whose fault an error is."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command and exit."""
        try:
            status = super().main(*args, **{**extra, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.message, err=True)
            status = error.exit_code
        except MissingExtra as error:
            status = _fail(str(error), InputError.exit_code)
        except click.ClickException as error:
            see = f"; see: {error.ctx.command_path} --help" if isinstance(error, click.UsageError) and error.ctx else ""
            status = _fail(error.format_message().rstrip(".") + see, error.exit_code)
        except click.Abort:
            status = _fail("interrupted", INTERRUPTED)
        except MemoryError:
            status = _fail("out of memory; this says nothing about the contract", FAULT)
        except (OSError, NativeFault) as error:
            status = _fail(f"{error}; this says nothing about the contract", FAULT)
        except Exception:  # noqa: BLE001  # a bug is shown whole, and is no verdict about the contract
            traceback.print_exc()
            status = FAULT
        sys.exit(status)


def _fail(message: str, status: int) -> int:
    """Print an error in one line, if anybody listens."""
    with suppress(OSError):
        click.echo(f"Error: {show.one_line(message)}", err=True)
    return status


def _version() -> str:
    try:
        return version("ewasm")
    except PackageNotFoundError:
        return "unknown (not installed)"


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(_version(), prog_name="ewasm")
def cli() -> None:
    """Run, check, meter and test Ewasm contracts.

    Exit status: 0 success; 1 the contract failed or reverted, the rules refuse it, a witness is refuted, or a test
    failed; 2 wrong usage, a file that cannot be read, bad hex, not WebAssembly at all; 3 a fault of this machine.
    """


for command in (run, deploy, call, node, witness, verify, state, check, meter, gas, statetest, spectest):
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    cli(prog_name="ewasm")
