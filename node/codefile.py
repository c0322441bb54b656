"""Code as people keep it in files: a binary module, the text format, or hex."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ewasm.contract import has_preamble
from wasm.errors import Malformed
from wasm.text import assemble

_TEXT: Final = (".wat", ".wast")
"""How files in text format are named."""


class CodeFileError(ValueError):
    """A file that holds no WebAssembly: the message names it and says what it may be."""


def code_in(path: Path, data: bytes) -> bytes:
    """Return the module that a file of this name holds as its data, whatever its form; raise `CodeFileError`."""
    if has_preamble(data):
        return data
    if path.suffix in _TEXT:
        try:
            return assemble(data.decode())
        except UnicodeDecodeError as error:
            raise CodeFileError(f"{path}: not text in UTF-8") from error
        except Malformed as error:
            raise CodeFileError(f"{path}: not a module in text format: {error!s:.200}") from error
    if data.lstrip().startswith((b"(module", b";;", b"(;")):
        raise CodeFileError(
            f"{path}: looks like WebAssembly in text format, whose files are named {' or '.join(_TEXT)}"
        )
    data = _from_hex(path, data)
    if not has_preamble(data):
        raise CodeFileError(f"{path}: not WebAssembly, which begins with 00 61 73 6d; give a .wasm, .wat or .hex file")
    return data


def _from_hex(path: Path, data: bytes) -> bytes:
    """Return the bytes that a file of hex digits means, or the data as it is if it is something else."""
    text = data.strip()
    try:
        return bytes.fromhex(text.decode("ascii").removeprefix("0x"))
    except ValueError as error:
        if path.suffix == ".hex":
            raise CodeFileError(f"{path}: bad hex: {error}") from error
        return data
