"""The compiled engine: the same answers as the interpreter, near native speed, on Wasmtime.

Only this package imports Wasmtime (and `wasm.text`, for its assembler).
"""

from wasm.compiled.engine import Aborted, CompiledEngine, NativeFault

__all__ = ["Aborted", "CompiledEngine", "NativeFault"]
