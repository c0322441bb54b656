"""Random trees of calls and creations, held against a model that copies the whole state to undo it.

The contracts run scripts: their call data, or in init code a data segment, says what to do, one record after the other.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import U256, Address, Log, Status
from ewasm.ruleset import SSVM
from ewasm.vm import ENGINES, make_engine
from node.host import create2_address, create_address
from state import GenesisAccount
from tests.helpers import wat
from tests.node.world import ALICE, Node, contract, word

CONTRACTS = [Address.from_int(number) for number in (0xAAAA, 0xBBBB, 0xCCCC)]
PLAIN = Address.from_int(0xEEEE)
CALLS = {"call": 5, "callCode": 6, "callDelegate": 7, "callStatic": 8}
CREATIONS = {"create": 9, "create2": 10}
ENDS = {"finish": 0, "revert": 1, "trap": 2}
ROBOT = """
(module
  (import "ethereum" "getCallDataSize" (func $size (result i32)))
  (import "ethereum" "callDataCopy" (func $input (param i32 i32 i32)))
  (import "ethereum" "finish" (func $finish (param i32 i32)))
  (import "ethereum" "revert" (func $revert (param i32 i32)))
  (import "ethereum" "storageStore" (func $store (param i32 i32)))
  (import "ethereum" "log" (func $log (param i32 i32 i32 i32 i32 i32 i32)))
  (import "ethereum" "call" (func $call (param i64 i32 i32 i32 i32) (result i32)))
  (import "ethereum" "callCode" (func $callCode (param i64 i32 i32 i32 i32) (result i32)))
  (import "ethereum" "callDelegate" (func $callDelegate (param i64 i32 i32 i32) (result i32)))
  (import "ethereum" "callStatic" (func $callStatic (param i64 i32 i32 i32) (result i32)))
  (import "ethereum" "create" (func $create (param i32 i32 i32 i32) (result i32)))
  (import "ethereum" "create2" (func $create2 (param i32 i32 i32 i32 i32) (result i32)))
  (import "ethereum" "selfDestruct" (func $selfDestruct (param i32)))
  (memory (export "memory") 4)
  (data (i32.const 0) "DATA")
  ;; Results go from $out on, one byte each; records begin at 0.
  (func $main (export "main")
    (local $at i32) (local $out i32) (local $all i64) (local $length i32) (local $body i32)
    (call $input (i32.const 0) (i32.const 0) (call $size))
    (local.set $out (i32.const 250000))
    (local.set $all (i64.const 0x7fffffffffffffff))
    (loop $next
      ;; kind 1 · address 20 · value 16 · salt 32 · length 4 · body
      (local.set $length (i32.load offset=69 (local.get $at)))
      (local.set $body (i32.add (local.get $at) (i32.const 73)))
      (block $called
        (block $create2 (block $create (block $static (block $delegate (block $code (block $call (block $end
          (block $note (block $set (block $trap (block $revert (block $finish
            (br_table $finish $revert $trap $set $note $call $code $delegate $static $create $create2 $end
              (i32.load8_u (local.get $at))))
          (call $finish (i32.const 250000) (i32.sub (local.get $out) (i32.const 250000))))
          (call $revert (i32.const 250000) (i32.sub (local.get $out) (i32.const 250000))))
          unreachable)
          (call $store (local.get $body) (i32.add (local.get $body) (i32.const 32)))
          (local.set $at (i32.add (local.get $body) (local.get $length)))
          (br $next))
          (call $log (local.get $body) (local.get $length) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
          (local.set $at (i32.add (local.get $body) (local.get $length)))
          (br $next))
        (call $selfDestruct (i32.add (local.get $at) (i32.const 1))))
        (i32.store8 (local.get $out) (call $call (local.get $all) (i32.add (local.get $at) (i32.const 1))
          (i32.add (local.get $at) (i32.const 21)) (local.get $body) (local.get $length)))
        (br $called))
        (i32.store8 (local.get $out) (call $callCode (local.get $all) (i32.add (local.get $at) (i32.const 1))
          (i32.add (local.get $at) (i32.const 21)) (local.get $body) (local.get $length)))
        (br $called))
        (i32.store8 (local.get $out) (call $callDelegate (local.get $all) (i32.add (local.get $at) (i32.const 1))
          (local.get $body) (local.get $length)))
        (br $called))
        (i32.store8 (local.get $out) (call $callStatic (local.get $all) (i32.add (local.get $at) (i32.const 1))
          (local.get $body) (local.get $length)))
        (br $called))
        (i32.store8 (local.get $out) (call $create (i32.add (local.get $at) (i32.const 21))
          (local.get $body) (local.get $length) (i32.const 260000)))
        (br $called))
        (i32.store8 (local.get $out) (call $create2 (i32.add (local.get $at) (i32.const 21))
          (local.get $body) (local.get $length) (i32.add (local.get $at) (i32.const 37)) (i32.const 260000))))
      (local.set $out (i32.add (local.get $out) (i32.const 1)))
      (local.set $at (i32.add (local.get $body) (local.get $length)))
      (br $next))))
"""
SET, NOTE, END = 3, 4, 11


@dataclass(frozen=True)
class Act:
    """A record: what to do, and for a call or creation, what is done inside."""

    kind: int
    address: Address = PLAIN
    value: int = 0
    salt: int = 0
    data: bytes = b""
    inner: tuple[Act, ...] = ()

    @property
    def body(self) -> bytes:
        """What is handed on: call data, init code, or key and value."""
        if self.kind in CREATIONS.values():
            return robot(script(self.inner))
        return script(self.inner) if self.kind in CALLS.values() else self.data


def script(acts: tuple[Act, ...]) -> bytes:
    """Write records down."""
    return b"".join(
        bytes([act.kind]) + act.address + act.value.to_bytes(16, "little") + word(act.salt)
        + len(act.body).to_bytes(4, "little") + act.body
        for act in acts
    )  # fmt: skip


@cache
def robot(data: bytes = b"") -> bytes:
    """Return the contract, which does what its data segment says until call data says otherwise."""
    return wat(ROBOT.replace("DATA", "".join(f"\\{byte:02x}" for byte in data)))


# The model


class Failed(Exception):
    """A frame ended without success; `answer` is what its caller learns."""

    def __init__(self, answer: int) -> None:
        super().__init__(answer)
        self.answer = answer


@dataclass
class Account:
    nonce: int = 0
    balance: int = 0
    code: bytes = b""
    storage: dict[bytes, bytes] = field(default_factory=dict)


@dataclass
class Model:
    """The state, copied whole before whatever may be undone."""

    accounts: dict[Address, Account]
    logs: list[tuple[Address, bytes]] = field(default_factory=list)
    refund: int = 0
    ended: set[Address] = field(default_factory=set)

    def account(self, address: Address) -> Account:
        return self.accounts.setdefault(address, Account())

    def undone(self, run: Any) -> tuple[int, bytes]:
        """Run; copy everything back if that fails."""
        before = deepcopy(self.__dict__)
        try:
            return 0, run()
        except Failed as end:
            self.__dict__.update(before)
            return end.answer, b""

    def move(self, sender: Address, to: Address, value: int) -> None:
        self.account(sender).balance -= value
        self.account(to).balance += value

    def run(self, self_: Address, acts: tuple[Act, ...], *, static: bool) -> bytes:
        """Do what a script says; return the output."""
        output = bytearray()
        for act in acts:
            if act.kind == ENDS["finish"]:
                return bytes(output)
            if act.kind in ENDS.values():
                raise Failed(2 if act.kind == ENDS["revert"] else 1)
            if act.kind in CALLS.values():
                output.append(self.call(self_, act, static=static))
                continue
            if static:
                raise Failed(1)
            if act.kind == SET:
                self.set(self_, act.data[:32], act.data[32:])
            elif act.kind == NOTE:
                self.logs.append((self_, act.data))
            elif act.kind == END:
                self.end(self_, act.address)
                return b""
            else:
                output.append(self.create(self_, act))
        raise AssertionError("a script has an end")

    def set(self, self_: Address, key: bytes, value: bytes) -> None:
        storage = self.account(self_).storage
        if any(storage.get(key, b"")) and not any(value):
            self.refund += 15_000
        storage[key] = value

    def end(self, self_: Address, heir: Address) -> None:
        amount = self.account(self_).balance
        self.account(self_).balance = 0
        if heir != self_:
            self.account(heir).balance += amount
        if self_ not in self.ended:
            self.refund += 24_000
        self.ended.add(self_)

    def call(self, self_: Address, act: Act, *, static: bool) -> int:
        kind = next(name for name, number in CALLS.items() if number == act.kind)
        value = act.value if kind in ("call", "callCode") else 0
        if static and value and kind == "call":
            raise Failed(1)
        if value > self.account(self_).balance:
            return 1
        frame = act.address if kind in ("call", "callStatic") else self_

        def run() -> bytes:
            if kind == "call":
                self.move(self_, act.address, value)
            code = self.account(act.address).code
            if not code:
                return b""
            if code != robot():
                raise Failed(1)  # what a creation left behind is no module
            return self.run(frame, act.inner, static=static or kind == "callStatic")

        return self.undone(run)[0]

    def create(self, self_: Address, act: Act) -> int:
        if act.value > self.account(self_).balance:
            return 1
        creator = self.account(self_)
        if act.kind == CREATIONS["create"]:
            address = create_address(self_, creator.nonce)
        else:
            address = create2_address(self_, word(act.salt), act.body)
        creator.nonce += 1
        if self.account(address).nonce or self.account(address).code:
            return 1

        def run() -> bytes:
            made = self.account(address)
            made.nonce, made.storage = 1, {}
            self.move(self_, address, act.value)
            self.account(address).code = self.run(address, act.inner, static=False)
            return b""

        return self.undone(run)[0]


# Random scripts

KEYS = st.integers(1, 3).map(word)
SETS = st.builds(lambda key, value: Act(SET, data=key + value), KEYS, st.integers(0, 2).map(word))
NOTES = st.builds(lambda number: Act(NOTE, data=bytes([number])), st.integers(0, 255))
LAST = st.one_of(
    st.sampled_from([ENDS["finish"]] * 4 + [ENDS["revert"], ENDS["trap"]]).map(Act),
    st.sampled_from([*CONTRACTS, PLAIN]).map(lambda heir: Act(END, heir)),
)


def scripts(inner: st.SearchStrategy[tuple[Act, ...]]) -> st.SearchStrategy[tuple[Act, ...]]:
    """Return scripts whose calls and creations have scripts of the given strategy inside."""
    nested = st.builds(
        Act,
        st.sampled_from([*CALLS.values()] * 2 + [*CREATIONS.values()]),
        st.sampled_from([*CONTRACTS, *CONTRACTS, PLAIN]),
        st.sampled_from([0, 0, 1, 40, 2_000]),
        st.integers(0, 1),
        inner=inner,
    )
    return st.builds(
        lambda acts, last: (*acts, last), st.lists(st.one_of(SETS, NOTES, nested, nested), max_size=4), LAST
    )


SCRIPTS = st.recursive(LAST.map(lambda last: (last,)), scripts, max_leaves=12)
STORAGE = {word(1): word(1), word(2): word(2)}


@pytest.mark.parametrize("name", sorted(ENGINES))
@settings(max_examples=120, deadline=None)
@given(acts=scripts(SCRIPTS))
def test_undone_exactly(name: str, acts: tuple[Act, ...]) -> None:
    """Nonces, balances, code, storage, logs, refunds, deletions and every answer are as in the model."""
    account = contract(robot(), balance=U256(100), storage=STORAGE)
    node = Node(
        make_engine(name), {ALICE: GenesisAccount(balance=U256(1_000)), **dict.fromkeys(CONTRACTS, account)}, SSVM
    )
    model = Model(
        {address: Account(1, 100, robot(), {bytes(k): bytes(v) for k, v in STORAGE.items()}) for address in CONTRACTS}
    )
    model.accounts[ALICE] = Account(0, 1_000)
    act = Act(CALLS["call"], CONTRACTS[0], 7, inner=acts)

    def run() -> bytes:
        model.move(ALICE, CONTRACTS[0], 7)
        return model.run(CONTRACTS[0], acts, static=False)

    answer, output = model.undone(run)
    result = node.message(CONTRACTS[0], act.body, value=7, gas=10**12)
    assert {Status.SUCCESS: 0, Status.REVERT: 2}.get(result.status, 1) == answer
    if answer == 0:
        assert result.output == output
    journal = node.journal
    assert journal.logs == tuple(Log(address, (), data) for address, data in model.logs)
    assert journal.refund == model.refund
    for address, expected in model.accounts.items():
        assert (journal.nonce(address), journal.balance(address)) == (expected.nonce, expected.balance)
        assert journal.code(address) == expected.code
        assert {key: journal.get_storage(address, word(key)) for key in (1, 2, 3)} == {
            key: expected.storage.get(word(key), bytes(32)) for key in (1, 2, 3)
        }
    journal.finish()
    for address, expected in model.accounts.items():
        gone = address in model.ended or not (expected.nonce or expected.balance or expected.code)
        assert journal.exists(address) is not gone
