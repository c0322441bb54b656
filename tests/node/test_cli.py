"""Every command and option of `ewasm` where all goes well, or the contract fails: output, JSON, exit status."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode

from evmc import U256, Address
from ewasm.ruleset import RULESETS
from fixtures.deploy import init_code
from node import defaults
from node.cli import cli
from state import Database, GenesisAccount, WorldState, keccak256
from tests.helpers import FIXTURES, conformance, fixture_code, wat
from tests.node.commands import Done, run, stored
from tests.node.world import call, finisher, word
from wasm.engine import Engine

FIRST = Address.from_hex("5fbdb2315678afecb367f032d93f642f64180aa3")
SENDER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
SLOT_0 = "0x" + "00" * 32
COUNTER = FIXTURES / "counter.wasm"
INTERPRETED = ("--engine", "interpreter")
"""What a trace needs."""

KEYS = ["status", "gas_used", "gas_left", "output", "logs", "storage", "state_root"]


def rows(done: Done) -> dict[str, str]:
    """Return plain output as names and values."""
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


def run_json(file: str | Path, engine: Engine, *arguments: object) -> Any:
    """Run a contract; return its JSON, held against the exit status."""
    path = file if isinstance(file, Path) else FIXTURES / f"{file}.wasm"
    done = run("run", path, "--engine", engine.name, "--json", *arguments)
    assert done.stderr == ""
    assert done.status == (0 if done.json["status"] == "SUCCESS" else 1)
    assert ("error" in done.json) is (done.status == 1)
    return done.json


# Help


def test_without_a_command() -> None:
    done = run()
    assert (done.status, done.stdout) == (2, "")
    assert "Usage: ewasm [OPTIONS] COMMAND [ARGS]..." in done.stderr.replace("cli", "ewasm")


@pytest.mark.parametrize("group", [(), ("gas",), ("state",)])
def test_a_list_of_commands_has_whole_sentences(group: tuple[str, ...]) -> None:
    _, _, commands = run(*group, "--help").stdout.partition("Commands:\n")
    assert len(commands.splitlines()) > 3
    assert all(line.endswith(".") and not line.endswith("...") for line in commands.splitlines())


@pytest.mark.parametrize("group", ["gas", "state"])
def test_a_group_without_a_command(group: str) -> None:
    done = run(group)
    assert (done.status, done.stdout) == (2, "")
    assert f"Usage: ewasm {group} [OPTIONS] COMMAND [ARGS]...\n" in done.stderr.replace("cli", "ewasm")


def test_version_and_help() -> None:
    assert run("--version").stdout.startswith("ewasm, version ")
    assert run("--help").stdout == run("-h").stdout
    assert run("--help").status == 0
    for name in cli.commands:
        assert f"\n  {name}" in run("--help").stdout


def example(name: str) -> list[str]:
    """Return the example of a command's help, as arguments."""
    done = run(name, "--help")
    assert done.status == 0
    found = re.findall(r"\n  Example:\n    ewasm (.*)\n", done.stdout)
    assert len(found) == 1, done.stdout
    return shlex.split(found[0])


@pytest.mark.parametrize("name", sorted(cli.commands.keys() - {"node"}))  # which ends when told: test_cli_node.py
def test_the_example_of_each_command_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    for file in ("counter.wasm", "erc20_deploy.wasm"):
        shutil.copy(FIXTURES / file, checkout)
    shutil.copy(COUNTER, "contract.wasm")
    if name in ("call", "state"):
        assert run(*example("deploy")).status == 0
    if name == "verify":
        assert run(*example("witness")).status == 0
    if name in ("statetest", "spectest"):
        folder, file = {
            "statetest": ("ewasm-state-tests", "useGas.json"),
            "spectest": ("wasm-spec", "forward.wast"),
        }[name]
        if name == "spectest" and shutil.which("wast2json") is None:
            pytest.skip("wast2json (wabt) is not on the PATH")
        target = tmp_path / "shared" / "conformance" / folder
        target.mkdir(parents=True)
        shutil.copy(conformance(folder) / file, target)
    arguments = example(name)
    assert arguments[0] == name
    done = run(*arguments)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout


# run


def test_run_plain(engine: Engine) -> None:
    done = run("run", COUNTER, "--sig", "add(uint256)", "5", "--engine", engine.name)
    assert (done.status, done.stderr) == (0, "")
    assert re.fullmatch(
        r"status: SUCCESS\n"
        r"gas used: 21,\d{3}\n"
        r"gas left: 9,978,\d{3}\n"
        r"output: 0x\n"
        rf"log: {FIRST} 0x20d8a6f5[0-9a-f]{{56}} data 0x0{{63}}5\n"
        rf"storage: {FIRST} {SLOT_0} = 0x0{{63}}5\n"
        r"state root: 0x[0-9a-f]{64}\n",
        done.stdout,
    )


def test_run_json(engine: Engine) -> None:
    found = run_json("counter", engine, "--sig", "add(uint256)", 5)
    assert list(found) == KEYS
    five = str(word(5))
    assert found["status"] == "SUCCESS"
    assert found["output"] == "0x"
    assert found["gas_used"] + found["gas_left"] == 10_000_000
    assert found["storage"] == {str(FIRST): {SLOT_0: five}}
    (log,) = found["logs"]
    assert list(log) == ["address", "topics", "data"]
    assert (log["address"], len(log["topics"]), log["data"]) == (str(FIRST), 1, five)


def test_the_state_root_follows_from_the_defaults(engine: Engine) -> None:
    """Sender with its balance and nonce 0, contract with nonce 1: nothing else is there."""
    accounts = {
        defaults.SENDER: GenesisAccount(balance=U256(10_000 * 10**18)),
        FIRST: GenesisAccount(nonce=1, code=fixture_code("counter"), storage={word(0): word(5)}),
    }
    found = run_json("counter", engine, "--sig", "add(uint256)", 5)
    assert found["state_root"] == str(WorldState.genesis(Database(), accounts).root)


def test_decoded_results(engine: Engine) -> None:
    found = run_json("erc20", engine, "--sig", "name()(string)")
    assert list(found) == [*KEYS, "decoded"]
    assert found["decoded"] == ["Fixture Token"]
    done = run("run", FIXTURES / "erc20.wasm", "--sig", "decimals()(uint8)", "--engine", engine.name)
    assert rows(done)["result"] == "0"
    assert "output" not in rows(done)


def test_results_that_do_not_fit_are_shown_as_they_are(engine: Engine) -> None:
    done = run("run", FIXTURES / "erc20.wasm", "--sig", "decimals()(string)", "--engine", engine.name)
    assert (done.status, rows(done)["output"]) == (0, SLOT_0)
    assert "decoded" not in run_json("erc20", engine, "--sig", "decimals()(string)")


def test_a_revert(engine: Engine) -> None:
    found = run_json("counter", engine, "--sig", "nope()")
    assert list(found) == [*KEYS, "error"]
    assert (found["status"], found["error"]) == ("REVERT", "reverted: unknown function")
    assert found["output"].startswith("0x08c379a0")
    assert found["gas_left"] > 9_990_000
    assert run_json("wat/revert_input", engine, "--input", "c0de")["error"] == "reverted"
    overflow = run_json("counter", engine, "--sig", "add(uint256)", 2**256 - 1)
    assert overflow["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("wat/unreachable", "WASM_UNREACHABLE_INSTRUCTION", "unreachable"),
        ("wat/div_zero", "WASM_TRAP", "integer divide by zero"),
        ("wat/div_overflow", "WASM_TRAP", "integer overflow"),
        ("wat/oob_load", "INVALID_MEMORY_ACCESS", "out of bounds memory access"),
        ("wat/loop_forever", "OUT_OF_GAS", "; give more with --gas"),
        ("wat/recurse_forever", "STACK_OVERFLOW", "call stack exhausted"),
        ("wat/log_five_topics", "ARGUMENT_OUT_OF_RANGE", "5 topics, at most 4"),
        ("hostile/start", "CONTRACT_VALIDATION_FAILURE", "start function is not allowed"),
        ("hostile/simd_load", "CONTRACT_VALIDATION_FAILURE", "fixed-width SIMD is not allowed"),
        ("debug", "CONTRACT_VALIDATION_FAILURE", "import debug.print32 is not allowed"),
    ],
)
def test_failures_take_all_gas_and_say_why(engine: Engine, name: str, status: str, said: str) -> None:
    found = run_json(name, engine, "--gas", 5_000)
    assert (found["status"], found["gas_used"], found["gas_left"]) == (status, 5_000, 0)
    assert (found["output"], found["logs"], found["storage"]) == ("0x", [], {})
    assert said in found["error"]
    plain = run("run", FIXTURES / f"{name}.wasm", "--gas", 5_000, "--engine", engine.name)
    assert (plain.status, plain.stderr) == (1, "")
    assert rows(plain)["error"] == found["error"]


def test_a_failure_keeps_nothing(engine: Engine) -> None:
    quiet = run_json("counter", engine, "--sig", "get()")
    assert run_json("counter", engine, "--sig", "nope()")["state_root"] == quiet["state_root"]


def test_input(engine: Engine) -> None:
    for text in ("c0de", "0xc0de", "C0DE", "c0 de"):
        assert run_json("wat/finish_input", engine, "--input", text)["output"] == "0xc0de"
    for text in ("", "0x"):
        assert run_json("wat/finish_input", engine, "--input", text)["output"] == "0x"


def test_sig_and_arguments(engine: Engine) -> None:
    signature = "f(address,uint256[],(bool,string))"
    found = run_json("wat/finish_input", engine, "--sig", signature, SENDER, "[1,2]", '[true,"x"]')
    assert found["output"][2:10] == keccak256(signature.encode())[:4].hex()
    values = decode(["address", "uint256[]", "(bool,string)"], bytes.fromhex(found["output"][10:]))
    assert values == (SENDER, (1, 2), (True, "x"))
    negative = run_json("wat/finish_input", engine, "--sig", "f(int8)", "--", "-5")
    assert decode(["int8"], bytes.fromhex(negative["output"][10:])) == (-5,)


@pytest.mark.parametrize("text", ["7", "0x7", "1_0", "340282366920938463463"])
def test_value(engine: Engine, text: str) -> None:
    found = run_json("caller", engine, "--sig", "whoami()(address,address,address,uint256)", "--value", text)
    assert found["decoded"] == [str(FIRST), SENDER, SENDER, str(int(text, 0))]


def test_more_value_than_the_sender_has(engine: Engine) -> None:
    found = run_json("caller", engine, "--value", 10**22 + 1)
    assert (found["status"], found["gas_used"]) == ("INSUFFICIENT_BALANCE", 0)
    assert found["error"] == "the sender's balance is below --value"
    assert run_json("caller", engine, "--value", 10**22)["status"] == "SUCCESS"


@pytest.mark.parametrize("gas", [0, 1, 2**63 - 1])
def test_gas(engine: Engine, gas: int) -> None:
    found = run_json("wat/finish_input", engine, "--gas", gas)
    assert (found["status"], found["gas_used"] + found["gas_left"]) == ("SUCCESS" if gas > 1 else "OUT_OF_GAS", gas)


def test_sender_and_address(engine: Engine) -> None:
    sender, address = "0x" + "5e" * 20, "ad" * 20
    found = run_json(
        "caller", engine, "--sig", "whoami()(address,address,address,uint256)", "--sender", sender, "--address", address
    )
    assert found["decoded"] == ["0x" + address, sender, sender, "0"]
    first = run_json("caller", engine, "--sig", "whoami()(address,address,address,uint256)", "--sender", sender)
    assert first["decoded"][0] not in (str(FIRST), "0x" + address), "the sender's own first contract"


def test_the_block(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "block.wasm"
    path.write_bytes(
        wat(
            """(module
              (import "ethereum" "getBlockNumber" (func $number (result i64)))
              (import "ethereum" "getBlockTimestamp" (func $time (result i64)))
              (import "ethereum" "getBlockGasLimit" (func $limit (result i64)))
              (import "ethereum" "getChainId" (func $chain (param i32)))
              (import "ethereum" "getTxGasPrice" (func $price (param i32)))
              (import "ethereum" "getBlockHash" (func $hash (param i64 i32) (result i32)))
              (import "ethereum" "finish" (func $finish (param i32 i32)))
              (memory (export "memory") 1)
              (func (export "main")
                (i64.store (i32.const 0) (call $number))
                (i64.store (i32.const 8) (call $time))
                (i64.store (i32.const 16) (call $limit))
                (call $chain (i32.const 24))
                (call $price (i32.const 40))
                (i32.store8 (i32.const 56) (call $hash (i64.const 0) (i32.const 60)))
                (call $finish (i32.const 0) (i32.const 57))))"""
        )
    )
    expected = [1, 1_600_000_012, 30_000_000]
    for gas, limit in ((10_000_000, 30_000_000), (50_000_000, 50_000_000)):
        output = bytes.fromhex(run_json(path, engine, "--gas", gas)["output"][2:])
        numbers = [int.from_bytes(output[at : at + 8], "little") for at in (0, 8, 16)]
        assert numbers == [*expected[:2], limit]
        assert int.from_bytes(output[24:40], "little") == 31_337
        assert (any(output[40:56]), output[56]) == (False, 1)


def test_rulesets(engine: Engine) -> None:
    used = {name: run_json("wat/grow", engine, "--ruleset", name)["status"] for name in RULESETS}
    assert set(used) == {"ewasm", "hera", "ssvm"}
    assert run_json("wat/memory_copy_fill", engine)["status"] == "SUCCESS"
    refused = run_json("wat/memory_copy_fill", engine, "--ruleset", "hera")
    assert refused["status"] == "CONTRACT_VALIDATION_FAILURE"
    assert "bulk memory" in refused["error"]
    free, priced = (
        run_json("fib", engine, "--input", "0x" + "00" * 31 + "05", "--ruleset", name) for name in ("ssvm", "ewasm")
    )
    assert free["output"] == priced["output"] == str(word(5))
    assert free["gas_used"] < priced["gas_used"]


def test_a_ruleset_of_ones_own(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "dear.toml"
    path.write_text('name = "dear"\nextends = "ewasm"\n[instructions]\n"call" = 1_000_000\n[host]\nbase = 100\n')
    cheap, dear = (run_json("counter", engine, "--sig", "get()", "--ruleset", ruleset) for ruleset in ("ewasm", path))
    assert dear["gas_used"] > cheap["gas_used"] + 300
    assert dear["output"] == cheap["output"]


def test_debug(engine: Engine) -> None:
    done = run("run", FIXTURES / "debug.wasm", "--debug", "--engine", engine.name)
    assert done.status == 0
    assert done.stderr.splitlines() == [
        "debug: 4294967295 (0xffffffff)",
        "debug: 18446744073709551615 (0xffffffffffffffff)",
        "debug: text",
        "debug: 74657874",
        f"debug: {int.from_bytes(b'stored'.ljust(32, bytes(1)))}",
        "debug: 73746f7265640000000000000000000000000000000000000000000000000000",
    ]
    assert rows(done)["status"] == "SUCCESS"


def test_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    arguments = ("run", FIXTURES / "wat/use_gas.wat", "--input", "0500000000000000", "--json")
    traced = run(*arguments, *INTERPRETED, "--trace", path)
    assert traced == run(*arguments), "a trace changes nothing"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    keys = ["depth", "address", "function", "offset", "instruction", "operands", "particles"]
    assert all(list(line) == keys for line in lines)
    assert [line["instruction"] for line in lines] == [
        *["i32.const"] * 3, "call",
        "i32.const", "call", "i64.store",
        "i32.const", "i64.load", "call",
        "i32.const", "call", "i64.store",
        "i32.const", "i32.const", "call",
    ]  # fmt: skip
    assert lines[9]["operands"] == [5]
    assert {line["depth"] for line in lines} == {0}
    assert {line["address"] for line in lines} == {str(FIRST)}
    particles = [line["particles"] for line in lines]
    assert particles == sorted(particles, reverse=True)
    assert particles[0] < 10_000_000 * 10_000


def test_nested_messages_are_traced_with_their_depth(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    call_oneself = ("call(address,uint256,uint256,bytes)", FIRST, 0, 10**6, "0x" + call("whoami()").hex())
    done = run("run", FIXTURES / "caller.wasm", "--sig", *call_oneself, *INTERPRETED, "--trace", path)
    assert done.status == 0
    depths = [json.loads(line)["depth"] for line in path.read_text().splitlines()]
    assert (depths[0], depths[-1], set(depths)) == (0, 0, {0, 1})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("code.wasm", fixture_code("counter")),
        ("code", fixture_code("counter")),
        ("code.hex", fixture_code("counter")),
        ("code.hex", b"0x" + fixture_code("counter").hex().encode() + b"\n"),
        ("code.hex", b"\n " + fixture_code("counter").hex().upper().encode()),
        ("code.txt", fixture_code("counter").hex().encode()),
        ("code.wat", (FIXTURES / "wat/empty.wat").read_bytes()),
        ("code.wast", (FIXTURES / "wat/empty.wat").read_bytes()),
        ("name with spaces; and more.wasm", fixture_code("wat/empty")),
    ],
)
def test_kinds_of_files(engine: Engine, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert run_json(tmp_path / name, engine, *(["--sig", "get()"] if len(content) > 500 else []))["status"] == "SUCCESS"


# deploy and call


def test_deploy_and_call(engine: Engine, tmp_path: Path) -> None:
    """A token's life in a state directory; every command continues where the one before ended."""
    chain, bob = tmp_path / "chain", "0x" + "b0" * 20
    options = ("--state", chain, "--engine", engine.name, "--json")
    created = run("deploy", FIXTURES / "erc20_deploy.wasm", *options)
    assert (created.status, created.stderr) == (0, "")
    assert list(created.json) == [*KEYS, "contract"]
    assert created.json["contract"] == str(FIRST)
    assert created.json["output"] == "0x" + fixture_code("erc20").hex()
    assert [log["address"] for log in created.json["logs"]] == [str(FIRST)]

    def ask(signature: str, *arguments: object) -> Any:
        done = run("call", FIRST, *options, "--dry-run", "--sig", signature, *arguments)
        assert done.status == 0
        return done.json

    assert ask("balanceOf(address)(uint256)", SENDER)["decoded"] == ["1000"]
    before = (chain / "state.mdb").read_bytes()
    assert ask("transfer(address,uint256)(bool)", bob, 3)["decoded"] == ["true"]
    assert (chain / "state.mdb").read_bytes() == before, "a dry run writes nothing"
    moved = run("call", FIRST, *options, "--sig", "transfer(address,uint256)(bool)", bob, 3)
    assert list(moved.json) == [*KEYS, "decoded"]
    assert len(moved.json["storage"][str(FIRST)]) == 2
    assert moved.json["gas_used"] > 21_000
    written = stored(chain)
    assert (written["root"], written["number"]) == (moved.json["state_root"], 2)
    assert written["accounts"][SENDER]["nonce"] == 2
    assert [ask("balanceOf(address)(uint256)", who)["decoded"] for who in (SENDER, bob)] == [["997"], ["3"]]
    short = run("call", FIRST, *options, "--sender", bob, "--sig", "transfer(address,uint256)(bool)", SENDER, 4)
    assert (short.status, short.json["status"]) == (1, "REVERT")
    assert short.json["error"] == "reverted: ERC20: transfer amount exceeds balance"


def test_gas_used_is_the_transactions(engine: Engine, tmp_path: Path) -> None:
    options = ("--state", tmp_path, "--engine", engine.name, "--json")
    code = (FIXTURES / "counter_deploy.wasm").read_bytes()
    created = run("deploy", FIXTURES / "counter_deploy.wasm", *options).json
    intrinsic = 53_000 + sum(68 if byte else 4 for byte in code) + 20 * len(code)
    assert created["gas_used"] == 10_000_000 - created["gas_left"]
    assert 0 <= created["gas_used"] - intrinsic - 200 * len(fixture_code("counter")) < 100
    alone = run_json("counter", engine, "--sig", "increment()")
    called = run("call", FIRST, *options, "--sig", "increment()").json
    assert called["gas_used"] == alone["gas_used"] + 21_000 + 4 * 68


def test_gas_used_counts_refunds(engine: Engine, tmp_path: Path) -> None:
    options = ("--state", tmp_path, "--engine", engine.name, "--json")
    init = tmp_path.parent / f"{tmp_path.name}.wasm"
    init.write_bytes(init_code(fixture_code("wat/store_load")))
    assert run("deploy", init, *options).status == 0
    run("call", FIRST, *options, "--input", (word(1) + word(1)).hex())
    cleared = run("call", FIRST, *options, "--input", (word(1) + word(0)).hex()).json
    spent = 10_000_000 - cleared["gas_left"]
    assert cleared["gas_used"] == spent - min(15_000, spent // 2)
    assert cleared["storage"] == {str(FIRST): {str(word(1)): SLOT_0}}


def test_deploy_plain(engine: Engine, tmp_path: Path) -> None:
    done = run("deploy", FIXTURES / "counter_deploy.wasm", "--state", tmp_path, "--engine", engine.name)
    assert rows(done)["contract"] == str(FIRST)
    assert rows(done)["code"] == "1,927 bytes"
    assert "output" not in rows(done)


def test_a_failed_deployment_is_a_transaction_too(engine: Engine, tmp_path: Path) -> None:
    """It pays, its nonce rises, and the next contract stands at the next address."""
    options = ("--state", tmp_path, "--engine", engine.name, "--json")
    failed = run("deploy", FIXTURES / "wat/unreachable.wasm", *options)
    assert failed.status == 1
    assert list(failed.json) == [*KEYS, "error"]
    assert "contract" not in failed.json
    assert stored(tmp_path)["accounts"][SENDER]["nonce"] == 1
    second = run("deploy", FIXTURES / "counter_deploy.wasm", *options)
    assert second.json["contract"] == "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512"


def test_why_a_deployment_ran_out_of_gas(engine: Engine, tmp_path: Path) -> None:
    big = tmp_path / "big.wasm"
    big.write_bytes(finisher(131_072))
    for ruleset, gas, said in (
        (
            "ewasm",
            20_000_000,
            "out of gas: the code to store costs 200 a byte, at most 131,072 bytes; give more with --gas",
        ),
        (
            "hera",
            200_000_000,
            "out of gas: the code to store costs 200 a byte, at most 24,576 bytes; give more with --gas",
        ),
        ("ssvm", 20_000_000, "out of gas: the code to store costs 200 a byte; give more with --gas"),
    ):
        options = ("--state", tmp_path / ruleset, "--ruleset", ruleset, "--engine", engine.name, "--json")
        done = run("deploy", big, *options, "--gas", gas)
        assert (done.status, done.json["status"], done.json["error"]) == (1, "OUT_OF_GAS", said)


def test_a_call_to_nobody(engine: Engine, tmp_path: Path) -> None:
    """An account without code succeeds with nothing, and receives value."""
    run("deploy", FIXTURES / "counter_deploy.wasm", "--state", tmp_path)
    nobody = "0x" + "77" * 20
    done = run(
        "call", nobody, "--state", tmp_path, "--value", 5, "--sig", "f()(uint256)", "--engine", engine.name, "--json"
    )
    assert (done.status, done.json["gas_used"], done.json["output"]) == (0, 21_000 + 4 * 68, "0x")
    assert "decoded" not in done.json
    assert stored(tmp_path)["accounts"][nobody]["balance"] == 5


def test_a_call_to_a_precompile(engine: Engine, tmp_path: Path) -> None:
    run("deploy", FIXTURES / "counter_deploy.wasm", "--state", tmp_path)
    done = run(
        "call", "0x" + "00" * 19 + "04", "--state", tmp_path, "--input", "c0de", "--engine", engine.name, "--json"
    )
    assert done.json["output"] == "0xc0de"
    refused = run(
        "call", "0x" + "00" * 19 + "06", "--state", tmp_path, "--input", "ff" * 64, "--engine", engine.name, "--json"
    )
    assert (refused.json["status"], refused.json["error"]) == (
        "PRECOMPILE_FAILURE",
        "the precompiled contract refused its input",
    )


def test_other_senders_begin_with_nothing(engine: Engine, tmp_path: Path) -> None:
    options = ("--state", tmp_path, "--engine", engine.name)
    run("deploy", FIXTURES / "counter_deploy.wasm", *options)
    other = "0x" + "07" * 20
    assert run("call", FIRST, *options, "--sender", other, "--sig", "increment()").status == 0
    done = run("call", FIRST, *options, "--sender", other, "--value", 1)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr == f"Error: {other} has 0, gas and value need 1\n"


def test_blocks_follow_one_another(engine: Engine, tmp_path: Path) -> None:
    options = ("--state", tmp_path / "chain", "--engine", engine.name, "--json")
    init = tmp_path / "clock.wasm"
    init.write_bytes(
        init_code(
            wat(
                """(module
                  (import "ethereum" "getBlockNumber" (func $number (result i64)))
                  (import "ethereum" "getBlockTimestamp" (func $time (result i64)))
                  (import "ethereum" "finish" (func $finish (param i32 i32)))
                  (memory (export "memory") 1)
                  (func (export "main")
                    (i64.store (i32.const 0) (call $number))
                    (i64.store (i32.const 8) (call $time))
                    (call $finish (i32.const 0) (i32.const 16))))"""
            )
        )
    )
    run("deploy", init, *options)
    for number in (2, 3):
        output = bytes.fromhex(run("call", FIRST, *options).json["output"][2:])
        assert int.from_bytes(output[:8], "little") == number
        assert int.from_bytes(output[8:], "little") == 1_600_000_000 + 12 * number


def test_debug_and_trace_of_a_transaction(tmp_path: Path) -> None:
    init = tmp_path / "init.wasm"
    init.write_bytes(init_code(fixture_code("debug")))
    options = ("--state", tmp_path / "chain", *INTERPRETED, "--trace", tmp_path / "trace.jsonl")
    assert run("deploy", init, *options).status == 1
    assert run("deploy", init, *options, "--debug").status == 0
    done = run("call", "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512", *options, "--debug")
    assert (done.status, done.stderr.count("debug: ")) == (0, 6)
    assert (tmp_path / "trace.jsonl").read_text().count("\n") > 10
