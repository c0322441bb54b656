"""What a host call costs: `storageLoad`, which reads 32 bytes and writes 32."""

from __future__ import annotations

import wasmtime

from benchmarks.code import plain_engine
from benchmarks.table import Table, Timed, in_turn, micro, timed, verdict
from evmc.message import Message
from evmc.mock import MockAccount, MockHost
from evmc.result import Status
from evmc.types import Address, Bytes32
from ewasm.threads import on_fresh_thread
from ewasm.vm import EwasmVM
from wasm.compiled import CompiledEngine
from wasm.text import assemble

BOUND = 4e-6
ME = Address.from_int(0xA11CE)
VALUE = Bytes32.from_int(0x1234_5678 << 200)


def loop(body: str, times: int) -> bytes:
    """Return a contract that does something so many times, then ends."""
    return assemble(f"""
(module
  (import "ethereum" "storageLoad" (func $storageLoad (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "main") (local $i i32)
    (loop $next
      {body}
      (br_if $next
        (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {times}))))))
""")


CALL = "(call $storageLoad (i32.const 32) (i32.const 64))"
NOTHING = "(drop (i32.const 32)) (drop (i32.const 64))"


def ours(vm: EwasmVM, code: bytes) -> Timed:
    """Return a message to a contract."""
    host, message = MockHost({ME: MockAccount(storage={Bytes32(bytes(32)): VALUE})}), Message(gas=1 << 40, recipient=ME)

    def run() -> None:
        if vm.execute(host, message, code).status is not Status.SUCCESS:
            raise SystemExit("the message failed")

    return timed(run)


def peer(code: bytes) -> Timed:
    """Return the same loop with the package's own host functions, and the same dictionary behind."""
    engine = plain_engine()
    store, linker = wasmtime.Store(engine), wasmtime.Linker(engine)
    storage, nothing = {bytes(32): bytes(VALUE)}, bytes(32)

    def load(caller: wasmtime.Caller, path: int, result: int) -> None:
        memory = caller["memory"]
        assert isinstance(memory, wasmtime.Memory)
        key = bytes(memory.read(caller, path, path + 32))
        memory.write(caller, storage.get(key, nothing), result)

    kind = wasmtime.FuncType([wasmtime.ValType.i32(), wasmtime.ValType.i32()], [])
    linker.define_func("ethereum", "storageLoad", kind, load, access_caller=True)
    main = linker.instantiate(store, wasmtime.Module(engine, code)).exports(store)["main"]
    assert isinstance(main, wasmtime.Func)
    return timed(lambda: main(store))


def table(*, quick: bool) -> Table:
    """Measure loops with and without the call."""
    rounds, times = (5, 5_000) if quick else (15, 20_000)
    engine = CompiledEngine()
    vm = EwasmVM(engine=engine)
    calls, empty = loop(CALL, times), loop(NOTHING, times)

    def measure() -> dict[str, list[float]]:
        variants = {"ours": ours(vm, calls), "our loop": ours(vm, empty), "peer": peer(calls), "peer loop": peer(empty)}
        return in_turn(variants, rounds)

    found = on_fresh_thread(engine, measure)
    above = {
        who: [(a - b) / times for a, b in zip(found[who], found[around], strict=True)]
        for who, around in (("ours", "our loop"), ("peer", "peer loop"))
    }
    mine, theirs = (sorted(above[who])[rounds // 2] for who in ("ours", "peer"))
    ratios = sorted(a / b for a, b in zip(above["ours"], above["peer"], strict=True))
    result = Table("Host call: `storageLoad`, mock host, above the loop around it", ["call", "ours"])
    result.header = ["call", "ours", "wasmtime-py `define_func`", "ratio", "bound", ""]
    cells = [micro(mine), micro(theirs), f"{ratios[rounds // 2]:.2f}", f"≤ {micro(BOUND)}", verdict(mine, BOUND)]
    result.rows.append(["two ranges of 32 bytes", *cells])
    result.notes.append(
        "Ours charges gas and checks both ranges through the interface; the peer reads, looks up, writes."
    )
    return result
