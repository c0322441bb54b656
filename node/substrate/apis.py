"""The functions of the runtime that `state_call` reaches: a row each, with types of arguments and answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.substrate import types as t
from node.substrate.hashing import blake2_64
from node.substrate.pallets import EVENT_RECORD
from node.substrate.scale import (
    BYTES,
    U32,
    U64,
    U128,
    Field,
    Option,
    ScaleType,
    Sequence,
    Struct,
    result,
)

OPAQUE_METADATA: Final = t.wrapper("sp_core::OpaqueMetadata", BYTES)


EXTRINSIC: Final = Struct(
    "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic",
    (Field(None, BYTES),),
)


@dataclass(frozen=True, slots=True)
class Method:
    """A function of a runtime API."""

    name: str
    arguments: tuple[tuple[str, ScaleType], ...]
    answer: ScaleType
    doc: str


@dataclass(frozen=True, slots=True)
class Api:
    """A runtime API: name, version, functions."""

    name: str
    version: int
    methods: tuple[Method, ...]

    @property
    def id(self) -> bytes:
        """The 8 bytes by which a runtime's version names it."""
        return blake2_64(self.name.encode())


def _method(_name: str, _answer: ScaleType, _doc: str, /, **arguments: ScaleType) -> Method:
    return Method(_name, tuple(arguments.items()), _answer, _doc)


DEPOSIT: Final = t.holding("pallet_contracts_primitives::StorageDeposit", Refund=U128, Charge=U128)
RETURN_FLAGS: Final = t.wrapper("pallet_contracts_uapi::flags::ReturnFlags", U32)
EXEC_RETURN: Final = t.struct("pallet_contracts_primitives::ExecReturnValue", flags=RETURN_FLAGS, data=BYTES)
CONTRACT_RESULT: Final = t.struct(
    "pallet_contracts_primitives::ContractResult",
    gas_consumed=t.WEIGHT,
    gas_required=t.WEIGHT,
    storage_deposit=DEPOSIT,
    debug_message=BYTES,
    result=result(EXEC_RETURN, t.DISPATCH_ERROR),
    events=Option(Sequence(EVENT_RECORD)),
)
ACCESS_ERROR: Final = t.plain("pallet_contracts_primitives::ContractAccessError", "DoesntExist", "KeyDecodingFailed")
_MESSAGE: Final[dict[str, ScaleType]] = {"source": t.ACCOUNT_ID, "value": t.U256, "gas_limit": U64}

APIS: Final = (
    Api("Core", 4, (_method("version", t.RUNTIME_VERSION, "Return the runtime's version."),)),
    Api(
        "Metadata",
        2,
        (
            _method("metadata", OPAQUE_METADATA, "Return metadata of version 14."),
            _method("metadata_at_version", Option(OPAQUE_METADATA), "Return metadata of a version.", version=U32),
            _method("metadata_versions", Sequence(U32), "Return the versions there are."),
        ),
    ),
    Api("AccountNonceApi", 1, (_method("account_nonce", U32, "Return the next nonce.", account=t.ACCOUNT_ID),)),
    Api(
        "TransactionPaymentApi",
        4,
        (
            _method("query_info", t.FEE_INFO, "Return weight and greatest fee.", uxt=EXTRINSIC, len=U32),
            _method("query_fee_details", t.FEE_DETAILS, "Return the parts of the fee.", uxt=EXTRINSIC, len=U32),
            _method("query_weight_to_fee", U128, "Return the fee of a weight.", weight=t.WEIGHT),
            _method("query_length_to_fee", U128, "Return the fee of a length.", length=U32),
        ),
    ),
    Api(
        "ContractsApi",
        2,
        (
            _method(
                "call",
                CONTRACT_RESULT,
                "Run a call and forget it.",
                origin=t.ACCOUNT_ID,
                dest=t.ACCOUNT_ID,
                value=U128,
                gas_limit=Option(t.WEIGHT),
                storage_deposit_limit=Option(U128),
                input_data=BYTES,
            ),
            _method(
                "get_storage", result(Option(BYTES), ACCESS_ERROR), "Return a slot.", address=t.ACCOUNT_ID, key=BYTES
            ),
        ),
    ),
    Api(
        "EwasmApi",
        1,
        (
            _method("call", t.OUTCOME, "Run a call and forget it.", target=t.H160, input=BYTES, **_MESSAGE),
            _method("create", t.OUTCOME, "Run a creation and forget it.", code=BYTES, salt=Option(t.H256), **_MESSAGE),
            _method(
                "estimate",
                result(U64, t.DISPATCH_ERROR),
                "Return the least gas a call succeeds with.",
                target=t.H160,
                input=BYTES,
                source=t.ACCOUNT_ID,
                value=t.U256,
            ),
            _method("check", Sequence(t.FINDING), "Return why code is refused; nothing if it is not.", code=BYTES),
            _method("code", BYTES, "Return the code of a contract.", address=t.H160),
            _method("storage", t.H256, "Return a slot of a contract.", address=t.H160, key=t.H256),
            _method("address", t.H160, "Return the contract-side address of an account.", account=t.ACCOUNT_ID),
        ),
    ),
)

METHODS: Final = {f"{api.name}_{method.name}": method for api in APIS for method in api.methods}
