"""web3.py over a chain in this process: the methods of the node, without a connection or JSON between."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, cast

from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from node.chain import Chain as Core
from node.rpc.dispatch import Dispatcher
from node.rpc.errors import RpcError
from node.rpc.methods import METHODS
from node.rpc.service import Context, Service, translate
from node.testing.chain import Chain


class EwasmProvider(JSONBaseProvider):
    """A provider for `Web3`: every method of `ewasm node` except subscriptions, developer methods included."""

    def __init__(self, chain: Chain | Core | None = None) -> None:
        """Serve a chain; None is a new one with the usual accounts."""
        super().__init__()
        chain = Chain() if chain is None else chain
        self.chain = chain.core if isinstance(chain, Chain) else chain
        service = Service(self.chain)
        self._context = Context.of(service)
        self._faults: list[Exception] = []
        self._dispatcher = Dispatcher(
            METHODS, translate=translate, on_fault=lambda _, fault: self._faults.append(fault)
        )
        self._ids = itertools.count()

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer a request. A fault of the node, which over a connection is an internal error, is raised."""
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": next(self._ids)}
        try:
            answer["result"] = self._dispatcher.call(method, _plain(params or []), self._context)
        except RpcError as error:
            if self._faults:
                raise self._faults.pop() from None
            answer["error"] = error.document()
        return cast("RPCResponse", answer)

    def make_batch_request(self, requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse] | RPCResponse:
        """Answer requests in their order."""
        return [self.make_request(method, params) for method, params in requests]

    def is_connected(self, show_traceback: bool = False) -> bool:  # noqa: ARG002, FBT001, FBT002  # web3's signature
        """Say yes: nothing is between."""
        return True


def _plain(value: Any) -> Any:
    """Return what JSON would make of a parameter."""
    if isinstance(value, bytes | bytearray):
        return f"0x{value.hex()}"
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
