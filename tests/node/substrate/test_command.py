"""`ewasm node --substrate-port`: both sides of one chain as a process, and the chain opened again."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from node.substrate.extrinsic import Surroundings, sign
from node.substrate.keys import keypair
from tests.helpers import ROOT

Ask = Callable[..., Any]


def asking(port: int) -> Ask:
    def ask(method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{port}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return json.load(answer)["result"]

    return ask


@contextmanager
def node(*options: str) -> Iterator[tuple[Ask, Ask]]:
    """Run a node; yield what asks its two sides."""
    command = [sys.executable, "-m", "ewasm", "node", "--port", "0", "--substrate-port", "0", "--quiet", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ports = [int(re.search(r":(\d+)$", process.stdout.readline())[1]) for _ in range(2)]  # type: ignore[index]
            yield asking(ports[0]), asking(ports[1])
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_one_chain_has_two_sides_and_is_kept(tmp_path: Path) -> None:
    alice = keypair("//Alice")
    with node("--state", str(tmp_path / "chain")) as (ethereum, substrate):
        genesis = bytes.fromhex(substrate("chain_getBlockHash", 0)[2:])
        remark = sign(alice, ("System", ("remark", {"remark": b"hi"})), 0, Surroundings(1, 1, genesis, genesis))
        substrate("author_submitExtrinsic", "0x" + remark.encoded.hex())
        ethereum("evm_mine")
        assert ethereum("eth_blockNumber") == substrate("chain_getHeader")["number"] == "0x2"
        assert ethereum("eth_getBlockByNumber", "0x2", False)["hash"] in substrate("chain_getHeader")["digest"]["logs"][0].replace("0x0080", "0x")  # fmt: skip
        body = substrate("chain_getBlock", substrate("chain_getBlockHash", 1))["block"]
        assert body["header"]["extrinsicsRoot"] == ethereum("eth_getBlockByNumber", "0x1", False)["extraData"]
    with node("--state", str(tmp_path / "chain")) as (ethereum, substrate):
        assert ethereum("eth_blockNumber") == "0x2"
        assert substrate("chain_getBlock", substrate("chain_getBlockHash", 1))["block"] == body
        assert substrate("system_accountNextIndex", alice.address) == 1
        assert substrate("ewasm_putCode", []) == ethereum("ewasm_putCode", []) == []
