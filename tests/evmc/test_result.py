import dataclasses

import pytest

from evmc import ZERO_ADDRESS, ZERO_BYTES32, Address, Log, Result, Status

# EVMC ABI 12, evmc_status_code.
NUMBERS = {
    "SUCCESS": 0,
    "FAILURE": 1,
    "REVERT": 2,
    "OUT_OF_GAS": 3,
    "INVALID_INSTRUCTION": 4,
    "UNDEFINED_INSTRUCTION": 5,
    "STACK_OVERFLOW": 6,
    "STACK_UNDERFLOW": 7,
    "BAD_JUMP_DESTINATION": 8,
    "INVALID_MEMORY_ACCESS": 9,
    "CALL_DEPTH_EXCEEDED": 10,
    "STATIC_MODE_VIOLATION": 11,
    "PRECOMPILE_FAILURE": 12,
    "CONTRACT_VALIDATION_FAILURE": 13,
    "ARGUMENT_OUT_OF_RANGE": 14,
    "WASM_UNREACHABLE_INSTRUCTION": 15,
    "WASM_TRAP": 16,
    "INSUFFICIENT_BALANCE": 17,
    "INTERNAL_ERROR": -1,
    "REJECTED": -2,
    "OUT_OF_MEMORY": -3,
}
KEEPS_GAS = {"SUCCESS", "REVERT", "CALL_DEPTH_EXCEEDED", "INSUFFICIENT_BALANCE"}
HAS_OUTPUT = {"SUCCESS", "REVERT"}


def test_statuses_have_the_numbers_of_evmc() -> None:
    assert {status.name: status.value for status in Status} == NUMBERS


@pytest.mark.parametrize("status", Status)
def test_what_a_status_may_leave(status: Status) -> None:
    assert (Result(status).gas_left, Result(status).output, Result(status).created) == (0, b"", None)
    with pytest.raises(ValueError, match=f"{status.name} cannot leave -1 gas"):
        Result(status, -1)
    if status.name in KEEPS_GAS:
        assert Result(status, 1).gas_left == 1
    else:
        with pytest.raises(ValueError, match=f"{status.name} cannot leave 1 gas"):
            Result(status, 1)
    if status.name in HAS_OUTPUT:
        assert Result(status, 0, b"x").output == b"x"
    else:
        with pytest.raises(ValueError, match=f"{status.name} cannot have output"):
            Result(status, 0, b"x")


def test_results_and_logs_are_frozen() -> None:
    result = Result(Status.SUCCESS, 3, b"code", Address.from_int(5))
    assert result == dataclasses.replace(result)
    log = Log(ZERO_ADDRESS, (ZERO_BYTES32,), b"data")
    for value, field in ((result, "gas_left"), (log, "data")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, 1)
    with pytest.raises(ValueError):
        dataclasses.replace(result, status=Status.FAILURE)
