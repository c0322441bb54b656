"""Witnesses as files: read back as they were, and whatever else a file holds is refused with a reason."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import U256, ZERO_ADDRESS, Address, Bytes32, Log, Status, TxContext
from node.transaction import Transaction
from node.witness import Execution, Outcome, Witness, WitnessError, outer_message
from node.witnessfile import as_json, dump, parse
from tests.node.damage import NONSENSE, places

ADDRESSES = st.integers(0, 2**160 - 1).map(Address.from_int)
HASHES = st.integers(0, 2**256 - 1).map(Bytes32.from_int)
AMOUNTS = st.integers(0, 2**256 - 1).map(U256)
NUMBERS = st.integers(0, 2**63 - 1)
DATA = st.binary(max_size=20)
STEPS = st.one_of(
    st.builds(outer_message, ADDRESSES, st.none() | ADDRESSES, NUMBERS, AMOUNTS, DATA),
    st.builds(
        Transaction,
        sender=ADDRESSES,
        to=st.none() | ADDRESSES,
        nonce=NUMBERS,
        gas_limit=NUMBERS,
        gas_price=AMOUNTS,
        value=AMOUNTS,
        data=DATA,
        tip=st.none() | AMOUNTS,
        max_price=st.none() | AMOUNTS,
        access_list=st.lists(st.tuples(ADDRESSES, st.lists(HASHES, max_size=2).map(tuple)), max_size=2).map(tuple),
    ),
)
OUTCOMES = st.builds(
    Outcome,
    status=st.sampled_from(list(Status)),
    gas_used=NUMBERS,
    output=DATA,
    logs=st.lists(st.builds(Log, ADDRESSES, st.lists(HASHES, max_size=4).map(tuple), DATA), max_size=3).map(tuple),
    contract=st.none() | ADDRESSES,
)
PAIRS = st.lists(st.tuples(STEPS, OUTCOMES), max_size=3)


def witness_of(pairs: list[tuple[Any, Outcome]], **parts: Any) -> Witness:
    return Witness(
        steps=tuple(step for step, _ in pairs),
        claim=Execution(tuple(outcome for _, outcome in pairs), Bytes32(b"\2" * 32)),
        **parts,
    )


@settings(deadline=None)
@given(
    st.builds(
        witness_of,
        PAIRS,
        ruleset=st.text(max_size=9),
        ruleset_hash=st.text(max_size=9),
        block=st.builds(
            TxContext,
            number=NUMBERS,
            timestamp=NUMBERS,
            gas_limit=NUMBERS,
            coinbase=ADDRESSES,
            difficulty=AMOUNTS,
            chain_id=AMOUNTS,
        ),
        root=HASHES,
        nodes=st.dictionaries(HASHES, DATA, max_size=3),
        codes=st.dictionaries(HASHES, DATA, max_size=3),
        block_hashes=st.dictionaries(NUMBERS, st.none() | HASHES, max_size=3),
    )
)
def test_round_trip(witness: Witness) -> None:
    assert parse(dump(witness)) == witness
    assert dump(parse(dump(witness))) == dump(witness)


@pytest.fixture
def document() -> dict[str, Any]:
    """Return a witness that has something everywhere."""
    call = outer_message(ZERO_ADDRESS, ZERO_ADDRESS, 5, U256(0), b"in")
    listed = ((ZERO_ADDRESS, (Bytes32(bytes(32)),)),)
    price = {"tip": U256(1), "gas_price": U256(2), "max_price": U256(3)}
    create = Transaction(sender=ZERO_ADDRESS, to=None, nonce=0, gas_limit=5, data=b"in", access_list=listed, **price)
    log = Log(ZERO_ADDRESS, (Bytes32(bytes(32)),), b"log")
    done = Outcome(status=Status.SUCCESS, gas_used=1, output=b"out", logs=(log,), contract=ZERO_ADDRESS)
    some = {Bytes32(b"\1" * 32): b"some"}
    hashes = {1: Bytes32(bytes(32)), 2: None}
    return as_json(
        witness_of(
            [(call, done), (create, done)],
            ruleset="ewasm",
            ruleset_hash="00",
            block=TxContext(),
            root=Bytes32(bytes(32)),
            nodes=some,
            codes=some,
            block_hashes=hashes,
        )
    )


def refused(text: str | bytes) -> str:
    """Return why text is no witness, in one line that is not long."""
    with pytest.raises(WitnessError) as refusal:
        parse(text)
    said = str(refusal.value)
    assert len(said) < 300
    assert "\n" not in said
    return said


def changed(document: dict[str, Any], place: tuple[Any, ...], *value: Any) -> dict[str, Any]:
    """Return the document with another value somewhere, or without that entry."""
    found = copy.deepcopy(document)
    holder: Any = found
    for key in place[:-1]:
        holder = holder[key]
    if value:
        (holder[place[-1]],) = value
    else:
        del holder[place[-1]]
    return found


def read(document: dict[str, Any]) -> dict[str, Any] | str:
    """Return what a document is read as, as a document again, or why it is refused."""
    try:
        return as_json(parse(json.dumps(document)))
    except WitnessError as error:
        return str(error)


def test_nonsense_anywhere(document: dict[str, Any]) -> None:
    """Each value in turn is replaced by what it cannot be, and left out; nothing is read as something else."""
    more = [10**400, "\ud800", "0x" + "AB" * 20, "0x 00", "0x0", "0x00", " 5"]
    refusals = 0
    for place in places(document):
        for damaged in [changed(document, place), *(changed(document, place, value) for value in [*NONSENSE, *more])]:
            found = read(damaged)
            assert found == damaged or (isinstance(found, str) and len(found) < 300)
            refusals += isinstance(found, str)
    assert refusals > 800


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("block", "number"), "1", "block.number: a whole number from 0 to 9223372036854775807 is expected, not '1'"),
        (("block", "number"), -1, "block.number: a whole number from 0 to"),
        (("block", "number"), 2**63, "block.number: a whole number from 0 to"),
        (("block", "number"), 1.0, "expected, not 1.0"),
        (("block", "number"), True, "expected, not True"),
        (("block", "chain_id"), "0x01", "block.chain_id: hex of at most 256 bits"),
        (("block", "chain_id"), "0x" + "f" * 65, "block.chain_id: hex of at most 256 bits"),
        (("root_before",), "0x12", "root_before: 32 bytes of hex with 0x are expected, not '0x12'"),
        (("root_before",), "0x" + "AB" * 32, "root_before: lower-case hex with 0x is expected, not '0xABAB"),
        (("nodes",), [], "nodes: an object is expected, not a list"),
        (("nodes",), {"x": "0x"}, "nodes, a key: 32 bytes of hex with 0x are expected, not 'x'"),
        (("nodes", "0x" + "01" * 32), "xyz", f"nodes.0x{'01' * 32}: lower-case hex with 0x is expected, not 'xyz'"),
        (("block_hashes",), {"01": None}, "block_hashes, a key: the digits of a whole number"),
        (("block_hashes",), {"9" * 19: None}, "block_hashes, a key: the digits of a whole number"),
        (("block_hashes",), {"-1": None}, "block_hashes, a key: the digits of a whole number"),
        (("steps",), {}, "steps: a list is expected, not an object"),
        (("steps",), [], "2 outcomes of 0 steps"),
        (("steps", 0), {"message": {}, "transaction": {}}, "steps[0]: 'transaction' is no field of it"),
        (("steps", 0), {}, "steps[0].transaction is missing"),
        (("steps", 1, "transaction", "nonce"), 2**64, "steps[1].transaction.nonce: a whole number from 0 to 18446744073709551615"),
        (("steps", 0, "message", "gas"), 10**400, "expected, not a number beyond 256 bits"),
        (("outcomes", 0, "status"), "FINE", "outcomes[0].status: the name of a status is expected, not 'FINE'"),
        (("outcomes", 0, "logs", 0, "topics"), ["0x" + "00" * 32] * 5, "outcomes[0].logs[0].topics: at most 4 topics"),
        (("extra",), 1, "the document: 'extra' is no field of it"),
        (("ruleset",), "ewasm", "ruleset: an object is expected, not 'ewasm'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(document: dict[str, Any], place: tuple[Any, ...], value: Any, said: str) -> None:
    assert said in refused(json.dumps(changed(document, place, value)))


def test_a_file_that_was_cut(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for size in range(0, len(text), 7):
        assert refused(text[:size]).startswith("not a witness: ")


def test_other_files(document: dict[str, Any]) -> None:
    for text in (
        "",
        "null",
        "[]",
        "5",
        '"ewasm-witness"',
        "{}",
        '{"format": "other"}',
        "{" * 50,
        "\0",
        b"\xff\xfe\xfd",
    ):
        assert refused(text).startswith("not a witness: ")
    assert "nested deeper than" in refused("[" * 100_000)
    assert "nested deeper than" in refused('{"a":' * 100_000)
    assert "Exceeds the limit" in refused('{"format": ' + "9" * 5_000 + "}")
    for version in (3, 0, "1", 1.0, True, None, 10**400, [1]):
        assert "this program reads versions 1 to 2" in refused(json.dumps({**document, "version": version}))


def test_the_first_version_is_read(document: dict[str, Any]) -> None:
    """There a transaction has one price, which is all the coinbase's."""
    old = {**copy.deepcopy(document), "version": 1}
    assert "'tip' is no field of it" in refused(json.dumps(old))
    for name in ("tip", "max_price", "access_list"):
        del old["steps"][1]["transaction"][name]
    create = parse(json.dumps(old)).steps[1]
    assert isinstance(create, Transaction)
    assert (create.gas_price, create.tip, create.max_price, create.access_list) == (2, None, None, ())
    assert "steps[1].transaction.tip is missing" in refused(json.dumps({**old, "version": 2}))


def test_a_key_that_stands_twice(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert "the key 'root_after' stands twice" in refused(text[:-1] + f', "root_after": "{"0x" + "00" * 32}"}}')
    twice = text.replace('"codes": {', '"codes": {"0x' + "01" * 32 + '": "0x", ')
    assert "stands twice in one object" in refused(twice)
