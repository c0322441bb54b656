"""The server of the Substrate side: its methods over a face, on a port of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from node.rpc.access import Access
from node.rpc.dispatch import Dispatcher
from node.rpc.errors import RpcError
from node.rpc.execution import MAX_ASKING, Executions
from node.rpc.limits import Limits
from node.rpc.server import THREADS, Server
from node.rpc.session import Session
from node.substrate.face import Face
from node.substrate.methods import TABLE, Client, translate
from node.substrate.subscriptions import Subscriptions


class SubstrateServer:
    """Serves a face over HTTP and WebSocket; `elsewhere`, `start` and `stop` are those of `Server`."""

    def __init__(
        self,
        face: Face,
        *,
        executions: Executions | None = None,
        access: Access | None = None,
        limits: Limits | None = None,
        elsewhere: Callable[[bytes | str], Awaitable[str] | None] = lambda _: None,
        on_call: Callable[[str, RpcError | None], None] = lambda _name, _error: None,
        on_fault: Callable[[str, Exception], None] = lambda _name, _fault: None,
    ) -> None:
        self.face = face
        limits = limits or Limits()
        self.subscriptions = Subscriptions(face, limits.subscriptions)
        self.executions = executions or Executions.on(face.chain.machine)
        dispatcher = Dispatcher(TABLE, limits, translate=translate, on_call=on_call, on_fault=on_fault)
        self._server = Server(
            dispatcher,
            self._client,
            access=access,
            threads=THREADS + MAX_ASKING,
            elsewhere=elsewhere,
            on_close=self.subscriptions.forget,
        )

    def _client(self, developer: bool, session: Session | None) -> Client:  # noqa: FBT001  # as the server calls it
        return Client(self.face, self.subscriptions, self.executions, developer, session)

    async def start(self, host: str, port: int) -> list[tuple[str, int]]:
        """Listen; return the addresses and ports. Raise OSError where that is not possible."""
        return await self._server.start(host, port)

    async def stop(self) -> bool:
        """End all connections and leave the chain as any other; tell whether all requests have ended."""
        ended = await self._server.stop()
        self.subscriptions.close()
        self.face.close()
        return ended
