"""What a VM answers (EVMC 12, `evmc_result`, `evmc_status_code`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from evmc.types import Address, Bytes32, Gas


class Status(IntEnum):
    """How an execution ended; positive codes are failures the rules define, negative ones refusals of the VM."""

    SUCCESS = 0
    FAILURE = 1
    REVERT = 2
    OUT_OF_GAS = 3
    INVALID_INSTRUCTION = 4
    UNDEFINED_INSTRUCTION = 5
    STACK_OVERFLOW = 6
    STACK_UNDERFLOW = 7
    BAD_JUMP_DESTINATION = 8
    INVALID_MEMORY_ACCESS = 9
    CALL_DEPTH_EXCEEDED = 10
    STATIC_MODE_VIOLATION = 11
    PRECOMPILE_FAILURE = 12
    CONTRACT_VALIDATION_FAILURE = 13
    ARGUMENT_OUT_OF_RANGE = 14
    WASM_UNREACHABLE_INSTRUCTION = 15
    WASM_TRAP = 16
    INSUFFICIENT_BALANCE = 17
    INTERNAL_ERROR = -1
    REJECTED = -2
    OUT_OF_MEMORY = -3


_KEEPS_GAS = frozenset({Status.SUCCESS, Status.REVERT, Status.CALL_DEPTH_EXCEEDED, Status.INSUFFICIENT_BALANCE})
_HAS_OUTPUT = frozenset({Status.SUCCESS, Status.REVERT})


@dataclass(frozen=True, slots=True)
class Result:
    """Status, whole gas left, output, and the address a creation gave.

    A failure keeps no gas and has no output, except a revert, which keeps both, and a message refused before it
    began (depth, balance), which keeps its gas: anything else is a bug and raises ValueError.
    """

    status: Status
    gas_left: Gas = 0
    output: bytes = b""
    created: Address | None = None

    def __post_init__(self) -> None:
        if self.gas_left < 0 or (self.gas_left and self.status not in _KEEPS_GAS):
            raise ValueError(f"{self.status.name} cannot leave {self.gas_left} gas")
        if self.output and self.status not in _HAS_OUTPUT:
            raise ValueError(f"{self.status.name} cannot have output")


@dataclass(frozen=True, slots=True)
class Log:
    """An event a contract recorded: who, up to four topics in memory order, and data."""

    address: Address
    topics: tuple[Bytes32, ...]
    data: bytes
