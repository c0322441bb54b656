"""The environment interface restated from the published documents, and contracts in text format that use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from evmc import U256, Address, Message, MockAccount, MockHost, Result
from ewasm.ruleset import EWASM, Ruleset
from gas.schedule import FREE
from tests.helpers import Run, wat
from wasm.engine import Engine

# Signatures as `params:results`, i = i32, I = i64 (Ewasm design, Ethereum Environment Interface, revision 4).
REVISION_4: Final = {
    "useGas": "I:",
    "getGasLeft": ":I",
    "getAddress": "i:",
    "getExternalBalance": "ii:",
    "getBlockHash": "Ii:i",
    "call": "Iiiii:i",
    "callDataCopy": "iii:",
    "getCallDataSize": ":i",
    "callCode": "Iiiii:i",
    "callDelegate": "Iiii:i",
    "callStatic": "Iiii:i",
    "storageStore": "ii:",
    "storageLoad": "ii:",
    "getCaller": "i:",
    "getCallValue": "i:",
    "codeCopy": "iii:",
    "getCodeSize": ":i",
    "getBlockCoinbase": "i:",
    "create": "iiii:i",
    "getBlockDifficulty": "i:",
    "externalCodeCopy": "iiii:",
    "getExternalCodeSize": "i:i",
    "getBlockGasLimit": ":I",
    "getTxGasPrice": "i:",
    "log": "iiiiiii:",
    "getBlockNumber": ":I",
    "getTxOrigin": "i:",
    "finish": "ii:",
    "revert": "ii:",
    "getReturnDataSize": ":i",
    "returnDataCopy": "iii:",
    "selfDestruct": "i:",
    "getBlockTimestamp": ":I",
}
EXTRA: Final = {"create2": "iiiii:i", "getChainId": "i:"}
DEBUG: Final = {
    "print32": "i:",
    "print64": "I:",
    "printMem": "ii:",
    "printMemHex": "ii:",
    "printStorage": "i:",
    "printStorageHex": "i:",
}
ETHEREUM: Final = REVISION_4 | EXTRA
_TYPES: Final = {"i": "i32", "I": "i64"}

SELF: Final = Address(bytes(range(0x01, 0x15)))
CALLER: Final = Address(bytes(range(0x21, 0x35)))
OTHER: Final = Address(bytes(range(0x41, 0x55)))
NOBODY: Final = Address(bytes(range(0x61, 0x75)))

PLAIN: Final = EWASM.replace(name="plain", schedule=FREE, metered=False)
"""The default ruleset with free instructions: what is charged is charged by the interface."""

GAS: Final = 10_000_000
PAGE: Final = 65_536
TOP: Final = 2**32 - 1


def types(signature: str) -> tuple[list[str], list[str]]:
    """Return the parameters and results of a signature in letters."""
    params, _, results = signature.partition(":")
    return [_TYPES[c] for c in params], [_TYPES[c] for c in results]


def import_(module: str, name: str, signature: str) -> str:
    """Return an import in text format."""
    params, results = types(signature)
    return f'(import "{module}" "{name}" (func ${name} (param {" ".join(params)}) (result {" ".join(results)})))'


def op(name: str, *args: int | str) -> str:
    """Return a call of a host function, its arguments numbers or expressions."""
    params, _ = types((ETHEREUM | DEBUG)[name])
    assert len(params) == len(args), name
    given = (arg if isinstance(arg, str) else f"({type_}.const {arg})" for type_, arg in zip(params, args, strict=True))
    return f"(call ${name} {' '.join(given)})"


def drop(name: str, *args: int | str) -> str:
    """Return a call of a host function that leaves nothing on the stack."""
    return f"(drop {op(name, *args)})" if types((ETHEREUM | DEBUG)[name])[1] else op(name, *args)


ANSWER: Final = 0xFF00
"""Where `answer` leaves what a function returned."""


def answer(name: str, *args: int | str, at: int = ANSWER) -> str:
    """Return a call of a host function whose result is kept in memory as eight bytes."""
    _, (result,) = types(ETHEREUM[name])
    value = op(name, *args) if result == "i64" else f"(i64.extend_i32_u {op(name, *args)})"
    return f"(i64.store (i32.const {at}) {value})"


def finish(offset: int = ANSWER, length: int = 8) -> str:
    """Return the end of a run, with a part of the memory as output."""
    return op("finish", offset, length)


def contract(body: str, *, pages: int = 1, data: Mapping[int, bytes] | None = None, more: str = "") -> bytes:
    """Assemble a contract whose `main` has this body; the host functions named in it are imported."""
    names = {*re.findall(r"\(call \$(\w+)", body + more)}
    imports = [import_("ethereum", n, s) for n, s in ETHEREUM.items() if n in names]
    imports += [import_("debug", n, s) for n, s in DEBUG.items() if n in names]
    segments = []
    for offset, content in (data or {}).items():
        digits = "".join(f"\\{byte:02x}" for byte in content)
        segments.append(f'(data (i32.const {offset}) "{digits}")')
    return wat(f"""
        (module {" ".join(imports)}
          (memory (export "memory") {pages})
          {" ".join(segments)} {more}
          (func $main (export "main") {body}))""")


def u128(value: int) -> bytes:
    """Return an amount as it stands in memory."""
    return value.to_bytes(16, "little")


def number(output: bytes) -> int:
    """Return what `answer` kept."""
    assert len(output) == 8
    return int.from_bytes(output, "little")


def message(**changes: Any) -> Message:
    """Return a message from CALLER to SELF."""
    return Message(**{"gas": GAS, "recipient": SELF, "sender": CALLER, "code_address": SELF} | changes)


def world(balance: int = 0, **options: Any) -> MockHost:
    """Return a host that knows SELF, CALLER and OTHER."""
    accounts = {SELF: MockAccount(U256(balance)), CALLER: MockAccount(), OTHER: MockAccount()}
    return MockHost(accounts, **options)


class Bench:
    """Runs contracts on one engine, every result held against the invariants."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.reasons: list[Any] = []
        self.printed: list[str] = []
        self._runs: dict[tuple[str, bool], Run] = {}

    def __call__(
        self,
        body: str | bytes,
        host: MockHost | None = None,
        *,
        data: Mapping[int, bytes] | None = None,
        pages: int = 1,
        ruleset: Ruleset = PLAIN,
        debug: bool = False,
        **changes: Any,
    ) -> Result:
        """Run a contract, or one whose `main` has this body, for `message(**changes)`."""
        code = contract(body, data=data, pages=pages) if isinstance(body, str) else body
        self.printed.clear()
        run = self._runs.get((ruleset.hash, debug))
        if run is None:
            run = self._runs[ruleset.hash, debug] = Run(
                self.engine, ruleset, debug=self.printed.append if debug else None
            )
        result = run(host or world(), message(**changes), code)
        self.reasons = list(run.reasons)
        return result
