"""Libraries of extras that are not installed: what is said to whom."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from node.extras import EXTRAS, MissingExtra, needed_by
from tests.helpers import ROOT

MODULES = {"nacl": "pynacl", "sr25519": "py-sr25519-bindings", "eth_account": "eth-account", "eth_tester": "eth-tester"}
"""Distributions that are named otherwise than their modules."""


@pytest.mark.parametrize("module", EXTRAS)
def test_the_extra_that_is_named_brings_the_library(module: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    wanted = MODULES.get(module, module)
    assert [each for each in extras[EXTRAS[module]] if each.startswith(f"{wanted}>")], module


def test_other_modules_are_no_extras() -> None:
    with pytest.raises(ModuleNotFoundError) as raised, needed_by("a test"):
        import nothing_of_this_name  # noqa: F401
    assert not isinstance(raised.value, MissingExtra)


@pytest.mark.parametrize(
    ("missing", "code", "message"),
    [
        ("eth_account", "from ewasm.testing import Chain; Chain()", "needs eth_account: pip install 'ewasm[node]'"),
        ("web3", "from ewasm.testing import EwasmProvider", "EwasmProvider needs web3: pip install 'ewasm[web3]'"),
        ("aiohttp", "import ewasm.client; ewasm.client.connect('ws://h')", "ewasm.client needs aiohttp: pip install"),
        ("sr25519", "import node.substrate.keys", "the Substrate side needs sr25519: pip install 'ewasm[substrate]'"),
    ],
)
def test_a_library_that_is_missing_is_said_with_what_to_install(missing: str, code: str, message: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; {code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("node.extras.MissingExtra: ")
    assert message in last
