"""Subscriptions: heads, storage and extrinsics, as they happen."""

from __future__ import annotations

import heapq
import json
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from node.rpc.errors import LIMIT_EXCEEDED, SERVER_ERROR, RpcError
from node.rpc.session import Session
from node.substrate.face import Face
from node.substrate.scale import encode
from node.substrate.types import DIGEST_ITEM

FINALITY: Final = 0.3
"""Seconds after which a block is told to be final. Told at once, a client would drop the news of the block itself."""


_HEADS: Final = ("chain_newHead", "chain_finalizedHead")


class Later:
    """Does things after a while, in order, on one thread of its own."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="ewasm finality", daemon=True)
        self._thread.start()

    def do(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something after so many seconds."""
        with self._changed:
            self._count += 1
            heapq.heappush(self._due, (time.monotonic() + seconds, self._count, what))
            self._changed.notify()

    def close(self) -> None:
        """Do nothing more."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._ended and (not self._due or self._due[0][0] > time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._ended:
                    return
                what = heapq.heappop(self._due)[2]
            what()


@dataclass(slots=True)
class _Subscription:
    """Who hears of what; `kind` is the method of its notifications, `last` what storage was last told to be."""

    session: Session
    kind: str
    keys: tuple[bytes, ...] = ()
    last: dict[bytes, bytes | None] = field(default_factory=dict)
    end: Callable[[], None] | None = None


class Subscriptions:
    """The subscriptions of all connections; safe to use from any thread."""

    def __init__(self, face: Face, limit: int) -> None:
        self._face = face
        self._limit = limit
        self._lock = threading.Lock()
        self._subscriptions: dict[str, _Subscription] = {}
        self._later = Later()
        face.on_block(self._block)

    def close(self) -> None:
        """Tell nobody anything more."""
        self._later.close()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def _add(self, subscription: _Subscription, begin: Callable[[], Any] = lambda: None) -> str:
        """Add a subscription, and tell what `begin` returns before anything else."""
        session = subscription.session
        with self._lock:
            if session.closed:  # and forgotten, or about to be
                raise RpcError(SERVER_ERROR, "the connection is gone")
            if len(session.subscriptions) >= self._limit:
                raise RpcError(LIMIT_EXCEEDED, f"too many subscriptions: at most {self._limit}")
            first = begin()
            identifier = secrets.token_urlsafe(12)
            session.subscribed(identifier)
            self._subscriptions[identifier] = subscription
            if first is not None:
                self._notify(identifier, session, subscription.kind, first)
        return identifier

    def heads(self, session: Session, kind: str) -> str:
        """Tell of every new head, beginning with the last; `kind` is `chain_newHead` or `chain_finalizedHead`."""
        face = self._face
        return self._add(_Subscription(session, kind), lambda: header_document(face, face.blocks.last))

    def version(self, session: Session) -> str:
        """Tell of the runtime's version, which never changes."""
        return self._add(_Subscription(session, "state_runtimeVersion"), lambda: version_document(self._face))

    def storage(self, session: Session, keys: Sequence[bytes]) -> str:
        """Tell of entries now, and whenever one changes."""
        subscription = _Subscription(session, "state_storage", tuple(keys))

        def begin() -> dict[str, Any]:
            number = self._face.blocks.last
            subscription.last.update((key, self._face.storage.value(key, number)) for key in keys)
            return changes_document(self._face, number, subscription.last)

        return self._add(subscription, begin)

    def extrinsic(self, session: Session, data: bytes) -> str:
        """Take an extrinsic and tell what becomes of it; raise `ExtrinsicRefused`."""
        kind = "author_extrinsicUpdate"
        subscription = _Subscription(session, kind)
        identifier = self._add(subscription)

        def tell(status: Any) -> None:
            self._notify(identifier, session, kind, status)
            if isinstance(status, dict) and "inBlock" in status:
                final = {"finalized": status["inBlock"]}
                self._later.do(FINALITY, lambda: self._notify(identifier, session, kind, final))

        try:
            end = self._face.pool.watch(self._face.read(data).hash, tell)
            with self._lock:
                subscription.end = end
                gone = identifier not in self._subscriptions
            if gone:  # with its connection
                end()
            self._face.submit(data)
        except Exception:
            self.remove(session, identifier)
            raise
        return identifier

    def remove(self, session: Session, identifier: str) -> bool:
        """Remove a subscription of a connection; tell whether there was one."""
        with self._lock:
            found = self._subscriptions.get(identifier)
            if found is None or found.session is not session:
                return False
            del self._subscriptions[identifier]
            session.unsubscribed(identifier)
        if found.end is not None:
            found.end()
        return True

    def forget(self, session: Session) -> None:
        """Remove all subscriptions of a connection that is closed."""
        with self._lock:
            identifiers = list(session.subscriptions)
        for identifier in identifiers:
            self.remove(session, identifier)

    def _block(self, number: int) -> None:
        """Tell of a new block."""
        with self._lock:
            subscriptions = list(self._subscriptions.items())
        told = any(each.kind in _HEADS for _, each in subscriptions)
        head = json.dumps(header_document(self._face, number)) if told else ""
        values: dict[bytes, bytes | None] = {}
        for identifier, each in subscriptions:
            match each.kind:
                case "chain_newHead":
                    each.session.notify(identifier, _notification(each.kind, identifier, head))
                case "state_storage":
                    self._tell_changes(identifier, each, number, values)
        final = [(name, each) for name, each in subscriptions if each.kind == "chain_finalizedHead"]
        if final:
            self._later.do(FINALITY, lambda: self._tell_final(final, head))

    def _tell_final(self, subscriptions: list[tuple[str, _Subscription]], head: str) -> None:
        for identifier, each in subscriptions:
            each.session.notify(identifier, _notification(each.kind, identifier, head))

    def _tell_changes(
        self, identifier: str, each: _Subscription, number: int, values: dict[bytes, bytes | None]
    ) -> None:
        """Tell of the entries that changed; `values` are those that were read for this block already."""
        changed = {}
        for key in each.keys:
            if key not in values:
                values[key] = self._face.storage.value(key, number)
            if values[key] != each.last[key]:
                changed[key] = each.last[key] = values[key]
        if changed:
            self._notify(identifier, each.session, each.kind, changes_document(self._face, number, changed))

    @staticmethod
    def _notify(identifier: str, session: Session, kind: str, result: Any) -> None:
        session.notify(identifier, _notification(kind, identifier, json.dumps(result)))


def _notification(kind: str, identifier: str, result: str) -> str:
    """Return the message of a notification; the result is JSON already."""
    return f'{{"jsonrpc":"2.0","method":"{kind}","params":{{"subscription":"{identifier}","result":{result}}}}}'


def hexed(data: bytes) -> str:
    """Return bytes as clients read them."""
    return "0x" + data.hex()


def header_document(face: Face, number: int) -> dict[str, Any] | None:
    """Return a header as JSON, None if there is no such block."""
    header = face.blocks.header(number)
    if header is None:
        return None
    logs = [hexed(encode(DIGEST_ITEM, item)) for item in header["digest"]["logs"]]
    return {
        "parentHash": hexed(header["parent_hash"]),
        "number": hex(header["number"]),
        "stateRoot": hexed(header["state_root"]),
        "extrinsicsRoot": hexed(header["extrinsics_root"]),
        "digest": {"logs": logs},
    }


def version_document(face: Face) -> dict[str, Any]:
    """Return the runtime's version as JSON."""
    version = face.settings.version()
    return {
        "specName": version["spec_name"],
        "implName": version["impl_name"],
        "authoringVersion": version["authoring_version"],
        "specVersion": version["spec_version"],
        "implVersion": version["impl_version"],
        "apis": [[hexed(name), number] for name, number in version["apis"]],
        "transactionVersion": version["transaction_version"],
        "stateVersion": version["state_version"],
    }


def changes_document(face: Face, number: int, values: dict[bytes, bytes | None]) -> dict[str, Any]:
    """Return entries at a block as JSON."""
    changes = [[hexed(key), None if value is None else hexed(value)] for key, value in values.items()]
    return {"block": hexed(face.blocks.hash(number) or b""), "changes": changes}
