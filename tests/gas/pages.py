"""Contracts whose profiles are shown in pages, with the names that nobody should trust."""

from __future__ import annotations

from typing import Final

from evmc import Address, Message, MockAccount, MockHost
from ewasm.ruleset import EWASM
from ewasm.vm import EwasmVM
from gas.collector import Collector
from gas.profile import Profile
from tests.helpers import wat
from wasm.interpreter import Interpreter

HOSTILE: Final = (
    "</script><img src=x onerror=window.hacked=1>",
    "<!--<script>",
    "'\"><svg onload=window.hacked=1>",
    "{{data}}",
    "__proto__",
    "\u202egnirts",
    "&lt;b&gt;",
    "a" * 120,
)
"""Names of functions: a name section may hold any."""

_SELF: Final = Address.from_int(0xC0DE)


def module(*functions: tuple[str, str]) -> bytes:
    """Return a contract of functions with names and bodies; the first is `main`."""
    text = "".join(f'(func (@name "{_quoted(name)}") {body})' for name, body in functions)
    return wat(f'(module (memory (export "memory") 1) (export "main" (func 0)) {text})')


def _quoted(name: str) -> str:
    return "".join(f"\\{byte:02x}" for byte in name.encode())


def measured(code: bytes, *, gas: int = 1_000_000, data: bytes = b"") -> Profile:
    """Profile a message to some code."""
    collector = Collector(EWASM.schedule)
    host = MockHost(accounts={_SELF: MockAccount(code=code)})
    message = Message(gas=gas, recipient=_SELF, code_address=_SELF, sender=Address.from_int(1), input=data)
    result = EwasmVM(EWASM, Interpreter(), profile=collector).execute(host, message, code)
    return collector.finish(gas, result.gas_left)
