"""Every benchmark: `python -m benchmarks [SUBJECT…] [--quick]` prints one Markdown table for each subject.

Peers are measured in the same run, in turn with ours; figures are medians, ratios are medians of ratios within a round.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

SUBJECTS = {
    "metering": "what the counters cost",
    "message": "what a message costs",
    "hostcall": "what a host call costs",
    "erc20": "what an ERC-20 transfer costs",
    "preparing": "how fast code is decoded, validated and metered",
    "hostile": "modules made to be slow",
    "interpreter": "the interpreter against pywasm",
    "profiling": "what a profile costs",
    "resident": "memory over 10,000 contracts",
    "state": "trie, commits, reads and memory of a state on disk",
    "node": "the node, against eth-tester and Anvil",
    "pallet": "executions for a pallet, on-demand state, extrinsics of @polkadot/api",
    "interruption": "what it costs that a run can be stopped",
}


def machine() -> str:
    """Describe where this runs: date, processor, memory, system, versions."""
    model, memory = platform.machine(), "?"
    try:
        info = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), model)
        kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
        memory = f"{kilobytes / (1 << 20):.0f} GiB"
    except OSError:
        pass
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    versions = f"Python {platform.python_version()}, wasmtime {version('wasmtime')}"
    return f"{today}, {os.cpu_count()} cores of {model}, {memory}, {platform.system()}, {load}; {versions}."


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure, and compare with peers and bounds.",
        epilog="; ".join(f"{name}: {what}" for name, what in SUBJECTS.items()),
    )
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="some of the subjects (default: all)")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it works, not for numbers")
    parser.add_argument(
        "--evm-python",
        default=sys.executable,
        metavar="PYTHON",
        help="a Python with eth-tester[py-evm] and web3, which need other versions than this project (default: this)",
    )
    parser.add_argument(
        "--anvil",
        metavar="PATH",
        help="Anvil's program (default: of the npm package @foundry-rs/anvil in EWASM_NODE_MODULES, or on the path)",
    )
    parser.add_argument(
        "--node-modules",
        metavar="DIR",
        help="a directory of npm packages with @polkadot/api (default: EWASM_NODE_MODULES)",
    )
    arguments = parser.parse_args()
    unknown = set(arguments.subjects) - set(SUBJECTS)
    if unknown:
        parser.error(f"no subject {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    os.environ.setdefault("ETH_HASH_BACKEND", "pycryptodome")  # the default, also where the extra `fast` is installed
    print(f"{machine()}{' Quick run: not for numbers.' if arguments.quick else ''}\n", flush=True)
    missed = 0
    for name in arguments.subjects or SUBJECTS:
        options = {"evm_python": arguments.evm_python} if name in ("erc20", "node") else {}
        if name == "node":
            options["anvil_path"] = arguments.anvil
        if name == "pallet":
            options["node_modules"] = arguments.node_modules
        text = str(import_module(f"benchmarks.{name}").table(quick=arguments.quick, **options))
        missed += text.count("**missed**")
        print(text, flush=True)
    print(f"{missed} bounds missed." if missed else "All bounds met.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
