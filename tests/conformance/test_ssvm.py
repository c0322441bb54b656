"""The published SSVM and SOLL contracts (../shared/conformance/ssvm): statuses, outputs, storage, logs, interface gas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evmc import U256, Address, Bytes32, CallKind, Log, Message, MockAccount, MockHost, Status, TxContext
from ewasm.contract import check
from ewasm.precompiles import precompiles
from ewasm.ruleset import SSVM
from tests.helpers import CONFORMANCE, Run, conformance
from wasm.engine import Engine

SUITES = [
    "ssvm-evmc-erc20",
    "substrate-pallet-erc20",
    "rust-ssvm-fib",
    "soll-0-0-3 (Solidity)",
    "soll-feature-fib",
    "soll-feature-power",
    "soll-feature-exp",
    "soll-feature-statements",
]


def contract(folder: Path, name: str) -> bytes:
    return bytes.fromhex((folder / "contracts" / f"{name}.hex").read_text().strip())


def data(folder: Path, text: str) -> bytes:
    return contract(folder, text[1:]) if text.startswith("@") else bytes.fromhex(text)


def context(given: dict[str, Any]) -> TxContext:
    return TxContext(
        gas_price=U256(given.get("tx_gas_price", 0)),
        origin=Address.from_hex(given.get("tx_origin", "00" * 20)),
        coinbase=Address.from_hex(given.get("block_coinbase", "00" * 20)),
        number=given.get("block_number", 0),
        timestamp=given.get("block_timestamp", 0),
        gas_limit=given.get("block_gas_limit", 0),
        difficulty=U256(given.get("block_difficulty", 0)),
        chain_id=U256(given.get("chain_id", 1)),
    )


def run_step(step: dict[str, Any], folder: Path, host: MockHost, run: Run) -> None:
    address = Address.from_hex(step["address"])
    message = Message(
        kind=CallKind.CREATE if step["kind"] == "create" else CallKind.CALL,
        gas=step["gas"],
        recipient=address,
        code_address=address,
        sender=Address.from_hex(step["sender"]),
        value=U256(step["value"]),
        input=data(folder, step["input"]),
    )
    result = run(host, message, contract(folder, step["code"]))
    expected = step["expect"]
    status = {
        "EVMC_SUCCESS": {Status.SUCCESS},
        "EVMC_REVERT": {Status.REVERT},
        "EVMC_OUT_OF_GAS": {Status.OUT_OF_GAS},
        "EVMC_FAILURE": set(Status) - {Status.SUCCESS, Status.REVERT},
    }
    assert any(result.status in status[name] for name in expected["status"].split("|")), run.reasons
    if "output" in expected:
        assert result.output == data(folder, expected["output"])
    if "gas_left_eei_only" in step:
        assert result.gas_left == step["gas_left_eei_only"]
    if step.get("host_calls"):
        assert run.counted == step["host_calls"]


@pytest.mark.parametrize("name", SUITES)
def test_suite(name: str, engine: Engine) -> None:
    folder = conformance("ssvm")
    suite = next(s for s in json.loads((folder / "ewasm_vectors.json").read_text())["suites"] if s["name"] == name)
    host = MockHost(
        accounts={Address.from_hex(a): MockAccount(U256(b)) for a, b in suite.get("balances", {}).items()},
        tx_context=context(suite.get("tx_context", {})),
        precompiles=precompiles(SSVM.precompiles),
    )
    run = Run(engine, SSVM)
    for step in suite["steps"]:
        run_step(step, folder, host, run)
    storage = {
        str(address)[2:]: {k.hex(): v.hex() for k, v in account.storage.items() if any(v)}
        for address, account in host.accounts.items()
        if any(any(v) for v in account.storage.values())
    }
    assert storage == suite["final_storage"]
    if "expected_logs" in suite:
        assert host.logs == [
            Log(Address.from_hex(e["address"]), tuple(map(Bytes32.from_hex, e["topics"])), bytes.fromhex(e["data"]))
            for e in suite["expected_logs"]
        ]
    if "isolated_negative" in suite:
        run_step(suite["isolated_negative"], folder, host, run)


def test_every_suite_is_listed() -> None:
    folder = conformance("ssvm")
    assert [s["name"] for s in json.loads((folder / "ewasm_vectors.json").read_text())["suites"]] == SUITES


def test_old_interface_is_refused_by_signature() -> None:
    verdict = check(contract(conformance("ssvm"), "legacy_erc20_i32_gas"), SSVM)
    signature = [f for f in verdict.findings if "ethereum.callStatic has the signature" in f.message]
    assert len(signature) == 1
    assert "[i32 i32 i32 i32] -> [i32], it must be [i64 i32 i32 i32] -> [i32]" in signature[0].message


def test_vectors_are_where_they_are_looked_for() -> None:
    """The oracles stand beside the checkout in CI; this shows in the report when they do not."""
    conformance("ssvm")
    assert (CONFORMANCE / "ssvm" / "ewasm_vectors.json").is_file()
