"""The dispatcher: JSON-RPC 2.0 with Ethereum's error codes, and what it does with hostile bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.dispatch import Dispatcher
from node.rpc.errors import RpcError
from node.rpc.limits import Limits
from tests.node.rpc.serving import Asker, request, small_table

DISPATCHER = Dispatcher(
    small_table(),
    Limits(batch=3, depth=5, response=1_000),
    translate=lambda error: RpcError(-32_000, str(error)) if isinstance(error, LookupError) else None,
)


def answer(body: Any, *, developer: bool = True) -> Any:
    """Return the answer to a value, or to text or bytes as they are."""
    sent = body if isinstance(body, str | bytes) else json.dumps(body)
    text = DISPATCHER.handle(sent, Asker(developer))
    return None if text is None else json.loads(text)


def error(body: Any, **fields: Any) -> tuple[int, str]:
    """Return code and message of an answer that is an error."""
    found = answer(body, **fields)
    assert found["jsonrpc"] == "2.0"
    assert "result" not in found
    return found["error"]["code"], found["error"]["message"]


# Results and ids


@pytest.mark.parametrize("identifier", [0, 1, -7, "", "abc", 1.5, None, 2**70, 10**400, "0"])
def test_an_id_comes_back_as_it_was(identifier: Any) -> None:
    found = answer(request("add", "0x2", "0x3", identifier=identifier))
    assert found == {"jsonrpc": "2.0", "id": identifier, "result": "0x5"}
    assert type(found["id"]) is type(identifier)


@pytest.mark.parametrize("identifier", [True, [], {}, [1]])
def test_an_id_of_another_type_is_refused(identifier: Any) -> None:
    found = answer(request("add", "0x1", identifier=identifier))
    assert (found["id"], found["error"]["code"]) == (None, -32_600)


def test_an_infinite_id_is_refused() -> None:
    assert answer('{"jsonrpc":"2.0","id":1e999,"method":"echo"}')["error"]["code"] == -32_600


def test_a_notification_is_not_answered_whatever_comes_of_it() -> None:
    for method in ("add", "fail", "missing"):
        assert answer({"jsonrpc": "2.0", "method": method}) is None


def test_defaults_names_and_aliases() -> None:
    assert answer(request("add", "0x2"))["result"] == "0x3"
    assert answer(request("sum", 2, None))["result"] == "0x3"
    assert answer(request("add", "0x2", "0x2", None))["result"] == "0x4"
    assert answer({**request("add"), "params": {"b": "0x5", "a": "0xff"}})["result"] == "0x104"
    assert answer({"jsonrpc": "2.0", "id": 1, "method": "echo"})["result"] is None
    assert answer({**request("echo"), "params": None})["result"] is None


# Errors that name the parameter


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "missing value for required argument 0 (a)"),
        ([None], "missing value for required argument 0 (a)"),
        ({"b": "0x1"}, "missing value for required argument 0 (a)"),
        ({"a": "0x1", "c": 1}, "unknown argument 'c'; there are a, b"),
        (["0x1", "0x2", "0x3"], "too many arguments, want at most 2"),
        (["0x1", "2"], "invalid argument 1 (b): a number in hex with 0x is expected, not '2'"),
        (["0xzz"], "invalid argument 0 (a): a number in hex with 0x is expected, not '0xzz'"),
        (["0x"], "invalid argument 0 (a): a number in hex with 0x is expected, not '0x'"),
        ([True], "invalid argument 0 (a): a number in hex with 0x is expected, not True"),
        ([-1], "invalid argument 0 (a): -1 is not between 0 and 2^256 - 1"),
        ([[]], "invalid argument 0 (a): a number in hex with 0x is expected, not []"),
        (["0x1" + "0" * 64], None),
        (["0x1" + "0" * 100_000], None),
    ],
)
def test_bad_parameters(params: Any, message: str | None) -> None:
    code, text = error({**request("add"), "params": params})
    assert code == -32_602
    assert message in (None, text)
    assert len(text) < 200


def test_unknown_methods() -> None:
    assert error(request("eth_nothing")) == (-32_601, "the method eth_nothing does not exist/is not available")
    assert len(error(request("x" * 10_000))[1]) < 200


def test_known_errors_are_translated_and_bugs_say_nothing_of_themselves() -> None:
    assert error(request("fail")) == (-32_000, "not there")
    assert error(request("fail", True)) == (-32_603, "internal error in fail: ZeroDivisionError")


def test_faults_are_told_to_who_listens() -> None:
    faults: list[tuple[str, Exception]] = []
    calls: list[tuple[str, Any]] = []
    dispatcher = Dispatcher(
        small_table(), on_fault=lambda *fault: faults.append(fault), on_call=lambda *call: calls.append(call)
    )
    for body in (request("fail", True), request("add", "0x1"), request("lost")):
        dispatcher.handle(json.dumps(body), Asker())
    assert [(name, type(fault)) for name, fault in faults] == [("fail", ZeroDivisionError)]
    assert [(name, failed and failed.code) for name, failed in calls] == [
        ("fail", -32_603),
        ("add", None),
        ("lost", -32_601),
    ]


def test_developer_methods_are_for_developers() -> None:
    assert answer(request("unlock"))["result"] == "open"
    code, message = error(request("unlock"), developer=False)
    assert code == -32_000
    assert "--allow-dev-methods" in message


# What is no request


@pytest.mark.parametrize(
    "body", ["", "{", "nonsense", b"\xff\xfe\xff", '{"a":NaN}', "[1," * 3, '{"id":' + "9" * 5_000 + "}"]
)
def test_what_is_no_json_is_a_parse_error(body: str | bytes) -> None:
    found = answer(body)
    assert (found["id"], found["error"]["code"]) == (None, -32_700)


@pytest.mark.parametrize(
    "body",
    [
        1,
        "null",
        '"text"',
        {},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "method": 1},
        {"jsonrpc": "1.0", "id": 1, "method": "echo"},
        {"id": 1, "method": "echo"},
        {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": "a"},
        {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": 1},
        [],
    ],
)
def test_what_is_no_request_is_invalid(body: Any) -> None:
    assert error(body)[0] == -32_600


# Batches


def test_a_batch_is_answered_in_its_order_without_its_notifications() -> None:
    found = answer(
        [request("add", "0x1", identifier=2), {"jsonrpc": "2.0", "method": "echo"}, request("x", identifier=0)]
    )
    assert [(each["id"], each.get("result"), "error" in each) for each in found] == [(2, "0x2", False), (0, None, True)]


def test_a_batch_of_notifications_is_not_answered() -> None:
    assert answer([{"jsonrpc": "2.0", "method": "echo"}] * 2) is None


def test_what_is_no_request_in_a_batch_is_answered_there() -> None:
    assert [each["error"]["code"] for each in answer([1, [], {}])] == [-32_600] * 3


def test_a_batch_has_a_limit() -> None:
    assert len(answer([request("echo")] * 3)) == 3
    code, message = error([request("echo")] * 4)
    assert (code, message) == (-32_600, "batch too large: 4 requests, at most 3")


def test_the_answers_of_a_batch_have_a_limit() -> None:
    found = answer([request("echo", "x" * 1_200, identifier=1), request("echo", 1, identifier=2)])
    assert len(found[0]["result"]) == 1_200
    assert (found[1]["id"], found[1]["error"]["code"]) == (2, -32_005)


# Nesting


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"[": ["]", ', '["\\"]",'])
def test_nesting_is_refused_before_the_parser_recurses(opening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_arguments: Any, **_named: Any) -> None:
        pytest.fail("parsed, which can end the process where libraries have raised the recursion limit")

    monkeypatch.setattr("node.rpc.dispatch.json.loads", parse)
    for body in (opening * 100_000, (opening * 100_000).encode(), (opening * 100_000).encode("utf-16")):
        text = DISPATCHER.handle(body, Asker(developer=True))
        assert text is not None
        assert "nested deeper than 5 levels" in text


def test_brackets_in_strings_are_no_nesting() -> None:
    marks = "[{" * 1_000
    for value in (marks, f'"{marks}', f"\\{marks}"):
        assert answer(request("echo", value))["result"] == value


def test_nesting_has_a_limit() -> None:
    def body(levels: int) -> str:
        return f'{{"jsonrpc":"2.0","id":1,"method":"echo","params":{nested(levels)}}}'

    assert answer(body(5))["result"] == json.loads(nested(4))
    for text in (body(6), body(1_000), body(200_000), nested(200_000), f"[{body(6)}]"):
        assert error(text) == (-32_600, "nested deeper than 5 levels")
    assert answer(f"[{body(5)}]")[0]["result"] == json.loads(nested(4))


def test_arrays_have_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.rpc.dispatch.MOST_BRACKETS", 10)
    assert answer(request("echo", [[]] * 7))["result"] == [[]] * 7
    assert error(request("echo", [[]] * 8)) == (-32_600, "more than 10 arrays and objects")
    assert answer(request("echo", "[" * 20))["result"] == "[" * 20


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NEAR = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | JSON,
        "id": JSON,
        "method": st.sampled_from(["add", "echo", "fail"]) | JSON,
        "params": JSON,
    },
)


@given(
    st.binary(max_size=60) | JSON.map(json.dumps) | st.lists(NEAR, max_size=4).map(json.dumps) | NEAR.map(json.dumps)
)
def test_any_bytes_are_answered_with_json_or_nothing(body: bytes | str) -> None:
    text = DISPATCHER.handle(body, Asker())
    for each in (
        [] if text is None else (found := json.loads(text)) if isinstance(found := json.loads(text), list) else [found]
    ):
        assert each["jsonrpc"] == "2.0"
        assert ("result" in each) != ("error" in each)


def test_a_batch_without_room_is_answered_to_its_end() -> None:
    """Also where what is left is no request."""
    small = Dispatcher(small_table(), Limits(response=10))
    rest = [request("echo", 2, identifier=2), 5, None, [], {"id": []}, {"jsonrpc": "2.0", "method": "echo"}]
    text = small.handle(json.dumps([request("echo", 1), *rest]), Asker())
    assert text is not None
    found = json.loads(text)
    assert [(each["id"], each.get("error", {}).get("code")) for each in found] == [
        (1, None),
        (2, -32_005),
        *[(None, -32_600)] * 4,
    ]
