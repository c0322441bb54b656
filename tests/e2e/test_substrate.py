"""Unmodified clients against the Substrate side: @polkadot/api on Node, substrate-interface in its own environment.

`EWASM_NODE_MODULES` names a directory with the npm packages of `package.json`, `EWASM_SUBSTRATE_INTERFACE_PYTHON` a
Python with substrate-interface 1.8.1; `.ci/run` makes both.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evmc import U256
from ewasm.ruleset import EWASM, SSVM, Ruleset
from node.chain import Chain, Genesis
from node.substrate.accounts import HOME, development_accounts, genesis_account
from node.substrate.face import Face
from node.substrate.serving import SubstrateServer
from state import GenesisAccount
from tests.helpers import conformance, fixture_code
from tests.node.rpc.serving import in_background
from tests.node.substrate.chain import ALICE_20

MODULES = os.environ.get("EWASM_NODE_MODULES", "")
PYTHON = os.environ.get("EWASM_SUBSTRATE_INTERFACE_PYTHON", "")
SCRIPTS = Path(__file__).parent / "substrate"
TOKEN = "0x" + fixture_code("erc20_deploy").hex()
CONTRACT = "0xe2a313e210a6ec1d5a9c0806545670f2e6264f86"
"""What Alice creates first: keccak256(rlp([Alice, 0])), as published."""

polkadot = pytest.mark.skipif(
    not (Path(MODULES) / "@polkadot" / "api").is_dir() or shutil.which("node") is None,
    reason="EWASM_NODE_MODULES names no directory with @polkadot/api, or node is absent",
)
interface = pytest.mark.skipif(
    not Path(PYTHON).is_file(), reason="EWASM_SUBSTRATE_INTERFACE_PYTHON names no Python with substrate-interface"
)


@contextmanager
def node(ruleset: Ruleset = EWASM, balance: int = 0) -> Iterator[int]:
    """Serve a chain with the development accounts; yield the port."""
    accounts = {HOME: genesis_account(development_accounts())}
    if balance:
        accounts[ALICE_20] = GenesisAccount(balance=U256(balance))
    chain = Chain(genesis=Genesis(accounts=accounts), ruleset=ruleset)
    server = SubstrateServer(Face(chain))
    ports: list[int] = []

    async def start() -> Callable[[], Coroutine[Any, Any, None]]:
        ports.append((await server.start("127.0.0.1", 0))[0][1])
        return server.stop

    with in_background(start):
        yield ports[0]
    chain.close()


def learned(*command: str | Path) -> list[tuple[str, Any]]:
    """Run a client; return what it printed, a name and a value a line."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]


def script(folder: Path, name: str) -> Path:
    """Return a script where Node finds the packages."""
    (folder / "node_modules").symlink_to(MODULES)
    return Path(shutil.copy(SCRIPTS / name, folder / name))


def number(value: int) -> str:
    return f"0x{value:064x}"


@polkadot
def test_polkadot_api(tmp_path: Path) -> None:
    with node() as port:
        found = learned("node", script(tmp_path, "session.mjs"), str(port), TOKEN)
    reverted = next(value for name, value in found if name == "too much")
    assert bytes.fromhex(reverted[1][2:])[68:].rstrip(b"\0") == b"ERC20: transfer amount exceeds balance"
    watched = ["Ready", "InBlock", "Finalized"]
    assert [(name, value) for name, value in found if name != "too much"] == [
        ("chain", ["Development", "ewasm-node", 32]),
        ("constants", ["20000", "42", "31337"]),
        ("header", True),
        *(("remark", [scheme, watched, None, True]) for scheme in ("sr25519", "ed25519", "ecdsa")),
        ("long payload", None),
        ("deposit", [None, "1,000,000"]),
        ("created", [None, CONTRACT, True, True]),
        ("balance", [None, number(1000), False]),
        ("transfer", [None, number(1), True]),
        ("balances", [number(997), number(3)]),
        ("dry run", [True, number(3), True]),
        ("contracts api", [True, number(3), True]),
        ("estimate", [True, True]),
        ("check", ["export", "export"]),
        ("account", ["6", "1000000"]),
        ("code", True),
        ("slots", [3, True]),
        ("accounts", [18, True]),
        ("storage subscription", 2),
        ("error", "BalanceLow"),
        ("stale", "1010: Invalid Transaction: Transaction is outdated"),
        ("poor", "1010: Invalid Transaction: Inability to pay some fees , e.g. account balance too low"),
        ("heads", True),
        ("http", [True, True]),
    ]
    assert reverted[0] == "Reverted"


@interface
def test_substrate_interface() -> None:
    with node() as port:
        found = learned(PYTHON, SCRIPTS / "session.py", str(port), TOKEN)
    assert found == [
        ("chain", ["Development", None, 18]),
        ("constant", 30_000_000),
        ("remark", [True, True]),
        ("mortal", True),
        ("created", [True, CONTRACT]),
        ("balance", number(1000)),
        ("failed", [False, "Reverted", True]),
        ("account", [5, True]),
        ("accounts", 18),
        ("slots", 2),
        ("fee", True),
        ("stale", [1010, "Transaction is outdated"]),
    ]


@polkadot
def test_the_demonstration_of_the_original(tmp_path: Path) -> None:
    """Addresses and results as its documents publish them; instructions are charged for, which a chain insists on."""
    code = (conformance("ssvm") / "contracts" / "substrate_erc20_deploy.hex").read_text().strip()
    ruleset = SSVM.replace(name="ssvm with prices", schedule=EWASM.schedule, metered=True)
    with node(ruleset, 1_000_000) as port:
        found = learned("node", script(tmp_path, "demonstration.mjs"), str(port), "0x" + code)
    assert found == [
        ("genesis", ["1000000", "0"]),
        ("create", ["Created", CONTRACT]),
        ("balanceOf Alice", ["Executed", number(0x3E8)]),
        ("transfer", ["Executed", number(1)]),
        ("balanceOf Alice after", ["Executed", number(0x3E5)]),
        ("balanceOf Bob", ["Executed", number(3)]),
    ]
