"""Whether memory levels off: 10,000 calls, each of a contract that the machine has not seen, on one VM."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.code import fixture
from benchmarks.table import Table, verdict
from evmc.message import Message
from evmc.mock import MockHost
from evmc.result import Status
from ewasm.cache import CodeCache
from ewasm.threads import on_fresh_thread
from ewasm.vm import EwasmVM
from wasm.compiled import CompiledEngine
from wasm.decode import decode
from wasm.encode import encode
from wasm.instructions import BY_NAME
from wasm.module import Instr

POINTS = (1_000, 2_000, 5_000, 10_000)
BOUND = 1.10
ROOT = Path(__file__).parent.parent


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS on this system")


def mapped() -> int:
    """Return the number of this process's memory mappings."""
    return len(Path("/proc/self/maps").read_text().splitlines())


def distinct(number: int) -> bytes:
    """Return a small contract with a number in its code."""
    base = decode(fixture("wat/store_load"))
    (main,) = base.functions
    extra = (Instr(BY_NAME["i32.const"], number, 0), Instr(BY_NAME["drop"], None, 0))
    return encode(replace(base, functions=(replace(main, body=extra + main.body),), customs=()))


def calls(cache_bytes: int, last: int) -> None:
    """Call distinct contracts and print the memory after as many as the points say."""
    engine = CompiledEngine()
    vm = EwasmVM(engine=engine, cache=CodeCache(cache_bytes) if cache_bytes else None)
    host, message = MockHost(), Message(gas=1_000_000, input=bytes(32))
    found = []

    def run() -> None:
        start = time.perf_counter()
        for number in range(1, last + 1):
            if vm.execute(host, message, distinct(number)).status is not Status.SUCCESS:
                raise SystemExit("the call failed")
            if number in POINTS:
                found.append((number, resident(), mapped(), time.perf_counter() - start))

    on_fresh_thread(engine, run)
    print(json.dumps(found))


def table(*, quick: bool) -> Table:
    """Measure in processes of their own, side by side: with the cache as it is by default, and with a small one."""
    last = 2_000 if quick else POINTS[-1]
    points = [point for point in POINTS if point <= last]
    size = len(distinct(1))
    caches = {"default cache": 0, "cache of 500 contracts": 500 * size}
    command = [sys.executable, "-m", "benchmarks.resident"]
    running = {
        name: subprocess.Popen([*command, str(limit), str(last)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for name, limit in caches.items()
    }
    header = ["one VM, compiled engine", *(f"{point:,} calls, MiB" for point in points)]
    grown = f"{points[-1]:,} / {points[-2]:,}"
    result = Table("Resident memory over calls of different contracts", [*header, grown, "mappings", "bound", ""])
    for name, process in running.items():
        found = json.loads(process.communicate()[0])
        memory = [row[1] for row in found]
        growth = memory[-1] / memory[-2]
        cells = [*(f"{value:.0f}" for value in memory), f"{growth:.2f}", f"{found[-1][2]:,}"]
        result.rows.append([name, *cells, f"≤ {BOUND:.2f}", verdict(growth, BOUND)])
    result.notes.append(f"A contract has {size} bytes, every one is prepared, compiled and called once.")
    return result


if __name__ == "__main__":
    calls(int(sys.argv[1]), int(sys.argv[2]))
