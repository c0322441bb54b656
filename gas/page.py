"""A profile as a page: one file that needs nothing else, to be looked at in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

from gas.profile import Profile
from gas.report import Labels, as_json
from wasm.decode import decode
from wasm.errors import WasmError
from wasm.listing import listing

_TEMPLATE: Final = "page.html"


def page(profile: Profile, labels: Labels, title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return the page; `facts` are shown above everything, in order.

    Names come from contracts and may be anything: they go into the page as data only, and from there into text.
    """
    data = {
        "title": title,
        "facts": list(facts),
        "profile": as_json(profile, labels),
        "listings": [_listings(profile, labels, number) for number in range(len(profile.contracts))],
    }
    template = Path(__file__).with_name(_TEMPLATE).read_text("utf-8")
    before, _, rest = template.partition("{{title}}")
    middle, _, after = rest.partition("{{data}}")
    return f"{before}{escape(title)}{middle}{embedded(data)}{after}"


def embedded(value: Any) -> str:
    """Return JSON that can stand in a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _listings(profile: Profile, labels: Labels, contract: int) -> dict[int, list[tuple[int, int, str, str]]]:
    """Return the functions of a contract that ran, by index: of each instruction offset, depth, text, source line."""
    ran = {function for of, function in _functions(profile) if of == contract}
    symbols = labels.symbols[contract]
    try:
        module = decode(profile.contracts[contract].code, keep_customs=True)
    except WasmError:
        return {}
    imported = len(module.imported("func"))
    return {
        number: [
            (line.offset, line.depth, line.text, str(symbols.line(line.offset) or ""))
            for line in listing(module, function, symbols.names)
        ]
        for number, function in enumerate(module.functions, imported)
        if number in ran
    }


def _functions(profile: Profile) -> Iterator[tuple[int, int]]:
    """Yield the functions that were called: contract and index."""
    for node in profile.nodes:
        if node.contract is not None and node.function is not None:
            yield node.contract, node.function
