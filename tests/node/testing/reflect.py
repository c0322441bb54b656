"""Contracts that give back what they are given: any function of any ABI returns its arguments, or reverts with them."""

from __future__ import annotations

from ewasm import Address
from ewasm.testing import Chain, Contract
from tests.helpers import wat

_REFLECT = """
(module
  (import "ethereum" "getCallDataSize" (func $size (result i32)))
  (import "ethereum" "callDataCopy" (func $copy (param i32 i32 i32)))
  (import "ethereum" "{end}" (func $end (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "main") (local $size i32)
    (local.set $size (i32.sub (call $size) (i32.const 4)))
    (call $copy (i32.const 0) (i32.const 4) (local.get $size))
    (call $end (i32.const 0) (local.get $size))))
"""
ECHO = wat(_REFLECT.format(end="finish"))
THROW = wat(_REFLECT.format(end="revert"))
TRAP = wat('(module (memory (export "memory") 1) (func (export "main") unreachable))')


def placed(chain: Chain, code: bytes, abi: object = (), number: int = 0xEC40) -> Contract:
    """Put code at an address and return the contract there."""
    address = Address.from_int(number)
    chain.core.set_code(address, code)
    return chain.at(address, abi, name=f"contract {number:x}")


def function(name: str, *inputs: object, outputs: object = None, reads: bool = True) -> dict[str, object]:
    """Return the ABI's entry of a function that returns what it takes."""
    mutability = "view" if reads else "nonpayable"
    outputs = inputs if outputs is None else outputs
    return {"type": "function", "name": name, "inputs": inputs, "outputs": outputs, "stateMutability": mutability}
