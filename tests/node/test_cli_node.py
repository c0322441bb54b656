"""`ewasm node` as a process: banner, lines, signals, what is kept, and what is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from node.cli import cli
from tests.helpers import ROOT, fixture_code
from tests.node.commands import process, run
from tests.node.rpc.running import ALICE, BOB, DEPLOY, WALLET, running
from tests.node.rpc.serving import request
from tests.test_docs import tables

MNEMONIC = "test test test test test test test test test test test junk"


class Started:
    """A node in a process of its own."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child
        self.banner: list[str] = []
        assert child.stdout is not None
        for line in child.stdout:
            self.banner.append(line.rstrip("\n"))
            if match := re.fullmatch(r"Listening on 127\.0\.0\.1:(\d+)\n", line):
                self.port = int(match[1])
                return
        raise AssertionError(f"no node: {self.banner} {child.stderr and child.stderr.read()}")

    def ask(self, method: str, *params: Any) -> Any:
        """Send a request."""
        body = json.dumps(request(method, *params)).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}", body, timeout=20) as response:
            return json.load(response)["result"]

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; return exit status and what was printed since the banner."""
        self.child.send_signal(number)
        stdout, stderr = self.child.communicate(timeout=20)
        assert stderr == ""
        return self.child.returncode, stdout


@contextmanager
def started(*options: object) -> Iterator[Started]:
    """Run a node on a free port."""
    with process("node", "--port", 0, *options) as child:
        try:
            yield Started(child)
        finally:
            child.kill()


def test_the_banner_and_a_line_for_every_call_and_transaction() -> None:
    with started("--accounts", 3, "--balance", 7) as node:
        text = "\n".join(node.banner)
        for number, address in enumerate(WALLET.addresses[:3]):
            assert f"({number}) {address} (7.000000 coins)" in node.banner
            assert f"({number}) {WALLET.key(address)}" in node.banner
        assert "(3)" not in text
        for line in (MNEMONIC, "m/44'/60'/0'/0/", "31337", "30000000"):
            assert line in text
        sent = node.ask("eth_sendTransaction", {"from": str(ALICE), "data": "0x" + DEPLOY.hex()})
        receipt = node.ask("eth_getTransactionReceipt", sent)
        fields = {"from": str(BOB), "to": receipt["contractAddress"], "gas": "0x30d40"}
        node.ask("eth_sendTransaction", {**fields, "data": "0xa9059cbb" + "00" * 31 + "01" + "00" * 31 + "01"})
        status, printed = node.end(signal.SIGINT)
    assert status == 0
    lines = [line.strip() for line in printed.splitlines()]
    assert lines.count("eth_sendTransaction") == 2
    assert f"Transaction: {sent}" in lines
    assert f"Contract created: {receipt['contractAddress']}" in lines
    assert f"Gas used: {int(receipt['gasUsed'], 16)}" in lines
    assert "Error: reverted with: ERC20: transfer amount exceeds balance" in lines
    assert f"Block Hash: {receipt['blockHash']}" in lines


def test_a_call_without_end_does_not_keep_the_node_from_ending() -> None:
    with started("--quiet") as node:
        address = "0x" + "c0" * 20
        node.ask("anvil_setCode", address, "0x" + fixture_code("wat/loop_forever").hex())
        node.ask("evm_setBlockGasLimit", "0xfffffffffffffff")
        node.ask("evm_mine")
        body = json.dumps(request("eth_call", {"to": address, "gas": "0xfffffffffffffff"})).encode()
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", node.port)) as plug:
            plug.sendall(head + body)
            assert node.ask("eth_chainId") == "0x7a69"
            assert node.end(signal.SIGINT)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_chain_goes_on_where_it_stopped(tmp_path: Path, number: int) -> None:
    folder = tmp_path / "chain"
    with started("--state", folder, "--quiet", "--chain-id", 5) as node:
        node.ask("eth_sendTransaction", {"from": str(ALICE), "to": str(BOB), "value": "0x5"})
        block = node.ask("eth_getBlockByNumber", "latest", True)
        assert run("node", "--state", folder, "--port", 0).status == 2
        node.child.send_signal(number)
        assert node.child.wait(20) == (-number if number == signal.SIGKILL else 0)
    with started("--state", folder, "--quiet") as node:
        assert node.banner == [f"Listening on 127.0.0.1:{node.port}"]
        assert node.ask("eth_getBlockByNumber", "latest", True) == block
        assert node.ask("eth_chainId") == "0x5"
        node.ask("evm_mine")
        assert node.ask("eth_blockNumber") == "0x2"
        node.end(signal.SIGTERM)
    done = run("node", "--state", folder, "--port", 0, "--chain-id", 6)
    assert done.status == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_waits_goes_on_waiting(tmp_path: Path, number: int) -> None:
    options = ("--state", tmp_path / "chain", "--quiet", "--no-mining")
    with started(*options) as node:
        sent = [
            node.ask("eth_sendTransaction", {"from": str(ALICE), "to": str(BOB), "gas": "0x5208", "value": hex(value)})
            for value in (1, 2, 3)
        ]
        node.ask("anvil_dropTransaction", sent[2])
        node.child.send_signal(number)
        node.child.wait(20)
    with started(*options) as node:
        assert node.ask("txpool_status") == {"pending": "0x2", "queued": "0x0"}
        node.ask("evm_mine")
        assert node.ask("eth_getBlockByNumber", "latest", False)["transactions"] == sent[:2]
        node.child.send_signal(signal.SIGKILL)
        node.child.wait(20)
    with started(*options) as node:
        assert node.ask("txpool_status") == {"pending": "0x0", "queued": "0x0"}
        node.end(signal.SIGTERM)


def test_a_genesis_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "genesis.json"
    file.write_text(
        json.dumps({"config": {"chainId": 77}, "gasLimit": "0x989680", "alloc": {str(BOB)[2:]: {"balance": "0x7"}}})
    )
    with started("--genesis", file, "--workers", 1, "--block-time", 3600) as node:
        assert node.ask("eth_chainId") == hex(77)
        assert node.ask("eth_getBalance", str(BOB)) == "0x7"
        assert node.ask("eth_getBalance", str(ALICE)) == "0x0"
        assert node.ask("eth_getBlockByNumber", "latest", False)["gasLimit"] == "0x989680"
        assert node.ask("anvil_getIntervalMining") == 3600
        assert node.end(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ruleset", "hera"], "its instructions are free"),
        (["--ruleset", "ssvm"], "its instructions are free"),
        (["--ruleset", "nothing"], "unknown ruleset nothing"),
        (["--mnemonic", "test test"], "--mnemonic"),
        (["--block-time", "1", "--no-mining"], "not both"),
        (["--port", "9944", "--substrate-port", "9944"], "--port and --substrate-port must differ"),
        (["--accounts", "-1"], "--accounts"),
        (["--port", "70000"], "--port"),
        (["--host", "256.0.0.1"], "cannot listen on 256.0.0.1"),
        (["--genesis", "missing.json"], "missing.json"),
        (["--max-body", "0"], "--max-body"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(options: list[str], words: str) -> None:
    done = run("node", "--port", "0", *options)
    assert done.status == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_genesis_that_is_none_is_said(tmp_path: Path) -> None:
    for text in ("", "[]", '{"alloc": 1}', '{"config": {"chainId": "x"}}'):
        file = tmp_path / "genesis.json"
        file.write_text(text)
        done = run("node", "--port", "0", "--genesis", file)
        assert (done.status, done.stderr.count("\n")) == (2, 1), text
        assert "genesis.json" in done.stderr


def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("node", "--quiet", "--port", taken.getsockname()[1])
    assert done.status == 2
    assert "give another --host or --port" in done.stderr


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['aiohttp'] = None; from node.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "node"], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 2
    assert "pip install 'ewasm[node]'" in done.stderr


# What the pages say


def described(option: Any) -> str:
    """Return an option's default as the page writes it."""
    if option.is_flag:
        return "off"
    if option.name == "mnemonic":
        return "test test … junk"
    return str(option.default) if isinstance(option.default, int | str) else "none"


def test_the_page_lists_every_option_with_its_default() -> None:
    (rows,) = tables((ROOT / "docs" / "node.md").read_text("utf-8"), "option", "default")
    options = {each.opts[-1]: described(each) for each in cli.commands["node"].params if each.opts[-1] != "--help"}
    assert {name.strip("`"): default for name, default, _ in rows} == options


@pytest.mark.parametrize("page", ["README.md", "docs/node.md"])
def test_the_session_that_is_shown_is_what_happens(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ((program, printed),) = re.findall(
        r"```py\n(.*?)```\n\n```text\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL
    )
    monkeypatch.chdir(ROOT)
    with running() as node, redirect_stdout(StringIO()) as output:
        exec(compile(program.replace("8545", str(node.port)), page, "exec"), {})
    assert output.getvalue() == printed


def test_a_node_whose_output_nobody_reads_goes_on() -> None:
    with started() as node:
        assert node.child.stdout is not None
        node.child.stdout.close()
        for _ in range(3):
            assert node.ask("eth_sendTransaction", {"from": str(ALICE), "to": str(BOB), "gas": "0x5208"})
        assert node.ask("eth_blockNumber") == "0x3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--block-time", "nan"), "'nan' is no number of seconds"),
        (("--block-time", "inf"), "'inf' is no number of seconds"),
        (("--call-timeout", "nan"), "'nan' is no number of seconds"),
        (("--call-timeout", "1e400"), "'1e400' is no number of seconds"),
        (("--host", ""), "--host is empty, which would be all addresses"),
        (("--state", "/dev/null"), "/dev/null"),
        (("--state", "a" * 300), "File name too long"),
        (("--state", "\udcff"), "LMDB takes names in UTF-8 only"),
    ],
)
def test_nonsense_is_refused_in_one_line(
    options: tuple[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("node", "--port", 0, *options)
    assert done.status == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
