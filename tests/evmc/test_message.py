import dataclasses

import pytest

from evmc import MAX_DEPTH, ZERO_ADDRESS, ZERO_BYTES32, CallKind, Message, TxContext


def test_kinds_have_the_numbers_of_evmc() -> None:
    assert {kind.name: kind.value for kind in CallKind} == {
        "CALL": 0,
        "DELEGATECALL": 1,
        "CALLCODE": 2,
        "CREATE": 3,
        "CREATE2": 4,
    }


def test_creations() -> None:
    assert [kind for kind in CallKind if kind.is_create] == [CallKind.CREATE, CallKind.CREATE2]


def test_the_depth_limit() -> None:
    assert MAX_DEPTH == 1024


def test_a_message_needs_gas_only() -> None:
    message = Message(gas=5)
    assert dataclasses.asdict(message) == {
        "kind": CallKind.CALL,
        "is_static": False,
        "depth": 0,
        "gas": 5,
        "recipient": ZERO_ADDRESS,
        "sender": ZERO_ADDRESS,
        "input": b"",
        "value": 0,
        "salt": ZERO_BYTES32,
        "code_address": ZERO_ADDRESS,
    }
    with pytest.raises(TypeError):
        Message()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Message(CallKind.CALL, gas=5)  # type: ignore[misc]
    with pytest.raises(TypeError):
        TxContext(5)  # type: ignore[misc]


def test_messages_and_contexts_are_frozen() -> None:
    for value, field in ((Message(gas=5), "gas"), (TxContext(), "number")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, 1)
    assert Message(gas=5) == Message(gas=5) != Message(gas=6)
    assert hash(Message(gas=5)) == hash(Message(gas=5))


def test_a_context_defaults_to_an_empty_block_of_chain_1() -> None:
    assert dataclasses.asdict(TxContext()) == {
        "gas_price": 0,
        "origin": ZERO_ADDRESS,
        "coinbase": ZERO_ADDRESS,
        "number": 0,
        "timestamp": 0,
        "gas_limit": 0,
        "difficulty": 0,
        "chain_id": 1,
    }
