"""The chain's blocks as Substrate has them: headers, bodies, events.

Every block of the chain is one here too, under a hash of its own kind: a header of Substrate that names the block's
own hash in its digest. A body begins with the extrinsic that sets the time, which is not kept but follows from the
block; the extrinsics behind it and their events are what the block's opening left behind.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Any, Final

from evmc import Bytes32
from node.chain.block import Header
from node.chain.reader import Reader as ChainReader
from node.substrate import types as t
from node.substrate.extrinsic import unsigned
from node.substrate.hashing import blake2_256
from node.substrate.pallets import EVENTS
from node.substrate.runtime import Event
from node.substrate.scale import BYTES, Reader, Sequence, decode, encode
from node.substrate.settings import weight

_BODY: Final = Sequence(BYTES)
_ROW: Final = t.struct("Row", body=_BODY, events=EVENTS)


def record(index: int, event: Event) -> dict[str, Any]:
    """Return an event of the extrinsic at an index as the list of events has it."""
    return {"phase": ("ApplyExtrinsic", index), "event": event, "topics": []}


def encode_row(body: Items[bytes], events: Items[dict[str, Any]]) -> bytes:
    """Return what a block's opening leaves behind: extrinsics without their length, and their events."""
    return encode(_ROW, {"body": list(body), "events": list(events)})


def time_extrinsic(timestamp: int) -> bytes:
    """Return the extrinsic that sets the time, without its length; Unix seconds in, milliseconds in it."""
    return unsigned(("Timestamp", ("set", {"now": timestamp * 1_000}))).raw


def commitment(timestamp: int, body: Items[bytes]) -> bytes:
    """Return the hash of a block's body."""
    return blake2_256(encode(_BODY, [time_extrinsic(timestamp), *body]))


_TIME_SET: Final = record(
    0,
    (
        "System",
        (
            "ExtrinsicSuccess",
            {"dispatch_info": {"weight": weight(0), "class": ("Mandatory", None), "pays_fee": ("Yes", None)}},
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class _Known:
    """A block that was met: its hash on the chain, and here."""

    chain: Bytes32
    hash: bytes


class Blocks:
    """The blocks of a chain; any thread may ask. What is no block gives None."""

    def __init__(self, chain: ChainReader) -> None:
        self._chain = chain
        self._lock = threading.Lock()
        self._known: list[_Known] = []
        self._numbers: dict[bytes, int] = {}
        self._head: Header | None = None

    @property
    def last(self) -> int:
        """The number of the last block."""
        return self._chain.head.number

    def hash(self, number: int) -> bytes | None:
        """Return a block's hash."""
        with self._lock:
            self._follow()
            return self._known[number].hash if 0 <= number < len(self._known) else None

    def number_of(self, block_hash: bytes) -> int | None:
        """Return the number of the block with this hash."""
        with self._lock:
            self._follow()
            return self._numbers.get(block_hash)

    def _follow(self) -> None:
        """Drop what was taken out of the chain, and take in what was added: every header has the hash before it."""
        known, chain = self._known, self._chain
        head = chain.head
        if head is self._head:
            return
        while known and chain.block_hash(len(known) - 1) != known[-1].chain:
            self._numbers.pop(known.pop().hash, None)
        for number in range(len(known), head.number + 1):
            header = chain.header(number)
            made = blake2_256(encode(t.HEADER, self._header(header, known[-1].hash if known else bytes(32))))
            self._numbers[made] = number
            known.append(_Known(header.hash, made))
        self._head = head

    def header(self, number: int) -> dict[str, Any] | None:
        """Return a header's fields."""
        parent = bytes(32) if number == 0 else self.hash(number - 1)
        if parent is None or not 0 <= number <= self.last:
            return None
        return self._header(self._chain.header(number), parent)

    def _header(self, header: Header, parent: bytes) -> dict[str, Any]:
        body = encode(_BODY, self._body(header))
        return {
            "parent_hash": parent,
            "number": header.number,
            "state_root": header.state_root,
            "extrinsics_root": blake2_256(body),
            "digest": {"logs": [("Other", header.hash)]},
        }

    def body(self, number: int) -> list[bytes]:
        """Return a block's extrinsics, without their lengths; the first block has none."""
        return self._body(self._chain.header(number))

    def _body(self, header: Header) -> list[bytes]:
        if not header.number:
            return []
        row = self._chain.opening(header.number)
        sent = [] if row is None else _BODY.read(Reader(row))  # the events behind it may stay as they are
        return [time_extrinsic(header.timestamp), *sent]

    def events(self, number: int) -> list[dict[str, Any]]:
        """Return a block's events as they are encoded."""
        if not number:
            return []
        row = self._chain.opening(number)
        return [_TIME_SET, *([] if row is None else decode(_ROW, row)["events"])]

    def time(self, number: int) -> int:
        """Return a block's time in milliseconds."""
        return self._chain.header(number).timestamp * 1_000
