"""Witnesses: enough, no more than enough, and refuted by every change of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import U256, Address, Bytes32, CallKind, Message, Status, TxContext
from ewasm.ruleset import EWASM, SSVM, Ruleset
from ewasm.system import system_contracts
from ewasm.vm import ENGINES, EwasmVM, make_engine
from node.host import create_address
from node.transaction import InvalidTransaction, Transaction, execute_transaction
from node.witness import Execution, Outcome, Step, Verdict, Witness, WitnessError, outer_message, record, verify
from node.witnessfile import as_json, dump, parse
from state import (
    Database,
    GenesisAccount,
    Journal,
    MemoryStore,
    StoreError,
    Table,
    Trie,
    WorldState,
    keccak256,
)
from state.codec import encode
from state.witness import WitnessStore, recorded
from tests.conformance.test_ssvm import contract as ssvm_code
from tests.helpers import conformance, fixture_code, wat
from tests.node.test_undo import CONTRACTS, ENDS, SCRIPTS, SET, STORAGE, Act, robot, script
from tests.node.world import ALICE, BOB, RICH, A, B, call, contract, word
from wasm.engine import Engine

BLOCK = TxContext(number=1_000, timestamp=7, gas_limit=10**13, coinbase=Address.from_int(0xC0), chain_id=U256(31_337))
GAS = 3_000_000
FINISH = Act(ENDS["finish"])


def other(engine: Engine) -> Engine:
    """Return the engine that this one is not."""
    (name,) = ENGINES.keys() - {engine.name}
    return make_engine(name)


def machine(engine: Engine, ruleset: Ruleset = EWASM) -> EwasmVM:
    return EwasmVM(ruleset, engine)


def world_of(accounts: Mapping[Address, GenesisAccount]) -> WorldState:
    """Return a state with a hundred accounts beside those given."""
    crowd = {
        Address.from_int(number): GenesisAccount(balance=U256(number)) for number in range(1 << 40, (1 << 40) + 100)
    }
    return WorldState.genesis(Database(), {**crowd, ALICE: GenesisAccount(balance=RICH), **accounts})


def confirmed(witness: Witness, vm: EwasmVM) -> Verdict:
    """Check a witness as it comes out of a file."""
    verdict = verify(parse(dump(witness)), vm)
    assert verdict == Verdict(witness.claim, ())
    return verdict


def refuted(witness: Witness, vm: EwasmVM) -> str:
    """Return the one difference of a witness, as it comes out of a file."""
    verdict = verify(parse(dump(witness)), vm)
    assert not verdict.confirmed
    (difference,) = verdict.differences
    return difference


# The execution that is witnessed is the one that happens


def transactions(seed: int, acts: list[tuple[Act, ...]]) -> list[Transaction]:
    return [
        Transaction(
            sender=ALICE,
            to=CONTRACTS[index % 3],
            nonce=index,
            gas_limit=10**11,
            gas_price=U256(seed % 2),
            data=script(act),
        )
        for index, act in enumerate(acts)
    ]


@pytest.mark.parametrize("name", sorted(ENGINES))
@settings(max_examples=25, deadline=None)
@given(acts=st.lists(SCRIPTS, min_size=1, max_size=4), seed=st.integers(0, 1), source=st.randoms())
def test_blocks_of_anything(name: str, acts: list[tuple[Act, ...]], seed: int, source: random.Random) -> None:
    """Blocks of calls, creations, deletions, failures: the same as on the whole state, and no entry can go or change."""
    account = contract(robot(), balance=U256(100), storage=STORAGE)
    world = world_of({ALICE: GenesisAccount(balance=U256(10**15)), **dict.fromkeys(CONTRACTS, account)})
    vm = machine(make_engine(name), SSVM)
    steps = transactions(seed, acts)
    witness = record(world, BLOCK, steps, vm)
    confirmed(witness, vm)

    after = world
    for step, outcome in zip(steps, witness.claim.outcomes, strict=True):
        receipt = execute_transaction(step, Journal(after), BLOCK, vm, SSVM, system_contracts(SSVM))
        after = after.apply(receipt.diff)
        assert (receipt.result.status, receipt.gas_used, receipt.logs) == (
            outcome.status,
            outcome.gas_used,
            outcome.logs,
        )
    assert (witness.root, witness.claim.root) == (world.root, after.root)

    digest = source.choice(list(witness.nodes))
    kept = {key: node for key, node in witness.nodes.items() if key != digest}
    assert str(digest) in refuted(replace(witness, nodes=kept), vm)
    at = source.randrange(len(witness.nodes[digest]))
    assert f"node {digest} (" in refuted(
        replace(witness, nodes={**kept, digest: flipped(witness.nodes[digest], at)}), vm
    )


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def token(engine: Engine) -> tuple[WorldState, Address]:
    """Return a state with our ERC-20 token, whose creator has it all."""
    world, vm = world_of({}), machine(engine)
    create = Transaction(sender=ALICE, to=None, nonce=0, gas_limit=GAS, data=fixture_code("erc20_deploy"))
    receipt = execute_transaction(create, Journal(world), BLOCK, vm, EWASM, system_contracts(EWASM))
    assert receipt.contract is not None
    return world.apply(receipt.diff), receipt.contract


def transfer(engine: Engine) -> Witness:
    world, address = token(engine)
    data = call("transfer(address,uint256)", str(BOB), 7)
    step = Transaction(sender=ALICE, to=address, nonce=1, gas_limit=GAS, gas_price=U256(3), data=data)
    return record(world, BLOCK, [step], machine(engine))


def test_a_transfer_of_a_token(engine: Engine) -> None:
    """Who checks on the other engine, with nothing but the file, comes to the same."""
    witness = transfer(engine)
    (outcome,) = witness.claim.outcomes
    assert outcome.status is Status.SUCCESS
    assert outcome.output == word(1)
    assert len(outcome.logs) == 1
    assert list(witness.codes.values()) == [fixture_code("erc20")]
    confirmed(witness, machine(other(engine)))


def test_a_creation(engine: Engine) -> None:
    create = Transaction(sender=ALICE, to=None, nonce=0, gas_limit=GAS, data=fixture_code("counter_deploy"))
    witness = record(world_of({}), BLOCK, [create], machine(engine))
    assert witness.claim.outcomes[0].contract == create_address(ALICE, 0)
    assert witness.codes == {}
    confirmed(witness, machine(other(engine)))


def test_an_empty_block_reads_nothing(engine: Engine) -> None:
    world = world_of({})
    witness = record(world, BLOCK, [], machine(engine))
    assert (witness.nodes, witness.codes, witness.claim) == ({}, {}, Execution((), world.root))
    confirmed(witness, machine(engine))


def test_from_an_empty_state(engine: Engine) -> None:
    """There is no node to read; the sender has nothing and needs nothing."""
    step = Transaction(sender=ALICE, to=BOB, nonce=0, gas_limit=21_000)
    witness = record(WorldState(Database()), BLOCK, [step], machine(engine))
    assert witness.nodes == {}
    confirmed(witness, machine(engine))


def test_an_absent_account_is_witnessed_too(engine: Engine) -> None:
    """That nobody is there is read from the state as well."""
    code = wat("""(module
      (import "ethereum" "getExternalBalance" (func $balance (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "main") (call $balance (i32.const 0) (i32.const 32))))""")
    world = world_of({A: contract(code)})
    with_it = record(world, BLOCK, [outer_message(ALICE, A, GAS, U256(0), b"")], machine(engine))
    absent = Trie(world.database, world.root).proof(keccak256(Address(bytes(20))))
    assert set(absent) <= set(with_it.nodes.values())


def test_deletions_that_join_nodes_find_their_siblings(engine: Engine) -> None:
    """A slot that is cleared makes its branch collapse into a sibling that nothing else reads."""
    storage = {word(number): word(number) for number in range(1, 40)}
    world = world_of({CONTRACTS[0]: contract(robot(), storage=storage)})
    vm = machine(engine, SSVM)
    for number in range(2, 39, 4):
        acts = tuple(Act(SET, data=word(key) + bytes(32)) for key in range(1, number + 1))
        witness = record(
            world, BLOCK, [outer_message(ALICE, CONTRACTS[0], 10**9, U256(0), script((*acts, FINISH)))], vm
        )
        after = contract(robot(), storage={word(key): word(key) for key in range(number + 1, 40)})
        assert witness.claim.root == world_of({CONTRACTS[0]: after}).root
        confirmed(witness, vm)


def test_a_node_that_stands_twice_is_listed_once(engine: Engine) -> None:
    """Two accounts with the same storage share the node of its root: by its hash there is one."""
    account = contract(robot(), storage=STORAGE)
    world = world_of({CONTRACTS[0]: account, CONTRACTS[1]: account})
    act = (Act(SET, data=word(1) + word(2)), FINISH)
    steps = [outer_message(ALICE, address, 10**9, U256(0), script(act)) for address in CONTRACTS[:2]]
    witness = record(world, BLOCK, steps, machine(engine, SSVM))
    found = world.account(CONTRACTS[0])
    assert found is not None
    assert found.storage_root in witness.nodes
    confirmed(witness, machine(engine, SSVM))


# Published contracts


def test_the_pallets_demonstration(engine: Engine) -> None:
    """Create, balanceOf, transfer, balances, as messages: one witness for all five, with the published answers."""
    document = json.loads((conformance("ssvm") / "ewasm_vectors.json").read_text())
    suite = next(suite for suite in document["suites"] if suite["name"] == "substrate-pallet-erc20")
    folder = conformance("ssvm")
    alice, address = (Address.from_hex(suite["steps"][1][key]) for key in ("sender", "address"))
    steps = []
    for step in suite["steps"]:
        create = step["kind"] == "create"
        data = ssvm_code(folder, step["code"]) if create else bytes.fromhex(step["input"])
        steps.append(outer_message(alice, None if create else address, step["gas"], U256(0), data))
    world = world_of({alice: GenesisAccount(balance=U256(1_000_000))})
    witness = record(world, BLOCK, steps, machine(engine, SSVM))
    for step, outcome in zip(suite["steps"][1:], witness.claim.outcomes[1:], strict=True):
        assert outcome.status is Status.SUCCESS
        assert outcome.output.hex() == step["expect"]["output"]
        assert outcome.gas_used == step["gas_used_eei_only"]
    assert witness.claim.outcomes[0].contract == address
    confirmed(witness, machine(other(engine), SSVM))


SUITES = ["ssvm-evmc-erc20", "rust-ssvm-fib", "soll-0-0-3 (Solidity)", "soll-feature-power", "soll-feature-exp"]


@pytest.mark.parametrize("name", SUITES)
def test_published_calls(name: str, engine: Engine) -> None:
    """All calls of a suite in one block; with the published answers where the suite does not begin with a creation.

    Where it does, the calls are made on the storage that the suite ends with.
    """
    folder = conformance("ssvm")
    suite = next(s for s in json.loads((folder / "ewasm_vectors.json").read_text())["suites"] if s["name"] == name)
    calls = [step for step in suite["steps"] if step["kind"] == "call"]
    created = len(calls) < len(suite["steps"])
    address = Address.from_hex(calls[-1]["address"])
    slots = suite["final_storage"].get(address.hex(), {}) if created else {}
    storage = {Bytes32.from_hex(key): Bytes32.from_hex(value) for key, value in slots.items()}
    world = world_of({address: contract(ssvm_code(folder, calls[-1]["code"]), storage=storage)})
    steps = [
        outer_message(Address.from_hex(step["sender"]), address, step["gas"], U256(0), bytes.fromhex(step["input"]))
        for step in calls
    ]
    witness = record(world, BLOCK, steps, machine(engine, SSVM))
    confirmed(witness, machine(other(engine), SSVM))
    assert witness.codes
    for step, outcome in zip(calls, witness.claim.outcomes, strict=True):
        if not created and step["expect"]["status"] == "EVMC_SUCCESS":
            assert (outcome.status, outcome.output.hex()) == (Status.SUCCESS, step["expect"]["output"])


# Block hashes

ASKS = wat("""(module
  (import "ethereum" "getBlockHash" (func $hash (param i64 i32) (result i32)))
  (import "ethereum" "finish" (func $finish (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "main")
    (drop (call $hash (i64.const 999) (i32.const 0)))
    (i32.store (i32.const 32) (call $hash (i64.const 990) (i32.const 64)))
    (drop (call $hash (i64.const 5) (i32.const 0)))
    (call $finish (i32.const 0) (i32.const 36))))""")


def test_hashes_of_ancestors(engine: Engine) -> None:
    vm = machine(engine)
    known = {999: Bytes32(b"\7" * 32), 5: Bytes32(b"\5" * 32), 998: Bytes32(b"\6" * 32)}
    step = outer_message(ALICE, A, GAS, U256(0), b"")
    witness = record(world_of({A: contract(ASKS)}), BLOCK, [step], vm, known.get)
    assert witness.block_hashes == {990: None, 999: known[999]}
    assert witness.claim.outcomes[0].output == known[999] + b"\1\0\0\0"
    confirmed(witness, vm)
    assert refuted(replace(witness, block_hashes={990: None}), vm) == "block hash 999 is missing"
    spare = {**witness.block_hashes, 5: known[5]}
    assert refuted(replace(witness, block_hashes=spare), vm) == "block hash 5 is not needed"
    wrong = {**witness.block_hashes, 999: known[5]}
    assert refuted(replace(witness, block_hashes=wrong), vm).startswith("step 0, output: 0x0707")


# Every change is refuted


def test_every_entry_is_needed_and_bound(engine: Engine) -> None:
    """Each node and code in turn: left out, altered, put in another's place, added to."""
    witness, vm = transfer(engine), machine(engine)
    assert len(witness.nodes) > 5
    digests = list(witness.nodes)
    for digest, following in zip(digests, [*digests[1:], digests[0]], strict=True):
        kept = {key: node for key, node in witness.nodes.items() if key != digest}
        said = refuted(replace(witness, nodes=kept), vm)
        assert said.startswith(f"MissingNode: nothing is stored under {digest} (")
        assert "path" in said
        for node in (
            flipped(witness.nodes[digest], 5),
            witness.nodes[digest][:-1],
            witness.nodes[digest] + b"\0",
            b"",
            witness.nodes[following],
        ):
            said = refuted(replace(witness, nodes={**witness.nodes, digest: node}), vm)
            assert said.startswith(f"node {digest} (")
            assert f"altered: what the witness has for it has hash {keccak256(node)}" in said
    (digest,) = witness.codes
    assert str(digest) in refuted(replace(witness, codes={}), vm)
    assert refuted(replace(witness, codes={digest: witness.codes[digest][:-1]}), vm).startswith(
        f"code {digest} was altered"
    )
    junk = keccak256(b"junk")
    assert refuted(replace(witness, nodes={**witness.nodes, junk: b"junk"}), vm) == f"node {junk} is not needed"
    assert refuted(replace(witness, codes={**witness.codes, junk: b"junk"}), vm) == f"code {junk} is not needed"
    many = {Bytes32.from_int(number): b"" for number in range(5_000)}
    said = refuted(replace(witness, nodes={**witness.nodes, **many}), vm)
    assert said == f"node {Bytes32.from_int(0)} is not needed, and 4,999 more"


def test_places_of_missing_nodes(engine: Engine) -> None:
    witness, vm = transfer(engine), machine(engine)
    said = [
        refuted(replace(witness, nodes={key: node for key, node in witness.nodes.items() if key != digest}), vm)
        for digest in witness.nodes
    ]
    assert sum("account trie, path root" in text for text in said) == 1
    assert sum("storage trie of the account hashed" in text for text in said) >= 1
    altered = [
        refuted(replace(witness, nodes={**witness.nodes, digest: b"x"}), vm).partition(" was altered")[0]
        for digest in witness.nodes
    ]
    assert f"node {witness.root} (account trie, path root)" in altered
    assert sum("storage trie of the account hashed 0x" in text for text in altered) >= 1


def claims(outcome: Outcome) -> Iterator[tuple[str, Outcome]]:
    """Yield an outcome with each of its claims changed, by name."""
    log = outcome.logs[0]
    yield "status", replace(outcome, status=Status.REVERT)
    yield "gas used", replace(outcome, gas_used=outcome.gas_used - 1)
    yield "output", replace(outcome, output=word(2))
    yield "contract", replace(outcome, contract=ALICE)
    yield "logs", replace(outcome, logs=())
    yield "logs", replace(outcome, logs=(log, log))
    yield "logs", replace(outcome, logs=(replace(log, data=word(8)),))
    yield "logs", replace(outcome, logs=(replace(log, address=BOB),))
    yield "logs", replace(outcome, logs=(replace(log, topics=log.topics[:2]),))


def test_every_claim_is_held_against_what_comes_of_it(engine: Engine) -> None:
    witness, vm = transfer(engine), machine(engine)
    (outcome,) = witness.claim.outcomes
    changed = list(claims(outcome))
    assert {name.replace(" ", "_") for name, _ in changed} == {field.name for field in fields(Outcome)}
    for name, claim in changed:
        said = refuted(replace(witness, claim=replace(witness.claim, outcomes=(claim,))), vm)
        assert said.startswith(f"step 0, {name}: ")
        assert " is claimed, it is " in said
    said = refuted(replace(witness, claim=replace(witness.claim, root=witness.root)), vm)
    assert said == f"root after: {witness.root} is claimed, it is {witness.claim.root}"
    many = replace(witness, claim=Execution((replace(outcome, gas_used=1, output=b""),), witness.root))
    assert len(verify(many, vm).differences) == 3
    assert verify(replace(witness, claim=Execution((), witness.claim.root)), vm).differences == (
        "0 outcomes are claimed of 1 steps",
    )


def test_what_was_executed_is_part_of_it(engine: Engine) -> None:
    """Another sender, recipient, value, gas, input or block gives another result, or needs what is not there."""
    witness, vm = transfer(engine), machine(engine)
    (step,) = witness.steps
    assert isinstance(step, Transaction)
    for changed in (
        replace(step, sender=BOB),
        replace(step, to=BOB),
        replace(step, to=None),
        replace(step, nonce=2),
        replace(step, gas_limit=30_000),
        replace(step, gas_price=U256(4)),
        replace(step, value=U256(1)),
        replace(step, data=step.data[:-1] + b"\x08"),
        replace(step, gas_limit=10**14),
    ):
        assert not verify(replace(witness, steps=(changed,)), vm).confirmed
    assert not verify(replace(witness, steps=(step, step)), vm).confirmed
    assert not verify(replace(witness, block=replace(BLOCK, coinbase=BOB)), vm).confirmed
    assert "step 0: nonce 2 of" in refuted(replace(witness, steps=(replace(step, nonce=2),)), vm)
    assert not verify(replace(witness, root=witness.claim.root), vm).confirmed


def test_another_ruleset_can_say_nothing(engine: Engine) -> None:
    witness = transfer(engine)
    dearer = EWASM.replace(name="ewasm", host=replace(EWASM.host, storage_load=201))
    with pytest.raises(WitnessError, match=r"made with ruleset ewasm \(\w{12}\), not with ewasm \(\w{12}\): prices"):
        verify(witness, machine(engine, dearer))
    relabelled = verify(replace(witness, ruleset_hash=dearer.hash), machine(engine, dearer))
    assert relabelled.differences[0].startswith("step 0, gas used: ")


# States that nobody made


def forged(witness: Witness, nodes: list[bytes]) -> Witness:
    """Return the witness over a state that begins with the first of these nodes."""
    return replace(witness, root=keccak256(nodes[0]), nodes={keccak256(node): node for node in nodes})


@pytest.mark.parametrize(
    "node",
    [
        b"",
        b"\xc0",
        b"junk",
        b"\x80" * 40,
        encode([b"\x00", b"\xa0" + bytes(32)]),
        encode([b"\x00"] * 16),
        encode([[[[]]]] * 17),
    ],
)
def test_a_root_of_no_trie(node: bytes, engine: Engine) -> None:
    said = refuted(forged(transfer(engine), [node]), machine(engine))
    assert said.startswith("the root before is no state's: ")


def test_accounts_that_are_none(engine: Engine) -> None:
    witness, vm = transfer(engine), machine(engine)
    for leaf in (
        b"x",
        encode([b"", b"", b""]),
        encode([b"\0", b"", bytes(32), bytes(32)]),
        encode([b"", b"\1" * 33, bytes(32), bytes(32)]),
    ):
        database = Database()
        trie = Trie(database)
        trie.update({keccak256(ALICE): leaf, keccak256(BOB): leaf})
        root = trie.commit()
        nodes = {Bytes32(key[-32:]): node for key, node in database.store.items(Table.NODES)}
        said = refuted(replace(witness, root=root, nodes=nodes), vm)
        assert said.startswith("the root before is no state's: ")


def test_more_than_there_can_be(engine: Engine) -> None:
    """Balances of a forged state may add up to more than 256 bits, and nonces may be beyond the last."""
    rich = GenesisAccount(balance=U256(2**256 - 1))
    world = WorldState.genesis(Database(), {ALICE: rich, BOB: rich, A: GenesisAccount(nonce=2**64, balance=U256(1))})
    vm = machine(engine)
    empty = Execution((Outcome(status=Status.SUCCESS, gas_used=0),), world.root)
    nodes = {Bytes32(key[-32:]): node for key, node in world.database.store.items(Table.NODES)}
    step = Transaction(sender=ALICE, to=BOB, nonce=0, gas_limit=21_000, value=U256(5))
    base = replace(transfer(engine), root=world.root, nodes=nodes, codes={}, claim=empty)
    differences = verify(replace(base, steps=(step,)), vm).differences
    assert "step 0, status: SUCCESS is claimed, it is FAILURE" in differences, "what cannot be held is not moved"
    last = replace(step, sender=A, nonce=2**64 - 1)
    assert "nonce" in refuted(replace(base, steps=(last,)), vm)


def test_nodes_that_name_each_other_end(engine: Engine) -> None:
    """Branches whose children are all one node lead down to where the key ends, and to nothing there."""
    below = encode([b""] * 16 + [b"v"])
    nodes = [below]
    for _ in range(70):
        nodes.insert(0, encode([keccak256(nodes[0])] * 16 + [b""]))
    said = refuted(forged(transfer(engine), nodes), machine(engine))
    assert "nonce 1 of" in said


# Stores


def test_a_recording_is_only_read() -> None:
    world = world_of({})
    view, recorder = recorded(world)
    assert view.root == world.root
    assert view.account(ALICE) == world.account(ALICE)
    assert recorder.nodes
    with pytest.raises(StoreError, match="only read, and 1 rows came"):
        recorder.write({Table.CODE: {b"k": b"v"}})
    assert list(recorder.items(Table.PREIMAGES)) == list(world.database.store.items(Table.PREIMAGES))
    assert recorder.last(Table.NODES) == world.database.store.last(Table.NODES)
    assert recorder.get(Table.ROOTS, b"k") is None


def test_a_witness_knows_nothing_else() -> None:
    store = WitnessStore({}, {})
    assert store.get(Table.PREIMAGES, bytes(32)) is None
    for ask in (lambda: store.items(Table.NODES), lambda: store.last(Table.ROOTS), lambda: store.write({})):
        with pytest.raises(StoreError, match="a witness"):
            ask()


def test_what_was_read_before_is_recorded_again(engine: Engine) -> None:
    """A state that keeps accounts and nodes in memory gives the same witness as one that does not."""
    world, address = token(engine)
    step = Transaction(sender=ALICE, to=address, nonce=1, gas_limit=GAS, data=call("totalSupply()"))
    warm = record(world, BLOCK, [step], machine(engine))
    cold = record(WorldState(Database(world.database.store), world.root), BLOCK, [step], machine(engine))
    assert as_json(warm) == as_json(cold)
    assert isinstance(world.database.store, MemoryStore)


def test_what_cannot_be_executed_has_no_witness(engine: Engine) -> None:
    step = Transaction(sender=ALICE, to=BOB, nonce=9, gas_limit=21_000)
    with pytest.raises(InvalidTransaction, match=r"^step 0: nonce 9 of"):
        record(world_of({}), BLOCK, [step], machine(engine))


@pytest.mark.parametrize(
    "message",
    [
        Message(gas=1, kind=CallKind.DELEGATECALL, recipient=A, code_address=A),
        Message(gas=1, kind=CallKind.CREATE2),
        Message(gas=1, is_static=True, recipient=A, code_address=A),
        Message(gas=1, depth=1, recipient=A, code_address=A),
        Message(gas=1, recipient=A, code_address=B),
    ],
)
def test_only_messages_from_outside(message: Step) -> None:
    with pytest.raises(ValueError, match="cannot be witnessed"):
        record(world_of({}), BLOCK, [message], machine(make_engine("interpreter")))


def test_numbers_of_a_block_are_all_written() -> None:
    """Whatever a contract can ask about its block is in the file."""
    witness: Any = as_json(record(world_of({}), BLOCK, [], machine(make_engine("interpreter"))))
    assert witness["block"].keys() == {field.name for field in fields(TxContext)} - {"origin", "gas_price"}
