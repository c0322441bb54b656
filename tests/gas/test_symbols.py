"""Names and lines: what compilers wrote, read by libraries; what is damaged is left out."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gas.symbols import MAX_MANGLED, Line, Symbols, demangle
from tests.helpers import FIXTURES, fixture_code, wat
from wasm.decode import decode

LINES = fixture_code("lines")
SOURCE = (FIXTURES / "lines.c").read_text().splitlines()


@pytest.mark.parametrize("mark", [1_111_111, 2_222_222, 3_333_333, 4_444_444])
def test_an_instruction_is_of_the_line_that_its_constant_stands_on(mark: int) -> None:
    (offset,) = [
        at
        for function in decode(LINES).functions
        for op, imm, at in function.body
        if op.name == "i32.const" and imm == mark
    ]
    (number,) = [number for number, text in enumerate(SOURCE, 1) if str(mark) in text]
    assert Symbols(LINES).line(offset) == Line("lines.c", number)


def test_every_instruction_of_the_contract_has_a_line_of_its_function() -> None:
    symbols = Symbols(LINES)
    starts = {name: n for n, text in enumerate(SOURCE, 1) for name in ("weight", "add") if f" {name}(u32 " in text}
    starts["main"] = next(n for n, text in enumerate(SOURCE, 1) if text.startswith("CONTRACT"))
    module = decode(LINES)
    first = len(module.func_types) - len(module.functions)
    order = [*sorted(starts.values()), len(SOURCE) + 1]
    for number, function in enumerate(module.functions, first):
        begin = starts[symbols.function(number)]
        end = order[order.index(begin) + 1]
        for _, _, offset in function.body[:-1]:
            line = symbols.line(offset)
            assert line is not None
            assert begin <= line.line < end


def test_no_lines_without_debugging_data() -> None:
    assert Symbols(fixture_code("erc20")).line(1_000) is None
    assert Symbols(LINES).line(8) is None
    assert Symbols(LINES).line(len(LINES)) is None


def test_names() -> None:
    erc20 = Symbols(fixture_code("erc20"))
    assert {"main", "transfer", "mappingKey", "eei_storageStore"} <= set(erc20.names.values())
    nameless = Symbols(wat('(module (memory (export "memory") 1) (func) (func (export "main")))'))
    assert [nameless.function(index) for index in (0, 1, 2)] == ["function 0", "main", "function 2"]
    assert Symbols(b"no module").function(3) == "function 3"


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", "core::fmt::Formatter::write_str"),
        ("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"),
        ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"),
        ("_Z3addii", "add(int, int)"),
        ("main", "main"),
        ("_Znonsense", "_Znonsense"),
        ("_R", "_R"),
        ("_ZN", "_ZN"),
        ("a::b", "a::b"),
        ("_Z" + "N" * MAX_MANGLED, "_Z" + "N" * MAX_MANGLED),
    ],
)
def test_demangling(symbol: str, name: str) -> None:
    if name == "std::vector<int, std::allocator<int> >::push_back(int const&)" or name.startswith("add("):
        cxxfilt = pytest.importorskip("cxxfilt", exc_type=Exception)
        assert cxxfilt.demangle(symbol).replace("> >", ">>") == name.replace("> >", ">>")
        assert demangle(symbol) == cxxfilt.demangle(symbol)
    else:
        assert demangle(symbol) == name


def test_without_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cxxfilt", "rust_demangler", "elftools.dwarf.dwarfinfo"):
        monkeypatch.setitem(sys.modules, name, None)
    assert demangle("_RNvNtCs1234_7mycrate3foo3bar") == "_RNvNtCs1234_7mycrate3foo3bar"
    assert demangle("_Z3addii") == "_Z3addii"
    assert Symbols(LINES).line(200) is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_left_out(data: st.DataObject) -> None:
    """Whatever happens to the custom sections, there is an answer."""
    damaged = bytearray(LINES)
    start = LINES.index(b".debug_abbrev")
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(start, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    symbols = Symbols(bytes(damaged[: data.draw(st.integers(start, len(damaged)))]))
    for offset in range(0, len(LINES), 50):
        line = symbols.line(offset)
        assert line is None or line.line > 0
    assert symbols.function(0)


@given(st.text(max_size=60))
def test_any_name_is_shown(name: str) -> None:
    for prefix in ("", "_Z", "_ZN", "_R"):
        assert demangle(prefix + name) or not prefix + name
