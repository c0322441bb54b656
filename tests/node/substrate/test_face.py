"""The Substrate side over a real chain and a real server: blocks, storage, extrinsics, subscriptions, errors."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import U256, Address
from node.chain import Chain, Genesis
from node.defaults import COIN
from node.rpc.dispatch import Dispatcher
from node.rpc.errors import RpcError
from node.rpc.execution import Executions
from node.rpc.limits import Limits
from node.service import Service
from node.substrate import types as t
from node.substrate.accounts import HOME, Native, genesis_account
from node.substrate.apis import METHODS
from node.substrate.blocks import time_extrinsic
from node.substrate.extrinsic import Extrinsic, sign
from node.substrate.face import Face
from node.substrate.hashing import blake2_256
from node.substrate.keys import Keypair
from node.substrate.methods import TABLE, Client, translate
from node.substrate.pallets import EVENTS, EWASM, PALLETS, SYSTEM, storage_key, storage_prefix
from node.substrate.scale import BYTES, U32, Sequence, decode, encode
from node.substrate.serving import SubstrateServer
from node.substrate.subscriptions import Subscriptions
from state import GenesisAccount, MemoryStore
from tests.node.rpc.serving import in_background
from tests.node.substrate.chain import ALICE, ALICE_20, BOB
from tests.node.world import CALLER, ONE, TWO, A, B, call, contract, word
from wasm.engine import Engine

GAS = 1_000_000


@dataclass
class Side:
    """A chain with its Substrate side, and a client without a session."""

    chain: Chain
    face: Face
    client: Client

    def __call__(self, name: str, *params: Any) -> Any:
        """Call a method as over the wire."""
        dispatcher = Dispatcher(TABLE, translate=translate)
        return json.loads(json.dumps(dispatcher.call(name, json.loads(json.dumps(params)), self.client)))

    def refused(self, name: str, *params: Any) -> RpcError:
        """Return the error that a method answers with."""
        with pytest.raises(RpcError) as caught:
            self(name, *params)
        return caught.value

    def signed(self, call: tuple[str, Any], by: Keypair = ALICE, *, nonce: int | None = None, era: t.Era = t.IMMORTAL, tip: int = 0) -> Extrinsic:  # fmt: skip
        """Return an extrinsic that is good in the next block."""
        around = self.face.surroundings(era, self.chain.head.number + 1)
        assert around is not None
        if nonce is None:
            nonce = self("system_accountNextIndex", by.address)
        return sign(by, call, nonce, around, era, tip)

    def send(self, call: tuple[str, Any], by: Keypair = ALICE, **options: Any) -> str:
        """Submit an extrinsic and return its hash."""
        return str(self("author_submitExtrinsic", hexed(self.signed(call, by, **options).encoded)))

    def storage(self, key: bytes, kind: Any, *at: Any) -> Any:
        """Return an entry."""
        found = self("state_getStorage", hexed(key), *at)
        return None if found is None else decode(kind, bytes.fromhex(found[2:]))

    def names(self, *at: Any) -> list[str]:
        """Return the events of the last block, or another, by name."""
        records = self.storage(storage_prefix(SYSTEM, SYSTEM.item("Events")), EVENTS, *at)
        return [record["event"][1][0] for record in records]


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


REMARK: tuple[str, Any] = ("System", ("remark", {"remark": b"hi"}))
WRITE = call("set(bytes32,bytes32)", ONE, word(5))


def message(data: bytes, target: Address = A, gas: int = GAS) -> tuple[str, Any]:
    return "Ewasm", ("call", {"target": target, "input": data, "value": 0, "gas_limit": gas, "gas_price": 1})


GENESIS = Genesis(
    timestamp=1_000_000,
    accounts={
        HOME: genesis_account({ALICE.account: Native(free=COIN), BOB.account: Native(free=COIN)}),
        ALICE_20: GenesisAccount(balance=U256(1_000)),
        A: contract(CALLER, storage={ONE: ONE, TWO: TWO}),
        B: contract(CALLER, storage={TWO: TWO}),
    },
)


@pytest.fixture
def side(engine: Engine) -> Iterator[Side]:
    chain = Chain(genesis=GENESIS, engine=engine.name, clock=lambda: 1_000_001)
    face = Face(chain)
    subscriptions = Subscriptions(face, 10)
    machine = chain.machine
    executions = Executions(Service(machine.vm, machine.ruleset, machine.precompiles))
    yield Side(chain, face, Client(face, subscriptions, executions))
    subscriptions.close()
    face.close()
    chain.close()


# Blocks


def test_hashes_are_of_headers_and_headers_hang_together(side: Side) -> None:
    side.send(REMARK)
    side.chain.mine(2)
    parent = bytes(32)
    for number in range(4):
        block_hash = side("chain_getBlockHash", number)
        header = side("chain_getHeader", block_hash)
        logs = [decode(t.DIGEST_ITEM, bytes.fromhex(log[2:])) for log in header["digest"]["logs"]]
        fields = {
            "parent_hash": parent,
            "number": int(header["number"], 16),
            "state_root": bytes.fromhex(header["stateRoot"][2:]),
            "extrinsics_root": bytes.fromhex(header["extrinsicsRoot"][2:]),
            "digest": {"logs": logs},
        }
        assert fields["number"] == number
        assert fields["state_root"] == side.chain.state(number).root
        assert logs == [("Other", side.chain.block_hash(number))]
        parent = blake2_256(encode(t.HEADER, fields))
        assert hexed(parent) == block_hash
    assert side("chain_getBlockHash") == side("chain_getFinalizedHead") == hexed(parent)
    assert side("chain_getBlockHash", [0, "0x1", 9]) == [
        side("chain_getBlockHash", 0),
        side("chain_getBlockHash", 1),
        None,
    ]


def test_a_body_has_the_time_and_the_extrinsics(side: Side) -> None:
    extrinsic = side.signed(REMARK)
    assert side("author_submitExtrinsic", hexed(extrinsic.encoded)) == hexed(extrinsic.hash)
    block = side("chain_getBlock")["block"]
    time = encode(BYTES, time_extrinsic(side.chain.head.timestamp))
    assert block["extrinsics"] == [hexed(time), hexed(extrinsic.encoded)]
    body = [time_extrinsic(side.chain.head.timestamp), extrinsic.raw]
    assert block["header"]["extrinsicsRoot"] == hexed(blake2_256(encode(Sequence(BYTES), body)))
    assert side.chain.head.extra_data == blake2_256(encode(Sequence(BYTES), body)), "Ethereum's header commits to it"
    assert side("chain_getBlock", side("chain_getBlockHash", 0))["block"]["extrinsics"] == []
    assert side("chain_getBlock", "0x" + "11" * 32) is None
    assert side("chain_getHeader", "0x" + "11" * 32) is None


def test_both_sides_see_one_state(side: Side) -> None:
    side.send(message(WRITE))
    assert side.chain.state().storage(A, ONE) == word(5)
    key = storage_key(EWASM, EWASM.item("AccountStorages"), A, ONE)
    side.chain.set_storage(A, ONE, word(7))
    assert side.storage(key, t.H256) == word(7)
    side.send(("Ewasm", ("deposit_balance", {"value": 500})))
    account = side.chain.state().account(ALICE_20)
    assert account is not None
    assert account.balance == 1_500


def test_rewinding_takes_blocks_and_extrinsics_back(side: Side) -> None:
    snapshot = side.chain.snapshot()
    side.send(message(WRITE))
    gone = side("chain_getBlockHash", 1)
    side.chain.revert(snapshot)
    assert side("system_accountNextIndex", ALICE.address) == 0
    assert side("chain_getHeader", gone) is None
    side.chain.mine()
    assert side.names() == ["ExtrinsicSuccess"]
    assert side("chain_getBlockHash", 1) != gone


def test_a_chain_that_is_opened_again_has_its_extrinsics(engine: Engine) -> None:
    store = MemoryStore()
    seen = []
    for _ in range(2):
        chain = Chain(store, GENESIS, engine=engine.name)
        face = Face(chain)
        side = Side(chain, face, Client(face, None, None))  # type: ignore[arg-type]  # neither is used
        if not chain.head.number:
            side.send(message(WRITE))
        seen.append((side("chain_getBlock"), side.names()))
        face.close()
        chain.close()
    assert seen[0] == seen[1]
    assert "Executed" in seen[0][1]


# Storage


def test_entries_at_a_block(side: Side) -> None:
    before = side("chain_getBlockHash")
    side.send(REMARK)
    key = storage_key(SYSTEM, SYSTEM.item("Account"), ALICE.account)
    assert side.storage(key, t.ACCOUNT_INFO)["nonce"] == 1
    assert side.storage(key, t.ACCOUNT_INFO, before)["nonce"] == 0
    number = storage_prefix(SYSTEM, SYSTEM.item("Number"))
    assert (side.storage(number, U32), side.storage(number, U32, before)) == (1, 0)
    hashes = storage_key(SYSTEM, SYSTEM.item("BlockHash"), 0)
    assert hexed(side.storage(hashes, t.H256)) == before
    assert side.names() == [
        "ExtrinsicSuccess",
        "Withdraw",
        "TransactionFeePaid",
        "ExtrinsicSuccess",
    ]
    (answer,) = side("state_queryStorageAt", [hexed(number), "0x00"])
    assert answer["changes"] == [[hexed(number), "0x01000000"], ["0x00", None]]
    assert side("state_getStorageSize", hexed(number)) == 4
    assert side.refused("state_getStorage", hexed(number), "0x" + "11" * 32).code == 4003


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(
    ("name", "count", "prefix"),
    [("Accounts", 3, ()), ("AccountCodes", 2, ()), ("AccountStorages", 3, ()), ("AccountStorages", 2, (A,))],
)
def test_keys_by_page(side: Side, name: str, count: int, prefix: tuple[Any, ...], size: int) -> None:
    item = EWASM.item(name)
    begin = hexed(storage_key(EWASM, item, *prefix))
    found: list[str] = []
    while page := side("state_getKeysPaged", begin, size, found[-1] if found else begin):
        found += page
        assert len(page) <= size
    assert len(found) == len(set(found)) == count
    assert all(key.startswith(begin) for key in found)
    assert all(side("state_getStorage", key) is not None for key in found)


def test_the_account_side_is_not_a_contract(side: Side) -> None:
    accounts = EWASM.item("Accounts")
    assert side("state_getStorage", hexed(storage_key(EWASM, accounts, HOME))) is None
    assert hexed(storage_key(EWASM, accounts, HOME)) not in side("state_getKeysPaged", "0x", 1000)
    assert side.refused("state_getKeysPaged", "0x", 1001).code == 4002


# Calls of the runtime


def test_state_call(side: Side) -> None:
    data = encode(t.H160, A) + encode(BYTES, call("get(bytes32)", TWO)) + ALICE.account + encode(t.U256, 0)
    answer = side("state_call", "EwasmApi_call", hexed(data + (GAS).to_bytes(8, "little")))
    outcome = decode(t.OUTCOME, bytes.fromhex(answer[2:]))
    assert (outcome["success"], outcome["output"], outcome["error"]) == (True, TWO, None)
    fails = encode(t.H160, A) + encode(BYTES, call("fail()")) + ALICE.account + encode(t.U256, 0)
    answer = side("state_call", "EwasmApi_call", hexed(fails + (GAS).to_bytes(8, "little")))
    outcome = decode(t.OUTCOME, bytes.fromhex(answer[2:]))
    assert (outcome["status"], outcome["gas_used"]) == ("WASM_UNREACHABLE_INSTRUCTION", GAS)
    assert side.chain.head.number == 0
    assert side("state_call", "EwasmApi_code", hexed(A)) == hexed(encode(BYTES, CALLER))
    findings = t.FINDING
    answer = side("state_call", "EwasmApi_check", hexed(encode(BYTES, b"\x60\x00")))
    assert [each["rule"] for each in decode(Sequence(findings), bytes.fromhex(answer[2:]))] == ["preamble"]


def test_an_estimate_is_the_least_that_will_do(side: Side) -> None:
    data = encode(t.H160, B) + encode(BYTES, WRITE) + ALICE.account + encode(t.U256, 0)
    answer = bytes.fromhex(side("state_call", "EwasmApi_estimate", hexed(data))[2:])
    assert answer[0] == 0
    gas = int.from_bytes(answer[1:], "little")
    side.send(message(WRITE, B, gas - 1))
    assert "ExecutedFailed" in side.names()
    side.send(message(WRITE, B, gas))
    assert "Executed" in side.names()


def test_calls_that_cannot_be_made(side: Side) -> None:
    assert "no function Nothing_here" in side.refused("state_call", "Nothing_here", "0x").message
    error = side.refused("state_call", "EwasmApi_code", "0x00")
    assert (error.code, error.message) == (-32602, "not in SCALE: EwasmApi_code[0]: ends at byte 1, 20 bytes are expected from byte 0")  # fmt: skip
    assert side("state_call", "Metadata_metadata_at_version", "0x0d000000") == "0x00"
    versions = side("state_call", "Metadata_metadata_versions", "0x")
    assert decode(Sequence(U32), bytes.fromhex(versions[2:])) == [14, 15]


def test_fees_before_and_after(side: Side) -> None:
    extrinsic = side.signed(message(WRITE))
    info = side("payment_queryInfo", hexed(extrinsic.encoded))
    most = int(info["partialFee"])
    asked = hexed(extrinsic.encoded + len(extrinsic.encoded).to_bytes(4, "little"))
    same = decode(t.FEE_INFO, bytes.fromhex(side("state_call", "TransactionPaymentApi_query_info", asked)[2:]))
    assert (same["partial_fee"], same["weight"]["ref_time"]) == (most, info["weight"]["refTime"])
    side("author_submitExtrinsic", hexed(extrinsic.encoded))
    key = storage_key(SYSTEM, SYSTEM.item("Account"), ALICE.account)
    paid = COIN - side.storage(key, t.ACCOUNT_INFO)["data"]["free"]
    assert 0 < paid < most


# Extrinsics


def test_eras(side: Side) -> None:
    side.chain.mine(70)
    side.send(REMARK, era=t.Era(64, 70 % 64))
    old = side.signed(REMARK, era=t.Era(4, 3))
    side.chain.mine(4)
    error = side.refused("author_submitExtrinsic", hexed(old.encoded))
    assert (error.code, error.data) == (1010, "Transaction has a bad signature"), "the era has another first block now"
    coming = t.Era(64, (side.chain.head.number + 1) % 64)
    assert side.face.surroundings(coming, side.chain.head.number + 1) is None
    assert side.face.surroundings(t.Era(65536, 16), 16 + 257) is None, "that hash is no longer known"


def test_nonces_ahead_of_their_time_wait(side: Side) -> None:
    later, first = side.signed(REMARK, nonce=1), side.signed(REMARK, nonce=0)
    side("author_submitExtrinsic", hexed(later.encoded))
    assert side.chain.head.number == 0
    assert side("author_pendingExtrinsics") == [hexed(later.encoded)]
    side("author_submitExtrinsic", hexed(first.encoded))
    assert side("author_pendingExtrinsics") == []
    assert len(side("chain_getBlock")["block"]["extrinsics"]) == 3
    assert side("system_accountNextIndex", "0x" + ALICE.account.hex()) == 2


def test_extrinsics_wait_for_a_block_without_automine(side: Side) -> None:
    side.chain.set_automine(False)
    cheap, dear = side.signed(REMARK), side.signed(REMARK, tip=5)
    side("author_submitExtrinsic", hexed(cheap.encoded))
    assert side("system_accountNextIndex", ALICE.address) == 1
    assert side.refused("author_submitExtrinsic", hexed(cheap.encoded)).code == 1013
    side("author_submitExtrinsic", hexed(dear.encoded))
    assert side.refused("author_submitExtrinsic", hexed(cheap.encoded)).code == 1014
    assert side.refused("author_submitExtrinsic", hexed(side.signed(REMARK, nonce=5_000).encoded)).code == 1010
    side.chain.mine(3)
    assert side("chain_getBlock", side("chain_getBlockHash", 1))["block"]["extrinsics"][1:] == [hexed(dear.encoded)]
    assert len(side("chain_getBlock")["block"]["extrinsics"]) == 1, "once"


def test_an_extrinsic_that_cannot_pay_when_its_turn_comes_is_dropped(side: Side) -> None:
    side.chain.set_automine(False)
    everything = ("Balances", ("transfer_allow_death", {"dest": ("Id", BOB.account), "value": COIN - 200_000}))
    side.send(everything)
    side.send(REMARK)
    side.chain.mine()
    assert len(side("chain_getBlock")["block"]["extrinsics"]) == 2
    assert side("author_pendingExtrinsics") == []


def test_a_block_has_no_more_gas_than_it_has(side: Side) -> None:
    side.chain.set_automine(False)
    for _ in range(3):
        side.send(message(call("fail()"), gas=14_000_000))
    side.chain.mine(2)
    first, second = (side("chain_getBlock", side("chain_getBlockHash", number))["block"] for number in (1, 2))
    assert [len(block["extrinsics"]) for block in (first, second)] == [3, 2]


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        ("0x", 1001, "Extrinsic has invalid format: ends at byte 0, 1 bytes are expected from byte 0"),
        ("0x0899ff", 1001, "Extrinsic has invalid format: version: extrinsics of version 25 are not known, only 4"),
        ("0x0c04ff00", 1001, "Extrinsic has invalid format: call: RuntimeCall has no variant 255"),
        ("0x10040000" + "00", 1010, "Invalid Transaction"),
        ("0x0", -32602, "invalid argument 0 (extrinsic): an even number of hex digits is expected, not 1"),
    ],
)
def test_bytes_that_are_no_extrinsic(side: Side, data: str, code: int, message: str) -> None:
    error = side.refused("author_submitExtrinsic", data)
    assert error.code == code
    assert error.message.startswith(message)


def test_accounts_are_read_in_both_forms(side: Side) -> None:
    assert side("system_accountNextIndex", BOB.address) == side("system_accountNextIndex", hexed(BOB.account)) == 0
    assert "checksum" in side.refused("system_accountNextIndex", BOB.address[:-1] + "X").message
    assert "32 bytes, not 2" in side.refused("system_accountNextIndex", "0x1234").message


def test_what_the_node_is(side: Side) -> None:
    assert side("system_chain") == "Development"
    assert side("system_properties")["ss58Format"] == 42
    assert side("state_getMetadata").startswith("0x6d6574610e")
    version = side("state_getRuntimeVersion")
    assert (version["specName"], version["transactionVersion"]) == ("ewasm-node", 1)
    core = side("state_call", "Core_version", "0x")
    assert decode(t.RUNTIME_VERSION, bytes.fromhex(core[2:]))["apis"] == [
        (bytes.fromhex(name[2:]), number) for name, number in version["apis"]
    ]
    assert set(side("rpc_methods")["methods"]) == set(TABLE.names)
    assert "WebSocket" in side.refused("chain_subscribeNewHeads").message


# Over a WebSocket


class Socket:
    """A WebSocket in which answers and notifications are told apart."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.told: list[tuple[str, Any]] = []

    async def ask(self, method: str, *params: Any) -> Any:
        await self.socket.send_json({"jsonrpc": "2.0", "id": 0, "method": method, "params": list(params)})
        while "id" not in (answer := await self.socket.receive_json(timeout=10)):
            self.told.append((answer["method"], answer["params"]["result"]))
        return answer.get("result", answer.get("error"))

    async def hear(self) -> tuple[str, Any]:
        while not self.told:
            message = await self.socket.receive_json(timeout=10)
            self.told.append((message["method"], message["params"]["result"]))
        return self.told.pop(0)


def over_socket(side: Side, run: Callable[[Socket], Coroutine[Any, Any, None]], limits: Limits | None = None) -> None:
    """Run a client against a server of the face."""
    server = SubstrateServer(side.face, limits=limits)
    ports: list[int] = []

    async def start() -> Callable[[], Coroutine[Any, Any, None]]:
        ports.append((await server.start("127.0.0.1", 0))[0][1])
        return server.stop

    async def client() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{ports[0]}") as socket,
        ):
            await run(Socket(socket))

    with in_background(start):
        asyncio.run(client())
    assert len(server.subscriptions) == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "ewasm finality" and not thread.daemon]


def test_an_extrinsic_is_watched_until_it_is_final(side: Side) -> None:
    async def run(socket: Socket) -> None:
        data = hexed(side.signed(REMARK).encoded)
        assert isinstance(await socket.ask("author_submitAndWatchExtrinsic", data), str)
        statuses = [(await socket.hear())[1] for _ in range(3)]
        block = side("chain_getBlockHash")
        assert statuses == ["ready", {"inBlock": block}, {"finalized": block}]
        error = await socket.ask("author_submitAndWatchExtrinsic", data)
        assert (error["code"], error["data"]) == (1010, "Transaction is outdated")

    over_socket(side, run)


def test_heads_and_storage_are_told(side: Side) -> None:
    key = storage_key(SYSTEM, SYSTEM.item("Account"), ALICE.account)
    other = storage_key(SYSTEM, SYSTEM.item("Account"), BOB.account)

    async def run(socket: Socket) -> None:
        heads = await socket.ask("chain_subscribeNewHeads")
        assert (await socket.hear())[1]["number"] == "0x0"
        await socket.ask("state_subscribeStorage", [hexed(key), hexed(other)])
        kind, first = await socket.hear()
        assert (kind, [change[0] for change in first["changes"]]) == ("state_storage", [hexed(key), hexed(other)])
        await socket.ask("author_submitExtrinsic", hexed(side.signed(REMARK).encoded))
        (head_kind, head), (_, changed) = await socket.hear(), await socket.hear()
        assert (head_kind, head["number"]) == ("chain_newHead", "0x1")
        assert [change[0] for change in changed["changes"]] == [hexed(key)]
        assert changed["block"] == side("chain_getBlockHash", 1)
        assert await socket.ask("chain_unsubscribeNewHeads", heads) is True
        assert await socket.ask("chain_unsubscribeNewHeads", heads) is False
        final = await socket.ask("chain_subscribeFinalizedHeads")
        assert isinstance(final, str)
        assert (await socket.hear())[1]["number"] == "0x1"
        await socket.ask("state_subscribeRuntimeVersion")
        assert (await socket.hear())[1]["specVersion"] == 1

    over_socket(side, run)


def test_a_change_while_an_entry_is_read_for_the_first_time_is_told(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    key = storage_key(SYSTEM, SYSTEM.item("Account"), ALICE.account)
    value, data = side.face.storage.value, hexed(side.signed(REMARK).encoded)
    sending = threading.Thread(target=lambda: side("author_submitExtrinsic", data))

    def read(wanted: bytes, number: int) -> bytes | None:
        found = value(wanted, number)
        if not number:
            sending.start()
            while side.chain.head.number == 0:
                time.sleep(0.001)
        return found

    monkeypatch.setattr(side.face.storage, "value", read)

    async def run(socket: Socket) -> None:
        await socket.ask("state_subscribeStorage", [hexed(key)])
        (_, first), (_, second) = await socket.hear(), await socket.hear()
        assert [first["block"], second["block"]] == side("chain_getBlockHash", [0, 1])
        assert first["changes"] != second["changes"]

    over_socket(side, run)
    sending.join()


def test_subscriptions_are_bounded(side: Side) -> None:
    async def run(socket: Socket) -> None:
        for _ in range(3):
            assert isinstance(await socket.ask("chain_subscribeNewHeads"), str)
        assert "too many subscriptions: at most 3" in (await socket.ask("chain_subscribeNewHeads"))["message"]

    over_socket(side, run, Limits(subscriptions=3))


# Whatever comes

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(
        ["0x", "0x0", "0x00", "0x" + "11" * 32, "0x" + "26aa394eea5630e07c48ae0c9558cef7" * 2, ALICE.address]
    ),
    st.sampled_from(sorted(METHODS)),
    st.binary(max_size=40).map(hexed),
    st.text(max_size=5),
    st.lists(st.none() | st.sampled_from(["0x1", "0x" + "11" * 32]), max_size=3),
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Side]:
    chain = Chain(genesis=GENESIS)
    face = Face(chain)
    machine = chain.machine
    executions = Executions(Service(machine.vm, machine.ruleset, machine.precompiles))
    subscriptions = Subscriptions(face, 10)
    yield Side(chain, face, Client(face, subscriptions, executions))
    subscriptions.close()
    face.close()
    chain.close()


def code(side: Side, method: str, *params: Any) -> int | None:
    """Return the code of the error that a method answers with, None if it does not."""
    try:
        side(method, *params)
    except RpcError as error:
        return error.code
    return None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(TABLE.names)), st.lists(VALUES, max_size=4))
def test_no_parameters_are_a_fault_of_the_node(shared: Side, method: str, params: list[Any]) -> None:
    assert code(shared, method, *params) != -32_603


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(METHODS)), st.binary(max_size=200))
def test_no_arguments_are_a_fault_of_the_runtime(shared: Side, name: str, data: bytes) -> None:
    assert code(shared, "state_call", name, hexed(data)) != -32_603


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([storage_prefix(p, i) for p in PALLETS for i in p.storage]), st.binary(max_size=120))
def test_no_key_is_a_fault_of_the_storage(shared: Side, prefix: bytes, rest: bytes) -> None:
    key = hexed(prefix + rest)
    assert code(shared, "state_getStorage", key) != -32_603
    assert code(shared, "state_getKeysPaged", hexed(prefix), 10, key) != -32_603
