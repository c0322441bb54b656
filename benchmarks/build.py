"""Rebuild the benchmark programs from their sources in `programs/`.

`python -m benchmarks.build [NAME…]` writes the binaries beside the sources; with `--check` it only compares and ends
with 1 where one is stale. It needs `pip install ziglang==0.17.1`, which brings clang and the linker.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from fixtures.build import strip

PROGRAMS = Path(__file__).parent / "programs"
COMPILE = (
    *(sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-mcpu=mvp+sign_ext"),
    *("-std=c23", "-O2", "-g", "-nostdlib", "-fno-builtin", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"),
    *("-Wl,--no-entry", "-Wl,-z,stack-size=8192"),
)


def build(name: str) -> bytes:
    """Compile one program."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, f"{name}.wasm")
        subprocess.run([*COMPILE, "-o", output, PROGRAMS / f"{name}.c"], check=True)
        return strip(output.read_bytes())


def main() -> int:
    parser = argparse.ArgumentParser(description="Rebuild the benchmark programs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="programs (default: all)")
    parser.add_argument("--check", action="store_true", help="compare with the committed binaries, write nothing")
    arguments = parser.parse_args()
    stale = 0
    for name in arguments.names or sorted(path.stem for path in PROGRAMS.glob("*.c")):
        binary, path = build(name), PROGRAMS / f"{name}.wasm"
        same = path.exists() and path.read_bytes() == binary
        stale += not same
        if not arguments.check and not same:
            path.write_bytes(binary)
        print(f"{name}.wasm  {len(binary)} bytes  {'same' if same else 'differs' if arguments.check else 'written'}")
    return int(arguments.check and stale > 0)


if __name__ == "__main__":
    raise SystemExit(main())
