"""Calls, self-destruction and static frames over the journal, one rule at a time."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from eth_abi.abi import decode, encode

from evmc import MAX_DEPTH, U256, ZERO_BYTES32, Address, Bytes32, CallKind, Result, Status, TxContext
from ewasm.ruleset import EWASM, HERA, SSVM, Ruleset
from state import EMPTY_CODE_HASH, Database, GenesisAccount, Journal, WorldState, keccak256
from tests.helpers import fixture_code
from tests.node.world import (
    ALICE,
    ALL_GAS,
    BOB,
    CALLER,
    GAS,
    NOTHING,
    ONE,
    RICH,
    TWO,
    A,
    B,
    C,
    Node,
    answered,
    call,
    contract,
    word,
)
from wasm.engine import Engine


def call_from(
    node: Node, kind: str, to: Address, data: bytes, *, value: int = 0, gas: int = ALL_GAS
) -> tuple[int, bytes]:
    """Let contract A send a message; return what it learned: 0, 1 or 2, and the output."""
    arguments = (to, gas, data) if kind in ("callDelegate", "callStatic") else (to, value, gas, data)
    types = "(address,uint256,bytes)" if len(arguments) == 3 else "(address,uint256,uint256,bytes)"
    return answered(node.message(A, call(kind + types, *arguments)), "uint256", "bytes")  # type: ignore[return-value]


def whoami(output: bytes) -> tuple[Any, ...]:
    self_, caller, origin, value = decode(["address", "address", "address", "uint256"], output)
    return *(Address.from_hex(text) for text in (self_, caller, origin)), value


# Calls and value


def test_a_call_runs_code_and_moves_value(node: Node) -> None:
    status, output = call_from(node, "call", B, call("whoami()"), value=7)
    assert (status, whoami(output)) == (0, (B, A, node.block.origin, 7))
    assert (node.journal.balance(A), node.journal.balance(B)) == (993, 507)


def test_value_makes_an_account_and_none_makes_none(node: Node) -> None:
    missing, other = Address.from_int(0xD1), Address.from_int(0xD2)
    assert call_from(node, "call", missing, b"", value=3) == (0, b"")
    assert call_from(node, "call", other, b"") == (0, b"")
    diff = node.journal.finish()
    assert diff.accounts[missing].created
    assert other not in diff.accounts


@pytest.mark.parametrize("kind", ["call", "callCode"])
def test_more_value_than_there_is(node: Node, kind: str) -> None:
    assert call_from(node, kind, B, call("set(bytes32,bytes32)", ONE, ONE), value=1_001) == (1, b"")
    assert call_from(node, kind, B, b"", value=1_000) == (0, b"")
    assert node.slot(B, 1) == 0


def test_a_message_from_outside_with_too_much_value_keeps_its_gas(node: Node) -> None:
    result = node.message(A, value=RICH + 1)
    assert (result.status, result.gas_left, result.output) == (Status.INSUFFICIENT_BALANCE, GAS, b"")
    assert node.create(NOTHING, value=RICH + 1).status is Status.INSUFFICIENT_BALANCE
    assert (node.journal.nonce(ALICE), node.journal.balance(ALICE)) == (0, RICH)
    assert node.vm.messages == []


def test_value_to_oneself(node: Node) -> None:
    assert call_from(node, "call", A, b"", value=400) == (0, b"")
    assert node.journal.balance(A) == 1_000


def test_an_account_without_code_succeeds_with_nothing(node: Node) -> None:
    result = node.message(BOB, b"anything", value=1)
    assert result == Result(Status.SUCCESS, GAS)
    assert node.journal.balance(BOB) == 1


def test_code_that_is_no_wasm_is_rejected_and_undone(engine: Engine) -> None:
    node = Node(engine, {ALICE: GenesisAccount(balance=RICH), A: contract(b"\x60\x00")})
    assert node.message(A, value=9) == Result(Status.REJECTED)
    assert node.journal.balance(A) == 0


@pytest.mark.parametrize(("function", "answer"), [("setAndRevert", 2), ("setAndFail", 1)])
def test_a_failed_call_undoes_its_value_and_its_storage_only(node: Node, function: str, answer: int) -> None:
    assert node.message(A, call("set(bytes32,bytes32)", ONE, word(5))).status is Status.SUCCESS
    status, output = call_from(node, "call", B, call(f"{function}(bytes32,bytes32)", ONE, word(6)), value=7)
    assert (status, output) == (answer, word(6) if answer == 2 else b"")
    assert (node.slot(A, 1), node.slot(B, 1)) == (5, 0)
    assert (node.journal.balance(A), node.journal.balance(B)) == (1_000, 500)


def test_refunds_and_logs_of_undone_calls_are_gone(node: Node) -> None:
    clear, fail = (
        call("set(bytes32,bytes32)", TWO, ZERO_BYTES32),
        call("setAndFail(bytes32,bytes32)", TWO, ZERO_BYTES32),
    )
    note = call("note(bytes32,bytes)", ONE, b"kept")
    undone = call("forward(address,bytes)", A, call("fail()"))
    assert call_from(node, "call", A, fail)[0] == 1
    assert node.journal.refund == 0
    assert call_from(node, "call", A, clear)[0] == 0
    assert node.journal.refund == 15_000
    assert call_from(node, "call", B, note)[0] == 0
    assert call_from(node, "call", B, undone)[0] == 2
    assert [(log.address, log.topics, log.data) for log in node.journal.logs] == [(B, (ONE,), b"kept")]


def test_whole_gas_goes_back_and_forth(engine: Engine) -> None:
    """The callee gets what was asked for, at most all but a 64th, and the stipend with value."""
    node = Node(
        engine, {ALICE: GenesisAccount(balance=RICH), A: contract(CALLER, balance=U256(9)), B: contract(CALLER)}
    )
    call_from(node, "call", B, call("get(bytes32)", ONE), gas=50_000)
    assert node.vm.messages[-1].gas == 50_000
    call_from(node, "call", B, b"", gas=50_000, value=1)
    assert node.vm.messages[-1].gas == 52_300
    call_from(node, "call", B, b"")
    outer, inner = node.vm.messages[-2:]
    assert (outer.gas - 700) * 62 // 64 < inner.gas <= (outer.gas - 700) - (outer.gas - 700) // 64


# Whose code, whose storage


def test_delegate_call_keeps_caller_value_and_storage(node: Node) -> None:
    result = node.message(A, call("callDelegate(address,uint256,bytes)", B, ALL_GAS, call("whoami()")), value=11)
    _, output = answered(result, "uint256", "bytes")
    assert whoami(output) == (A, ALICE, node.block.origin, 11)
    assert node.journal.balance(A) == 1_011
    inner = node.vm.messages[-1]
    assert (inner.kind, inner.recipient, inner.code_address) == (CallKind.DELEGATECALL, A, B)
    call_from(node, "callDelegate", B, call("set(bytes32,bytes32)", ONE, word(8)))
    assert (node.slot(A, 1), node.slot(B, 1)) == (8, 0)


def test_delegate_call_needs_no_balance_for_the_value_it_hands_on(node: Node) -> None:
    """The value was moved when the message came; the account may have spent it since."""
    data = call("callDelegate(address,uint256,bytes)", B, ALL_GAS, call("whoami()"))
    node.message(A, call("call(address,uint256,uint256,bytes)", BOB, 1_000, ALL_GAS, b""))
    assert node.journal.balance(A) == 0
    result = node.message(A, data, value=5)
    assert answered(result, "uint256", "bytes")[0] == 0


def test_call_code_runs_foreign_code_on_own_account(node: Node) -> None:
    status, output = call_from(node, "callCode", B, call("whoami()"), value=7)
    assert (status, whoami(output)) == (0, (A, A, node.block.origin, 7))
    assert (node.journal.balance(A), node.journal.balance(B)) == (1_000, 500)
    call_from(node, "callCode", B, call("set(bytes32,bytes32)", ONE, word(8)))
    assert (node.slot(A, 1), node.slot(B, 1)) == (8, 0)


# Depth


def test_depth_limit(engine: Engine) -> None:
    node = Node(engine, {A: contract(fixture_code("wat/reenter"))})
    result = node.message(A, gas=2**60)
    assert (result.status, int.from_bytes(result.output, "little")) == (Status.SUCCESS, MAX_DEPTH)
    assert [message.depth for message in node.vm.messages] == list(range(MAX_DEPTH + 1))


def test_a_message_below_the_deepest(node: Node) -> None:
    at_limit = node.message(A, call("whoami()"), depth=MAX_DEPTH)
    assert at_limit.status is Status.SUCCESS
    too_deep = node.message(A, call("whoami()"), depth=MAX_DEPTH + 1)
    assert too_deep == Result(Status.CALL_DEPTH_EXCEEDED, GAS)


@pytest.mark.parametrize("kind", ["call", "callCode", "callDelegate", "callStatic"])
def test_the_deepest_message_calls_nobody(node: Node, kind: str) -> None:
    types, arguments = {
        4: ("address,uint256,uint256,bytes", (B, 0, ALL_GAS, b"")),
        3: ("address,uint256,bytes", (B, ALL_GAS, b"")),
    }[4 if kind in ("call", "callCode") else 3]
    data = call(f"{kind}({types})", *arguments)
    for depth, answer in ((MAX_DEPTH - 1, 0), (MAX_DEPTH, 1)):
        assert answered(node.message(A, data, depth=depth), "uint256", "bytes") == (answer, b"")


# Self-destruction


def test_self_destruct_pays_at_once_and_ends_with_the_transaction(node: Node) -> None:
    assert call_from(node, "call", B, call("kill(address)", C)) == (0, b"")
    assert (node.journal.balance(B), node.journal.balance(C)) == (0, 500)
    assert whoami(node.message(B, call("whoami()"), value=3).output)[0] == B, "its code runs until the end"
    assert node.journal.balance(B) == 3
    assert node.message(B, call("kill(address)", C)).status is Status.SUCCESS
    assert node.journal.refund == 24_000, "one refund an account"
    diff = node.journal.finish()
    assert diff.accounts[B].deleted
    assert not node.journal.exists(B)


def test_self_destruct_to_itself_burns(node: Node) -> None:
    before = node.supply
    call_from(node, "call", B, call("kill(address)", B))
    assert node.journal.balance(B) == 0
    assert node.supply == before - 500
    node.journal.finish()
    assert not node.journal.exists(B)


def test_an_undone_self_destruct(node: Node) -> None:
    checkpoint = node.journal.checkpoint()
    assert call_from(node, "call", B, call("kill(address)", C)) == (0, b"")
    node.journal.revert(checkpoint)
    assert (node.journal.balance(B), node.journal.balance(C), node.journal.refund) == (500, 0, 0)
    assert node.message(B, call("kill(address)", C)).status is Status.SUCCESS
    assert node.journal.refund == 24_000, "it is the first time again"


def test_self_destruct_pays_for_a_new_heir(node: Node) -> None:
    def spent(heir: Address) -> int:
        return GAS - node.message(C, call("kill(address)", heir)).gas_left

    old = spent(B)
    assert spent(Address.from_int(0xD1)) == old + 25_000, "also where nothing is moved"


def test_self_destruct_by_foreign_code_ends_ones_own_account(node: Node) -> None:
    call_from(node, "callDelegate", B, call("kill(address)", C))
    assert (node.journal.balance(A), node.journal.balance(B), node.journal.balance(C)) == (0, 500, 1_000)
    diff = node.journal.finish()
    assert diff.accounts[A].deleted
    assert B not in diff.accounts


# Precompiled contracts


@pytest.mark.parametrize("kind", ["call", "callCode", "callDelegate", "callStatic"])
def test_precompiles_by_every_kind_of_call(node: Node, kind: str) -> None:
    status, output = call_from(node, kind, Address.from_int(2), b"message")
    assert (status, output) == (0, hashlib.sha256(b"message").digest())


def test_value_moves_to_a_precompile_and_touches_it(node: Node) -> None:
    identity, sha256 = Address.from_int(4), Address.from_int(2)
    assert call_from(node, "call", identity, b"same", value=12) == (0, b"same")
    assert (node.journal.balance(A), node.journal.balance(identity)) == (988, 12)
    call_from(node, "callCode", sha256, b"", value=12)
    assert (node.journal.balance(A), node.journal.balance(sha256)) == (988, 0)
    diff = node.journal.finish()
    assert diff.accounts[identity].created
    assert sha256 not in diff.accounts


def test_an_empty_precompile_account_is_removed_when_touched(engine: Engine) -> None:
    sha256 = Address.from_int(2)
    node = Node(engine, {A: contract(CALLER), sha256: GenesisAccount()})
    call_from(node, "call", sha256, b"")
    assert node.journal.finish().accounts[sha256].deleted


def test_a_precompile_that_refuses_takes_its_gas_and_gives_the_value_back(node: Node) -> None:
    bn128_add = Address.from_int(6)
    result = node.message(bn128_add, b"\xff" * 64, value=5)
    assert result == Result(Status.PRECOMPILE_FAILURE)
    assert node.journal.balance(ALICE) == RICH
    assert call_from(node, "call", bn128_add, b"\xff" * 64, value=5, gas=10_000) == (1, b"")
    assert node.journal.balance(A) == 1_000
    assert node.message(Address.from_int(2), b"", gas=59) == Result(Status.OUT_OF_GAS)


@pytest.mark.parametrize(("ruleset", "last"), [(HERA, 8), (SSVM, 9), (EWASM, 10)])
def test_each_ruleset_has_its_precompiles(engine: Engine, ruleset: Ruleset, last: int) -> None:
    node = Node(engine, {}, ruleset)
    assert sorted(node.contracts) == [Address.from_int(number) for number in range(1, last + 1)]


def test_the_sentinel_meters(node: Node) -> None:
    sentinel = Address.from_int(10)
    empty = fixture_code("wat/empty")
    result = node.message(sentinel, empty)
    assert (result.status, result.output[:8]) == (Status.SUCCESS, b"\0asm\1\0\0\0")
    assert result.gas_left == GAS - 3_000 - 32 * len(empty)
    refused = node.message(sentinel, fixture_code("hostile/float_add"))
    assert (refused.status, refused.output) == (Status.REVERT, b"")
    assert refused.gas_left > 0


# Static frames

CHANGES = {
    "storage": call("set(bytes32,bytes32)", ONE, ONE),
    "log": call("note(bytes32,bytes)", ONE, b""),
    "create": call("create(uint256,bytes)", 0, NOTHING),
    "create2": call("create2(uint256,bytes32,bytes)", 0, ONE, NOTHING),
    "selfDestruct": call("kill(address)", C),
    "value": call("call(address,uint256,uint256,bytes)", C, 1, ALL_GAS, b""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_static_frame_changes_nothing(node: Node, change: str) -> None:
    result = node.message(B, CHANGES[change], is_static=True)
    assert result == Result(Status.STATIC_MODE_VIOLATION)
    assert node.message(B, CHANGES[change]).status is Status.SUCCESS, "outside of it, the same is fine"


@pytest.mark.parametrize("kind", ["call", "callCode", "callDelegate", "callStatic"])
@pytest.mark.parametrize("change", CHANGES)
def test_static_all_the_way_down(node: Node, change: str, kind: str) -> None:
    """A calls B statically, B calls C in any way, C tries to change something."""
    data = CHANGES[change]
    if kind in ("callDelegate", "callStatic"):
        inner = call(f"{kind}(address,uint256,bytes)", C, 100_000, data)
    else:
        inner = call(f"{kind}(address,uint256,uint256,bytes)", C, 0, 100_000, data)
    before = {address: node.journal.balance(address) for address in node.accounts}
    status, output = call_from(node, "callStatic", B, inner)
    assert (status, decode(["uint256", "bytes"], output)) == (0, (1, b""))
    assert [m.is_static for m in node.vm.messages] == [False, True, True]
    assert node.vm.results[0].status is Status.STATIC_MODE_VIOLATION
    assert {address: node.journal.balance(address) for address in node.accounts} == before
    assert node.journal.logs == ()
    assert (node.journal.nonce(B), node.journal.nonce(C)) == (1, 1)


def test_call_code_with_value_is_allowed_in_a_static_frame(node: Node) -> None:
    inner = call("callCode(address,uint256,uint256,bytes)", C, 7, ALL_GAS, call("whoami()"))
    status, output = call_from(node, "callStatic", B, inner)
    answer, told = decode(["uint256", "bytes"], output)
    assert (status, answer, whoami(told)[3]) == (0, 0, 7)


def test_after_a_static_call_changes_are_allowed_again(node: Node) -> None:
    static = call("callStatic(address,uint256,bytes)", B, ALL_GAS, call("get(bytes32)", ONE))
    store = call("set(bytes32,bytes32)", ONE, ONE)
    results = answered(node.message(A, call("sequence(bytes[])", [static, store])), "uint256[]")[0]
    assert (results, node.slot(A, 1)) == ((0, 0), 1)


# What else contracts ask


def test_account_questions(node: Node) -> None:
    host = node.host
    assert host.account_exists(A)
    assert not host.account_exists(BOB)
    assert host.get_code_hash(A) == keccak256(CALLER)
    assert host.get_code_hash(ALICE) == EMPTY_CODE_HASH
    assert host.get_code_hash(BOB) == ZERO_BYTES32
    assert host.get_code_size(A) == len(CALLER)
    assert host.copy_code(A, 4, 10) == CALLER[4:14]
    assert host.copy_code(A, len(CALLER) - 1, 10) == CALLER[-1:]
    assert host.copy_code(BOB, 0, 10) == b""
    assert host.get_balance(BOB) == 0


@pytest.mark.parametrize(("number", "known"), [(744, True), (999, True), (743, False), (1_000, False), (2**63, False)])
def test_block_hashes_of_the_last_256_blocks(engine: Engine, number: int, *, known: bool) -> None:
    node = Node(engine, {}, hashes={n: word(n) for n in (743, 744, 999, 1_000, 2**63)})
    assert node.host.get_block_hash(number) == (word(number) if known else None)


def test_block_hashes_of_a_young_chain(engine: Engine) -> None:
    node = Node(engine, {}, block=TxContext(number=1), hashes={-1: word(1), 0: word(7)})
    assert (node.host.get_block_hash(-1), node.host.get_block_hash(0)) == (None, word(7))


def test_every_function_of_the_interface(engine: Engine) -> None:
    """The fixture that uses all 35 functions runs over the journal; its calls and creations find a real state."""
    node = Node(
        engine, {ALICE: GenesisAccount(balance=RICH), A: contract(fixture_code("every_extra"), balance=U256(10**9))}
    )
    result = node.message(A, encode(["uint256"], [0]), value=5)
    assert result.status is Status.SUCCESS
    assert len(result.output) == 35 * 32


def test_two_hosts_do_not_meet(engine: Engine) -> None:
    """Two states with the same VM, in turns: neither sees what the other stored."""
    first = Node(engine, {A: contract(fixture_code("wat/store_load"))})
    second = Node(engine, {A: contract(fixture_code("wat/store_load"))})
    second.vm = first.vm
    for value in (3, 4):
        first.message(A, word(1) + word(value))
        second.message(A, word(1) + word(value + 10))
    assert (first.slot(A, 1), second.slot(A, 1)) == (4, 14)


def test_an_exception_of_the_state_is_no_verdict(engine: Engine) -> None:
    """A broken store ends the execution with its own exception: nothing is said about the contract."""

    class Broken(Journal):
        def get_storage(self, *_: object) -> Bytes32:
            raise OSError("disk on fire")

    node = Node(engine, {A: contract(fixture_code("wat/store_load"))})
    node.journal = Broken(WorldState.genesis(Database(), node.accounts))
    with pytest.raises(OSError, match="disk on fire"):
        node.message(A, word(1))
