"""`ewasm gas`: reports, JSON, folded stacks, speedscope files, comparisons."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import click
import pytest

from gas.meter import PARTICLES
from node.cli import cli
from tests.helpers import FIXTURES, conformance
from tests.node.commands import run
from tests.node.rpc.running import ALICE, BOB, running
from wasm.engine import Engine

ERC20 = FIXTURES / "erc20.wasm"
TRANSFER = ("--sig", "transfer(address,uint256)", "0x70997970c51812dc3a010c7d01b50e0d17dc79c8", 0)


def profile(*arguments: object, status: int = 0) -> dict[str, Any]:
    done = run("gas", *arguments, "--json")
    assert done.status == status, done.stderr
    return done.json  # type: ignore[no-any-return]


def group() -> click.Group:
    found = cli.commands["gas"]
    assert isinstance(found, click.Group)
    return found


@pytest.mark.parametrize("name", sorted(group().commands))
def test_examples_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("counter.wasm", "erc20_deploy.wasm"):
        shutil.copy(FIXTURES / file, tmp_path)
    assert run("deploy", "erc20_deploy.wasm", "--state", "chain").status == 0
    (tmp_path / "costs.json").write_text("[1, 1, 1, 1]")
    (tmp_path / "calls.toml").write_text(
        '[[contract]]\ncode = "counter.wasm"\n[[contract.call]]\nsig = "increment()"\n'
    )
    assert run("gas", "snapshot", "calls.toml").status == 0
    found = re.findall(r"\n  Example:\n    ewasm (.*)\n", run("gas", name, "--help").stdout)
    assert len(found) == 1
    if name == "tx":
        with running() as node:
            sent = node.ask("eth_sendTransaction", {"from": str(ALICE), "to": str(BOB), "value": "0x1"})
            example = found[0].replace("HASH", sent).replace("8545", str(node.port))
            assert run(*shlex.split(example)).status == 0
    else:
        assert run(*shlex.split(found[0])).status == 0


def test_json_of_a_transfer(engine: Engine) -> None:
    found = profile("run", ERC20, *TRANSFER, "--engine", engine.name)
    ran = run("run", ERC20, *TRANSFER, "--engine", engine.name, "--json").json
    assert (found["status"], found["gas_used"]) == (ran["status"], ran["gas_used"])
    assert found["gas_required"] == ran["gas_used"]
    inside = found["profile"]
    used = ran["gas_used"] * inside["particles_per_gas"]
    assert inside["particles_per_gas"] == PARTICLES
    assert inside["particles"] == sum(inside["shares"].values()) == used
    assert sum(node["particles"] for node in inside["nodes"]) == used
    assert inside["nodes"][0]["total_particles"] == used
    assert sum(row["particles"] for row in inside["summary"]) == used
    assert inside["shares"]["storage"] == (2 * 5_000 + 2 * 200) * PARTICLES
    assert inside["shares"]["precompiles"] == 2 * (30 + 2 * 6) * PARTICLES, "keccak256 of 64 bytes, twice"
    by_place = sum(row["particles"] for row in [*inside["positions"], *inside["entries"]])
    assert by_place == inside["shares"]["instructions"]
    assert inside["instructions"] == sum(row["count"] for row in inside["positions"])
    assert inside["failures"] == []
    for number, node in enumerate(inside["nodes"][1:], 1):
        assert node["parent"] < number
    calls = {(edge["caller"]["name"], edge["callee"]["name"]): edge["calls"] for edge in inside["edges"]}
    assert calls["main", "transfer"] == 1
    assert calls["transfer", "storeAmount"] == 2


def test_a_transaction_on_a_state_that_stays(tmp_path: Path) -> None:
    chain = tmp_path / "chain"
    contract = run("deploy", FIXTURES / "erc20_deploy.wasm", "--state", chain, "--json").json["contract"]
    arguments = ("call", contract, "--state", chain, *TRANSFER[:-1], 5)
    first, second = (profile(*arguments) for _ in range(2))
    assert first == second
    dry = run(*arguments, "--dry-run", "--json").json
    assert first["gas_used"] == dry["gas_used"]
    assert first["profile"]["shares"]["intrinsic"] > 21_000 * PARTICLES


def test_folded_stacks_are_the_tree(tmp_path: Path) -> None:
    file = tmp_path / "stacks"
    found = profile("run", ERC20, *TRANSFER, "--folded", file)["profile"]
    lines = [line.rsplit(" ", 1) for line in file.read_text().splitlines()]
    assert sum(int(weight) for _, weight in lines) == found["particles"]
    assert all(int(weight) > 0 for _, weight in lines)
    inner = dict(lines)
    assert int(next(inner[path] for path in inner if path.endswith("main;transfer;storeAmount;storageStore"))) == (
        10_000 * PARTICLES
    )
    printed = run("gas", "run", ERC20, *TRANSFER, "--folded", "-")
    assert printed.stdout == file.read_text()


def test_folded_stacks_of_deep_recursion_stay_short() -> None:
    done = run("gas", "run", FIXTURES / "wat" / "recurse_forever.wasm", "--folded", "-", "--no-required")
    assert done.status == 1
    assert max(line.count(";") for line in done.stdout.splitlines()) <= 200


def test_a_speedscope_file(tmp_path: Path) -> None:
    """As speedscope's schema has it: events open and close frames like brackets along an axis that never goes back."""
    file = tmp_path / "profile.json"
    found = profile("run", ERC20, *TRANSFER, "--speedscope", file)["profile"]
    document = json.loads(file.read_text())
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    (one,) = document["profiles"]
    frames = document["shared"]["frames"]
    assert (one["type"], one["unit"], one["startValue"]) == ("evented", "none", 0)
    assert one["endValue"] == pytest.approx(found["particles"] / PARTICLES)
    opened: list[int] = []
    own: Counter[str] = Counter()
    at = 0.0
    for event in one["events"]:
        assert event.keys() == {"type", "frame", "at"}
        assert event["at"] >= at
        if opened:
            own[frames[opened[-1]]["name"]] += event["at"] - at  # type: ignore[assignment]
        at = event["at"]
        if event["type"] == "O":
            opened.append(event["frame"])
        else:
            assert opened.pop() == event["frame"]
    assert not opened
    assert own["storageStore"] == pytest.approx(10_000)
    assert own["transfer"] == pytest.approx(
        next(row["particles"] for row in found["summary"] if row["name"] == "transfer") / PARTICLES
    )


def test_out_of_gas_is_explained() -> None:
    done = run("gas", "run", ERC20, *TRANSFER, "--gas", 5_000)
    assert done.status == 1
    assert "failed: out of gas in storageStore\n" in done.stdout
    assert re.search(r"where: 0x\w{40} storeAmount at 0x[0-9a-f]+\n", done.stdout)
    assert "called by: main > transfer > storeAmount\n" in done.stdout
    (missing, required) = re.findall(r"missing: ([\d,]+) gas: with ([\d,]+) the call succeeds", done.stdout)[0]
    assert int(missing.replace(",", "")) + 5_000 == int(required.replace(",", ""))
    assert "Last calls before the failure\n" in done.stdout
    failure = profile("run", ERC20, *TRANSFER, "--gas", 5_000, status=1)["profile"]["failures"][-1]
    assert (failure["out_of_gas"], failure["host"], failure["path"][-1]) == (True, "storageStore", "storeAmount")
    assert failure["last"][-1]["name"] == "loadAmount"


def test_lines_of_the_source() -> None:
    found = profile("run", FIXTURES / "lines.wasm", "--input", "01ff10")["profile"]
    counts = {row["line"]: row["count"] for row in found["lines"]}
    source = (FIXTURES / "lines.c").read_text().splitlines()
    (loop,) = [number for number, text in enumerate(source, 1) if "sum += weight" in text]
    assert counts[loop] > 3
    assert {row["file"] for row in found["lines"]} == {"lines.c"}
    shown = run("gas", "run", FIXTURES / "lines.wasm", "--input", "01ff10").stdout
    assert re.search(rf"\n  lines\.c:{loop} +{counts[loop]} +", shown.partition("Lines of the source")[2])


def test_a_revert_shows_its_reason() -> None:
    done = run("gas", "run", ERC20, *TRANSFER[:-1], 5)
    assert done.status == 1
    assert "status: REVERT\n" in done.stdout
    assert re.search(r"reason: \w+", done.stdout)


def test_rulesets_that_are_not_metered_have_no_gas_required() -> None:
    found = profile("run", ERC20, *TRANSFER, "--ruleset", "ssvm")
    assert found["gas_required"] is None
    assert found["profile"]["instructions"] > 1_000
    assert "instructions" not in found["profile"]["shares"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "absent.wasm"), "absent.wasm: No such file"),
        (("run", ERC20, "--folded", "no/such/folder"), "name another file"),
        (("call", "00" * 20, "--state", "absent"), "there is no state here"),
        (("run", ERC20, "--sender", "11" * 20, "--address", "11" * 20), "must differ"),
        (("compare", ERC20, "--ruleset", "ewasm"), "at least twice"),
        (("compare", ERC20, "--ruleset", "ewasm", "--ruleset", "ewasm"), "each time another"),
        (("import", ERC20, "-o", "a.toml"), "not"),
        (("import", FIXTURES / "hostile.toml", "-o", "a.toml"), "not JSON"),
    ],
)
def test_errors(arguments: tuple[object, ...], message: str) -> None:
    done = run("gas", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert message in done.stderr


def test_compare(tmp_path: Path) -> None:
    (tmp_path / "costs.json").write_text(json.dumps([1] * 65_536))
    table = tmp_path / "ones.toml"
    assert run("gas", "import", tmp_path / "costs.json", "-o", table, "--unit", 100).status == 0
    arguments = ("compare", ERC20, *TRANSFER, "--ruleset", "ewasm", "--ruleset", table)
    ours, ones = profile(*arguments)["rulesets"]
    assert (ours["name"], ones["name"]) == ("ewasm", "ones")
    alone = profile("run", ERC20, *TRANSFER)
    assert ours["gas_used"] == alone["gas_used"]
    assert ones["shares"]["instructions"] == alone["profile"]["instructions"] * 100, "100 particles for each of them"
    assert ours["shares"]["storage"] == ones["shares"]["storage"]
    done = run("gas", *arguments)
    assert done.status == 0
    assert re.search(r"\n  storage +10,400\.0000 +10,400\.0000 +\+0\.0 %\n", done.stdout)


def test_import_of_a_name_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "costs.json").write_text("[1]")
    for output in ("ewasm.toml", "mine.json"):
        done = run("gas", "import", tmp_path / "costs.json", "-o", tmp_path / output)
        assert done.status == 2
        assert not (tmp_path / output).exists()


def test_a_published_contract() -> None:
    """The ERC-20 of the SSVM demonstration, with instructions that cost something."""
    folder = conformance("ssvm") / "contracts"
    found = profile("run", folder / "substrate_erc20_runtime.hex", "--sig", "totalSupply()", "--gas", 5_000_000)
    inside = found["profile"]
    assert inside["particles"] == sum(inside["shares"].values()) == found["gas_used"] * PARTICLES
