"""What can go wrong with a module or a run.

    WasmError
    ├── Malformed       the bytes are not a module (specification, chapter 5)
    ├── Invalid         a module that does not type-check (chapter 3)
    ├── Unsupported     a feature that the machine recognises and does not run
    ├── Unlinkable      imports that do not fit (section 4.5.4)
    └── Trap            the run ended without a result (section 4.2.2)

`Malformed`, `Invalid` and `Unsupported` say where: the byte offset in the module, and the function where there is one.
"""

from __future__ import annotations

from enum import Enum


def place(offset: int | None, function: int | None = None, name: str | None = None) -> str:
    """Return ` in function 3 "mix" at offset 0x1f2`, with the parts that are known."""
    text = "" if function is None else f" in function {function}" + (f' "{name}"' if name else "")
    return text if offset is None else f"{text} at offset {offset:#x}"


class WasmError(Exception):
    """Anything the machine says about a module."""


class _AtPlace(WasmError):
    """An error with a place in the binary."""

    def __init__(self, message: str, offset: int | None = None, function: int | None = None) -> None:
        super().__init__(message + place(offset, function))
        self.message = message
        self.offset = offset
        self.function = function


class Malformed(_AtPlace):
    """The bytes are not a WebAssembly module."""


class Invalid(_AtPlace):
    """The module does not type-check."""


class Unsupported(_AtPlace):
    """The module needs `feature`, which the machine recognises but does not run."""

    def __init__(self, feature: str, message: str, offset: int | None = None, function: int | None = None) -> None:
        super().__init__(message, offset, function)
        self.feature = feature


class Unlinkable(WasmError):
    """An import is missing or of another type."""


class TrapKind(Enum):
    """Why a run ended; the values are the specification's words where it has some."""

    UNREACHABLE = "unreachable"
    DIVISION_BY_ZERO = "integer divide by zero"
    INTEGER_OVERFLOW = "integer overflow"
    INVALID_CONVERSION = "invalid conversion to integer"
    MEMORY_BOUNDS = "out of bounds memory access"
    TABLE_BOUNDS = "out of bounds table access"
    UNDEFINED_ELEMENT = "undefined element"
    UNINITIALIZED_ELEMENT = "uninitialized element"
    INDIRECT_CALL_TYPE = "indirect call type mismatch"
    STACK_OVERFLOW = "call stack exhausted"
    OUT_OF_GAS = "out of gas"


class Trap(WasmError):
    """The run ended without a result; `function` and `offset` say where, if the engine knows."""

    def __init__(self, kind: TrapKind) -> None:
        super().__init__(kind.value)
        self.kind = kind
        self.function: int | None = None
        self.offset: int | None = None

    def __str__(self) -> str:
        return self.kind.value + place(self.offset, self.function)
