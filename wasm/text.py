"""Text format to binary, by the assembler that comes with Wasmtime."""

from __future__ import annotations

from wasm.errors import Malformed


def assemble(text: str) -> bytes:
    """Return the binary of a module in text format; raise `Malformed` with the assembler's words and line."""
    import wasmtime  # noqa: PLC0415  # takes 0.1 s, and few runs need it

    try:
        return bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        raise Malformed(" ".join(str(error).split())) from error
