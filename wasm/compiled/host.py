"""Host functions as the library calls them.

An exception must never leave a callback: the library would go on with a result that nobody computed. So a callback's
whole body is guarded, the exception is kept on the instance and the run ended by a trap; when the library has returned,
`CompiledInstance.check` raises it again, the same object, whatever the library answered. What escapes even the guard is
noted by cffi and found there too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import wasmtime

from wasm.compiled import native
from wasm.compiled.emission import extended
from wasm.engine import HostFunction
from wasm.errors import Unsupported
from wasm.types import FuncType, ValType

_M32: Final = 0xFFFF_FFFF
_M64: Final = 0xFFFF_FFFF_FFFF_FFFF
_MASKS: Final = {"i32": _M32, "i64": _M64, "f32": _M32, "f64": _M64}


class Current(threading.local):
    """The instance that runs on this thread, and what escaped a callback on it."""

    instance: Any = None
    escaped: BaseException | None = None


current: Final = Current()


@cache
def masks(types: tuple[ValType, ...]) -> tuple[int, ...]:
    """Return the bits that count in values of these types; raise `Unsupported` for references."""
    try:
        return tuple([_MASKS[t] for t in types])
    except KeyError as error:
        name = str(error.args[0])
        raise Unsupported(
            "reference-types", f"a value of type {name} cannot pass the compiled engine's border"
        ) from None


def callback(function: HostFunction) -> Any:
    """Return a C function for a host function; keep it as long as the library may call it."""
    arguments = masks(function.type.params)
    results = masks(function.type.results)
    gas = 2 * len(arguments)
    gas_out = 2 * len(results)
    call = function.call
    read = _reader(arguments)

    def body(_env: Any, _caller: Any, values: Any, _count: int) -> int:
        try:
            instance = current.instance
            instance.gas = values[gas]
            answer = call(instance, *read(values))
            if results:
                if len(results) == 1:
                    values[0] = answer & results[0]
                else:
                    for n, mask in enumerate(results):
                        values[2 * n] = answer[n] & mask
            values[gas_out] = instance.gas
        except BaseException as error:  # noqa: BLE001  # raised again when the library has returned
            current.instance.pending = error
            return int(native.trap_new(native.INTERRUPTED))
        return 0

    return native.ffi.callback("host_function", body, error=0, onerror=_escaped)


def _escaped(_kind: Any, error: Any, _traceback: Any) -> None:
    current.escaped = error


def _reader(masks_: tuple[int, ...]) -> Callable[[Any], Sequence[int]]:
    """Return a function that reads arguments, 16 bytes apart; the short forms are the frequent ones."""
    if not masks_:
        return lambda _: ()
    if len(masks_) == 1:
        a = masks_[0]
        return lambda v: (v[0] & a,)
    if len(masks_) == 2:
        a, b = masks_
        return lambda v: (v[0] & a, v[2] & b)
    if len(masks_) == 3:
        a, b, c = masks_
        return lambda v: (v[0] & a, v[2] & b, v[4] & c)
    pairs = [(2 * n, mask) for n, mask in enumerate(masks_)]
    return lambda v: [v[n] & mask for n, mask in pairs]


def native_type(type_: FuncType) -> wasmtime.FuncType:
    """Return a host function's type with the counters, as the library has it."""
    wide = extended(type_)
    kinds = {"i32": wasmtime.ValType.i32, "i64": wasmtime.ValType.i64, "f32": wasmtime.ValType.f32}
    kinds["f64"] = wasmtime.ValType.f64
    return wasmtime.FuncType([kinds[t]() for t in wide.params], [kinds[t]() for t in wide.results])
