"""Small damage to modules, with the sizes around it made right again: to bytes, or to whole instructions."""

from __future__ import annotations

from random import Random

from fixtures.hostile import CODE, PREAMBLE, section, sized, unsigned
from wasm.decode import decode
from wasm.instructions import ROWS

_BYTES = (0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0B, 0x0C, 0x0D, 0x0F, 0x10, 0x1A, 0x1B, 0x20, 0x21, 0x40, 0x41, 0x42)
_TYPES = (0x40, 0x6F, 0x70, 0x7C, 0x7D, 0x7E, 0x7F, 0x80, 0xD0, 0xD1, 0xD2, 0xFC, 0xFF)

_PLAIN = tuple(row.code for row in ROWS if row.immediate == "-" and row.code < 0x100)


def leb(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned integer; return it and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at


def sections(binary: bytes) -> list[tuple[int, bytes]]:
    """Take a module apart."""
    found, at = [], len(PREAMBLE)
    while at < len(binary):
        size, start = leb(binary, at + 1)
        found.append((binary[at], binary[start : start + size]))
        at = start + size
    return found


def bodies(code: bytes) -> list[bytes]:
    """Take a code section apart."""
    count, at = leb(code, 0)
    found = []
    for _ in range(count):
        size, start = leb(code, at)
        found.append(code[start : start + size])
        at = start + size
    return found


def join(parts: list[tuple[int, bytes]]) -> bytes:
    """Put a module together."""
    return PREAMBLE + b"".join(section(kind, content) for kind, content in parts)


def bend(rng: Random, data: bytes) -> bytes:
    """Change a few bytes."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(out) + 1)
        what = rng.random()
        byte = rng.choice((*_BYTES, *_TYPES)) if rng.random() < 0.7 else rng.randrange(256)
        if what < 0.2 or at == len(out):
            out.insert(at, byte)
        elif what < 0.4:
            del out[at]
        elif what < 0.5:
            other = rng.randrange(len(out))
            out[at:at] = out[other : other + rng.randint(1, 6)]
        elif what < 0.6:
            out[at] ^= 1 << rng.randrange(8)
        elif what < 0.7:
            out[at] = (out[at] + rng.choice((-1, 1))) & 0xFF
        else:
            out[at] = byte
    return bytes(out)


def mutate(rng: Random, binary: bytes) -> bytes:
    """Damage a module a little, mostly inside a function or another section."""
    if rng.random() < 0.1:
        return bend(rng, binary)
    parts = sections(binary)
    index = rng.randrange(len(parts))
    code = next((n for n, (kind, _) in enumerate(parts) if kind == CODE), None)
    if code is not None and rng.random() < 0.7:
        index = code
    kind, content = parts[index]
    if kind == CODE and rng.random() < 0.9 and (found := bodies(content)):
        number = rng.randrange(len(found))
        found[number] = bend(rng, found[number])
        content = unsigned(len(found)) + b"".join(map(sized, found))
    else:
        content = bend(rng, content)
    parts[index] = kind, content
    return join(parts)


def shuffle(rng: Random, binary: bytes) -> bytes:
    """Take out, double, exchange or replace instructions of a valid module; most results can be decoded."""
    module = decode(binary)
    functions = []
    for function in module.functions:
        starts = [at for _, _, at in function.body]
        ends = [*starts[1:], starts[-1] + 1]
        functions.append([binary[at:end] for at, end in zip(starts, ends, strict=True)])
    victim = rng.randrange(len(functions))
    code = functions[victim]
    for _ in range(rng.choice((1, 1, 1, 2))):
        at = rng.randrange(len(code))
        what = rng.random()
        if what < 0.2:
            del code[at]
        elif what < 0.4:
            code.insert(at, rng.choice(rng.choice(functions) or [b"\x01"]))
        elif what < 0.5:
            other = rng.randrange(len(code))
            code[at], code[other] = code[other], code[at]
        elif what < 0.7:
            code[at] = bytes([rng.choice(_PLAIN)])
        elif what < 0.85 and len(code[at]) > 1:
            code[at] = code[at][:-1] + bytes([(code[at][-1] + rng.choice((-1, 1))) & 0x7F])
        else:
            code.insert(at, rng.choice((b"\x1a", b"\x20\x00", b"\x41\x00", b"\x42\x00", b"\x0c\x00", b"\x00", b"\x0f")))
        if not code:
            break
    written = []
    for function, instructions in zip(module.functions, functions, strict=True):
        start, end = function.body[0].offset, function.offset
        _, end = leb(binary, end)
        written.append(sized(binary[end:start] + b"".join(instructions)))
    content = unsigned(len(written)) + b"".join(written)
    return join([(kind, content if kind == CODE else old) for kind, old in sections(binary)])
