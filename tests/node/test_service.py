"""The engine as a service: states that come along in each form, what an answer says, hosts that do not answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from evmc import U256, ZERO_BYTES32, Address, Bytes32, Status, TxContext
from ewasm.ruleset import EWASM
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM
from fixtures.deploy import init_code
from node.host import create2_address, create_address
from node.service import (
    Call,
    Codes,
    Complete,
    Given,
    HostFailure,
    OnDemand,
    Request,
    Service,
    ServiceError,
    UnknownCode,
)
from state import EMPTY_CODE_HASH, Change, Database, GenesisAccount, WorldState, keccak256
from tests.helpers import fixture_code
from tests.node.world import ALICE, ALL_GAS, CALLER, NOTHING, ONE, RICH, TWO, A, B, call, word
from wasm.engine import Engine

BLOCK = TxContext(number=9, timestamp=1_000, gas_limit=30_000_000, chain_id=U256(5))
CALLER_HASH = keccak256(CALLER)
ACCOUNTS: Mapping[Address, Given] = {
    ALICE: Given(balance=RICH),
    A: Given(nonce=1, balance=U256(100), code_hash=CALLER_HASH, storage={TWO: ONE}),
    B: Given(nonce=1, code_hash=CALLER_HASH),
}
GENESIS = {
    address: GenesisAccount(
        given.nonce, given.balance, CALLER if any(given.storage) or given.nonce else b"", given.storage
    )
    for address, given in ACCOUNTS.items()
}
WRITE = call("set(bytes32,bytes32)", ONE, word(5))


class Asked:
    """A host that answers out of a mapping and notes what it was asked."""

    def __init__(self, accounts: Mapping[Address, Given] = ACCOUNTS) -> None:
        self.accounts = accounts
        self.questions: list[tuple[Any, ...]] = []

    def account(self, address: Address) -> tuple[int, U256, Bytes32] | None:
        self.questions.append(("account", address))
        given = self.accounts.get(address)
        return None if given is None else (given.nonce, given.balance, given.code_hash)

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        self.questions.append(("storage", address, key))
        return self.accounts[address].storage.get(key, ZERO_BYTES32)

    def code(self, code_hash: Bytes32) -> bytes:
        self.questions.append(("code", code_hash))
        return CALLER

    def block_hash(self, number: int) -> Bytes32 | None:
        self.questions.append(("block hash", number))
        return word(number)


@pytest.fixture
def service(engine: Engine) -> Service:
    return Service(EwasmVM(EWASM, engine), EWASM, system_contracts(EWASM))


def request(data: bytes = b"", *, to: Address | None = A, state: Any = None, **fields: Any) -> Request:
    fields = {"gas": 1_000_000, **fields}
    message = Call(sender=ALICE, to=to, input=data, **fields)
    return Request(call=message, block=BLOCK, state=state or Complete(ACCOUNTS), codes=(CALLER,))


def test_a_call_on_a_complete_state(service: Service) -> None:
    outcome = service.execute(request(WRITE, value=U256(7)))
    assert (outcome.status, outcome.output, outcome.created, outcome.root) == (Status.SUCCESS, b"", None, None)
    assert outcome.gas_used + outcome.gas_left == 1_000_000
    assert outcome.diff.accounts[A].slots == {ONE: Change(ZERO_BYTES32, word(5))}
    assert outcome.diff.accounts[A].balance == Change(100, 107)
    assert outcome.diff.accounts[ALICE].balance == Change(RICH, RICH - 7), "nobody pays for gas"
    assert outcome.diff.accounts[ALICE].nonce == Change(0, 1)


def test_nothing_is_kept(service: Service) -> None:
    first = service.execute(request(WRITE))
    assert service.execute(request(WRITE)) == first
    assert service.execute(request(call("get(bytes32)", ONE))).output == ZERO_BYTES32


def test_every_form_of_state_gives_the_same(service: Service) -> None:
    data = call("sequence(bytes[])", [WRITE, call("get(bytes32)", TWO), call("note(bytes32,bytes)", ONE, b"x")])
    complete = service.execute(request(data))
    asked = service.execute(request(data, state=OnDemand(Asked())))
    root = WorldState.genesis(Database(), GENESIS).root
    rooted = service.execute(request(data, state=Complete(ACCOUNTS, root)))
    assert complete == asked == replace(rooted, root=None)
    assert [log.data for log in complete.logs] == [b"x"]


def test_the_root_after(service: Service) -> None:
    before = WorldState.genesis(Database(), GENESIS)
    outcome = service.execute(request(WRITE, state=Complete(ACCOUNTS, before.root)))
    assert outcome.root == before.apply(outcome.diff).root != before.root


def test_a_root_that_is_of_another_state_is_refused(service: Service) -> None:
    with pytest.raises(ServiceError, match=rf"the accounts have the root 0x\w+, not {ONE}"):
        service.execute(request(WRITE, state=Complete(ACCOUNTS, ONE)))


def test_failures_are_answers(service: Service) -> None:
    reverted = service.execute(request(call("setAndRevert(bytes32,bytes32)", ONE, word(6)), value=U256(3)))
    assert (reverted.status, reverted.output, reverted.logs) == (Status.REVERT, word(6), ())
    assert reverted.diff.accounts.keys() == {ALICE}
    failed = service.execute(request(call("fail()")))
    assert (failed.status, failed.gas_left) == (Status.WASM_UNREACHABLE_INSTRUCTION, 0)
    poor = service.execute(request(value=U256(RICH + 1)))
    assert (poor.status, poor.gas_used) == (Status.INSUFFICIENT_BALANCE, 0)


def test_creations(service: Service) -> None:
    code = init_code(CALLER)
    outcome = service.execute(request(code, to=None, gas=10_000_000))
    assert (outcome.status, outcome.created) == (Status.SUCCESS, create_address(ALICE, 0))
    assert outcome.diff.accounts[create_address(ALICE, 0)].code == Change(b"", CALLER)
    salted = service.execute(request(NOTHING, to=None, salt=TWO))
    assert salted.created == create2_address(ALICE, TWO, NOTHING)
    with pytest.raises(ServiceError, match="init code of 262145 bytes, at most 262144"):
        service.execute(request(bytes(262_145), to=None))


def test_gas_that_is_refunded_counts_as_left(service: Service) -> None:
    outcome = service.execute(request(call("set(bytes32,bytes32)", TWO, ZERO_BYTES32)))
    assert outcome.gas_refunded == outcome.gas_used or outcome.gas_refunded == outcome.gas_used - 1
    assert outcome.gas_used + outcome.gas_left == 1_000_000


def test_a_sender_at_the_last_nonce(service: Service) -> None:
    accounts = {**ACCOUNTS, ALICE: Given(nonce=2**64 - 1)}
    with pytest.raises(ServiceError, match="has sent all it can"):
        service.execute(request(state=Complete(accounts)))


# Code by its hash


def test_code_that_was_sent_before_is_known(service: Service) -> None:
    unsent = replace(request(WRITE), codes=())
    with pytest.raises(UnknownCode, match=rf"the code {CALLER_HASH} is not known here: send it along"):
        service.execute(unsent)
    assert service.execute(request(WRITE)) == service.execute(unsent)


def test_codes_are_kept_within_a_bound() -> None:
    codes = Codes(10)
    first, second = codes.add(b"12345"), codes.add(b"67890")
    assert (codes.get(first), codes.get(second), codes.get(EMPTY_CODE_HASH)) == (b"12345", b"67890", b"")
    codes.add(b"abc")
    with pytest.raises(UnknownCode):
        codes.get(first)


# On demand


def test_a_host_is_asked_once_for_what_is_missing(service: Service) -> None:
    host = Asked()
    data = call("sequence(bytes[])", [call("get(bytes32)", TWO)] * 3)
    outcome = service.execute(replace(request(data, state=OnDemand(host)), codes=()))
    assert outcome.status is Status.SUCCESS
    assert sorted(host.questions) == sorted(set(host.questions))
    assert set(host.questions) == {("account", ALICE), ("account", A), ("code", CALLER_HASH), ("storage", A, TWO)}
    again = Asked()
    service.execute(replace(request(data, state=OnDemand(again)), codes=()))
    assert ("code", CALLER_HASH) not in again.questions, "it is known by now"


def test_a_host_is_asked_for_hashes_of_blocks(service: Service) -> None:
    host = Asked({**ACCOUNTS, A: Given(nonce=1, code_hash=keccak256(fixture_code("every")))})
    given = replace(request(state=OnDemand(host)), codes=(fixture_code("every"),))
    assert service.execute(given).status is Status.SUCCESS
    assert ("block hash", BLOCK.number - 1) in host.questions


def test_other_code_than_was_asked_for_is_refused(service: Service) -> None:
    host = Asked({**ACCOUNTS, A: Given(nonce=1, code_hash=ONE)})
    with pytest.raises(HostFailure, match=f"other code than {ONE}"):
        service.execute(request(WRITE, state=OnDemand(host)))


@pytest.mark.parametrize("method", ["account", "storage", "code"])
def test_a_host_that_fails_ends_the_execution(service: Service, method: str) -> None:
    host = Asked()

    def fail(*_: Any) -> Any:
        raise HostFailure("the host is gone")

    setattr(host, method, fail)
    forward = call("call(address,uint256,uint256,bytes)", B, 0, ALL_GAS, call("get(bytes32)", TWO))
    with pytest.raises(HostFailure, match="the host is gone"):
        service.execute(replace(request(forward, state=OnDemand(host)), codes=()))
    assert service.execute(request(WRITE)).status is Status.SUCCESS, "the next one is as if nothing had been"
