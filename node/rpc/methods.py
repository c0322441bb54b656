"""All methods, in the order of the documentation; and those that tell of them."""

from __future__ import annotations

from typing import Any, Final

from node.rpc import about, contracts, debug, developer, eth, openrpc, sending, watching
from node.rpc.execution import EXECUTION
from node.rpc.kinds import OBJECT
from node.rpc.service import Context
from node.rpc.table import MethodTable

METHODS: Final = MethodTable()
for _part in (eth, sending, watching, about):
    METHODS.include(_part.TABLE)


@METHODS.method("rpc_modules", result=OBJECT)
def modules(_ctx: Context) -> dict[str, str]:
    """Return the prefixes of the methods there are."""
    return dict.fromkeys(sorted({name.partition("_")[0] for name in METHODS.names if "_" in name}), "1.0")


@METHODS.method("rpc.discover", result=OBJECT)
def discover(_ctx: Context) -> dict[str, Any]:
    """Return this table as an OpenRPC document (EIP-1901)."""
    return openrpc.document(METHODS)


for _part in (debug, contracts, developer):
    METHODS.include(_part.TABLE)
METHODS.include(EXECUTION)
