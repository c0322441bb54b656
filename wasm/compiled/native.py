"""The Wasmtime library, called without ceremony: own prototypes with addresses as integers.

The package's convenient objects cost 14 µs a host call and 75 µs a message; these calls cost about a microsecond each.
A wrong argument here ends the process, so nothing outside this package uses them.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
from ctypes import c_bool, c_size_t, c_uint8, c_void_p
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import wasmtime
from cffi import FFI  # type: ignore[import-untyped]  # without stubs of its own
from wasmtime import _ffi as package

from wasm.errors import TrapKind

# Calls that can run WebAssembly let other threads run meanwhile; the others return in a microsecond.
_LIBRARY: Final = str(package.filename)
_brief: Final = ctypes.PyDLL(_LIBRARY)
_long: Final = ctypes.CDLL(_LIBRARY)


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = library[name]
    function.restype = result
    function.argtypes = arguments
    return function


store_new: Final = _function(_brief, "wasmtime_store_new", c_void_p, c_void_p, c_void_p, c_void_p)
store_context: Final = _function(_brief, "wasmtime_store_context", c_void_p, c_void_p)
store_delete: Final = _function(_brief, "wasmtime_store_delete", None, c_void_p)
set_epoch_deadline: Final = _function(_brief, "wasmtime_context_set_epoch_deadline", None, c_void_p, ctypes.c_uint64)
increment_epoch: Final = _function(_brief, "wasmtime_engine_increment_epoch", None, c_void_p)
linker_new: Final = _function(_brief, "wasmtime_linker_new", c_void_p, c_void_p)
linker_delete: Final = _function(_brief, "wasmtime_linker_delete", None, c_void_p)
linker_define: Final = _function(
    _brief,
    "wasmtime_linker_define_func_unchecked",
    c_void_p,
    *(c_void_p, ctypes.c_char_p, c_size_t, ctypes.c_char_p, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p),
)
instantiate_pre: Final = _function(_brief, "wasmtime_linker_instantiate_pre", c_void_p, c_void_p, c_void_p, c_void_p)
instance_pre_delete: Final = _function(_brief, "wasmtime_instance_pre_delete", None, c_void_p)
pre_instantiate: Final = _function(
    _brief, "wasmtime_instance_pre_instantiate", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p
)
instance_new: Final = _function(
    _brief, "wasmtime_instance_new", c_void_p, *(c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_void_p)
)
func_new: Final = _function(
    _brief, "wasmtime_func_new_unchecked", None, *(c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
)
export_get: Final = _function(
    _brief, "wasmtime_instance_export_get", c_bool, c_void_p, c_void_p, ctypes.c_char_p, c_size_t, c_void_p
)
func_call: Final = _function(
    _long, "wasmtime_func_call_unchecked", c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p
)
global_get: Final = _function(_brief, "wasmtime_global_get", None, c_void_p, c_void_p, c_void_p)
memory_data: Final = _function(_brief, "wasmtime_memory_data", c_void_p, c_void_p, c_void_p)
memory_size: Final = _function(_brief, "wasmtime_memory_data_size", c_size_t, c_void_p, c_void_p)
trap_new: Final = _function(_brief, "wasmtime_trap_new_code", c_void_p, c_uint8)
trap_code: Final = _function(_brief, "wasmtime_trap_code", c_bool, c_void_p, c_void_p)
trap_origin: Final = _function(_brief, "wasm_trap_origin", c_void_p, c_void_p)
trap_delete: Final = _function(_brief, "wasm_trap_delete", None, c_void_p)
frame_index: Final = _function(_brief, "wasm_frame_func_index", ctypes.c_uint32, c_void_p)
frame_delete: Final = _function(_brief, "wasm_frame_delete", None, c_void_p)
_error_message: Final = _function(_brief, "wasmtime_error_message", None, c_void_p, c_void_p)
_error_delete: Final = _function(_brief, "wasmtime_error_delete", None, c_void_p)

INTERRUPTED: Final = 10
"""Trap code of an interrupted run; a host function that ends the run uses it too."""

TRAPS: Final = {
    1: TrapKind.MEMORY_BOUNDS,
    3: TrapKind.TABLE_BOUNDS,
    4: TrapKind.UNINITIALIZED_ELEMENT,
    5: TrapKind.INDIRECT_CALL_TYPE,
    6: TrapKind.INTEGER_OVERFLOW,
    7: TrapKind.DIVISION_BY_ZERO,
    8: TrapKind.INVALID_CONVERSION,
    9: TrapKind.UNREACHABLE,
}
"""Traps of a contract's own, by the library's code."""

EXTERN_FUNC: Final = 0
"""The kind of an extern that is a function."""

MAX_WASM_STACK: Final = 2 << 20
"""Bytes of native stack of one message: three times what the stack counter was found to let through."""

ffi: Final = FFI()
ffi.cdef("typedef uintptr_t (*host_function)(void *, void *, uint64_t *, size_t);")


def address(pointer: Any) -> int:
    """Return the address in one of the package's pointers."""
    return int(ctypes.cast(pointer, c_void_p).value or 0)


def error_text(error: int) -> str:
    """Return what an error says, and free it."""
    vector = wasmtime._bindings.wasm_byte_vec_t()  # noqa: SLF001  # the package has no public name for it
    _error_message(error, ctypes.addressof(vector))
    text = ctypes.string_at(vector.data, vector.size).decode("utf-8", "replace")
    _error_delete(error)
    return text


def make_engine(optimisation: str, *, interruptible: bool) -> wasmtime.Engine:
    """Return an engine with everything switched off that the machine does not run.

    The library has no switch for floats, sign extension and start functions: the validator is the gate, this the second
    lock. Reference types stay on, because switching them off alone aborts the process.
    """
    config = wasmtime.Config()
    config.cranelift_opt_level = optimisation
    config.max_wasm_stack = MAX_WASM_STACK
    config.epoch_interruption = interruptible
    config.memory_init_cow = False  # needs files, which limits of the process can forbid
    config.wasm_threads = False
    config.wasm_tail_call = False
    config.wasm_multi_memory = False
    config.wasm_memory64 = False
    config.wasm_relaxed_simd = False
    config.wasm_simd = False
    config.wasm_exceptions = False
    config.wasm_multi_value = True
    config.wasm_bulk_memory = True
    return wasmtime.Engine(config)


def identity() -> str:
    """Return what compiled code depends on beside the module: version, settings, processor."""
    try:
        features = next(
            line for line in Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines() if line[:5] == "flags"
        )
    except (OSError, StopIteration):
        features = platform.processor()
    machine = hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:16]
    return f"wasmtime {version('wasmtime')} stack {MAX_WASM_STACK} machine {machine}"
