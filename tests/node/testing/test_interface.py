"""ABIs: read from every source, signatures as the standard has them, events against eth-abi's own coder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from evmc import Address, Bytes32, Log
from node.abi import AbiError
from node.testing.contract import event_of
from node.testing.interface import Entry, Interface
from state import keccak256
from tests.helpers import FIXTURES

ABI = FIXTURES / "erc20.abi.json"
EMITTER = Address.from_int(1)


@pytest.mark.parametrize(
    "source",
    [ABI, str(ABI), ABI.read_text(), json.loads(ABI.read_text()), {"abi": json.loads(ABI.read_text())}],
    ids=["path", "name", "text", "rows", "artefact"],
)
def test_an_abi_is_read_from(source: Any) -> None:
    interface = Interface.load(source)
    # The selectors of EIP-20's functions, as every block explorer shows them.
    assert interface.by_selector[bytes.fromhex("a9059cbb")].signature == "transfer(address,uint256)"
    assert interface.by_selector[bytes.fromhex("70a08231")].reads
    topic = Bytes32.from_hex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
    assert interface.events[topic].name == "Transfer"
    assert not interface.takes_arguments


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "ABI: no ABI in JSON"),
        ("{}", "ABI: 'abi' is missing"),
        ('[{"type": "function"}]', "ABI: 'name' is missing"),
        ('[{"name": "f", "inputs": [{"name": "a"}]}]', "ABI: 'type' is missing"),
        ("[1]", "ABI: no ABI in JSON"),
        ("no/such/file.json", "ABI file no/such/file.json: No such file"),
    ],
)
def test_what_is_no_abi_is_refused(text: str, said: str) -> None:
    with pytest.raises(AbiError, match=said):
        Interface.load(text)


def test_a_file_that_is_no_abi_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(AbiError, match=r"wrong\.json: no ABI in JSON"):
        Interface.load(path)


def test_tuples_are_spelt_out_in_signatures() -> None:
    inner = {"name": "x", "type": "tuple[2]", "components": [{"name": "a", "type": "uint8"}]}
    row = {"name": "f", "inputs": [{"name": "t", "type": "tuple[]", "components": [inner, {"type": "bool"}]}]}
    assert Entry.read(row).signature == "f(((uint8)[2],bool)[])"


def test_calls_are_shown_by_name() -> None:
    rows = [{"name": "f", "inputs": []}, {"name": "g", "inputs": []}, {"name": "g", "inputs": [{"type": "bool"}]}]
    interface = Interface(rows)
    shown = [interface.shown(entry.selector) for entry in interface.by_selector.values()]
    assert shown == ["f", "g()", "g(bool)"]
    assert [interface.shown(data) for data in (b"", b"abc", b"abcdef")] == ["receive", "fallback", "0x61626364"]


PARAMS = [
    {"name": "who", "type": "address", "indexed": True},
    {"name": "text", "type": "string"},
    {"name": "long", "type": "string", "indexed": True},
    {"name": "amount", "type": "uint256"},
    {"name": "small", "type": "int16", "indexed": True},
]
EVENT = Interface([{"type": "event", "name": "E", "inputs": PARAMS}])
TOPIC = keccak256(b"E(address,string,string,uint256,int16)")


@given(st.binary(min_size=20, max_size=20), st.text(), st.integers(0, 2**256 - 1), st.integers(-(2**15), 2**15 - 1))
def test_events_are_decoded(who: bytes, text: str, amount: int, small: int) -> None:
    hashed = keccak256(b"long")
    topics = (TOPIC, Bytes32(encode(["address"], [who])), hashed, Bytes32(encode(["int16"], [small])))
    event = event_of(Log(EMITTER, topics, encode(["string", "uint256"], [text, amount])), EVENT)
    assert event is not None
    assert event.values == {"who": who, "text": text, "long": hashed, "amount": amount, "small": small}


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=4), st.binary(max_size=200))
def test_logs_that_a_contract_made_up_are_no_events(topics: list[bytes], data: bytes) -> None:
    log = Log(EMITTER, (TOPIC, *map(Bytes32, topics))[:4], data)
    event = event_of(log, EVENT)
    assert event is None or set(event.values) == {"who", "text", "long", "amount", "small"}


@given(st.binary(max_size=200))
def test_output_that_a_contract_made_up_is_refused_or_read(data: bytes) -> None:
    entry = Entry.read({"name": "f", "outputs": [{"name": "", "type": "string[]"}, {"name": "", "type": "bool"}]})
    try:
        found = entry.decode_output(data)
    except AbiError:
        return
    assert len(found) == 2
