"""Options that commands share, and reading what the user names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from evmc import U256, Address, Bytes32
from ewasm.contract import has_preamble
from ewasm.ruleset import RULESETS, Ruleset, RulesetError, find_ruleset
from ewasm.vm import ENGINES
from node import defaults
from node.abi import AbiError, Signature, encode_call, parse_signature, shorten
from wasm.errors import Malformed
from wasm.text import assemble

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])

_TEXT: Final = (".wat", ".wast")
"""How files in text format are named."""

MAX_FILE: Final = 8 << 20
"""Bytes of a file that is read: thirty times the greatest contract, a gigabyte of memory to check."""


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


class AddressParam(_ParamType):
    """An address in hex."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Parse the address."""
        if isinstance(value, Address):
            return value
        try:
            return Address.from_hex(value)
        except ValueError:
            self.fail(f"{value!r} is not an address: 40 hex digits are expected, with or without 0x", param, ctx)


class RootParam(_ParamType):
    """A state root in hex."""

    name = "root"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Bytes32:
        """Parse the root."""
        if isinstance(value, Bytes32):
            return value
        try:
            return Bytes32.from_hex(value)
        except ValueError:
            self.fail(f"{shorten(value)!r} is not a root: 64 hex digits are expected, with or without 0x", param, ctx)


class HashParam(_ParamType):
    """The hash of a transaction in hex."""

    name = "hash"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Bytes32:
        """Parse the hash."""
        if isinstance(value, Bytes32):
            return value
        try:
            return Bytes32.from_hex(value)
        except ValueError:
            self.fail(f"{shorten(value)!r} is not a hash: 64 hex digits are expected, with or without 0x", param, ctx)


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
sender_option = click.option("--sender", type=AddressParam(), help=f"Caller.  [default: {defaults.SENDER}]")


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
        type=click.Path(file_okay=False, path_type=Path),
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


def read_bytes(path: Path, bound: int | None = None, kind: str = "contract") -> bytes:
    """Read a file whole, be it a pipe; an `InputError` if that is not possible or it is longer than `MAX_FILE`."""
    bound = MAX_FILE if bound is None else bound
    try:
        with path.open("rb") as file:
            data = file.read(bound + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if len(data) > bound:
        raise InputError(f"{path}: more than {bound} bytes, which is no {kind}")
    return data


def read_code(path: Path) -> bytes:
    """Read WebAssembly from a `.wasm`, `.wat` or `.hex` file; an `InputError` if it is none."""
    data = read_bytes(path)
    if has_preamble(data):
        return data
    if path.suffix in _TEXT:
        try:
            return assemble(data.decode())
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not text in UTF-8") from error
        except Malformed as error:
            raise InputError(f"{path}: not a module in text format: {error!s:.200}") from error
    if data.lstrip().startswith((b"(module", b";;", b"(;")):
        raise InputError(f"{path}: looks like WebAssembly in text format, whose files are named {' or '.join(_TEXT)}")
    data = _from_hex(path, data)
    if not has_preamble(data):
        raise InputError(f"{path}: not WebAssembly, which begins with 00 61 73 6d; give a .wasm, .wat or .hex file")
    return data


def _from_hex(path: Path, data: bytes) -> bytes:
    """Return the bytes that a file of hex digits means, or the data as it is if it is something else."""
    text = data.strip()
    try:
        return bytes.fromhex(text.decode("ascii").removeprefix("0x"))
    except ValueError as error:
        if path.suffix == ".hex":
            raise InputError(f"{path}: bad hex: {error}") from error
        return data
