"""What one WebSocket connection has: subscriptions, and what is still to be sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from node.rpc.limits import Limits
from node.rpc.questions import Questions

TOO_SLOW: Final = "notifications are read too slowly: {} are waiting, which is the limit"


@dataclass(slots=True)
class Frame:
    """One message to send.

    `slot` tells that it answers a request, `binary` that the request was binary, `question` that it is one of ours.
    """

    text: str
    binary: bool = False
    slot: bool = False
    question: bool = False


@dataclass(slots=True)
class Held:
    """Notifications of a subscription whose id the client does not know yet."""

    texts: list[str] = field(default_factory=list)


class Session:
    """A connection's queue; only the event loop's thread touches it, except through `notify`.

    Notifications wait in a bounded queue. When it is full, the client does not read what it subscribed to: `too_slow`
    is set, and whoever waits for it closes the connection. Answers are bounded by the requests in flight.
    """

    def __init__(self, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.too_slow = asyncio.Event()
        self.slots = asyncio.Semaphore(limits.in_flight)
        self.subscriptions: set[str] = set()
        self._held: dict[str, Held] = {}
        self._queue: asyncio.Queue[Frame] = asyncio.Queue()
        self._waiting = 0
        self._loop = loop
        self._closed = False
        self.questions = Questions(lambda text: self._in_loop(lambda: self._ask(text)))
        self._asking = asyncio.Event()

    def subscribed(self, subscription: str) -> None:
        """Take note of a new subscription; its notifications are held until `announce`. Safe from any thread."""
        self._held[subscription] = Held()
        self.subscriptions.add(subscription)

    def unsubscribed(self, subscription: str) -> None:
        """Forget a subscription. Safe from any thread."""
        self.subscriptions.discard(subscription)
        self._held.pop(subscription, None)

    def announce(self) -> None:
        """Let the notifications of new subscriptions go: the answers that name them are in the queue."""
        for subscription in list(self._held):
            held = self._held.pop(subscription, None)
            for text in held.texts if held else ():
                self._push(text)

    def notify(self, subscription: str, text: str) -> None:
        """Queue a notification; safe from any thread, in order."""
        self._in_loop(lambda: self._notify(subscription, text))

    def _notify(self, subscription: str, text: str) -> None:
        held = self._held.get(subscription)
        if held is None:
            if subscription in self.subscriptions:
                self._push(text)
        elif len(held.texts) < self.limits.queue:
            held.texts.append(text)
        else:
            self.too_slow.set()

    def _push(self, text: str) -> None:
        if self._waiting >= self.limits.queue:
            self.too_slow.set()
        else:
            self._waiting += 1
            self._queue.put_nowait(Frame(text))

    def answer(self, text: str, *, binary: bool) -> None:
        """Queue an answer; its request's slot is free again once it is sent."""
        self._queue.put_nowait(Frame(text, binary, slot=True))

    def _ask(self, text: str) -> None:
        self._asking.set()
        self._queue.put_nowait(Frame(text, question=True))

    def take(self, data: bytes | str) -> bool:
        """Take a message if it answers a question of ours; tell whether it does."""
        taken = self.questions.take(data)
        if not self.questions.open:
            self._asking.clear()
        return taken

    async def room(self) -> bool:
        """Wait for a slot, and tell whether there is one: an open question ends the wait, its answer is to be read."""
        if not self.slots.locked():
            return await self.slots.acquire()
        slot = asyncio.ensure_future(self.slots.acquire())
        asking = asyncio.ensure_future(self._asking.wait())
        try:
            await asyncio.wait((slot, asking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
            if not slot.done():
                slot.cancel()
        return slot.done() and not slot.cancelled()

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed

    async def next_frame(self) -> Frame:
        """Return what is to be sent next, once there is something."""
        return await self._queue.get()

    def sent(self, frame: Frame) -> None:
        """Take note that a frame was sent."""
        if frame.slot:
            self.slots.release()
        elif not frame.question:
            self._waiting -= 1

    def close(self) -> None:
        """Take no more."""
        self._closed = True
        self.questions.close()

    def _in_loop(self, run: Callable[[], None]) -> None:
        if not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(run)
