"""Room on the stack: where a message runs."""

from __future__ import annotations

import threading
import time
import weakref
from contextvars import ContextVar

import pytest

from ewasm import threads
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


def test_a_thread_serves_one_message_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_KEPT_SECONDS", 10)
    engine = CompiledEngine()
    assert nested(engine, 1) == nested(engine, 1)


def test_messages_at_the_same_time_have_threads_of_their_own() -> None:
    engine, both = CompiledEngine(), threading.Barrier(2)
    found: list[int] = []

    def meet() -> None:
        both.wait(10)
        found.append(here_inside())

    others = [threading.Thread(target=with_room, args=(engine, meet)) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert len(set(found)) == 2


def test_a_thread_that_was_used_deeply_ends() -> None:
    engine = CompiledEngine()
    used = nested(engine, engine.nesting - 1)
    assert not {*used} & {thread.ident for thread in threading.enumerate()}


def test_a_thread_ends_that_nobody_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_KEPT_SECONDS", 0.01)
    used = on_fresh_thread(CompiledEngine(), threading.current_thread)
    used.join(10)
    assert not used.is_alive()


def test_a_kept_thread_holds_on_to_nothing() -> None:
    class Held:
        pass

    def run() -> weakref.ref[Held]:
        held = Held()
        on_fresh_thread(CompiledEngine(), lambda: held)
        return weakref.ref(held)

    seen, deadline = run(), time.monotonic() + 10
    while seen() is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert seen() is None


def test_nothing_of_one_run_is_seen_by_the_next() -> None:
    engine, mark = CompiledEngine(), ContextVar("mark", default=0)
    on_fresh_thread(engine, lambda: mark.set(1))
    assert on_fresh_thread(engine, mark.get) == 0
