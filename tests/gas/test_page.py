"""The page of a profile as a file: what stands in it, and what cannot get out of its place."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from gas.page import embedded, page
from gas.report import Labels, as_json
from tests.gas.pages import HOSTILE, measured, module
from tests.helpers import fixture_code, wat
from wasm.decode import decode
from wasm.listing import listing
from wasm.names import printable


class Reader(HTMLParser):
    """Someone who reads a page as a browser does: its elements, and the text of the script with the data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.title = self.data = ""
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = dict(attrs).get("id") or tag

    def handle_endtag(self, _tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "data":
            self.data += data
        elif self.inside == "title":
            self.title += data


def read(code: bytes, title: str = "a title", **options: Any) -> tuple[Reader, Any]:
    profile = measured(code, **options)
    labels = Labels(profile)
    return Reader(page(profile, labels, title, [("status", "<b>&")])), as_json(profile, labels)


def test_the_page_carries_the_profile() -> None:
    reader, document = read(fixture_code("counter"), data=bytes.fromhex("d09de08a"))
    data = json.loads(reader.data)
    assert data["profile"] == json.loads(json.dumps(document))
    assert (data["title"], data["facts"], reader.title) == ("a title", [["status", "<b>&"]], "a title")


def test_the_page_needs_nothing_else() -> None:
    reader, _ = read(fixture_code("counter"))
    for tag, attributes in reader.elements:
        assert not {"src", "srcset", "action"} & attributes.keys(), tag
        assert attributes.get("href", "#").startswith(("#", "data:")), tag
    (policy,) = [a["content"] for t, a in reader.elements if t == "meta" and a.get("http-equiv")]
    assert policy.startswith("default-src 'none';")


def test_functions_that_ran_are_listed() -> None:
    code = module(("first", "(call 1)"), ("second", "nop"), ("third", "nop"))
    reader, _ = read(code)
    (listings,) = json.loads(reader.data)["listings"]
    assert list(listings) == ["0", "1"]
    assert [text for _, _, text, _ in listings["0"]] == ["call 1 second", "end"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_stay_where_they_belong(name: str) -> None:
    plain, _ = read(module(("main", "(call 1)"), ("harmless", "nop")))
    reader, _ = read(module(("main", "(call 1)"), (name, "nop")), title=name)
    assert reader.elements == plain.elements
    assert reader.title == name
    data = json.loads(reader.data)
    assert printable(name) in {row["name"] for row in data["profile"]["summary"]}


def test_data_cannot_end_its_script() -> None:
    value = {"</script>": ["<!--", "<script>", "&amp;", "\u2028", "]]>"]}
    text = embedded(value)
    assert not re.search(r"[<>&]", text)
    assert text.isascii()
    assert json.loads(text) == value


def test_code_that_is_no_module_has_no_listing() -> None:
    reader, _ = read(b"not a module")
    assert json.loads(reader.data)["listings"] == [{}]


# Listings


def lines(text: str) -> list[str]:
    found = decode(wat(text), keep_customs=True)
    function = found.functions[0]
    return ["  " * line.depth + line.text for line in listing(found, function, found.all_names())]


def test_a_listing_reads_like_the_text_format() -> None:
    assert lines(
        """(module (memory 1) (table 1 funcref) (type $t (func (param i32) (result i32)))
          (func $main (param i32) (result i32) (local i64)
            (block (loop (if (result i32) (local.get 0) (then (i32.const -5)) (else (i32.load offset=8 align=2 (i32.const 1)))) drop (br_if 1 (i32.const 0))))
            (local.set 1 (i64.load32_u (i32.const 4)))
            (block (br_table 0 1 0 (local.get 0)))
            (drop (memory.grow (i32.const 1)))
            (memory.copy (i32.const 1) (i32.const 2) (i32.const 3))
            (call_indirect (type $t) (i32.const 1) (i32.const 0))
            (call $main)
            (i64.store (i32.const 0) (i64.const 9))))"""
    ) == [
        "block",
        "  loop",
        "    local.get 0",
        "    if (result i32)",
        "      i32.const -5",
        "    else",
        "      i32.const 1",
        "      i32.load offset=8 align=2",
        "    end",
        "    drop",
        "    i32.const 0",
        "    br_if 1",
        "  end",
        "end",
        "i32.const 4",
        "i64.load32_u",
        "local.set 1",
        "block",
        "  local.get 0",
        "  br_table 0 1 0",
        "end",
        "i32.const 1",
        "memory.grow",
        "drop",
        "i32.const 1",
        "i32.const 2",
        "i32.const 3",
        "memory.copy",
        "i32.const 1",
        "i32.const 0",
        "call_indirect (type 0)",
        "call 0 main",
        "i32.const 0",
        "i64.const 9",
        "i64.store",
        "end",
    ]  # fmt: skip


def test_long_tables_of_targets_are_cut() -> None:
    text = lines(f"(module (func (br_table {'0 ' * 40} (i32.const 0))))")
    assert text[1] == "br_table " + "0 " * 16 + "… 0"


def test_offsets_are_those_of_the_module() -> None:
    code = wat("(module (func nop (drop (i32.const 300))))")
    found = decode(code)
    (function,) = found.functions
    for line, byte in zip(listing(found, function, {}), (0x01, 0x41, 0x1A, 0x0B), strict=True):
        assert code[line.offset] == byte
