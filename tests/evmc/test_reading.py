"""JSON that is nested deeper than anybody means it is refused before it is parsed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmc.reading import more_brackets, nested_deeper, read_json
from tests.helpers import ROOT

JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8) | st.text('[]{}\\"', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def levels_of(value: Any) -> int:
    """Return how deep a value is nested, counted on the value."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(levels_of, value.values() if isinstance(value, dict) else value), default=0)


@given(JSON, st.integers(0, 4))
def test_nesting_is_seen_in_the_text(value: Any, levels: int) -> None:
    assert nested_deeper(json.dumps(value), levels) == (levels_of(value) > levels)
    assert nested_deeper(json.dumps(value, ensure_ascii=False), levels) == (levels_of(value) > levels)


@given(JSON)
def test_what_is_not_too_deep_is_read(value: Any) -> None:
    text = json.dumps(value)
    assert read_json(text) == read_json(text.encode()) == read_json(text.encode("utf-16")) == value


def test_arrays_and_objects_are_counted() -> None:
    text = json.dumps([{}, [[]], "[[[["])
    assert (more_brackets(text, 3), more_brackets(text, 4)) == (True, False)


READERS = {
    "a dump": "from node.chain.dump import parse; parse(TEXT)",
    "typed data": "from node.rpc.sending import TYPED_DATA; TYPED_DATA.read(TEXT.decode())",
    "a witness": "from node.witnessfile import parse; parse(TEXT)",
    "costs": "from ewasm.costs import read_costs; read_costs(TEXT.decode())",
    "an argument": (
        "from node.abi import encode_call, parse_signature; "
        "encode_call(parse_signature('f(uint256[][])'), [TEXT.decode()])"
    ),
    "an answer": (
        "from node.rpc.questions import Questions; questions = Questions(print); questions._count = 1; "
        "print(questions.take(TEXT)); raise ValueError('taken for no answer')"
    ),
}


@pytest.mark.parametrize("reader", READERS)
def test_deep_nesting_does_not_end_the_process(reader: str) -> None:
    """Libraries raise the limit of recursion in the running process, and then C recurses until the stack ends."""
    program = f"""
import sys, threading
sys.setrecursionlimit(100_000)
TEXT = b"[" * 99_000
def read():
    try:
        {READERS[reader]}
    except Exception as error:
        print(type(error).__name__)
thread = threading.Thread(target=read)
thread.start()
thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
