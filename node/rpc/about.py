"""Methods about the node itself: `web3_` and `net_`."""

from __future__ import annotations

from typing import Final

from evmc import Bytes32
from node.rpc.kinds import DATA, FLAG, HASH, QUANTITY, TEXT
from node.rpc.service import Context, client_version
from node.rpc.table import MethodTable, Param
from state import keccak256

TABLE: Final = MethodTable()


@TABLE.method("web3_clientVersion", result=TEXT)
def version(_ctx: Context) -> str:
    """Return the name and version of this node."""
    return client_version()


@TABLE.method("web3_sha3", Param("data", DATA), result=HASH)
def sha3(_ctx: Context, data: bytes) -> Bytes32:
    """Return the Keccak-256 of data."""
    return keccak256(data)


@TABLE.method("net_version", result=TEXT)
def net_version(ctx: Context) -> str:
    """Return the id of the chain in decimal digits."""
    return str(ctx.chain.chain_id)


@TABLE.method("net_listening", result=FLAG)
def listening(_ctx: Context) -> bool:
    """Return true."""
    return True


@TABLE.method("net_peerCount", result=QUANTITY)
def peer_count(_ctx: Context) -> int:
    """Return 0: this node is alone."""
    return 0


@TABLE.method("eth_protocolVersion", result=TEXT)
def protocol_version(_ctx: Context) -> str:
    """Return the version of the wire protocol that blocks and transactions are encoded for."""
    return "0x41"
