"""Many clients at once: a thousand subscriptions, and hosts that answer late, wrongly, never, or leave."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from evmc import U256
from node.chain import Chain, Genesis
from node.defaults import COIN
from node.rpc.execution import ABORTED, MAX_ASKING
from node.rpc.limits import Limits
from node.substrate.accounts import HOME, Native, genesis_account
from node.substrate.extrinsic import Extrinsic, sign
from node.substrate.face import Face
from node.substrate.keys import Keypair
from node.substrate.pallets import SYSTEM, storage_key
from node.substrate.serving import SubstrateServer
from node.substrate.types import IMMORTAL
from state import GenesisAccount, keccak256
from tests.node.rpc.serving import LOCAL, in_background, request
from tests.node.substrate.chain import ALICE, ALICE_20, BOB
from tests.node.world import CALLER, ONE, TWO, A, call, contract
from wasm.engine import Engine

REMARK: tuple[str, Any] = ("System", ("remark", {"remark": b"hi"}))
GENESIS = Genesis(
    timestamp=1_000_000,
    accounts={
        HOME: genesis_account({ALICE.account: Native(free=COIN), BOB.account: Native(free=COIN)}),
        ALICE_20: GenesisAccount(balance=U256(1_000)),
        A: contract(CALLER, storage={TWO: ONE}),
    },
)


@dataclass
class Node:
    """A chain with a server of its Substrate side."""

    chain: Chain
    face: Face
    server: SubstrateServer
    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOCAL}:{self.port}"

    def signed(self, nonce: int, by: Keypair = ALICE) -> Extrinsic:
        """Return a remark."""
        around = self.face.surroundings(IMMORTAL, 1)
        assert around is not None
        return sign(by, REMARK, nonce, around)


@contextmanager
def serving(engine: str = "compiled", limits: Limits | None = None) -> Iterator[Node]:
    """Run a node in this process."""
    chain = Chain(genesis=GENESIS, engine=engine)
    face = Face(chain)
    server = SubstrateServer(face, limits=limits)
    ports: list[int] = []

    async def start() -> Callable[[], Coroutine[Any, Any, Any]]:
        ports.append((await server.start(LOCAL, 0))[0][1])
        return server.stop

    with in_background(start):
        yield Node(chain, face, server, ports[0])
    chain.close()


@asynccontextmanager
async def many() -> Any:
    """Lend a client of as many connections as one likes."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        yield client


async def ask(client: aiohttp.ClientSession, url: str, method: str, *params: Any) -> Any:
    """Ask over HTTP."""
    async with client.post(url, json=request(method, *params)) as answer:
        return (await answer.json()).get("result")


def cut(socket: aiohttp.ClientWebSocketResponse) -> None:
    """End a connection without a word."""
    transport = socket.get_extra_info("socket") and socket._response.connection.transport  # type: ignore[union-attr]
    transport.abort()  # type: ignore[union-attr]


def soon(holds: Callable[[], bool]) -> bool:
    """Wait until something holds; tell whether it does."""
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


# Subscriptions

CONNECTIONS, EACH = 10, 100


async def subscribed(socket: aiohttp.ClientWebSocketResponse, key: str) -> dict[str, str]:
    """Make half of the subscriptions to heads and half to an entry; return the kind of each by its id."""
    asked = [("chain_subscribeNewHeads", []), ("state_subscribeStorage", [[key]])] * (EACH // 2)
    for number, (method, params) in enumerate(asked):
        await socket.send_json({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    found: dict[str, str] = {}
    begun = 0
    while len(found) < EACH or begun < EACH:
        message = await socket.receive_json(timeout=10)
        if "method" in message:
            begun += 1
        else:
            found[message["result"]] = asked[message["id"]][0]
    return found


async def told(socket: aiohttp.ClientWebSocketResponse) -> list[tuple[str, Any]]:
    """Return so many notifications as there are subscriptions: the id and what is told."""
    heard = [(await socket.receive_json(timeout=10))["params"] for _ in range(EACH)]
    return [(each["subscription"], each["result"]) for each in heard]


def test_a_thousand_subscriptions_hear_of_a_block_and_are_freed() -> None:
    key = "0x" + storage_key(SYSTEM, SYSTEM.item("Account"), ALICE.account).hex()

    async def run(node: Node) -> None:
        async with many() as client:
            sockets = [await client.ws_connect(node.url) for _ in range(CONNECTIONS)]
            made = await asyncio.gather(*(subscribed(socket, key) for socket in sockets))
            assert len(node.server.subscriptions) == CONNECTIONS * EACH
            await sockets[0].send_json(request("chain_subscribeNewHeads"))
            refused = await sockets[0].receive_json(timeout=10)
            assert refused["error"]["message"] == f"too many subscriptions: at most {EACH}"
            assert await ask(client, node.url, "author_submitExtrinsic", "0x" + node.signed(0).encoded.hex())
            block = await ask(client, node.url, "chain_getBlockHash", 1)
            for kinds, heard in zip(made, await asyncio.gather(*map(told, sockets)), strict=True):
                assert Counter(identifier for identifier, _ in heard) == Counter(list(kinds)), "each is told once"
                for identifier, result in heard:
                    if kinds[identifier] == "chain_subscribeNewHeads":
                        assert result["number"] == "0x1"
                    else:
                        assert (result["block"], [each[0] for each in result["changes"]]) == (block, [key])
            for socket in sockets[::2]:
                cut(socket)
            for socket in sockets[1::2]:
                await socket.close()
            assert await ask(client, node.url, "system_chain") == "Development"

    with serving(limits=Limits(subscriptions=EACH)) as node:
        asyncio.run(run(node))
        assert soon(lambda: len(node.server.subscriptions) == 0)
        node.chain.mine()
        assert not node.face.pool._watchers


def test_connections_that_end_while_they_subscribe_leave_nothing() -> None:
    key = "0x" + storage_key(SYSTEM, SYSTEM.item("Account"), ALICE.account).hex()

    async def run(node: Node) -> None:
        async with many() as client:
            for turn in range(20):
                socket = await client.ws_connect(node.url)
                for _ in range(8):
                    await socket.send_json(request("state_subscribeStorage", [key] * 200))
                    await socket.send_json(request("author_submitAndWatchExtrinsic", "0x" + node.signed(turn + 5).encoded.hex()))  # fmt: skip
                await asyncio.sleep(turn * 0.001)
                cut(socket)
            assert await ask(client, node.url, "system_chain") == "Development"

    with serving() as node:
        asyncio.run(run(node))
    assert len(node.server.subscriptions) == 0
    assert not node.face.pool._watchers


def test_extrinsics_at_once_are_all_in_blocks_and_no_block_is_empty() -> None:
    """Nonces come in any order on as many threads as the server has."""

    async def run(node: Node) -> None:
        extrinsics = [node.signed(nonce, by) for nonce in range(40) for by in (ALICE, BOB)]
        async with many() as client:
            sent = (ask(client, node.url, "author_submitExtrinsic", "0x" + each.encoded.hex()) for each in extrinsics)
            assert await asyncio.gather(*sent) == ["0x" + each.hash.hex() for each in extrinsics]

    with serving() as node:
        asyncio.run(run(node))
        assert len(node.face.pool) == 0, "none is left waiting"
        blocks = [len(node.face.blocks.body(number)) - 1 for number in range(1, node.chain.head.number + 1)]
        assert sum(blocks) == 80
        assert 0 not in blocks


# Hosts

DEADLINE = 400
Behaviour = Callable[[aiohttp.ClientWebSocketResponse, dict[str, Any]], Coroutine[Any, Any, None]]


def answered(question: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a host that knows the state."""
    params = question["params"]
    result: Any = None
    match question["method"]:
        case "host_getAccount" if params["address"] == str(A):
            result = {"nonce": "0x1", "codeHash": str(keccak256(CALLER))}
        case "host_getStorage":
            result = str(ONE) if params["key"] == str(TWO) else "0x" + bytes(32).hex()
        case "host_getCode":
            result = "0x" + CALLER.hex()
    return {"jsonrpc": "2.0", "id": question["id"], "result": result}


async def good(socket: aiohttp.ClientWebSocketResponse, question: dict[str, Any]) -> None:
    await socket.send_json(answered(question))


async def slow(socket: aiohttp.ClientWebSocketResponse, question: dict[str, Any]) -> None:
    await asyncio.sleep(0.05)
    await socket.send_json(answered(question))


async def twice(socket: aiohttp.ClientWebSocketResponse, question: dict[str, Any]) -> None:
    await socket.send_str("this is no JSON")
    await socket.send_json({"jsonrpc": "2.0", "id": "host-999999", "result": None})
    await socket.send_json(answered(question))
    await socket.send_json({**answered(question), "result": "0x" + "ee" * 32})


def at_storage(bad: Behaviour) -> Behaviour:
    """Return a host that is good until it is asked for a slot."""

    async def behave(socket: aiohttp.ClientWebSocketResponse, question: dict[str, Any]) -> None:
        await (bad if question["method"] == "host_getStorage" else good)(socket, question)

    return behave


async def late(socket: aiohttp.ClientWebSocketResponse, question: dict[str, Any]) -> None:
    await asyncio.sleep(DEADLINE / 1_000 + 0.2)
    await good(socket, question)


async def wrong(socket: aiohttp.ClientWebSocketResponse, question: dict[str, Any]) -> None:
    await socket.send_json({**answered(question), "result": {"value": 1}})


async def refusing(socket: aiohttp.ClientWebSocketResponse, question: dict[str, Any]) -> None:
    await socket.send_json({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}})


async def never(socket: aiohttp.ClientWebSocketResponse, question: dict[str, Any]) -> None:
    """Say nothing."""


async def leaving(socket: aiohttp.ClientWebSocketResponse, question: dict[str, Any]) -> None:
    cut(socket)


GOOD = (good, slow, twice)
BAD = {
    late: "host_getStorage was not answered in time",
    wrong: "host_getStorage was answered wrongly: a hash, 64 hex digits with 0x, is expected, not {'value': 1}",
    refusing: "the host answered with an error: {'code': -1, 'message': 'no'}",
    never: "host_getStorage was not answered in time",
    leaving: None,
}


async def pallet(client: aiohttp.ClientSession, url: str, behave: Behaviour, deadline: int) -> Any:
    """Have a contract read a slot, on demand; return the answer, None if the connection ends before it."""
    message = {"sender": str(ALICE_20), "to": str(A), "gas": "0xf4240", "input": "0x" + call("get(bytes32)", TWO).hex()}
    asked = {"message": message, "state": {"onDemand": behave.__name__}, "deadline": deadline}
    async with client.ws_connect(url) as socket:
        await socket.send_json(request("ewasm_execute", asked, identifier=7))
        while True:
            received = await socket.receive(timeout=20)
            if received.type is not aiohttp.WSMsgType.TEXT:
                return None
            found = json.loads(received.data)
            if "method" in found:
                await behave(socket, found)
            elif found["id"] == 7:
                return found


def test_hosts_that_fail_are_aborted_alone(engine: Engine) -> None:
    """As many pallets as may wait at once, each on a connection of its own."""
    hosts = ([*GOOD, *BAD] * MAX_ASKING)[:MAX_ASKING]

    async def run(node: Node) -> None:
        async with many() as client:
            deadlines = (DEADLINE if host in BAD else 30_000 for host in hosts)
            behaviours = (at_storage(host) if host in BAD else host for host in hosts)
            pallets = [pallet(client, node.url, *each) for each in zip(behaviours, deadlines, strict=True)]
            alone = await pallet(client, node.url, good, 30_000)
            assert alone["result"]["output"] == str(ONE)
            for host, found in zip(hosts, await asyncio.gather(*pallets), strict=True):
                if host in GOOD:
                    assert found == alone, host.__name__
                elif host is leaving:
                    assert found is None
                else:
                    assert found["error"]["code"] == ABORTED
                    assert found["error"]["message"] == f"aborted by the node: {BAD[host]}"
            again = await asyncio.gather(*(pallet(client, node.url, good, 30_000) for _ in range(MAX_ASKING)))
            assert again == [alone] * MAX_ASKING, "every place is free again"

    with serving(engine.name) as node:
        asyncio.run(run(node))
        executions = node.server.executions
        assert all(executions._asking.acquire(timeout=5) for _ in range(MAX_ASKING))
