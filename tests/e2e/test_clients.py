"""The unmodified ethers and viem against a node: what a user of these does first, from connecting to a proof.

The npm packages of `package.json` are looked for where `EWASM_NODE_MODULES` says; `.ci/run` installs them there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import rlp
from trie import HexaryTrie

from state import keccak256
from tests.helpers import FIXTURES, ROOT
from tests.node.rpc.running import ALICE, WALLET, running
from wasm.engine import Engine

HERE = ROOT / "tests" / "e2e"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory in which programs find the npm packages."""
    modules = os.environ.get("EWASM_NODE_MODULES")
    if shutil.which("node") is None:
        pytest.skip("node is absent: install Node.js 20 or newer")
    if not modules:
        pytest.skip("EWASM_NODE_MODULES is not set: install tests/e2e/package.json with npm and name its node_modules")
    (tmp_path / "node_modules").symlink_to(modules)
    return tmp_path


def proven(root: str, key: bytes, nodes: list[str]) -> bytes:
    """Return what a proof proves, by the trie of another library."""
    decoded = [rlp.decode(bytes.fromhex(node[2:])) for node in nodes]
    return bytes(HexaryTrie.get_from_proof(bytes.fromhex(root[2:]), keccak256(key), decoded))


@pytest.mark.parametrize("client", ["ethers", "viem"])
def test_a_client_does_all_it_does(client: str, folder: Path, engine: Engine) -> None:
    program = folder / f"{client}.mjs"
    shutil.copy(HERE / program.name, program)
    with running(engine.name) as node:
        arguments = (
            node.http,
            node.ws,
            str(WALLET.key(ALICE)),
            FIXTURES / "erc20.abi.json",
            FIXTURES / "erc20_deploy.wasm",
        )
        done = subprocess.run(["node", program, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    root, proof = found.pop("root"), found.pop("proof")
    reason = "ERC20: transfer amount exceeds balance"
    assert found == {
        "chainId": 31_337,
        "accounts": 10,
        "balance": str(10_000 * 10**18),
        "token": "0x5FbDB2315678afecb367f032d93F642f64180aa3" if client == "ethers" else found["token"],
        "name": "Fixture Token",
        "type": 2,
        "status": 1,
        "pushed": "7",
        "polled": "7",
        "heads": True,
        "past": ["7"],
        "receiptOverSocket": 1,
        "reason": reason,
        "estimateReason": reason,
        "unlocked": 1,
        "before": "8",
        "reverted": True,
        "after": "7",
    }
    account = rlp.decode(proven(root, bytes.fromhex(found["token"][2:]), proof["accountProof"]))
    assert account[2].hex() == proof["storageHash"][2:]
    slot = proven(proof["storageHash"], (2).to_bytes(32, "big"), proof["storageProof"][0]["proof"])
    assert rlp.decode(slot) == (1_000).to_bytes(2, "big")
