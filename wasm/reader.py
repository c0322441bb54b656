"""Reading the binary format's integers, bytes and names (specification, sections 5.1 and 5.2)."""

from __future__ import annotations

from wasm.errors import Malformed


class Reader:
    """A position in a stretch of bytes that starts at `base` in the module.

    `widths` collects, by offset, the widths of sizes and of integers that are written longer than need be.
    """

    __slots__ = ("base", "data", "pos", "widths")

    def __init__(self, data: bytes, base: int, widths: dict[int, int]) -> None:
        self.data = data
        self.base = base
        self.pos = 0
        self.widths = widths

    @property
    def offset(self) -> int:
        """The current byte offset in the module."""
        return self.base + self.pos

    @property
    def left(self) -> int:
        """The number of bytes that remain."""
        return len(self.data) - self.pos

    def byte(self) -> int:
        """Read one byte."""
        try:
            value = self.data[self.pos]
        except IndexError:
            raise Malformed("unexpected end", self.offset) from None
        self.pos += 1
        return value

    def peek(self) -> int:
        """Return the next byte without reading it."""
        byte = self.byte()
        self.pos -= 1
        return byte

    def take(self, count: int) -> bytes:
        """Read `count` bytes."""
        if count > self.left:
            raise Malformed(f"unexpected end: {count} bytes wanted, {self.left} remain", self.offset)
        self.pos += count
        return self.data[self.pos - count : self.pos]

    def u32(self) -> int:
        """Read an unsigned 32-bit integer in LEB128."""
        try:
            value = self.data[self.pos]
        except IndexError:
            raise Malformed("unexpected end", self.offset) from None
        if value < 0x80:
            self.pos += 1
            return value
        return self._leb(32, signed=False)

    def s32(self) -> int:
        """Read a signed 32-bit integer in LEB128."""
        return self._leb(32, signed=True)

    def s33(self) -> int:
        """Read a signed 33-bit integer in LEB128 (block and heap types)."""
        return self._leb(33, signed=True)

    def s64(self) -> int:
        """Read a signed 64-bit integer in LEB128."""
        return self._leb(64, signed=True)

    def u64(self) -> int:
        """Read an unsigned 64-bit integer in LEB128."""
        return self._leb(64, signed=False)

    def _leb(self, bits: int, *, signed: bool) -> int:
        start = self.pos
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                raise Malformed("integer representation too long", self.base + start)
        width = self.pos - start
        if signed:
            if byte & 0x40:
                value -= 1 << shift
            if not -(1 << bits - 1) <= value < 1 << bits - 1:
                raise Malformed("integer too large", self.base + start)
            if width > 1 and byte == (0x7F if value < 0 else 0) and (self.data[self.pos - 2] ^ byte) & 0x40 == 0:
                self.widths[self.base + start] = width
        else:
            if value >> bits:
                raise Malformed("integer too large", self.base + start)
            if width > 1 and byte == 0:
                self.widths[self.base + start] = width
        return value

    def count(self) -> int:
        """Read the length of a vector; refuse one that the remaining bytes cannot hold."""
        start = self.offset
        count = self.u32()
        if count > self.left:
            raise Malformed(f"length out of bounds: {count} items, {self.left} bytes remain", start)
        return count

    def name(self) -> str:
        """Read a name in UTF-8."""
        start = self.offset
        raw = self.take(self.count())
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise Malformed("malformed UTF-8 encoding", start) from None

    def sized(self) -> Reader:
        """Return a reader of the content that follows, behind its size; it is skipped here."""
        at = self.offset
        size = self.u32()
        self.widths[at] = self.offset - at
        if size > self.left:
            raise Malformed(f"length out of bounds: {size} bytes, {self.left} remain", at)
        base = self.offset
        return Reader(self.take(size), base, self.widths)

    def finish(self, what: str) -> None:
        """Raise Malformed if bytes remain."""
        if self.left:
            raise Malformed(f"size mismatch: {self.left} bytes are left at the end of {what}", self.offset)
