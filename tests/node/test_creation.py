"""Creating contracts: addresses, what is stored and paid, collisions, what a failure leaves."""

from __future__ import annotations

import pytest
from eth_abi.abi import decode

from evmc import MAX_DEPTH, U256, Address, Bytes32, Result, Status
from ewasm.ruleset import EWASM, HERA, SSVM, Ruleset
from fixtures.deploy import init_code
from node.host import MAX_NONCE, create2_address, create_address
from state import GenesisAccount
from tests.helpers import fixture_code, wat
from tests.node.world import (
    ALICE,
    CALLER,
    GAS,
    NOTHING,
    ONE,
    RICH,
    A,
    B,
    Node,
    answered,
    call,
    contract,
    finisher,
    word,
)
from wasm.engine import Engine

TRAP = wat('(module (memory (export "memory") 1) (func (export "main") unreachable))')


# Addresses


@pytest.mark.parametrize(
    ("sender", "salt", "code", "expected"),
    [
        ("00" * 20, "00" * 32, "00", "4d1a2e2bb4f88f0250f26ffff098b0b30b26bf38"),
        ("deadbeef" + "00" * 16, "00" * 32, "00", "b928f69bb1d91cd65274e3c79d8986362984fda3"),
        ("deadbeef" + "00" * 16, "00" * 12 + "feed" + "00" * 18, "00", "d04116cdd17bebe565eb2422f2497e06cc1c9833"),
        ("00" * 20, "00" * 32, "deadbeef", "70f2b2914a2a4b783faefb75f459a580616fcb5e"),
        ("00" * 16 + "deadbeef", "00" * 28 + "cafebabe", "deadbeef", "60f3f640a8508fc6a86d45df051962668e1e8ac7"),
        ("00" * 16 + "deadbeef", "00" * 28 + "cafebabe", "deadbeef" * 11, "1d8bfdc5d46dc4f61d6b6115972536ebe6a8854c"),
        ("00" * 20, "00" * 32, "", "e33c0c7f7df4809055c3eba6c09cfe4baf1bd9e0"),
    ],
)
def test_create2_address_as_published_in_eip_1014(sender: str, salt: str, code: str, expected: str) -> None:
    address = create2_address(Address.from_hex(sender), Bytes32.from_hex(salt), bytes.fromhex(code))
    assert address.hex() == expected


@pytest.mark.parametrize(
    ("sender", "nonce", "expected"),
    [
        ("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 0, "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"),
        ("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 1, "343c43a37d37dff08ae8c4a11544c718abb4fcf8"),
        ("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 2, "f778b86fa74e846c4f0a1fbd1335fe81c00a0c91"),
        ("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 3, "fffd933a0bc612844eaf0c6fe3e5b8e9b6c1d19c"),
        ("f39fd6e51aad88f6f4ce6ab8827279cfffb92266", 0, "5fbdb2315678afecb367f032d93f642f64180aa3"),
    ],
)
def test_create_address_as_published(sender: str, nonce: int, expected: str) -> None:
    assert create_address(Address.from_hex(sender), nonce).hex() == expected


# Creation


def created_by(node: Node, code: bytes, *, value: int = 0, salt: Bytes32 | None = None) -> tuple[int, Address, bytes]:
    """Let contract A create; return what it learned."""
    if salt is None:
        data = call("create(uint256,bytes)", value, code)
    else:
        data = call("create2(uint256,bytes32,bytes)", value, salt, code)
    status, address, output = answered(node.message(A, data), "uint256", "address", "bytes")
    return status, Address.from_hex(address), output


@pytest.mark.parametrize("salt", [None, word(0xCAFE)], ids=["create", "create2"])
def test_creation(node: Node, salt: Bytes32 | None) -> None:
    code = init_code(CALLER)
    status, address, output = created_by(node, code, value=30, salt=salt)
    assert (status, output) == (0, b"")
    assert address == (create_address(A, 1) if salt is None else create2_address(A, salt, code))
    journal = node.journal
    assert (journal.code(address), journal.nonce(address), journal.balance(address)) == (CALLER, 1, 30)
    assert (journal.nonce(A), journal.balance(A)) == (2, 970)
    assert decode(["address"], node.message(address, call("whoami()")).output) == (str(address),)


def test_init_code_sees_an_empty_call_and_its_own_account(node: Node) -> None:
    init = wat(
        """(module
          (import "ethereum" "getCallDataSize" (func $size (result i32)))
          (import "ethereum" "getCodeSize" (func $code (result i32)))
          (import "ethereum" "getAddress" (func $self (param i32)))
          (import "ethereum" "getCaller" (func $caller (param i32)))
          (import "ethereum" "getExternalCodeSize" (func $stored (param i32) (result i32)))
          (import "ethereum" "finish" (func $finish (param i32 i32)))
          (memory (export "memory") 1)
          (func (export "main")
            (call $self (i32.const 0))
            (call $caller (i32.const 20))
            (i32.store8 (i32.const 40) (call $size))
            (i32.store8 (i32.const 41) (call $stored (i32.const 0)))
            (i32.store16 (i32.const 42) (call $code))
            (call $finish (i32.const 0) (i32.const 44))))"""
    )
    _, address, _ = created_by(node, init)
    assert node.journal.code(address) == address + A + b"\0\0" + len(init).to_bytes(2, "little")


def test_empty_init_code_makes_an_account_without_code(node: Node) -> None:
    result = node.create(b"", value=1)
    address = create_address(ALICE, 0)
    assert result == Result(Status.SUCCESS, GAS, b"", address)
    assert (node.journal.nonce(address), node.journal.balance(address), node.journal.code(address)) == (1, 1, b"")


@pytest.mark.parametrize(
    ("name", "code", "answer"),
    [
        ("trap", TRAP, 1),
        ("revert", fixture_code("wat/revert_input"), 2),
        ("no wasm", b"\x60\x00", 1),
        ("malformed", b"\0asm\1\0\0\0\xff", 1),
        ("returns a malformed module", finisher(8, b"\0asm\1\0\0\0"), 1),
        ("returns a float", init_code(fixture_code("hostile/float_add")), 1),
    ],
)
@pytest.mark.parametrize("salt", [None, ONE], ids=["create", "create2"])
def test_a_failed_creation_leaves_the_creators_nonce(
    node: Node, name: str, code: bytes, answer: int, salt: Bytes32 | None
) -> None:
    status, address, output = created_by(node, code, value=30, salt=salt)
    assert (status, address, output) == (answer, Address(bytes(20)), b""), name
    assert (node.journal.nonce(A), node.journal.balance(A)) == (2, 1_000)
    made = create_address(A, 1) if salt is None else create2_address(A, salt, code)
    assert not node.journal.exists(made)
    assert node.journal.logs == ()


def test_creation_without_enough_balance_changes_nothing(node: Node) -> None:
    assert created_by(node, NOTHING, value=1_001)[0] == 1
    assert node.journal.nonce(A) == 1


def test_bytes_without_preamble_are_stored_as_they_are(node: Node) -> None:
    result = node.create(finisher(5, b"plain"))
    assert (result.status, result.output) == (Status.SUCCESS, b"plain")
    assert result.created is not None
    assert node.journal.code(result.created) == b"plain"
    assert node.message(result.created).status is Status.REJECTED


@pytest.mark.parametrize(
    ("there", "collides"),
    [
        (GenesisAccount(nonce=1), True),
        (GenesisAccount(code=b"code"), True),
        (GenesisAccount(balance=U256(77)), False),
        (GenesisAccount(), False),
    ],
)
@pytest.mark.parametrize("salt", [None, ONE], ids=["create", "create2"])
def test_collision(engine: Engine, there: GenesisAccount, salt: Bytes32 | None, *, collides: bool) -> None:
    address = create_address(A, 1) if salt is None else create2_address(A, salt, NOTHING)
    node = Node(engine, {ALICE: GenesisAccount(balance=RICH), A: contract(CALLER, balance=U256(1_000)), address: there})
    before = node.journal.balance(address)
    status, _, _ = created_by(node, NOTHING, value=30, salt=salt)
    assert status == (1 if collides else 0)
    assert node.journal.nonce(A) == 2
    assert node.journal.balance(address) == before + (0 if collides else 30)
    assert node.vm.messages[-1].recipient == (A if collides else address)


def test_a_new_contract_begins_with_empty_storage(engine: Engine) -> None:
    address = create_address(A, 1)
    node = Node(engine, {A: contract(CALLER), address: GenesisAccount(storage={ONE: ONE})})
    assert created_by(node, NOTHING)[0] == 0
    assert node.slot(address, 1) == 0
    assert node.journal.finish().accounts[address].storage_cleared


def test_collision_from_outside_takes_all_gas(engine: Engine) -> None:
    address = create_address(ALICE, 0)
    node = Node(engine, {ALICE: GenesisAccount(balance=RICH), address: contract(CALLER)})
    assert node.create(NOTHING) == Result(Status.FAILURE)
    assert node.journal.nonce(ALICE) == 1


def test_the_same_salt_twice_collides(node: Node) -> None:
    assert [created_by(node, NOTHING, salt=ONE)[0] for _ in range(2)] == [0, 1]


def test_an_account_at_the_last_nonce_creates_nothing(engine: Engine) -> None:
    node = Node(
        engine, {A: GenesisAccount(nonce=MAX_NONCE, code=CALLER), B: GenesisAccount(nonce=MAX_NONCE - 1, code=CALLER)}
    )
    for creator, answer in ((A, 1), (B, 0)):
        result = node.message(creator, call("create(uint256,bytes)", 0, NOTHING))
        assert answered(result, "uint256", "address", "bytes")[0] == answer
        assert node.journal.nonce(creator) == MAX_NONCE


@pytest.mark.parametrize("length", [1, 300])
def test_code_deposit_to_the_last_gas(engine: Engine, length: int) -> None:
    node = Node(engine, {})
    spent = GAS - node.create(finisher(length)).gas_left
    assert spent >= 200 * length
    enough, short = node.create(finisher(length), gas=spent), node.create(finisher(length), gas=spent - 1)
    assert (enough.status, enough.gas_left) == (Status.SUCCESS, 0)
    assert short == Result(Status.OUT_OF_GAS)


@pytest.mark.parametrize(
    ("ruleset", "bound"), [(EWASM, 131_072), (HERA, 24_576), (EWASM.replace(name="small", max_code=8), 8), (SSVM, None)]
)
def test_code_size_limit(engine: Engine, ruleset: Ruleset, bound: int | None) -> None:
    node = Node(engine, {}, ruleset)
    at_most = node.create(finisher(bound or 131_072), gas=2**50)
    assert at_most.status is Status.SUCCESS
    assert at_most.created is not None
    assert len(node.journal.code(at_most.created)) == (bound or 131_072)
    if bound is not None and bound < 131_072:
        assert node.create(finisher(bound + 1), gas=2**50) == Result(Status.OUT_OF_GAS)


def test_a_contract_that_ends_itself_while_it_is_made(node: Node) -> None:
    init = wat(
        """(module
          (import "ethereum" "selfDestruct" (func $end (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 18) "\\0b\\0b")
          (func (export "main") (call $end (i32.const 0))))"""
    )
    status, address, _ = created_by(node, init, value=40)
    assert status == 0
    assert node.journal.balance(Address.from_int(0x0B0B)) == 40
    node.journal.finish()
    assert not node.journal.exists(address)


def test_the_deepest_message_creates_nothing(node: Node) -> None:
    result = node.message(A, call("create(uint256,bytes)", 0, NOTHING), depth=MAX_DEPTH)
    assert answered(result, "uint256", "address", "bytes")[0] == 1
    assert node.journal.nonce(A) == 1
