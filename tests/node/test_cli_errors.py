"""What is wrong with the usage, a file or a directory: one line that names it, exit status 2, nothing written."""

from __future__ import annotations

import random
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures import hostile
from node.cli import execute, files
from state import Table, lmdb
from tests.helpers import FIXTURES, fixture_code
from tests.node.commands import run, stored, unprivileged
from tests.node.test_cli import FIRST, INTERPRETED
from tests.node.world import call, finisher, word
from wasm.engine import Engine

COUNTER = FIXTURES / "counter.wasm"
DEPLOY = FIXTURES / "counter_deploy.wasm"
Refused = Callable[..., str]


def listing(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a directory; of LMDB's note of who reads, only that it is there."""
    return {
        str(path): path.read_bytes() if path.is_file() and path.name != lmdb.READERS else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run a command that must be refused with status 2; return its one line without `Error: `."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> str:
        before = listing(tmp_path)
        done = run(*arguments)
        assert (done.status, done.stdout) == (2, ""), done
        assert listing(tmp_path) == before
        lines = done.stderr.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("Error: ")
        assert lines[0].isprintable()
        assert len(lines[0]) < 400
        return lines[0].removeprefix("Error: ")

    return command


# Usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["xyzzy"], "No such command 'xyzzy'; see: ewasm --help"),
        (["--nope"], "No such option '--nope'; see: ewasm --help"),
        (["run"], "Missing argument 'FILE'; see: ewasm run --help"),
        (["deploy", "--state", "x"], "Missing argument 'FILE'; see: ewasm deploy --help"),
        (["deploy", DEPLOY], "Missing option '--state'; see: ewasm deploy --help"),
        (["call", FIRST], "Missing option '--state'; see: ewasm call --help"),
        (["call", "--state", "x"], "Missing argument 'ADDRESS'; see: ewasm call --help"),
        (["check"], "Missing argument 'FILES...'; see: ewasm check --help"),
        (["meter", COUNTER], "Missing option '-o' / '--output'; see: ewasm meter --help"),
        (["statetest"], "Missing argument 'PATHS...'; see: ewasm statetest --help"),
        (["spectest"], "Missing argument 'PATHS...'; see: ewasm spectest --help"),
        (["meter", COUNTER, "x", "-o", "y"], "Got unexpected extra argument (x); see: ewasm meter --help"),
        (["run", COUNTER, "--nope"], "No such option '--nope'"),
        (["run", COUNTER, "--gas"], "Option '--gas' requires an argument"),
        (["run", COUNTER, "x"], "argument 'x' without --sig: name the function to call; see: ewasm run --help"),
        (["run", COUNTER, "--sig", "f()", "--input", "00"], "give either --input or --sig, not both"),
        (["deploy", DEPLOY, "--state", "x", "--input", "00"], "No such option '--input'"),
        (["deploy", DEPLOY, "--state", "x", "1"], "Got unexpected extra argument (1)"),
    ],
)
def test_usage(refused: Refused, arguments: list[object], said: str) -> None:
    assert said in refused(*arguments).replace("cli", "ewasm")


def test_one_file_of_a_profile_goes_to_standard_output(refused: Refused) -> None:
    assert "only one of --folded, --speedscope and --html can be -" in refused(
        "gas", "run", COUNTER, "--folded", "-", "--html", "-"
    )


@pytest.mark.parametrize("target", [FIRST, "2", "latest"])
def test_a_witness_of_what_is_no_file_says_which_option_is_missing(refused: Refused, target: str) -> None:
    said = refused("witness", target, "-o", "x.json")
    assert said == f"{target}: there is no such file; the address of a contract goes with --state, a block with --rpc"


def test_text_format_under_another_name_is_recognised(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "text.wasm").write_text("  ;; a comment\n(module)")
    assert refused("run", "text.wasm").startswith("text.wasm: looks like WebAssembly in text format")


def test_a_binary_is_read_under_the_name_of_text(tmp_path: Path) -> None:
    file = tmp_path / "counter.wat"
    file.write_bytes(COUNTER.read_bytes())
    assert run("check", file).status == 0


@pytest.mark.parametrize(("text", "said"), [(b"[]", "not the JSON of a test script"), (b"\x90", "not JSON")])
def test_what_is_no_test_script_is_said(refused: Refused, tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "x.json").write_bytes(text)
    assert refused("spectest", "x.json").startswith(f"x.json: {said}")


# What was likely meant


def note(*arguments: object) -> str | None:
    """Return the note of a run, which text and JSON have alike."""
    text, document = run(*arguments), run(*arguments, "--json")
    (shown,) = [line.removeprefix("note: ") for line in text.stdout.splitlines() if line.startswith("note: ")] or [None]
    assert document.json.get("note") == shown
    return shown


def test_what_was_likely_meant_is_noted(tmp_path: Path) -> None:
    token, folder, nobody = FIXTURES / "erc20.wasm", tmp_path / "chain", "00" * 19 + "aa"
    assert run("deploy", FIXTURES / "erc20_deploy.wasm", "--state", folder).status == 0
    there = ["--state", folder, "--dry-run"]
    assert note("call", nobody, "--sig", "name()(string)", *there) == f"nothing ran: 0x{nobody} has no code"
    assert note("call", FIRST, "--sig", "totalSupply()(string)", *there) == "the output is no (string)"
    assert "init code" in (note("run", DEPLOY) or "")
    assert "init code" in (note("deploy", token, "--state", tmp_path / "reverts") or "")
    assert "init code" in (note("deploy", FIXTURES / "wat" / "empty.wat", "--state", tmp_path / "stores nothing") or "")


def test_nothing_is_noted_where_all_is_well(tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    assert note("deploy", DEPLOY, "--state", folder) is None
    there = ["--state", folder, "--dry-run"]
    assert note("call", FIRST, "--sig", "get()(uint256)", *there) is None
    assert note("call", "00" * 19 + "04", "--input", "aa", *there) is None  # a precompiled contract
    assert note("call", "00" * 19 + "aa", "--value", "4", *there) is None  # a payment
    assert note("run", COUNTER, "--sig", "nobody()(uint256)") is None  # it failed, and says why


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--input", "0x1", "'0x1' is not hex: an even number of hex digits is expected"),
        ("--input", "zz", "'zz' is not hex"),
        ("--input", "0xé", "'0xé' is not hex"),
        ("--input", "z" * 1000, "zzz...' is not hex"),
        ("--value", "-1", "'-1' is not a whole number from 0 to 2^256 - 1"),
        ("--value", str(2**256), "is not a whole number from 0 to 2^256 - 1"),
        ("--value", "1.5", "'1.5' is not"),
        ("--value", "", "'' is not"),
        ("--gas", "1e6", "'1e6' is not a whole number"),
        ("--gas", "-1", "-1 is not between 0 and 2^63 - 1"),
        ("--gas", str(2**63), "9223372036854775808 is not between 0 and 2^63 - 1"),
        ("--gas", "9" * 5000, "999...' is not a whole number"),
        ("--sender", "0x12", "'0x12' is not an address: 40 hex digits are expected, with or without 0x"),
        ("--sender", "", "'' is not an address"),
        ("--address", "zz" * 20, "is not an address"),
        ("--address", "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "--address and --sender must differ"),
        ("--address", "00" * 19 + "02", "is a precompiled contract"),
        ("--engine", "turbo", "'turbo' is not one of"),
        ("--ruleset", "byzantium", "unknown ruleset byzantium; there are ewasm, hera, ssvm, or name a .toml file"),
        ("--ruleset", "missing.toml", "missing.toml: No such file or directory"),
        ("--ruleset", "", "unknown ruleset"),
        ("--sig", "xyzzy", "signature 'xyzzy': expected NAME(TYPE,…)"),
        ("--sig", "f(foo)", "signature 'f(foo)': unknown type foo"),
        ("--sig", "f(uint256)", "f takes 1 arguments (uint256), not 0"),
        ("--trace", "/nowhere/trace", "/nowhere/trace: No such file or directory; give --trace another file"),
        ("--trace", "/", "'/' is a directory"),
    ],
)
def test_values_of_options(refused: Refused, option: str, value: str, said: str) -> None:
    assert said in refused("run", COUNTER, *INTERPRETED, option, value)


def test_arguments_of_functions(refused: Refused) -> None:
    assert refused("run", COUNTER, "--sig", "add(uint256)", "x").startswith(
        "argument 1 of add, 'x', is not of type uint256; see: "
    )
    assert "No such option '-5'" in refused("run", COUNTER, "--sig", "f(int8)", "-5")
    assert "-- before negative arguments" in " ".join(run("run", "--help").stdout.split())


def test_engines_that_do_not_trace(refused: Refused, engine: Engine) -> None:
    if engine.traces:
        assert run("run", COUNTER, "--engine", engine.name, "--trace", "trace").status == 1
        return
    assert f"--trace needs --engine interpreter; {engine.name} cannot trace" in refused(
        "run", COUNTER, "--engine", engine.name, "--trace", "trace"
    )


# Files with code

READERS = [("run",), ("deploy", "--state", "state"), ("check",), ("meter", "-o", "out.wasm")]


@pytest.mark.parametrize("command", READERS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.wasm", None, "missing.wasm: No such file or directory"),
        ("empty.wasm", b"", "empty.wasm: not WebAssembly, which begins with 00 61 73 6d; give a .wasm, .wat or .hex file"),
        ("empty.hex", b"", "empty.hex: not WebAssembly"),
        ("short.wasm", b"\0as", "short.wasm: not WebAssembly"),
        ("evm.hex", b"0x6001600055", "evm.hex: not WebAssembly"),
        ("odd.hex", b"0x0061736", "odd.hex: bad hex: "),
        ("bad.hex", b"0061736d zz", "bad.hex: bad hex: "),
        ("bad.hex", b"\xff\xfe", "bad.hex: bad hex: "),
        ("bad.wat", b"(module (func", "bad.wat: not a module in text format: expected `)`"),
        ("bad.wat", b"(module (func (call $nobody)))", "bad.wat: not a module in text format: unknown func"),
        ("empty.wat", b"", "empty.wat: not a module in text format"),
        ("deep.wat", b"(" * 100_000, "deep.wat: not a module in text format"),
        ("deep.wat", b"(component " * 100_000, "deep.wat: not a module in text format"),
        ("binary.wat", b"\xff\xfe", "binary.wat: not text in UTF-8"),
        ("garbage.wasm", random.Random(1).randbytes(5_000), "garbage.wasm: not WebAssembly"),
        ("zeros.wasm", bytes(5_000), "zeros.wasm: not WebAssembly"),
        ("a\nb\x1b[31m.wasm", b"", "a b [31m.wasm: not WebAssembly"),
    ],
)  # fmt: skip
def test_files_that_are_no_code(
    refused: Refused, tmp_path: Path, command: tuple[str, ...], name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert refused(command[0], name, *command[1:]).startswith(said)


@pytest.mark.parametrize("command", READERS, ids=lambda command: command[0])
def test_directories_where_files_belong(refused: Refused, tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "folder.wasm").mkdir()
    assert "'folder.wasm' is a directory" in refused(command[0], "folder.wasm", *command[1:])


@pytest.mark.parametrize("command", READERS, ids=lambda command: command[0])
def test_files_without_an_end(refused: Refused, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    """A device or pipe tells no size: reading stops anyway."""
    monkeypatch.setattr(files, "MAX_FILE", 1_000)
    assert refused(command[0], "/dev/zero", *command[1:]) == "/dev/zero: more than 1000 bytes, which is no contract"
    assert "more than 1000 bytes" in refused(command[0], COUNTER, *command[1:])


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.wasm"
    path.write_bytes(fixture_code("counter"))
    path.chmod(0)
    with unprivileged():
        done = run("run", path)
    assert (done.status, done.stderr) == (2, f"Error: {path}: Permission denied\n")


def test_one_bad_file_of_many(refused: Refused) -> None:
    assert refused("check", COUNTER, "missing.wasm", "--json") == "missing.wasm: No such file or directory"


def test_every_beginning_of_a_module_is_refused(tmp_path: Path) -> None:
    """Too short for the preamble: status 2; with it: status 1, and a reason."""
    for number, beginning in enumerate(hostile.truncations(hostile.contract())):
        path = tmp_path / f"{number}.wasm"
        path.write_bytes(beginning)
        done = run("check", path)
        assert done.status == (2 if number < 4 else 1)
        if number >= 4:
            assert len(done.stdout.splitlines()) >= 2


def test_every_hostile_module_is_refused_by_name(tmp_path: Path) -> None:
    """All at once, through the command; and `run` ends with the status that says so."""
    groups = ("proposal", "import", "form", "limit", "malformed", "invalid", "accepted")
    cases = {f"{case.name}.wasm": case for case in hostile.cases(*groups)}
    for name, case in cases.items():
        (tmp_path / name).write_bytes(case.binary)
    done = run("check", *(tmp_path / name for name in cases), "--json")
    assert (done.status, done.stderr) == (1, "")
    for verdict in done.json:
        case = cases[Path(verdict["file"]).name]
        assert verdict["accepted"] is (case.group == "accepted"), case.name
        messages = " / ".join(finding["message"] for finding in verdict["findings"]).lower()
        assert all(text.lower() in messages for text in case.says), case.name
        assert messages.isprintable()


@pytest.mark.parametrize("name", ["float_add", "start", "wasi_clock", "opcode_unassigned", "locals"])
def test_what_is_refused_does_not_run(tmp_path: Path, engine: Engine, name: str) -> None:
    path = tmp_path / f"{name}.wasm"
    path.write_bytes(next(case for case in hostile.cases() if case.name == name).binary)
    done = run("run", path, "--engine", engine.name, "--json")
    assert (done.status, done.json["status"]) == (1, "CONTRACT_VALIDATION_FAILURE")
    assert run("deploy", path, "--state", tmp_path / "s", "--engine", engine.name).status == 1


# Rulesets in files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x.toml: name: "),
        ("=", "x.toml: not TOML: "),
        ('name = "ewasm"', "x.toml: name: "),
        ('name = "x"\nextends = "y"', "x.toml: extends: unknown ruleset"),
        ('name = "x"\ncolour = 1', "x.toml: unknown key colour"),
        ('name = "x"\nfeatures = ["simd"]', "x.toml: features: simd cannot be switched on"),
        ('name = "x"\nmax_code = "big"', "x.toml: max_code: "),
        ('name = "x"\n[instructions]\nnop = -1', "x.toml: instructions.nop: "),
        ('name = "x"\n[host]\nlunch = 1', "x.toml: host.lunch: unknown"),
        ('name = "x"\n[limits]\nmemory_pages = 1_000_000', "x.toml: limits.memory_pages: "),
        ("a = " + "[" * 100_000, "x.toml: not TOML: "),
    ],
)
@pytest.mark.parametrize("command", [*READERS, ("statetest",)], ids=lambda command: command[0])
def test_bad_rulesets(refused: Refused, tmp_path: Path, command: tuple[str, ...], text: str, said: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    assert said in refused(command[0], COUNTER, *command[1:], "--ruleset", "x.toml")


# State directories


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """A state directory with a counter at `FIRST`."""
    assert run("deploy", DEPLOY, "--state", tmp_path / "chain").status == 0
    return tmp_path / "chain"


def test_states_that_are_not_there(refused: Refused, tmp_path: Path) -> None:
    assert refused("call", FIRST, "--state", "a/b") == (
        "a/b: there is no state here; make one with: ewasm deploy FILE --state a/b"
    )
    (tmp_path / "file").touch()
    assert "'file' is a file" in refused("call", FIRST, "--state", "file")
    assert "'file' is a file" in refused("deploy", DEPLOY, "--state", "file")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert refused("deploy", DEPLOY, "--state", "mine").startswith("mine: holds other files and no state")
    assert "Not a directory" in refused("deploy", DEPLOY, "--state", "file/chain")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gas", "20999"], "gas limit 20999 is below the intrinsic gas, 21000"),
        (["--value", str(10**23)], "gas and value need 100000000000000000000000"),
        (["--sender", "12" * 20, "--value", "1"], "has 0, gas and value need 1"),
        (["--ruleset", "ssvm"], "not with ssvm (5"),
        (["--sig", "f(uint8)", "x"], "argument 1 of f"),
        ([*INTERPRETED, "--trace", "/nowhere/trace"], "/nowhere/trace: No such file"),
    ],
)
def test_invalid_calls(refused: Refused, chain: Path, arguments: list[str], said: str) -> None:
    assert said in refused("call", FIRST, "--state", chain, *arguments)


@pytest.mark.parametrize("folder", ["new", "new/deeper", "empty"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["--gas", "1"],
        ["--value", str(10**23)],
        [*INTERPRETED, "--trace", "/nowhere/trace"],
        ["--gas", "1", *INTERPRETED, "--trace", "trace"],
    ],
)
def test_invalid_deployments_leave_nothing(refused: Refused, tmp_path: Path, folder: str, arguments: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    refused("deploy", DEPLOY, "--state", folder, *arguments)


def test_init_code_above_the_bound(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "big.wasm").write_bytes(hostile.code_of_size(262_145))
    assert refused("deploy", "big.wasm", "--state", "new", "--gas", "30000000") == (
        "init code of 262145 bytes, at most 262144"
    )


def test_an_invalid_transaction_keeps_an_old_trace(refused: Refused, chain: Path, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text("of another run")
    refused("call", FIRST, "--state", chain, "--gas", "1", *INTERPRETED, "--trace", "trace")


@pytest.mark.parametrize(
    ("table", "key", "value", "said"),
    [
        (Table.META, b"format", b"9", "format 9, this version reads format 1; use the version that wrote it"),
        (Table.META, b"ruleset", b'{"name": "a\\n\\u001b[31mb", "hash": "8"}', "made with ruleset a  [31mb ("),
        (Table.META, b"ruleset", b"[" * 100_000, "damaged ("),
        (Table.ROOTS, b"\xff", b"", "damaged ("),
        (Table.ROOTS, b"\0" * 7 + b"\1", b"\1" * 32, "damaged: MissingNode: nothing is stored under 0x0101"),
    ],
)
def test_damaged_states(refused: Refused, chain: Path, table: Table, key: bytes, value: bytes, said: str) -> None:
    with lmdb.LmdbStore(chain) as store:
        store.write({table: {key: value}})
    for command in (("call", FIRST, "--sig", "increment()"), ("call", FIRST, "--dry-run"), ("deploy", DEPLOY)):
        message = refused(*command, "--state", chain)
        assert message.startswith(f"{chain / 'state.mdb'}: ")
        assert said in message


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"SQLite format 3\0" * 1_000])
def test_what_is_no_state(refused: Refused, chain: Path, content: bytes) -> None:
    (chain / "state.mdb").write_bytes(content)
    for command in (("call", FIRST, "--sig", "increment()"), ("call", FIRST, "--dry-run")):
        message = refused(*command, "--state", chain)
        assert ("not a state, or damaged" if content else "there is no state here") in message


# Full disks


def test_a_disk_that_fills_up(refused: Refused, chain: Path, tmp_path: Path) -> None:
    """The state stays as it was, the trace is given up: the message says which."""
    before = (chain / "state.mdb").read_bytes()
    increment = ("call", FIRST, "--state", chain, "--sig", "increment()", *INTERPRETED)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        done = run(*increment)
        traced = run(*increment, "--trace", tmp_path / "trace")
        first = run("deploy", DEPLOY, "--state", tmp_path / "new" / "chain", *INTERPRETED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    old = "cannot be written (File too large); the old state is as it was"
    assert done.stderr == f"Error: {chain / 'state.mdb'}: {old}\n"
    assert traced.stderr == f"Error: {tmp_path / 'trace'}: File too large; give --trace another file\n"
    assert [d.status for d in (done, traced, first)] == [2, 2, 2]
    assert [d.stdout for d in (done, traced, first)] == ["", "", ""]
    assert (chain / "state.mdb").read_bytes() == before
    assert not (tmp_path / "new").exists()
    (tmp_path / "trace").unlink()
    assert refused("run", COUNTER, *INTERPRETED, "--trace", "/dev/full").startswith(
        "/dev/full: No space left on device"
    )
    assert refused("meter", COUNTER, "-o", "/dev/full") == "/dev/full: No space left on device"


@pytest.mark.parametrize("target", ["/nowhere/out.wasm", "/dev/full"])
def test_meter_cannot_write(refused: Refused, target: str) -> None:
    assert refused("meter", COUNTER, "-o", target).startswith(f"{target}: No s")


# The test runners


@pytest.mark.parametrize("command", ["statetest", "spectest"])
def test_paths_of_tests(refused: Refused, tmp_path: Path, command: str) -> None:
    assert refused(command, "missing") == "missing: there is no such file or directory"
    (tmp_path / "empty").mkdir()
    assert "empty: no " in refused(command, "empty")
    (tmp_path / "bad.json").write_text("{")
    assert refused(command, "bad.json").startswith("bad.json: not ")
    assert refused(command, ".", "--json").startswith("bad.json: not ")
    (tmp_path / "bad.json").write_bytes(b"\xff")
    assert refused(command, "bad.json", "--json").startswith("bad.json: not ")
    assert "see: " in refused(command, "bad.json", "--engine", "turbo")


# What contracts return


@pytest.mark.parametrize("kind", ["finish", "revert"])
@pytest.mark.parametrize(
    "output",
    [
        word(32) + word(3) + b"\xff\xfe\xfd" + bytes(29),
        word(32) + word(2**256 - 1),
        word(32) + word(2**63 - 1),
        word(2**255),
        word(32) + word(2**40),
        b"",
    ],
    ids=lambda output: output[32:40].hex(),
)
def test_any_output_is_shown(tmp_path: Path, engine: Engine, kind: str, output: bytes) -> None:
    """A contract may return what is no text, or offsets to nowhere: that ends the run as it says, and no other way."""
    data = bytes.fromhex("08c379a0") + output if kind == "revert" else output
    (tmp_path / "code.wasm").write_bytes(finisher(len(data), data, end=kind))
    for types in ("string", "bytes", "uint256[]", "(string,bytes)[]"):
        done = run("run", tmp_path / "code.wasm", "--sig", f"f()({types})", "--engine", engine.name, "--json")
        assert done.status == (1 if kind == "revert" else 0)
        assert done.json["output"] == "0x" + data.hex()
        assert done.json.get("error") == ("reverted" if kind == "revert" else None)


def test_text_of_contracts_cannot_steer_a_terminal(tmp_path: Path, engine: Engine) -> None:
    text = "\x1b[2J\r\nstatus: SUCCESS\u202e\x07"
    data = call("Error(string)", text)
    (tmp_path / "code.wasm").write_bytes(finisher(len(data) - 4, data[4:]))
    done = run("run", tmp_path / "code.wasm", "--sig", "f()(string)", "--engine", engine.name)
    assert done.status == 0
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert [line for line in done.stdout.splitlines() if line.startswith("status")] == ["status: SUCCESS"]
    assert "result:  [2J  status: SUCCESS  " in done.stdout
    (tmp_path / "code.wasm").write_bytes(finisher(len(data), data, end="revert"))
    done = run("run", tmp_path / "code.wasm", "--engine", engine.name)
    assert done.status == 1
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert "error: reverted:  [2J  status: SUCCESS  \n" in done.stdout


# Faults of the machine


def test_a_fault_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory, a bug: status 3, which is neither the contract's nor the user's."""

    def failing(error: BaseException) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise error

        return fail

    monkeypatch.setattr(execute.EwasmVM, "execute", failing(MemoryError()))
    done = run("run", COUNTER)
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr == "Error: out of memory; this says nothing about the contract\n"
    monkeypatch.setattr(execute.EwasmVM, "execute", failing(OSError(5, "Input/output error")))
    assert run("run", COUNTER).status == 3
    monkeypatch.setattr(execute.EwasmVM, "execute", failing(KeyboardInterrupt()))
    assert run("run", COUNTER).status == 130


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error"), RuntimeError("a bug")])
def test_the_state_survives_a_fault(chain: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    before = (chain / "state.mdb").read_bytes()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(execute.EwasmVM, "execute", fail)
    assert run("call", FIRST, "--state", chain, "--sig", "increment()", bug=True).status == 3
    assert (chain / "state.mdb").read_bytes() == before
    monkeypatch.undo()
    assert run("call", FIRST, "--state", chain, "--sig", "increment()").status == 0
    assert stored(chain)["number"] == 2
