"""What `state_call` answers: the functions of the runtime APIs over a face, at a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from evmc import U256, Address, Bytes32, Status
from node.service import Call, Outcome, ServiceError
from node.substrate import accounts
from node.substrate.apis import METHODS
from node.substrate.extrinsic import Extrinsic
from node.substrate.face import Face
from node.substrate.keys import h160
from node.substrate.metadata import VERSIONS
from node.substrate.pallets import EWASM, module_error
from node.substrate.runtime import failure, log_value
from node.substrate.scale import BYTES, ScaleError, Tuple, decode, encode
from node.substrate.settings import gas_of, weight, weight_of

Function: TypeAlias = Callable[..., Any]

REVERTED: Final = 1
"""The flag of `ContractsApi` for an output that came of a revert."""

_PADDING: Final = b"\xee" * 12
"""What an account id ends with that stands for a contract's address, which comes before (as in pallet-revive)."""


class UnknownFunction(LookupError):
    """The runtime has no function of this name."""


_FUNCTIONS: dict[str, Function] = {}


def _function(name: str) -> Callable[[Function], Function]:
    """Add a function under its name in the table of APIs."""

    def add(function: Function) -> Function:
        assert name in METHODS, name
        _FUNCTIONS[name] = function
        return function

    return add


def state_call(face: Face, name: str, data: bytes, number: int) -> bytes:
    """Call a function of the runtime on the state after a block; arguments and answer in SCALE.

    Raise `UnknownFunction`, `ScaleError` that names the argument, `ExtrinsicRefused` for bytes that are no extrinsic,
    or `ServiceError` where a message cannot be run at all.
    """
    method = METHODS.get(name)
    if method is None:
        raise UnknownFunction(f"the runtime has no function {name[:100]}")
    try:
        values = decode(Tuple(tuple(kind for _, kind in method.arguments)), data)
    except ScaleError as error:
        raise ScaleError(error.what, f"{name}{error.place}") from error
    return encode(method.answer, _FUNCTIONS[name](face, number, *values))


def contract_address(account: bytes) -> Address:
    """Return the address that an account id stands for: its first 20 bytes before padding, else its hash's last."""
    return Address(account[:20]) if account.endswith(_PADDING) else h160(account)


@_function("Core_version")
def _version(face: Face, _number: int) -> Any:
    return face.settings.version()


@_function("Metadata_metadata")
def _metadata(face: Face, _number: int) -> Any:
    return face.metadata(VERSIONS[0])


@_function("Metadata_metadata_at_version")
def _metadata_at_version(face: Face, _number: int, version: int) -> Any:
    return face.metadata(version) if version in VERSIONS else None


@_function("Metadata_metadata_versions")
def _metadata_versions(_face: Face, _number: int) -> Any:
    return list(VERSIONS)


@_function("AccountNonceApi_account_nonce")
def _nonce(face: Face, number: int, account: bytes) -> Any:
    return accounts.read(face.chain.state(number), account).nonce


# Fees


def _extrinsic(face: Face, raw: bytes) -> Extrinsic:
    return face.read(encode(BYTES, raw))


def fee_info(face: Face, extrinsic: Extrinsic) -> dict[str, Any]:
    """Return weight and greatest fee of an extrinsic, without its tip."""
    fee = face.runtime.fee(extrinsic)
    partial = min(fee.total - fee.tip, accounts.MAX_BALANCE)
    return {"weight": weight(face.runtime.weight(extrinsic)), "class": ("Normal", None), "partial_fee": partial}


@_function("TransactionPaymentApi_query_info")
def _query_info(face: Face, _number: int, raw: bytes, _length: int) -> Any:
    return fee_info(face, _extrinsic(face, raw))


@_function("TransactionPaymentApi_query_fee_details")
def _query_fee_details(face: Face, _number: int, raw: bytes, _length: int) -> Any:
    fee = face.runtime.fee(_extrinsic(face, raw))
    gas = min(fee.gas, accounts.MAX_BALANCE)
    return {
        "inclusion_fee": {"base_fee": fee.base, "len_fee": fee.length, "adjusted_weight_fee": gas},
        "tip": fee.tip,
    }


@_function("TransactionPaymentApi_query_weight_to_fee")
def _query_weight_to_fee(face: Face, _number: int, given: dict[str, int]) -> Any:
    return gas_of(given["ref_time"]) * face.settings.min_gas_price


@_function("TransactionPaymentApi_query_length_to_fee")
def _query_length_to_fee(face: Face, _number: int, length: int) -> Any:
    return length * face.settings.byte_fee


# Messages


def _call(source: bytes, to: bytes | None, data: bytes, value: int, gas: int, salt: bytes | None = None) -> Call:
    return Call(
        sender=h160(source),
        to=None if to is None else Address(to),
        gas=gas,
        value=U256(value),
        input=data,
        salt=None if salt is None else Bytes32(salt),
    )


def _bounded(face: Face, gas: int) -> int:
    return min(gas, face.settings.gas_limit)


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "success": outcome.status is Status.SUCCESS,
        "status": outcome.status.name,
        "output": outcome.output,
        "gas_used": outcome.gas_used,
        "created": outcome.created,
        "logs": [log_value(log) for log in outcome.logs],
        "error": failure(outcome.status),
    }


@_function("EwasmApi_call")
def _ewasm_call(face: Face, number: int, target: bytes, data: bytes, source: bytes, value: int, gas: int) -> Any:
    return _outcome(face.run(_call(source, target, data, value, _bounded(face, gas)), number))


@_function("EwasmApi_create")
def _ewasm_create(face: Face, number: int, code: bytes, salt: bytes | None, source: bytes, value: int, gas: int) -> Any:
    return _outcome(face.run(_call(source, None, code, value, _bounded(face, gas), salt), number))


@_function("EwasmApi_estimate")
def _ewasm_estimate(face: Face, number: int, target: bytes, data: bytes, source: bytes, value: int) -> Any:
    gas, outcome = face.estimate(_call(source, target, data, value, 0), number)
    error = failure(outcome.status)
    return ("Ok", gas) if error is None else ("Err", error)


@_function("EwasmApi_check")
def _ewasm_check(face: Face, _number: int, code: bytes) -> Any:
    return [{"rule": finding.rule, "message": finding.message} for finding in face.findings(code)]


@_function("EwasmApi_code")
def _ewasm_code(face: Face, number: int, address: bytes) -> Any:
    world = face.chain.state(number)
    account = world.account(Address(address))
    return b"" if account is None else world.code(account.code_hash)


@_function("EwasmApi_storage")
def _ewasm_storage(face: Face, number: int, address: bytes, key: bytes) -> Any:
    return face.chain.state(number).storage(Address(address), Bytes32(key))


@_function("EwasmApi_address")
def _ewasm_address(_face: Face, _number: int, account: bytes) -> Any:
    return h160(account)


@_function("ContractsApi_call")
def _contracts_call(
    face: Face,
    number: int,
    origin: bytes,
    dest: bytes,
    value: int,
    limit: dict[str, int] | None,
    _deposit: int | None,
    data: bytes,
) -> Any:
    """Run a call as `ContractsApi` has it; a contract's account id is its address, padded with 0xee."""
    gas = face.settings.gas_limit if limit is None else _bounded(face, gas_of(limit["ref_time"]))
    call = _call(origin, contract_address(dest), data, value, gas)
    required = gas
    try:
        outcome = face.run(call, number)
        error = failure(outcome.status)
        used, message = outcome.gas_used, outcome.status.name
        if outcome.status is Status.SUCCESS:
            required = face.estimate(call, number)[0]
    except ServiceError as refusal:
        return _contract_result(0, gas, ("Err", module_error(EWASM, "NonceExhausted")), str(refusal))
    if outcome.status in (Status.SUCCESS, Status.REVERT):
        flags = REVERTED if outcome.status is Status.REVERT else 0
        return _contract_result(used, required, ("Ok", {"flags": flags, "data": outcome.output}), message)
    return _contract_result(used, required, ("Err", error), message)


def _contract_result(used: int, required: int, result: tuple[str, Any], message: str) -> dict[str, Any]:
    return {
        "gas_consumed": weight(weight_of(used)),
        "gas_required": weight(weight_of(required)),
        "storage_deposit": ("Charge", 0),
        "debug_message": message.encode(),
        "result": result,
        "events": None,
    }


@_function("ContractsApi_get_storage")
def _contracts_get_storage(face: Face, number: int, account: bytes, key: bytes) -> Any:
    world, address = face.chain.state(number), contract_address(account)
    if len(key) != Bytes32.length:
        return "Err", ("KeyDecodingFailed", None)
    if not _ewasm_code(face, number, address):
        return "Err", ("DoesntExist", None)
    value = world.storage(address, Bytes32(key))
    return "Ok", value if any(value) else None


assert _FUNCTIONS.keys() == METHODS.keys(), "every function of the table has a body"
