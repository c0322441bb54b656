"""The demonstration of the SSVM pallet: an ERC-20 token created, asked, used and asked again, by Alice.

As commands against a state directory, where each step is a transaction; and as the pallet executes it, message by
message without a transaction's intrinsic gas, with the published gas of 5,000,000 for each step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evmc import U256, Address, Bytes32, CallKind, Message, Status, TxContext
from ewasm.ruleset import SSVM
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM
from node.host import NodeHost
from node.transaction import intrinsic_gas
from state import Database, GenesisAccount, Journal, WorldState
from tests.helpers import conformance
from tests.node.commands import run, stored
from wasm.engine import Engine

ALICE = Address.from_hex("9621dde636de098b43efb0fa9b61facfe328f99d")
BOB = Address.from_hex("41dccbd49b26c50d34355ed86ff0fa9e489d1e01")
TOKEN = Address.from_hex("e2a313e210a6ec1d5a9c0806545670f2e6264f86")
GAS = 5_000_000


@pytest.fixture
def suite() -> dict[str, Any]:
    document = json.loads((conformance("ssvm") / "ewasm_vectors.json").read_text())
    return next(suite for suite in document["suites"] if suite["name"] == "substrate-pallet-erc20")  # type: ignore[no-any-return]


def code(name: str) -> Path:
    return conformance("ssvm") / "contracts" / f"{name}.hex"


def test_by_commands(suite: dict[str, Any], tmp_path: Path, engine: Engine) -> None:
    """Create, balanceOf, transfer, balances: each command on the state that the one before left."""
    options = ("--state", tmp_path / "chain", "--ruleset", "ssvm", "--sender", ALICE, "--engine", engine.name, "--json")

    def call(signature: str, *arguments: object) -> dict[str, Any]:
        done = run("call", TOKEN, *options, "--gas", GAS, "--sig", signature, *arguments)
        assert done.status == 0, done.stderr
        return done.json  # type: ignore[no-any-return]

    # As an Ethereum transaction the creation pays 1,444,252 for itself and 3,634,600 for 18,173 bytes of code.
    created = run("deploy", code("substrate_erc20_deploy"), *options, "--gas", 6_000_000)
    assert created.json["contract"] == str(TOKEN)
    assert created.json["output"] == "0x" + code("substrate_erc20_runtime").read_text().strip()
    assert call("balanceOf(address)(uint256)", ALICE)["decoded"] == ["1000"]
    assert call("transfer(address,uint256)(bool)", BOB, 3)["decoded"] == ["true"]
    assert call("balanceOf(address)(uint256)", ALICE)["decoded"] == ["997"]
    last = call("balanceOf(address)(uint256)", BOB)
    assert last["decoded"] == ["3"]
    state = stored(tmp_path / "chain")
    assert state["root"] == last["state_root"]
    assert state["accounts"][str(ALICE)]["nonce"] == suite["final_nonce"]["Alice"] == 5
    assert {TOKEN.hex(): state["accounts"][str(TOKEN)]["storage"]} == suite["final_storage"]


def test_gas_of_the_creation_as_a_transaction(suite: dict[str, Any], tmp_path: Path, engine: Engine) -> None:
    """To the last: interface, deposit, intrinsic gas; 5,000,000 is not enough for all three."""
    create, data = suite["steps"][0], bytes.fromhex(code("substrate_erc20_deploy").read_text())
    intrinsic, deposit = (
        intrinsic_gas(data, SSVM, create=True),
        200 * len(code("substrate_erc20_runtime").read_text().strip()) // 2,
    )
    needed = create["gas_used_eei_only"] + deposit + intrinsic
    options = ("--ruleset", "ssvm", "--sender", ALICE, "--engine", engine.name, "--json")
    deploy = ("deploy", code("substrate_erc20_deploy"), *options)
    enough = run(*deploy, "--state", tmp_path / "a", "--gas", needed)
    assert (enough.status, enough.json["gas_used"], enough.json["gas_left"]) == (0, needed, 0)
    short = run(*deploy, "--state", tmp_path / "b", "--gas", GAS)
    assert (short.status, short.json["status"]) == (1, "OUT_OF_GAS")
    assert "200 a byte" in short.json["error"]


def test_as_the_pallet_does(suite: dict[str, Any], engine: Engine) -> None:
    """Messages with the published gas: address, outputs, and the interface's gas to the last."""
    world = WorldState.genesis(Database(), {ALICE: GenesisAccount(balance=U256(1_000_000)), BOB: GenesisAccount()})
    journal = Journal(world)
    context = TxContext(origin=ALICE, gas_price=U256(suite["gas_price"]), gas_limit=GAS)
    host = NodeHost(journal, context, EwasmVM(SSVM, engine), SSVM, system_contracts(SSVM), lambda _: None)
    for step in suite["steps"]:
        create = step["kind"] == "create"
        data = code(step["code"]).read_text() if create else step["input"]
        result = host.call(
            Message(
                kind=CallKind.CREATE if create else CallKind.CALL,
                gas=step["gas"],
                sender=ALICE,
                recipient=TOKEN,
                code_address=TOKEN,
                input=bytes.fromhex(data),
            )
        )
        assert result.status is Status.SUCCESS
        deposit = 0
        if create:
            assert result.created == TOKEN
            assert result.output.hex() == code("substrate_erc20_runtime").read_text().strip()
            deposit = SSVM.host.code_byte * len(result.output)
        else:
            assert result.output.hex() == step["expect"]["output"]
        assert GAS - result.gas_left - deposit == step["gas_used_eei_only"]
    slots = suite["final_storage"][TOKEN.hex()]
    found = {key: journal.get_storage(TOKEN, Bytes32.from_hex(key)).hex() for key in slots}
    assert {TOKEN.hex(): found} == suite["final_storage"]
    assert world.apply(journal.finish()).account(TOKEN) is not None
