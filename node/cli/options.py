"""Options that commands share, and reading what the user names."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from evmc import U256, Address, Bytes32, Gas
from ewasm.ruleset import RULESETS, Ruleset, RulesetError, find_ruleset
from ewasm.vm import ENGINES
from node import defaults
from node.abi import AbiError, Signature, encode_call, parse_signature, shorten

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])

FILE_PATH: Final = click.Path(dir_okay=False, path_type=Path)
FILE_OR_DASH: Final = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
"""A file, or `-` for standard input or output."""

DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)


class InputError(click.ClickException):
    """Something the user named cannot be used: the message names it and says what to do."""

    exit_code = 2


class RulesetParam(_ParamType):
    """A ruleset by name or TOML file."""

    name = "ruleset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Ruleset:
        """Find or read the ruleset."""
        if isinstance(value, Ruleset):
            return value
        try:
            return find_ruleset(value)
        except RulesetError as error:
            self.fail(str(error), param, ctx)


class UrlParam(_ParamType):
    """The address of a node."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return an address for HTTP; refuse any other."""
        if not str(value).startswith(("http://", "https://")):
            self.fail(f"{value!r:.80} is no address of a node: http://127.0.0.1:8545 is one", param, ctx)
        return str(value)


class FixedParam(_ParamType):
    """A value of fixed width in hex, such as an address."""

    def __init__(self, name: str, type_: type[Address | Bytes32], article: str = "a") -> None:
        self.name = name
        self._type = type_
        self._article = article

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address | Bytes32:
        """Parse the value."""
        if isinstance(value, self._type):
            return value
        try:
            return self._type.from_hex(value)
        except ValueError:
            self.fail(
                f"{shorten(value)!r} is not {self._article} {self.name}: {2 * self._type.length} hex digits are"
                " expected, with or without 0x",
                param,
                ctx,
            )


ADDRESS: Final = FixedParam("address", Address, "an")
ROOT: Final = FixedParam("root", Bytes32)
HASH: Final = FixedParam("hash", Bytes32)


class HexParam(_ParamType):
    """Bytes in hex."""

    name = "hex"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Parse the bytes."""
        if isinstance(value, bytes):
            return value
        try:
            return bytes.fromhex(value.removeprefix("0x"))
        except ValueError:
            self.fail(f"{shorten(value)!r} is not hex: an even number of hex digits is expected", param, ctx)


class AmountParam(_ParamType):
    """An amount in the smallest unit, decimal or with 0x."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> U256:
        """Parse the amount."""
        try:
            return U256(int(value, 0) if isinstance(value, str) else value)
        except ValueError:
            self.fail(f"{shorten(str(value))!r} is not a whole number from 0 to 2^256 - 1", param, ctx)


class GasParam(_ParamType):
    """An amount of gas."""

    name = "gas"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse the gas, at most what EVMC can carry."""
        try:
            gas = int(value, 0) if isinstance(value, str) else int(value)
        except ValueError:
            self.fail(f"{shorten(str(value))!r} is not a whole number", param, ctx)
        if not 0 <= gas < 1 << 63:
            self.fail(f"{gas} is not between 0 and 2^63 - 1", param, ctx)
        return gas


class SecondsParam(click.FloatRange):
    """A time in seconds that ends: not "inf", not "nan"."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the time."""
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{shorten(str(value))!r} is no number of seconds", param, ctx)
        return seconds


ruleset_option = click.option(
    "--ruleset",
    type=RulesetParam(),
    default="ewasm",
    show_default=True,
    help=f"Rules to apply: {', '.join(RULESETS)}, or a TOML file.",
)
engine_option = click.option(
    "--engine", type=click.Choice(sorted(ENGINES)), default="compiled", show_default=True, help="Engine to run on."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def input_options(function: F) -> F:
    """Add what gives a message its call data: it is the call data itself, or a function and arguments."""
    for option in (
        click.argument("arguments", nargs=-1),
        click.option(
            "--sig",
            metavar="SIGNATURE",
            help="Function to call, as 'balanceOf(address)(uint256)'; -- before negative arguments.",
        ),
        click.option("--input", "data", type=HexParam(), help="Call data in hex."),
    ):
        function = option(function)
    return function


value_option = click.option("--value", type=AmountParam(), default="0", show_default=True, help="Value to send.")
gas_option = click.option("--gas", type=GasParam(), default="10000000", show_default=True, help="Gas limit.")
sender_option = click.option("--sender", type=ADDRESS, help=f"Caller.  [default: {defaults.SENDER}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageOptions:
    """What the options say of a message, and of how it is run and shown."""

    value: U256
    gas: Gas
    sender: Address | None
    engine: str
    ruleset: Ruleset
    debug: bool
    cache: Path | None
    no_cache: bool
    as_json: bool


def message_options(function: F) -> F:
    """Add the other options of a message: value, gas, sender, and how to run it."""
    for option in reversed((*_MESSAGE_OPTIONS, _trace_option, _diff_option, json_option)):
        function = option(function)
    return function


def measuring_options(function: F) -> F:
    """Add the options of a message that is measured: all but a trace."""
    for option in reversed((*_MESSAGE_OPTIONS, json_option)):
        function = option(function)
    return function


def mined_options(function: F) -> F:
    """Add the options of a transaction that was executed already, and is measured."""
    for option in reversed((engine_option, *_CACHE_OPTIONS, json_option)):
        function = option(function)
    return function


def comparing_options(function: F) -> F:
    """Add what a message is: value, gas and sender."""
    for option in reversed((value_option, gas_option, sender_option, json_option)):
        function = option(function)
    return function


_CACHE_OPTIONS: Final = (
    click.option(
        "--cache",
        type=DIRECTORY,
        help="Directory of compiled code.  [default: the user's cache directory]",
    ),
    click.option("--no-cache", is_flag=True, help="Keep no compiled code on disk."),
)
_MESSAGE_OPTIONS: Final = (
    value_option,
    gas_option,
    sender_option,
    engine_option,
    ruleset_option,
    click.option("--debug", is_flag=True, help="Allow the debug functions; they print to standard error."),
    *_CACHE_OPTIONS,
)
state_option: Final = click.option("--state", "folder", required=True, type=DIRECTORY, help="Directory of the state.")
_diff_option: Final = click.option("--diff", is_flag=True, help="Show all that changed in the state, before and after.")
_trace_option: Final = click.option(
    "--trace",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write every instruction to this file, as JSON lines; needs --engine interpreter.",
)


def call_data(data: bytes | None, sig: str | None, arguments: tuple[str, ...]) -> tuple[bytes, Signature | None]:
    """Return call data from `--input`, or from `--sig` and arguments."""
    if sig is None:
        if arguments:
            raise click.UsageError(f"argument {shorten(arguments[0])!r} without --sig: name the function to call")
        return data or b"", None
    if data is not None:
        raise click.UsageError("give either --input or --sig, not both")
    try:
        signature = parse_signature(sig)
        return encode_call(signature, arguments), signature
    except AbiError as error:
        raise click.UsageError(str(error)) from error
