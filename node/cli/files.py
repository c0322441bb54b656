"""Files that commands read and write; whatever is wrong with one is an `InputError` that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ewasm.contract import has_preamble
from node.cli.options import InputError
from wasm.errors import Malformed
from wasm.text import assemble

MAX_FILE: Final = 8 << 20
"""Bytes of a file that is read: thirty times the greatest contract, a gigabyte of memory to check."""

_TEXT: Final = (".wat", ".wast")
"""How files in text format are named."""


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


def read_text(path: Path) -> str:
    """Read a file of text."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8") from error


def write(path: Path, data: bytes | str, otherwise: str = "") -> None:
    """Write a file; `otherwise` is what to do where that is not possible."""
    try:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}{otherwise and '; ' + otherwise}") from error


def read_code(path: Path) -> bytes:
    """Read WebAssembly from a `.wasm`, `.wat` or `.hex` file; an `InputError` if it is none."""
    data = read_bytes(path)
    if has_preamble(data):
        return data
    if path.suffix in _TEXT:
        try:
            return assemble(read_text(path))
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
