"""What is made of the table of methods: an OpenRPC document, and the page `docs/rpc.md`."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from node.rpc.service import client_version
from node.rpc.table import Method, MethodTable, Param

OPENRPC: Final = "1.3.2"

_PAGE: Final = """# JSON-RPC methods

What `ewasm node` answers, over HTTP and WebSocket on one port; [node.md](node.md) tells how it is run and who may ask.
This page is made from the table of methods (`python -m node.rpc.openrpc > docs/rpc.md`), and so is the OpenRPC document
that the method `rpc.discover` returns. Parameters are given by position or by name; *[in brackets]* are those that may
be left out, with what they stand for. **Developer** methods are open to this machine only, unless the node was started
with `--allow-dev-methods`.

Quantities are hex with `0x`, or JSON numbers; data are hex with an even number of digits; a *block* is `latest`,
`pending`, `earliest`, `safe`, `finalized`, a number, or an object with `blockHash` or `blockNumber` (EIP-1898).

| error | means |
|---|---|
| -32700 | no JSON |
| -32600 | no request, an empty or too long batch, nested too deep |
| -32601 | no such method |
| -32602 | parameters that the method cannot take; the message names the one |
| -32603 | a bug of the node |
| -32000 | refused: the transaction, the block, the call; the message begins as geth's does |
| -32005 | more than a limit allows |
| 3 | the contract reverted; `data` is what it returned |
"""


def document(table: MethodTable) -> dict[str, Any]:
    """Return the OpenRPC document of a table; an alias is a method of its own there."""
    return {
        "openrpc": OPENRPC,
        "info": {"title": "ewasm node", "version": client_version().split("/")[1].removeprefix("v")},
        "methods": [_entry(name, method) for method in table for name in (method.name, *method.aliases)],
    }


def _entry(name: str, method: Method) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": name,
        "summary": method.doc,
        "paramStructure": "either",
        "params": [_param(param) for param in method.params],
        "result": {"name": method.result.name, "schema": method.result.schema},
    }
    if method.developer:
        entry["tags"] = [{"name": "developer"}]
    return entry


def _param(param: Param) -> dict[str, Any]:
    schema = dict(param.kind.schema)
    if not param.required and param.default is not None:
        schema["default"] = param.default
    return {"name": param.name, "required": param.required, "schema": schema}


def page(table: MethodTable) -> str:
    """Return the page of a table."""
    groups: dict[str, list[Method]] = {}
    for method in table:
        groups.setdefault(_group(method), []).append(method)
    parts = [_PAGE]
    for group, methods in groups.items():
        rows = ["| method | parameters | result | does |", "|---|---|---|---|", *map(_row, methods)]
        parts.append(f"\n## {group}\n\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def _group(method: Method) -> str:
    prefix = method.name.replace(".", "_").partition("_")[0]
    return {
        "eth": "Ethereum",
        "personal": "Ethereum",
        "web3": "The node",
        "net": "The node",
        "rpc": "The node",
        "txpool": "The pool",
        "evm": "Development",
        "anvil": "Development",
        "hardhat": "Development",
        "debug": "Traces",
        "ewasm": "Contracts",
    }[prefix]


def _row(method: Method) -> str:
    names = " ".join(f"`{name}`" for name in (method.name, *method.aliases))
    params = ", ".join(map(_shown, method.params)) or "none"
    mark = " **Developer.**" if method.developer else ""
    return f"| {names} | {params} | {method.result.name} | {method.doc}{mark} |"


def _shown(param: Param) -> str:
    if param.required:
        return f"{param.name}: {param.kind.name}"
    default = "" if param.default is None else f" = {json.dumps(param.default)}"
    return f"[{param.name}: {param.kind.name}{default}]"


if __name__ == "__main__":
    from node.rpc.methods import METHODS

    sys.stdout.write(page(METHODS))
