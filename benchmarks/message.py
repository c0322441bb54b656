"""What a message costs before its contract does anything."""

from __future__ import annotations

import time
from collections.abc import Callable

import wasmtime

from benchmarks.code import fixture, plain_engine
from benchmarks.table import Table, Timed, in_turn, median, micro, ratio, timed, verdict
from evmc.message import Message
from evmc.mock import MockHost
from evmc.result import Status
from ewasm.threads import on_fresh_thread
from ewasm.vm import EwasmVM
from wasm.compiled import CompiledEngine

BOUND = 40e-6


def ours(vm: EwasmVM, code: bytes, times: int, clock: Callable[[], float] = time.thread_time) -> Timed:
    """Return warm messages to a contract."""
    host, message = MockHost(), Message(gas=1_000_000)
    if vm.execute(host, message, code).status is not Status.SUCCESS:
        raise SystemExit("the message failed")
    return timed(lambda: vm.execute(host, message, code), times, clock)


def peer(code: bytes, times: int) -> Timed:
    """Return what the package offers: a new store, an instance, a call."""
    engine = plain_engine()
    module, linker = wasmtime.Module(engine, code), wasmtime.Linker(engine)

    def run() -> None:
        store = wasmtime.Store(engine)
        main = linker.instantiate(store, module).exports(store)["main"]
        assert isinstance(main, wasmtime.Func)
        main(store)

    return timed(run, times)


def table(*, quick: bool) -> Table:
    """Measure on a thread with room and, for information, from the main thread."""
    rounds, times = (5, 500) if quick else (21, 2_000)
    code, engine = fixture("wat/empty"), CompiledEngine()
    vm = EwasmVM(engine=engine)
    wall = ours(vm, code, times // 4, time.perf_counter)
    main = in_turn({"ours": wall, "peer": peer(code, times // 4)}, rounds)
    samples = on_fresh_thread(
        engine, lambda: in_turn({"ours": ours(vm, code, times), "peer": peer(code, times)}, rounds)
    )
    result = Table(
        "Message: an empty `main` through `VM.execute`, mock host, warm", ["from", "ours", "plain wasmtime-py"]
    )
    result.header = [*result.header, "ratio", "bound", ""]
    for name, found, bound in (("a thread with room", samples, BOUND), ("the main thread", main, None)):
        mine = median(found, "ours")
        end = [f"≤ {micro(bound)}", verdict(mine, bound)] if bound else ["", "for information"]
        result.rows.append(
            [name, micro(mine), micro(median(found, "peer")), f"{ratio(found, 'ours', 'peer'):.2f}", *end]
        )
    result.notes.append(
        "From the main thread every message is handed to a thread of its own, which the peer does not do."
    )
    return result
