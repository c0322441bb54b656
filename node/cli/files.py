"""Files that commands read and write; whatever is wrong with one is an `InputError` that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from node.cli.options import InputError
from node.codefile import CodeFileError, code_in

MAX_FILE: Final = 8 << 20
"""Bytes of a file that is read: thirty times the greatest contract, a gigabyte of memory to check."""


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
    try:
        return code_in(path, read_bytes(path))
    except CodeFileError as error:
        raise InputError(str(error)) from error
