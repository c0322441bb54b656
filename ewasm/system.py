"""Precompiled and system contracts of a ruleset, the sentinel among them, as hosts take them."""

from __future__ import annotations

from typing import Final

from evmc import Address, Gas, Precompile, Precompiles, Result, Status
from ewasm.contract import check
from ewasm.precompiles import precompiles
from ewasm.ruleset import Ruleset
from gas.emission import write_out
from wasm.encode import encode

SENTINEL: Final = Address.from_int(10)
SENTINEL_BASE: Final = 3_000
SENTINEL_BYTE: Final = 32


def system_contracts(ruleset: Ruleset) -> Precompiles:
    """Return the contracts that a ruleset has at the addresses from 1 to at most 10."""
    every = {**precompiles(ruleset.precompiles), SENTINEL: sentinel(ruleset)}
    return {address: contract for address, contract in every.items() if address[-1] <= ruleset.system_contracts}


def sentinel(ruleset: Ruleset) -> Precompile:
    """Return the contract that meters: a module in, the metered module out; what the rules refuse is reverted."""

    def call(data: bytes, gas: Gas) -> Result:
        left = gas - SENTINEL_BASE - SENTINEL_BYTE * len(data)
        if left < 0:
            return Result(Status.OUT_OF_GAS)
        metered = metered_binary(data, ruleset)
        return Result(Status.REVERT, left) if metered is None else Result(Status.SUCCESS, left, metered)

    return call


def metered_binary(code: bytes, ruleset: Ruleset) -> bytes | None:
    """Return the metered module in the binary format, None for code that the rules refuse."""
    module = check(code, ruleset).module
    if module is None:
        return None
    return encode(write_out(ruleset.meter(module)))
