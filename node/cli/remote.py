"""Asking a node over JSON-RPC, for commands that take `--rpc`."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Final

import click

from evmc.reading import read_json
from node.cli.options import InputError, UrlParam
from node.witness import Witness, WitnessError
from node.witnessfile import parse

MAX_ANSWER: Final = 64 << 20
"""Bytes of an answer that is read."""

SECONDS: Final = 300
"""How long a node may take."""


rpc_option = click.option("--rpc", type=UrlParam(), help="Address of a node, such as http://127.0.0.1:8545.")


def ask(url: str, method: str, *params: Any) -> Any:
    """Return the result of a method; raise InputError that names the node and says what it answered."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  # checked: UrlParam
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310  # the same
            text = response.read(MAX_ANSWER + 1)
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise InputError(f"{url}: {reason}; is a node there? start one with: ewasm node") from error
    if len(text) > MAX_ANSWER:
        raise InputError(f"{url}: {method}: an answer of more than {MAX_ANSWER} bytes")
    try:
        answer = read_json(text)
    except ValueError as error:
        raise InputError(f"{url}: {method}: an answer that is not JSON") from error
    refusal = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(refusal, dict):
        raise InputError(f"{url}: {method}: {refusal.get('message')!s:.300}")
    if not isinstance(answer, dict) or "result" not in answer:
        raise InputError(f"{url}: {method}: an answer that is none of JSON-RPC")
    return answer["result"]


def block_witness(url: str, block: str) -> Witness:
    """Return the witness of a block that a node has, by number, hash, tag or a transaction's hash."""
    name = hex(int(block)) if block.isascii() and block.isdigit() and len(block) < 20 else block
    found = ask(url, "ewasm_executionWitness", name)
    try:
        return parse(json.dumps(found))
    except WitnessError as error:
        raise InputError(f"{url}: {error}") from error


def state_root(url: str, number: int) -> str:
    """Return the state root in the header of a block."""
    header = ask(url, "eth_getBlockByNumber", hex(number), False)  # noqa: FBT003  # JSON's
    root = header.get("stateRoot") if isinstance(header, dict) else None
    if not isinstance(root, str):
        raise InputError(f"{url}: block {number} has no header there")
    return root
