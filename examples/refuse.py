"""Print everything that two rulesets have against a module.

Run it: `python examples/refuse.py`.
"""

from ewasm import EWASM, HERA, check
from wasm.text import assemble

HOSTILE = assemble("""
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "ethereum" "getCaller" (func (param i32 i32)))
  (import "ethereum" "finish" (func $finish (param i32 i32)))
  (memory (export "memory") 200)
  (data (i32.const 0) "hello")
  (global (export "counter") (mut i32) (i32.const 0))
  (func $mix (param f64) (result f64)
    (f64.mul (local.get 0) (f64.const 0.1)))
  (func $setup
    (global.set 0 (call $random (i32.const 0) (i32.const 8))))
  (start $setup)
  (func (export "main")
    (memory.copy (i32.const 8) (i32.const 0) (i32.const 5))
    (drop (call $mix (f64.const 1)))
    (call $finish (i32.const 0) (i32.const 13))))
""")


def main() -> None:
    """Judge the module by two rulesets."""
    for ruleset in (EWASM, HERA):
        verdict = check(HOSTILE, ruleset)
        print(f"{ruleset.name}: {'accepted' if verdict.accepted else f'{len(verdict.findings)} findings'}")
        for finding in verdict.findings:
            print(f"  [{finding.rule}] {finding.message}")


if __name__ == "__main__":
    main()
