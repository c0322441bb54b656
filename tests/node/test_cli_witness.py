"""`ewasm witness` and `verify`: the execution of `run` and `call`, checked by the file alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from evmc import Address
from ewasm.vm import ENGINES
from node import defaults
from tests.helpers import FIXTURES, conformance
from tests.node.commands import Done, run
from tests.node.test_cli import COUNTER, FIRST, SENDER
from wasm.engine import Engine

FIXTURE_NAMES = sorted(path.stem for path in FIXTURES.glob("*.wasm"))
SIGNATURES = {
    "counter": ["--sig", "add(uint256)", "5"],
    "erc20": ["--sig", "transfer(address,uint256)(bool)", SENDER, "0"],
    "fib": ["--sig", "fib(uint64)(uint64)", "9"],
    "caller": ["--sig", "create(bytes)", "00"],
}
BOB = Address.from_int(0xB0B)


def other(engine: Engine) -> str:
    (name,) = ENGINES.keys() - {engine.name}
    return name


def rows(done: Done) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (line.partition(": ") for line in done.stdout.splitlines())]


def verified(file: Path, *options: object, root: str | None = None) -> Any:
    """Check a witness that must be confirmed."""
    done = run("verify", file, "--json", *options, *(["--root", root] if root else []))
    assert (done.status, done.stderr) == (0, ""), done
    assert done.json["confirmed"] is True
    assert done.json["differences"] == []
    return done.json


def refuted(file: Path, *options: object) -> list[str]:
    """Check a witness that must be refuted; return the differences."""
    done = run("verify", file, "--json", *options)
    assert (done.status, done.stderr) == (1, ""), done
    assert done.json["confirmed"] is False
    plain = run("verify", file, *options)
    assert plain.status == 1
    assert rows(plain)[0] == ("witness", "refuted")
    return done.json["differences"]  # type: ignore[no-any-return]


def refused(*arguments: object) -> str:
    """Run a command that must be refused with status 2; return its one line."""
    done = run(*arguments)
    assert (done.status, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert line.isprintable()
    assert len(line) < 400
    return line.removeprefix("Error: ")


# The same as run and call


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_every_fixture(name: str, tmp_path: Path, engine: Engine) -> None:
    """Whatever `run` says of a contract, success or failure, the witness claims, and the other engine confirms."""
    file, target, arguments = tmp_path / "w.json", FIXTURES / f"{name}.wasm", SIGNATURES.get(name, [])
    ran = run("run", target, *arguments, "--engine", engine.name, "--json").json
    made = run("witness", target, *arguments, "-o", file, "--engine", engine.name, "--json")
    assert (made.status, made.stderr) == (0, "")
    assert made.json["bytes"] == file.stat().st_size
    found = verified(file, "--engine", other(engine), root=made.json["root_before"])
    assert found["outcomes"] == [{key: ran[key] for key in ("status", "gas_used", "output")}]
    assert found["root_after"] == ran["state_root"]
    assert json.loads(file.read_text())["outcomes"][0]["logs"] == ran["logs"]


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Return a state directory with our token, of which somebody else has some."""
    folder = tmp_path / "chain"
    assert run("deploy", FIXTURES / "erc20_deploy.wasm", "--state", folder).status == 0
    assert run("call", FIRST, "--state", folder, "--sig", "transfer(address,uint256)", BOB, 9).status == 0
    return folder


def test_a_transfer_on_a_state(chain: Path, tmp_path: Path, engine: Engine) -> None:
    """As `call --dry-run` has it; the root before is the one that the call before left; nothing is written."""
    file, options = tmp_path / "w.json", ("--sender", BOB, "--engine", engine.name, "--json")
    transfer = ("--state", chain, "--sig", "transfer(address,uint256)(bool)", SENDER, 9)
    before = run("call", FIRST, *transfer, *options, "--dry-run").json
    made = run("witness", FIRST, *transfer, *options, "-o", file)
    assert made.status == 0, made.stderr
    assert run("call", FIRST, *transfer, *options, "--dry-run").json == before
    found = verified(file, "--engine", other(engine), root=made.json["root_before"])
    assert found["outcomes"] == [{key: before[key] for key in ("status", "gas_used", "output")}]
    assert found["root_after"] == before["state_root"]
    assert (found["block"], found["chain_id"]) == (3, defaults.CHAIN_ID)
    assert run("call", FIRST, *transfer, *options).json["state_root"] == found["root_after"]


def test_the_published_token_on_a_state(tmp_path: Path, engine: Engine) -> None:
    """The pallet's demonstration as transactions: each call is witnessed, confirmed, and then made."""
    alice, bob = "0x9621dde636de098b43efb0fa9b61facfe328f99d", "0x41dccbd49b26c50d34355ed86ff0fa9e489d1e01"
    token, file = "0xe2a313e210a6ec1d5a9c0806545670f2e6264f86", tmp_path / "w.json"
    options = ("--state", tmp_path / "chain", "--ruleset", "ssvm", "--sender", alice, "--engine", engine.name, "--json")
    code = conformance("ssvm") / "contracts" / "substrate_erc20_deploy.hex"
    root = run("deploy", code, *options, "--gas", 6_000_000).json["state_root"]
    for signature, *arguments in (
        ("balanceOf(address)(uint256)", alice),
        ("transfer(address,uint256)(bool)", bob, 3),
        ("balanceOf(address)(uint256)", bob),
    ):
        call_ = (token, *options, "--gas", 5_000_000, "--sig", signature, *arguments)
        assert run("witness", *call_, "-o", file).status == 0
        found = verified(file, "--engine", other(engine), root=root)
        done = run("call", *call_).json
        assert (found["root_after"], found["outcomes"][0]["output"]) == (done["state_root"], done["output"])
        root = done["state_root"]


def test_plain_output(tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    made = run("witness", COUNTER, "--sig", "add(uint256)", 5, "-o", file)
    assert rows(made)[0] == ("witness", f"{file}, {file.stat().st_size:,} bytes")
    done = run("verify", file)
    assert rows(done) == [("witness", "confirmed"), *rows(made)[1:]]
    names = ["witness", "ruleset", "block", "nodes", "codes", "root before", "claim", "root after"]
    assert [name for name, _ in rows(done)] == names


def test_what_fails_is_witnessed_too(tmp_path: Path, engine: Engine) -> None:
    file = tmp_path / "w.json"
    options = ("--engine", engine.name, "-o", file)
    assert run("witness", COUNTER, "--sig", "reset()", *options).status == 0
    assert verified(file)["outcomes"][0]["status"] == "REVERT"
    assert run("witness", COUNTER, "--sig", "add(uint256)", 5, "--gas", 1_000, *options).status == 0
    assert verified(file)["outcomes"][0] == {"status": "OUT_OF_GAS", "gas_used": 1_000, "output": "0x"}
    assert run("witness", FIXTURES / "hostile" / "float_add.wat", *options).status == 0
    assert verified(file)["outcomes"][0]["status"] == "CONTRACT_VALIDATION_FAILURE"


# Refuted


@pytest.fixture
def added(tmp_path: Path) -> Path:
    file = tmp_path / "add.json"
    assert run("witness", COUNTER, "--sig", "add(uint256)", 5, "-o", file).status == 0
    return file


def edited(file: Path, *place: Any, value: Any) -> Path:
    """Write the witness with another value somewhere; return its file."""
    document = json.loads(file.read_text())
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    changed = file.with_name("changed.json")
    changed.write_text(json.dumps(document))
    return changed


def test_claims(added: Path) -> None:
    assert refuted(edited(added, "outcomes", 0, "gas_used", value=21_230)) == [
        "step 0, gas used: 21,230 is claimed, it is 21,231"
    ]
    assert refuted(edited(added, "outcomes", 0, "status", value="REVERT")) == [
        "step 0, status: REVERT is claimed, it is SUCCESS"
    ]
    (said,) = refuted(edited(added, "outcomes", 0, "output", value="0x" + "00" * 1_000))
    assert len(said) < 200
    root = json.loads(added.read_text())["root_before"]
    (said,) = refuted(edited(added, "root_after", value=root))
    assert said.startswith(f"root after: {root} is claimed, it is 0x")


def test_nodes_and_codes(added: Path) -> None:
    document = json.loads(added.read_text())
    for table in ("nodes", "codes"):
        for digest, value in document[table].items():
            kept = {key: each for key, each in document[table].items() if key != digest}
            (said,) = refuted(edited(added, table, value=kept))
            assert f"nothing is stored under {digest}" in said
            (said,) = refuted(edited(added, table, digest, value=value[:-2]))
            assert said.startswith(f"{table[:-1]} {digest} ")


def test_a_root_that_is_trusted(added: Path, tmp_path: Path) -> None:
    root = json.loads(added.read_text())["root_before"]
    verified(added, root=root)
    verified(added, root=root.removeprefix("0x"))
    wrong = "0x" + "12" * 32
    assert refuted(added, "--root", wrong) == [f"root before: the witness begins at {root}, not at {wrong}"]
    assert "'0x12' is not a root: 64 hex digits are expected" in refused("verify", added, "--root", "0x12")


@pytest.mark.parametrize("seed", range(3))
def test_any_byte_of_the_file(added: Path, seed: int) -> None:
    """A changed byte is refuted, refused, or changes nothing that the file says."""
    source, text = random.Random(seed), added.read_bytes()
    for _ in range(60):
        at = source.randrange(len(text))
        changed = added.with_name("changed.json")
        changed.write_bytes(text[:at] + bytes([source.randrange(256)]) + text[at + 1 :])
        done = run("verify", changed)
        assert done.status in (0, 1, 2)
        if done.status == 0:
            assert json.loads(changed.read_bytes()) == json.loads(text)


# Refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not a witness: not JSON"),
        (b"\0asm\1\0\0\0", "not a witness: not JSON"),
        (b"\xff\xff", "not a witness: not text in UTF-8"),
        (b"[" * 10**6, "not a witness: not JSON (nested deeper than"),
        (b"9" * 10**5, "not a witness: not JSON (Exceeds the limit"),
        (b"{}", 'not a witness: it has no "format": "ewasm-witness"'),
        (b'{"format": "ewasm-witness", "version": 3}', "a witness of version 3; this program reads versions 1 to 2"),
        (b'{"format": "ewasm-witness", "version": 2}', "not a witness: ruleset is missing"),
    ],
)
def test_files_that_are_none(text: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    file.write_bytes(text)
    assert refused("verify", file).startswith(f"{file}: {said}")


def test_rulesets(added: Path, tmp_path: Path) -> None:
    assert "made with ruleset ewasm (" in refused("verify", added, "--ruleset", "ssvm")
    dearer = tmp_path / "dearer.toml"
    dearer.write_text('name = "dearer"\n[host]\nstorage_store = 5001\n')
    assert "not with dearer (" in refused("verify", added, "--ruleset", dearer)
    assert run("witness", COUNTER, "--sig", "increment()", "--ruleset", dearer, "-o", added).status == 0
    assert "made with ruleset 'dearer', which is none of ours; name its file with --ruleset" in refused("verify", added)
    verified(added, "--ruleset", dearer)
    dearer.write_text('name = "dearer"\n[host]\nstorage_store = 5002\n')
    assert "made with ruleset dearer (" in refused("verify", added, "--ruleset", dearer)
    assert "none of ours" in refused("verify", edited(added, "ruleset", "name", value="\x1b[2J" * 50))


def test_usage(added: Path, chain: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "w.json")
    assert "Missing option '-o' / '--output'" in refused("witness", COUNTER)
    assert "Missing argument 'TARGET'" in refused("witness", *out)
    assert "Missing argument 'FILE'" in refused("verify")
    assert "No such file or directory" in refused("verify", tmp_path / "nothing.json")
    assert "there is no such file" in refused("witness", tmp_path / "nothing.wasm", *out)
    assert "not WebAssembly" in refused("witness", added, *out)
    assert "is not an address: 40 hex digits" in refused("witness", COUNTER, "--state", chain, *out)
    assert "with --state, TARGET is the address" in refused(
        "witness", FIRST, "--state", chain, "--address", FIRST, *out
    )
    assert "there is no state here" in refused("witness", FIRST, "--state", tmp_path / "nowhere", *out)
    assert "gas limit 20000 is below" in refused("witness", FIRST, "--state", chain, "--gas", 20_000, *out)
    assert "--address and --sender must differ" in refused("witness", COUNTER, "--address", SENDER, *out)
    assert "No such file or directory" in refused("witness", COUNTER, "-o", tmp_path / "no" / "w.json")
    assert "No such option '--debug'" in refused("witness", COUNTER, "--debug", *out)
    assert not (tmp_path / "w.json").exists()


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    with file.open("wb") as opened:
        opened.truncate((64 << 20) + 1)
    assert refused("verify", file) == f"{file}: more than 67108864 bytes, which is no witness"
