"""The JSON-RPC methods of the Substrate side, a row each."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from node.chain.errors import ChainError
from node.rpc.errors import INVALID_PARAMS, METHOD_NOT_FOUND, SERVER_ERROR, RpcError
from node.rpc.execution import EXECUTION, Executions
from node.rpc.kinds import ANY, DATA, HASH, NUMBER, TEXT, Kind, Unreadable, array, optional, read_data
from node.rpc.session import Session
from node.rpc.table import MethodTable, Param
from node.service import ServiceError
from node.substrate import accounts
from node.substrate.calls import UnknownFunction, fee_info, state_call
from node.substrate.face import Face
from node.substrate.keys import SS58_PREFIX, InvalidKey, ss58_decode
from node.substrate.metadata import VERSIONS
from node.substrate.scale import BYTES, ScaleError, encode
from node.substrate.subscriptions import Subscriptions, changes_document, header_document, hexed, version_document
from node.substrate.validity import ExtrinsicRefused

MAX_PAGE: Final = 1_000
"""The most keys in one answer, as in Substrate."""

CLIENT_ERROR: Final = 4003
_DECIMALS: Final = 18


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the first argument of every method. Subscriptions need a session, which a WebSocket has."""

    face: Face
    subscriptions: Subscriptions
    executions: Executions
    developer: bool = True
    session: Session | None = field(default=None, compare=False)

    def number(self, block: bytes | None) -> int:
        """Return the number of the block with a hash, the last one's for None; raise `RpcError`."""
        if block is None:
            return self.face.blocks.last
        found = self.face.blocks.number_of(block)
        if found is None:
            raise RpcError(CLIENT_ERROR, f"Client error: UnknownBlock: header for {hexed(block)} was not found")
        return found

    def listening(self) -> Session:
        """Return the session; raise `RpcError` over HTTP."""
        if self.session is None:
            raise RpcError(METHOD_NOT_FOUND, "subscriptions need a WebSocket")
        return self.session


def translate(error: Exception) -> RpcError | None:
    """Return the error for the client of what the face raises, None for what is none of its."""
    match error:
        case ExtrinsicRefused():
            return RpcError(error.code, error.message, error.detail)
        case ScaleError():
            return RpcError(INVALID_PARAMS, f"not in SCALE: {error}")
        case UnknownFunction():
            return RpcError(CLIENT_ERROR, f"Client error: Execution failed: {error}")
        case ServiceError() | ChainError():
            return RpcError(SERVER_ERROR, str(error))
    return None


def _read_account(value: Any) -> bytes:
    if not isinstance(value, str):
        raise Unreadable("an SS58 address or an account id in hex is expected")
    if value.startswith("0x"):
        data = read_data(value)
        if len(data) != 32:
            raise Unreadable(f"an account id has 32 bytes, not {len(data)}")
        return data
    try:
        return ss58_decode(value)[0]
    except InvalidKey as error:
        raise Unreadable(str(error)) from error


def _read_numbers(value: Any) -> Any:
    """Read a block number in either form, a list of them, or nothing."""
    if value is None:
        return None
    if isinstance(value, list):
        return [_read_numbers(each) for each in value]
    return NUMBER.read(value)


ACCOUNT: Final = Kind("account", {"type": "string"}, _read_account)
NUMBERS: Final = Kind("block number or a list of them", {}, _read_numbers)
AT: Final = Param("at", optional(HASH), None)
TABLE: Final = MethodTable()
TABLE.include(EXECUTION)
method = TABLE.method


# chain


@method("chain_getBlockHash", Param("number", NUMBERS, None), result=ANY, aliases=("chain_getHead",))
def _block_hash(client: Client, number: Any) -> Any:
    """Return the hash of a block by number, of several, or of the last."""
    if isinstance(number, list):
        return [_block_hash(client, each) for each in number]
    found = client.face.blocks.hash(client.face.blocks.last if number is None else number)
    return None if found is None else hexed(found)


@method("chain_getFinalizedHead", result=ANY, aliases=("chain_getFinalisedHead",))
def _finalized_head(client: Client) -> Any:
    """Return the hash of the last final block, which is the last."""
    return _block_hash(client, None)


@method("chain_getHeader", Param("hash", optional(HASH), None), result=ANY)
def _header(client: Client, block: bytes | None) -> Any:
    """Return a header, null for an unknown hash."""
    number = client.face.blocks.last if block is None else client.face.blocks.number_of(block)
    return None if number is None else header_document(client.face, number)


@method("chain_getBlock", Param("hash", optional(HASH), None), result=ANY)
def _block(client: Client, block: bytes | None) -> Any:
    """Return a block, null for an unknown hash."""
    number = client.face.blocks.last if block is None else client.face.blocks.number_of(block)
    if number is None:
        return None
    extrinsics = [hexed(encode(BYTES, raw)) for raw in client.face.blocks.body(number)]
    return {
        "block": {"header": header_document(client.face, number), "extrinsics": extrinsics},
        "justifications": None,
    }


# state


@method("state_getStorage", Param("key", DATA), AT, result=optional(DATA), aliases=("state_getStorageAt",))
def _storage(client: Client, key: bytes, at: bytes | None) -> bytes | None:
    """Return an entry of storage, null if there is none."""
    return client.face.storage.value(key, client.number(at))


@method("state_getStorageSize", Param("key", DATA), AT, result=ANY, aliases=("state_getStorageSizeAt",))
def _storage_size(client: Client, key: bytes, at: bytes | None) -> int | None:
    """Return the size of an entry in bytes, null if there is none."""
    value = _storage(client, key, at)
    return None if value is None else len(value)


@method("state_queryStorageAt", Param("keys", array(DATA)), AT, result=ANY)
def _query_storage(client: Client, keys: tuple[bytes, ...], at: bytes | None) -> Any:
    """Return several entries."""
    number = client.number(at)
    values = {key: client.face.storage.value(key, number) for key in keys}
    return [changes_document(client.face, number, values)]


@method(
    "state_getKeysPaged",
    Param("prefix", optional(DATA), None),
    Param("count", NUMBER, MAX_PAGE),
    Param("startKey", optional(DATA), None),
    AT,
    result=array(DATA),
    aliases=("state_getKeysPagedAt",),
)
def _keys(client: Client, prefix: bytes | None, count: int, start: bytes | None, at: bytes | None) -> list[bytes]:
    """Return keys with a prefix, page by page."""
    if count > MAX_PAGE:
        raise RpcError(4002, f"count exceeds maximum value. value: {count}, max: {MAX_PAGE}")
    return client.face.storage.keys(prefix or b"", start or None, count, client.number(at))


@method("state_call", Param("name", TEXT), Param("data", DATA), AT, result=DATA, aliases=("state_callAt",))
def _state_call(client: Client, name: str, data: bytes, at: bytes | None) -> bytes:
    """Call a function of the runtime, arguments and answer in SCALE."""
    return state_call(client.face, name, data, client.number(at))


@method("state_getMetadata", AT, result=DATA)
def _metadata(client: Client, at: bytes | None) -> bytes:
    """Return metadata of version 14."""
    client.number(at)
    return client.face.metadata(VERSIONS[0])


@method("state_getRuntimeVersion", AT, result=ANY, aliases=("chain_getRuntimeVersion",))
def _runtime_version(client: Client, at: bytes | None) -> Any:
    """Return the version of the runtime."""
    client.number(at)
    return version_document(client.face)


# system


@method("system_chain", result=TEXT)
def _chain(client: Client) -> str:
    """Return the chain's name."""
    return client.face.settings.name


@method("system_name", result=TEXT)
def _name(client: Client) -> str:
    """Return the node's name."""
    return str(client.face.settings.version()["impl_name"])


@method("system_version", result=TEXT)
def _version(_client: Client) -> str:
    """Return the node's version."""
    try:
        return version("ewasm")
    except PackageNotFoundError:
        return "unknown"


@method("system_chainType", result=TEXT)
def _chain_type(_client: Client) -> str:
    """Return the kind of chain."""
    return "Development"


@method("system_properties", result=ANY)
def _properties(_client: Client) -> Any:
    """Return how addresses and amounts are shown."""
    return {"ss58Format": SS58_PREFIX, "tokenDecimals": _DECIMALS, "tokenSymbol": "UNIT"}


@method("system_health", result=ANY)
def _health(_client: Client) -> Any:
    """Return how the node is: alone, and with all blocks there are."""
    return {"peers": 0, "isSyncing": False, "shouldHavePeers": False}


@method("system_accountNextIndex", Param("account", ACCOUNT), result=ANY, aliases=("account_nextIndex",))
def _next_index(client: Client, account: bytes) -> int:
    """Return the next nonce of an account, what waits included."""
    nonce = accounts.read(client.face.chain.state(), account).nonce
    return client.face.pool.next_nonce(account, nonce)


@method("rpc_methods", result=ANY)
def _methods(_client: Client) -> Any:
    """Return the names of all methods."""
    return {"methods": sorted(TABLE.names)}


# author


@method("author_submitExtrinsic", Param("extrinsic", DATA), result=DATA)
def _submit(client: Client, data: bytes) -> bytes:
    """Take an extrinsic and return its hash."""
    return client.face.submit(data)


@method("author_pendingExtrinsics", result=array(DATA))
def _pending(client: Client) -> list[bytes]:
    """Return the extrinsics that wait."""
    return [entry.extrinsic.encoded for entry in client.face.pool]


@method("author_submitAndWatchExtrinsic", Param("extrinsic", DATA), result=TEXT)
def _watch(client: Client, data: bytes) -> str:
    """Take an extrinsic and tell what becomes of it."""
    return client.subscriptions.extrinsic(client.listening(), data)


# payment


@method("payment_queryInfo", Param("extrinsic", DATA), AT, result=ANY)
def _query_info(client: Client, data: bytes, at: bytes | None) -> Any:
    """Return weight and greatest fee of an extrinsic."""
    client.number(at)
    info = fee_info(client.face, client.face.read(data))
    weight = {"refTime": info["weight"]["ref_time"], "proofSize": info["weight"]["proof_size"]}
    return {"weight": weight, "class": "normal", "partialFee": str(info["partial_fee"])}


# Subscriptions


@method("chain_subscribeNewHeads", result=TEXT, aliases=("chain_subscribeNewHead", "chain_subscribeAllHeads"))
def _new_heads(client: Client) -> str:
    """Tell of every new block."""
    return client.subscriptions.heads(client.listening(), "chain_newHead")


@method("chain_subscribeFinalizedHeads", result=TEXT, aliases=("chain_subscribeFinalisedHeads",))
def _final_heads(client: Client) -> str:
    """Tell of every block once it is final."""
    return client.subscriptions.heads(client.listening(), "chain_finalizedHead")


@method("state_subscribeStorage", Param("keys", array(DATA)), result=TEXT)
def _subscribe_storage(client: Client, keys: tuple[bytes, ...]) -> str:
    """Tell of entries now and when they change."""
    return client.subscriptions.storage(client.listening(), keys)


@method("state_subscribeRuntimeVersion", result=TEXT, aliases=("chain_subscribeRuntimeVersion",))
def _subscribe_version(client: Client) -> str:
    """Tell of the runtime's version."""
    return client.subscriptions.version(client.listening())


@method(
    "author_unwatchExtrinsic",
    Param("subscription", TEXT),
    result=ANY,
    aliases=(
        "chain_unsubscribeNewHeads",
        "chain_unsubscribeNewHead",
        "chain_unsubscribeAllHeads",
        "chain_unsubscribeFinalizedHeads",
        "chain_unsubscribeFinalisedHeads",
        "state_unsubscribeStorage",
        "state_unsubscribeRuntimeVersion",
        "chain_unsubscribeRuntimeVersion",
    ),
)
def _unsubscribe(client: Client, subscription: str) -> bool:
    """End a subscription."""
    return client.subscriptions.remove(client.listening(), subscription)
