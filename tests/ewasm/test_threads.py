"""Room on the stack: where a message runs."""

from __future__ import annotations

import threading

import pytest

from ewasm.threads import on_fresh_thread, with_room
from wasm.compiled import CompiledEngine
from wasm.engine import Engine
from wasm.interpreter import Interpreter


def here_inside() -> int:
    return threading.get_ident()


def nested(engine: Engine, levels: int) -> list[int]:
    """Return the threads that messages in each other ran on, so many below the first."""
    return with_room(engine, lambda: [here_inside(), *(nested(engine, levels - 1) if levels else [])])


def test_the_interpreter_begins_on_the_caller_s_thread() -> None:
    assert nested(Interpreter(), 0) == [here_inside()]


def test_a_native_engine_never_runs_on_a_foreign_thread() -> None:
    assert here_inside() not in nested(CompiledEngine(), 0)


def test_messages_share_a_thread_as_long_as_there_is_room(engine: Engine) -> None:
    threads = nested(engine, 3 * engine.nesting - 1)
    runs = [threads.count(t) for t in dict.fromkeys(threads)]
    assert sum(runs) == 3 * engine.nesting
    assert max(runs) <= engine.nesting
    assert len(runs) <= 4


def test_no_second_thread_is_made_inside_of_one(engine: Engine) -> None:
    names = on_fresh_thread(engine, lambda: [here_inside(), *nested(engine, 0), *nested(engine, 0)])
    assert len(set(names)) == 1


def test_an_engine_with_native_stack_leaves_a_thread_without() -> None:
    outside, inside = with_room(Interpreter(), lambda: (here_inside(), nested(CompiledEngine(), 0)[0]))
    assert outside != inside


def test_an_exception_is_raised_where_it_is_waited_for(engine: Engine) -> None:
    error = KeyError("x")

    def fail() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        on_fresh_thread(engine, fail)
    assert caught.value is error


def test_the_stack_size_of_other_threads_is_left_alone(engine: Engine) -> None:
    before = threading.stack_size()
    on_fresh_thread(engine, lambda: None)
    assert threading.stack_size() == before
