"""`ewasm_execute` over the wire: each form of state, questions asked back, hosts that fail, batches, bad requests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from evmc import U256, Address
from ewasm.client import connect
from ewasm.ruleset import EWASM
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM
from node.client import EngineClient, EngineError
from node.rpc import execution
from node.rpc.dispatch import Dispatcher
from node.rpc.execution import EXECUTION, Executions
from node.rpc.limits import Limits
from node.rpc.questions import Questions
from node.rpc.server import Server
from node.rpc.session import Session
from node.service import Service
from state import Database, GenesisAccount, Journal, WorldState, keccak256
from state.witness import recorded
from tests.helpers import ROOT, fixture_code
from tests.node.rpc.serving import in_background
from tests.node.world import ALICE, CALLER, ONE, RICH, TWO, A, call, contract, word
from wasm.engine import Engine

ACCOUNTS = {
    ALICE: GenesisAccount(balance=RICH),
    A: contract(CALLER, balance=U256(100), storage={TWO: ONE}),
}
WRITE = call("set(bytes32,bytes32)", ONE, word(5))
READ = call("get(bytes32)", TWO)
CODE_HASH = keccak256(CALLER)


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def given(*, code: bool = True) -> dict[str, Any]:
    """Return the accounts as a request has them."""
    return {
        str(address): {
            "nonce": hex(account.nonce),
            "balance": hex(account.balance),
            **(
                {"code" if code else "codeHash": hexed(account.code) if code else str(CODE_HASH)}
                if account.code
                else {}
            ),
            "storage": {str(key): str(value) for key, value in account.storage.items()},
        }
        for address, account in ACCOUNTS.items()
    }


def request(data: bytes = WRITE, **fields: Any) -> dict[str, Any]:
    message = {"sender": str(ALICE), "to": str(A), "gas": "0xf4240", "input": hexed(data)}
    return {"message": message, "block": {"number": "0x9"}, "state": {"accounts": given()}, **fields}


@dataclass
class Asker:
    """A caller that may have executions."""

    executions: Executions
    session: Session | None = None
    developer: bool = field(default=False)


@pytest.fixture
def executions(engine: Engine) -> Executions:
    return Executions(Service(EwasmVM(EWASM, engine), EWASM, system_contracts(EWASM)), max_seconds=5)


def execute(executions: Executions, document: Any) -> Any:
    return Dispatcher(EXECUTION).call("ewasm_execute", [document], Asker(executions))


# States that come along


def test_a_complete_state(executions: Executions) -> None:
    found = execute(executions, request(block={"number": "0x9", "hashes": {"0x8": str(ONE)}}))
    assert (found["status"], found["statusCode"], found["output"], found["root"]) == ("SUCCESS", 0, "0x", None)
    assert int(found["gasUsed"], 16) + int(found["gasLeft"], 16) == 1_000_000
    assert found["diff"][str(A)] == {"storage": {str(ONE): {"before": hexed(bytes(32)), "after": str(word(5))}}}
    assert found["diff"][str(ALICE)] == {"nonce": {"before": "0x0", "after": "0x1"}}
    assert found == execute(executions, request()), "the same again: nothing was kept"


def test_a_root_and_a_witness(executions: Executions) -> None:
    world = WorldState.genesis(Database(), ACCOUNTS)
    recording, recorder = recorded(world)
    journal = Journal(recording)
    journal.increment_nonce(ALICE)
    journal.code(A)
    journal.set_storage(A, ONE, word(5))
    recording.changed(journal.finish())
    nodes, codes = (list(map(hexed, each.values())) for each in (recorder.nodes, recorder.codes))
    state = {"root": str(world.root), "nodes": nodes, "codes": codes}
    found = execute(executions, request(state=state))
    complete = execute(executions, request(state={"accounts": given(), "root": str(world.root)}))
    assert found == complete
    assert found["root"] not in (None, str(world.root))
    with pytest.raises(Exception, match="the state that came along does not do: MissingNode"):
        execute(executions, request(state={**state, "nodes": nodes[1:]}))


def test_code_is_named_by_its_hash(executions: Executions) -> None:
    named = request(state={"accounts": given(code=False)})
    with pytest.raises(Exception, match=f"the code {CODE_HASH} is not known here") as error:
        execute(executions, named)
    assert (error.value.code, error.value.data) == (execution.UNKNOWN_CODE, str(CODE_HASH))  # type: ignore[attr-defined]
    sent = Dispatcher(EXECUTION).call("ewasm_putCode", [[hexed(CALLER)]], Asker(executions))
    assert sent == [str(CODE_HASH)]
    assert execute(executions, named) == execute(executions, request())


def test_a_batch_answers_each(executions: Executions) -> None:
    asked = [request(), {"message": {}}, request(READ)]
    first, second, third = Dispatcher(EXECUTION).call("ewasm_executeBatch", [asked], Asker(executions))
    assert first["result"]["status"] == "SUCCESS"
    assert second["error"]["code"] == -32602
    assert third["result"]["output"] == str(ONE)


def test_failures_and_logs(executions: Executions) -> None:
    reverted = execute(executions, request(call("setAndRevert(bytes32,bytes32)", ONE, word(6))))
    assert (reverted["status"], reverted["output"]) == ("REVERT", str(word(6)))
    noted = execute(executions, request(call("note(bytes32,bytes)", ONE, b"x")))
    assert noted["logs"] == [{"address": str(A), "topics": [str(ONE)], "data": "0x78"}]
    created = execute(executions, request(message={"sender": str(ALICE), "to": None, "gas": 10**6, "input": hexed(fixture_code("wat/empty"))}))  # fmt: skip
    assert created["created"] is not None
    assert created["diff"][created["created"]]["created"] is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"message": None}, "message: an object is expected"),
        ({"message": {"to": None}}, "message: sender is missing"),
        ({"message": {"sender": str(ALICE), "gas": 1}}, "message: to is missing; null is a creation"),
        (
            {"message": {"sender": str(ALICE), "to": None, "gas": "0x1", "value": -1}},
            "message: value: -1 is not between",
        ),
        ({"block": {"height": 1}}, "block: unknown field 'height'"),
        ({"state": {}}, "state: one of accounts, nodes, onDemand is expected"),
        ({"state": {"accounts": {}, "onDemand": ""}}, "state: one of accounts"),
        ({"state": {"onDemand": "x"}}, "state: onDemand: questions need a WebSocket"),
        ({"state": {"nodes": []}}, "state: root is missing"),
        ({"state": {"accounts": {"0x1": {}}}}, "state: accounts: an address has 40 hex digits"),
        (
            {"state": {"accounts": {str(A): {"code": "0x00", "codeHash": str(ONE)}}}},
            f"state: {A}: codeHash is not the hash",
        ),
        ({"ruleset": "hera"}, "ruleset: this engine executes ewasm, not hera"),
        ({"surprise": 1}, "unknown field 'surprise'"),
    ],
)
def test_bad_requests_name_the_field(executions: Executions, change: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match="invalid request: ") as error:
        execute(executions, request(**change))
    assert str(error.value).startswith(f"invalid request: {message}")
    assert error.value.code == -32602  # type: ignore[attr-defined]


# On demand


class Host:
    """A host that knows the accounts, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def functions(self, **others: Any) -> dict[str, Any]:
        names = ("host_getAccount", "host_getStorage", "host_getCode", "host_getBlockHash")
        return {name: others.get(name, getattr(self, name)) for name in names}

    async def host_getAccount(self, params: dict[str, Any]) -> Any:  # noqa: N802
        self.asked.append(("account", params))
        account = ACCOUNTS.get(Address.from_hex(params["address"]))
        if account is None:
            return None
        code_hash = {"codeHash": str(CODE_HASH)} if account.code else {}
        return {"nonce": hex(account.nonce), "balance": hex(account.balance), **code_hash}

    async def host_getStorage(self, params: dict[str, Any]) -> Any:  # noqa: N802
        self.asked.append(("storage", params))
        return str(ONE) if params["key"] == str(TWO) else hexed(bytes(32))

    async def host_getCode(self, params: dict[str, Any]) -> Any:  # noqa: N802
        self.asked.append(("code", params))
        return hexed(CALLER)

    async def host_getBlockHash(self, params: dict[str, Any]) -> Any:  # noqa: N802
        self.asked.append(("block hash", params))
        return None


@contextmanager
def serving(executions: Executions) -> Iterator[str]:
    """Serve executions; yield the address."""

    def caller(developer: bool, session: Session | None) -> Asker:
        return Asker(executions, session, developer)

    server = Server(Dispatcher(EXECUTION), caller, threads=72)
    ports: list[int] = []

    async def start() -> Callable[[], Coroutine[Any, Any, None]]:
        ports.append((await server.start("127.0.0.1", 0))[0][1])
        return server.stop

    with in_background(start):
        yield f"ws://127.0.0.1:{ports[0]}"


def talk(executions: Executions, functions: Any, run: Callable[[EngineClient], Coroutine[Any, Any, Any]]) -> Any:
    """Run a client with a host against a server."""

    async def client(url: str) -> Any:
        async with connect(url, functions) as engine:
            return await run(engine)

    with serving(executions) as url:
        return asyncio.run(client(url))


ON_DEMAND = {"onDemand": "block 9"}


def test_what_is_missing_is_asked_for(executions: Executions) -> None:
    host = Host()
    found = talk(executions, host.functions(), lambda engine: engine.execute(request(READ, state=ON_DEMAND)))
    assert found == execute(executions, request(READ))
    asked = [(kind, params.get("address"), params.get("key")) for kind, params in host.asked]
    assert sorted(asked, key=str) == sorted(
        [("account", str(ALICE), None), ("account", str(A), None), ("code", None, None), ("storage", str(A), str(TWO))],
        key=str,
    )
    assert {params["execution"] for _, params in host.asked} == {"block 9"}


def _says(answer: Any) -> Any:
    async def say(_params: dict[str, Any]) -> Any:
        return answer

    return say


async def _fails(_params: dict[str, Any]) -> Any:
    raise ValueError("no such block")


async def _never(_params: dict[str, Any]) -> Any:
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        ("host_getStorage", _says("0x01"), "host_getStorage was answered wrongly: a hash has 64 hex digits, not 2"),
        ("host_getAccount", _says([]), "host_getAccount was answered wrongly: an object is expected"),
        ("host_getCode", _says("0x6000"), f"the host gave other code than {CODE_HASH}"),
        ("host_getAccount", _fails, "the host answered with an error: "),
        ("host_getAccount", _never, "host_getAccount was not answered in time"),
    ],
)
def test_a_host_that_fails_aborts_its_execution_alone(executions: Executions, method: str, answer: Any, message: str) -> None:  # fmt: skip
    deadline = {"deadline": 300} if answer is _never else {}  # the others are told apart from lateness

    async def run(engine: EngineClient) -> None:
        with pytest.raises(EngineError, match="aborted by the node: ") as error:
            await engine.execute(request(READ, state=ON_DEMAND, **deadline))
        assert str(error.value).startswith(f"aborted by the node: {message}")
        assert error.value.code == execution.ABORTED
        assert (await engine.execute(request(READ)))["status"] == "SUCCESS"

    talk(executions, Host().functions(**{method: answer}), run)


def test_a_host_that_is_gone_frees_the_worker(executions: Executions) -> None:
    async def run(engine: EngineClient) -> None:
        waiting = asyncio.create_task(engine.execute(request(READ, state=ON_DEMAND)))
        await asyncio.sleep(0.2)
        waiting.cancel()

    with serving(executions) as url:

        async def leave() -> None:
            async with connect(url, Host().functions(host_getAccount=_never)) as engine:
                await run(engine)

        asyncio.run(leave())
    taken = [executions._asking.acquire(timeout=5) for _ in range(execution.MAX_ASKING)]
    assert all(taken), "every place is free again"


def test_many_pallets_at_once(executions: Executions) -> None:
    async def run(engine: EngineClient) -> list[Any]:
        return await asyncio.gather(*(engine.execute(request(READ, state=ON_DEMAND)) for _ in range(64)))

    found = talk(executions, Host().functions(), run)
    assert [each["output"] for each in found] == [str(ONE)] * 64


def test_questions_are_bounded(executions: Executions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "MAX_QUESTIONS", 2)

    async def run(engine: EngineClient) -> None:
        with pytest.raises(EngineError, match="aborted by the node: more than 2 questions"):
            await engine.execute(request(READ, state=ON_DEMAND))

    talk(executions, Host().functions(), run)


def test_too_many_at_once_are_told_so(executions: Executions) -> None:
    for _ in range(execution.MAX_ASKING):
        executions._asking.acquire()

    async def run(engine: EngineClient) -> None:
        with pytest.raises(EngineError, match="64 executions wait for their hosts: try again"):
            await engine.execute(request(READ, state=ON_DEMAND))

    talk(executions, Host().functions(), run)


# The protocol as it is documented


def test_the_frames_of_the_documentation() -> None:
    """Requests, answers and questions of `docs/pallet.md` are what is sent."""
    text = (ROOT / "docs" / "pallet.md").read_text()
    asked, answered, demand = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    frames = [json.loads(line) for line in re.findall(r"^(?:engine|pallet): (.*)$", text, re.MULTILINE)]
    executions = Executions(Service(EwasmVM(), EWASM, system_contracts(EWASM)))
    given = json.loads(Dispatcher(EXECUTION).handle(json.dumps(asked), Asker(executions)) or "")
    assert given == answered
    told: list[Any] = []

    def send(question: str) -> None:
        told.append(json.loads(question))
        answer = next(each for each in frames if each["id"] == told[-1]["id"] and "result" in each)
        assert session.questions.take(json.dumps(answer))

    session = Session(Limits(), asyncio.new_event_loop())
    session._loop.close()
    session.questions = Questions(send)
    fresh = Executions(Service(EwasmVM(), EWASM, system_contracts(EWASM)))
    found = json.loads(Dispatcher(EXECUTION).handle(json.dumps(demand), Asker(fresh, session)) or "")
    assert found["result"] == answered["result"]
    assert told == [frame for frame in frames if "method" in frame]
