"""What people call the functions and places of a module: names from the name section, lines from DWARF.

Both are for people, never for execution, and come from whoever made the module: what is damaged or unknown is left out.
Names of Rust and C++ are made readable and lines are read if the extra `gas` is installed.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, Final, NamedTuple

from wasm.decode import decode
from wasm.errors import Malformed, WasmError
from wasm.names import function_names, printable
from wasm.reader import Reader

MAX_MANGLED: Final = 2_048
"""Characters of a name that is made readable: demanglers are not made for hostile names."""

_CODE: Final = 10
_HEADER: Final = 8
_MANGLED: Final = re.compile(r"_(?:R|ZN?)[\w.$]+")
_RUST: Final = re.compile(r"_R|_ZN.*17h[0-9a-f]{16}E")
_HASH: Final = re.compile(r"::h[0-9a-f]{16}$")


class Line(NamedTuple):
    """A line of a source file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Symbols:
    """Names and lines of one module."""

    def __init__(self, code: bytes) -> None:
        self._code = code

    @cached_property
    def names(self) -> dict[int, str]:
        """Names of functions by index, readable and not too long."""
        try:
            module = decode(self._code, keep_customs=True)
        except WasmError:
            return {}
        names = module.all_names()
        for custom in module.customs:
            if custom.name == "name":
                names |= function_names(custom.bytes, shown=MAX_MANGLED)
        return {index: printable(demangle(name)) for index, name in names.items()}

    def function(self, index: int) -> str:
        """Return a function's name, or its index in words."""
        return self.names.get(index) or f"function {index}"

    def line(self, offset: int) -> Line | None:
        """Return the line that the instruction at an offset in the module was made from."""
        starts, lines = self._lines
        found = bisect_right(starts, offset) - 1
        return lines[found] if found >= 0 else None

    @cached_property
    def _lines(self) -> tuple[list[int], list[Line | None]]:
        """Offsets from which on instructions are of a line, in order; of none behind the end of a function."""
        sections: dict[str, bytes] = {}
        start = 0
        reader = Reader(self._code[_HEADER:], _HEADER, {})
        with suppress(Malformed, UnicodeDecodeError):
            while reader.left:
                kind = reader.byte()
                part = reader.sized()
                if kind == _CODE:
                    start = part.offset
                elif kind == 0:
                    name = part.take(part.count()).decode()
                    sections[name] = part.take(part.left)
        if not start or ".debug_line" not in sections:
            return [], []
        rows = sorted(_rows(sections).items())
        return [start + address for address, _ in rows], [line for _, line in rows]


def demangle(name: str) -> str:
    """Return a Rust or C++ symbol as its programmer wrote it, anything else as it is."""
    if not _MANGLED.fullmatch(name) or len(name) > MAX_MANGLED:
        return name
    demangler = _rust if _RUST.match(name) else _cpp
    try:
        found = demangler()(name)
    except Exception:  # noqa: BLE001  # a name that the demangler does not take, or no demangler
        return name
    return _HASH.sub("", found)


def _rust() -> Callable[[str], str]:
    from rust_demangler import demangle as rust  # noqa: PLC0415  # an extra

    return rust  # type: ignore[no-any-return]


def _cpp() -> Callable[[str], str]:
    import cxxfilt  # noqa: PLC0415  # an extra; it looks for a library of the system

    return cxxfilt.demangle  # type: ignore[no-any-return]


def _rows(sections: dict[str, bytes]) -> dict[int, Line | None]:
    """Return lines by address in the code section; sections that are damaged give what was read before."""
    found: dict[int, Line | None] = {}
    try:
        from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo  # noqa: PLC0415  # an extra
    except ImportError:
        return found

    def section(name: str) -> Any:
        data = sections.get(name)
        return None if data is None else DebugSectionDescriptor(io.BytesIO(data), name, 0, len(data), 0)

    given = {f"{name}_sec": section(f".{name}") for name in _DWARF}
    with suppress(Exception):  # whatever a parser of somebody's bytes raises
        info = DWARFInfo(
            config=DwarfConfig(little_endian=True, machine_arch="wasm32", default_address_size=4),
            eh_frame_sec=None,
            gnu_debugaltlink_sec=None,
            **given,
        )
        for unit in info.iter_CUs():
            program = info.line_program_for_CU(unit)
            if program is not None:
                _read(program, found)
    return found


_DWARF: Final = tuple(
    f"debug_{name}"
    for name in (
        *("info", "aranges", "abbrev", "frame", "str", "loc", "ranges", "line", "pubtypes", "pubnames", "addr"),
        *("str_offsets", "line_str", "loclists", "rnglists", "sup", "types"),
    )
)


def _read(program: Any, found: dict[int, Line | None]) -> None:
    """Read one line program; sequences at address 0 are of functions that the linker has dropped."""
    files = program["file_entry"]
    first = 0 if program["version"] >= 5 else 1
    begun = False
    kept = False
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if not begun:
            begun, kept = True, state.address > 0
        if state.end_sequence:
            begun = False
        if not kept:
            continue
        if state.end_sequence:
            found.setdefault(state.address, None)
        elif state.line > 0 and state.file - first < len(files):
            name = files[state.file - first].name.decode(errors="replace")
            found[state.address] = Line(printable(name), state.line)
