"""The engine behind a pallet: executions over the wire, questions asked back, extrinsics beside transactions."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

from benchmarks.code import fixture
from benchmarks.connections import HTTP, WEB_SOCKET, Flood, Wire, flood
from benchmarks.nodes import (
    ALICE,
    GAS,
    RECIPIENTS,
    RICH,
    Server,
    balance_slot,
    batches,
    free_port,
    one_block,
    one_by_one,
    ours,
    request,
    transfer_to,
)
from benchmarks.table import Table, Timed, in_turn, median, micro, ratio
from evmc import Address, Bytes32
from state import keccak256
from wasm.text import assemble

CONNECTIONS: Final = 16
BATCH: Final = 100
TOKEN: Final = Address.from_int(0xC0DE)
SUCCESS: Final = b'"status":"SUCCESS"'
DEVELOPERS: Final = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: worker processes, rounds, executions, of these alone, questions of loops, transfers."""

    workers: tuple[int, ...]
    rounds: int
    executions: int
    alone: int
    few: int
    many: int
    transfers: int
    block: int


QUICK: Final = Size(workers=(0, 1), rounds=1, executions=64, alone=4, few=5, many=25, transfers=12, block=12)
WHOLE: Final = Size(workers=(0, 1, 2), rounds=9, executions=1_000, alone=50, few=20, many=200, transfers=600, block=180)


def table(*, quick: bool, node_modules: str | None = None) -> str:
    """Measure what a pallet pays."""
    return "\n".join(map(str, tables(QUICK if quick else WHOLE, node_modules)))


def tables(size: Size, node_modules: str | None) -> list[Table]:
    """Measure executions, questions, and extrinsics if @polkadot/api is there."""
    return [executions(size), questions(size), extrinsics(size, node_modules)]


# What is asked for


@dataclass(frozen=True, slots=True)
class Work:
    """An execution: what is called on which accounts; `code` is that of `TOKEN`."""

    code: bytes
    input: bytes = b""
    slots: Mapping[Bytes32, Bytes32] | None = None

    @property
    def account(self) -> dict[str, str]:
        """The contract, as a host tells of it."""
        return {"nonce": "0x1", "balance": "0x0", "codeHash": _hex(keccak256(self.code))}

    def body(self, *, on_demand: bool) -> bytes:
        """Return the request, with all the state or with none of it; code is named by its hash."""
        message = {"sender": _hex(ALICE), "to": _hex(TOKEN), "gas": hex(5_000_000), "input": _hex(self.input)}
        storage = {_hex(key): _hex(value) for key, value in (self.slots or {}).items()}
        accounts = {_hex(ALICE): {"balance": hex(10**18)}, _hex(TOKEN): {**self.account, "storage": storage}}
        state = {"onDemand": "a block"} if on_demand else {"accounts": accounts}
        document = {"message": message, "block": {"number": "0x1000"}, "state": state}
        return json.dumps(request("ewasm_execute", document)).encode()

    def answer(self, text: bytes) -> bytes:
        """Answer a question of the engine's."""
        question = json.loads(text)
        found = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": self._told(**question)})
        return found.encode()

    def _told(self, method: str, params: dict[str, str], **_: Any) -> Any:
        match method:
            case "host_getStorage":
                key = Bytes32.from_hex(params["key"].removeprefix("0x"))
                return _hex((self.slots or {}).get(key, Bytes32(bytes(32))))
            case "host_getAccount":
                return {_hex(ALICE): {"balance": hex(10**18)}, _hex(TOKEN): self.account}.get(params["address"])
            case "host_getBlockHash":
                return _hex(keccak256(params["number"].encode()))
        return _hex(self.code)


TRANSFER: Final = Work(fixture("erc20"), transfer_to(RECIPIENTS[0]), {balance_slot(ALICE): RICH})

LOOPS: Final = {
    "host_getStorage": ("storageLoad", "(param i32 i32)", "(call $ask (i32.const 0) (i32.const 64))"),
    "host_getAccount": ("getExternalBalance", "(param i32 i32)", "(call $ask (i32.const 12) (i32.const 64))"),
    "host_getBlockHash": (
        *("getBlockHash", "(param i64 i32) (result i32)"),
        "(drop (call $ask (i64.extend_i32_u (i32.sub (i32.const 0xfff) (local.get $i))) (i32.const 64)))",
    ),
}
"""By the question that it makes a host hear: a function of the interface, its type, and a call with the number $i."""


def loop(question: str, times: int) -> Work:
    """Return an execution that makes the same question come so many times, each for another thing."""
    name, kind, call = LOOPS[question]
    return Work(
        assemble(f"""
(module
  (import "ethereum" "{name}" (func $ask {kind}))
  (memory (export "memory") 1)
  (func (export "main") (local $i i32)
    (loop $next
      (i32.store8 (i32.const 31) (local.get $i))
      {call}
      (br_if $next
        (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {times}))))))
""")
    )


def put(server: Server, work: Work) -> None:
    """Send the code of an execution ahead."""
    server.ask("ewasm_putCode", [_hex(work.code)])


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


# Executions over many connections


def executions(size: Size) -> Table:
    """Execute transfers on many connections at once."""
    found = Table(
        f"Pallet: `ewasm_execute` of an ERC-20 transfer, {CONNECTIONS} connections",
        ["state, connection, `--workers`", "executions a second", "p50", "p99", "over the first"],
        notes=[
            (
                "One client process, one request at a time on each connection; p50 and p99 are of the requests of all"
                " rounds. Code is sent ahead and named by its hash."
            )
        ],
    )
    waits: dict[str, list[float]] = {}
    variants: dict[str, Timed] = {}

    def add(name: str, server: Server, wire: Wire, *, on_demand: bool) -> None:
        waits[name] = []
        body, number = TRANSFER.body(on_demand=on_demand), size.executions
        asked = partial(flood, server.port, body, number, CONNECTIONS, wire, mark=SUCCESS, answer=TRANSFER.answer)

        def measure() -> float:
            done = asked()
            waits[name] += done.waits
            return done.seconds / number

        variants[name] = measure

    with ExitStack() as stack:
        for count in size.workers:
            server = stack.enter_context(ours("--workers", str(count)))
            put(server, TRANSFER)
            add(f"complete, WebSocket, {count}", server, WEB_SOCKET, on_demand=False)
            add(f"complete, HTTP, {count}", server, HTTP, on_demand=False)
            if not count:
                add("on demand, WebSocket, 0", server, WEB_SOCKET, on_demand=True)
        for name, measure in variants.items():
            measure()  # to be warm
            waits[name].clear()
        samples = in_turn(variants, size.rounds, warm=False)
    first = next(iter(variants))
    for name in variants:
        cuts = statistics.quantiles(waits[name], n=100, method="inclusive")
        over = f"{1 / ratio(samples, name, first):.2f}"
        found.rows.append([name, rate(median(samples, name)), milli(cuts[49]), milli(cuts[98]), over])
    return found


def rate(seconds: float) -> str:
    """Write how many a second."""
    return f"{1 / seconds:,.0f}"


def milli(seconds: float) -> str:
    """Write milliseconds."""
    return f"{seconds * 1e3:,.2f} ms"


# Questions


def questions(size: Size) -> Table:
    """Execute the same with a state that comes along, and with one that is asked for."""
    found = Table(
        "Pallet: a state that is asked for, one WebSocket, one execution at a time",
        ["execution", "questions", "complete state", "on demand", "a question"],
        notes=[
            (
                "A question of a loop: what each further one costs, from the shorter loop to the longer, less what the"
                " same loop costs with complete state. What the client takes for its answer is in it."
            )
        ],
    )
    works = {"ERC-20 transfer": TRANSFER}
    for question in LOOPS:
        works |= {f"`{question}`, {times:,} times": loop(question, times) for times in (size.few, size.many)}
    asked: dict[str, int] = {}
    variants: dict[str, Timed] = {}

    def flooded(server: Server, work: Work, *, on_demand: bool) -> Flood:
        body = work.body(on_demand=on_demand)
        return flood(server.port, body, size.alone, 1, WEB_SOCKET, mark=SUCCESS, answer=work.answer)

    def alone(server: Server, work: Work, *, on_demand: bool) -> float:
        return flooded(server, work, on_demand=on_demand).seconds / size.alone

    with ours() as server:
        for name, work in works.items():
            put(server, work)
            asked[name] = flooded(server, work, on_demand=True).questions // size.alone
            for way, on_demand in (("complete", False), ("asked", True)):
                variants[f"{name}, {way}"] = partial(alone, server, work, on_demand=on_demand)
        samples = in_turn(variants, size.rounds)
    above = {
        name: [a - b for a, b in zip(samples[f"{name}, asked"], samples[f"{name}, complete"], strict=True)]
        for name in works
    }
    short = None
    for name in works:
        more, count = above[name], asked[name]
        if name.endswith(f" {size.many:,} times") and short is not None:
            more = [a - b for a, b in zip(more, above[short], strict=True)]
            count -= asked[short]
        each = "" if name.endswith(f" {size.few:,} times") else micro(statistics.median(more) / count)
        times = (micro(median(samples, f"{name}, {way}")) for way in ("complete", "asked"))
        found.rows.append([name, f"{asked[name]:,}", *times, each])
        short = name
    return found


# Extrinsics beside transactions


class Polkadot:
    """A process with @polkadot/api that signs and sends extrinsics of the development accounts."""

    def __init__(self, modules: Path, port: int) -> None:
        self._folder = TemporaryDirectory(prefix="ewasm-benchmark-")
        folder = Path(self._folder.name)
        (folder / "node_modules").symlink_to(modules.resolve())
        script = shutil.copy(Path(__file__).parent / "extrinsics.mjs", folder)
        command = ["node", script, str(port), _hex(fixture("erc20_deploy")), _hex(RECIPIENTS[0]), str(GAS)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.about = self._heard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def tell(self, command: str) -> None:
        """Have a command done."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        self._heard()

    def _heard(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("@polkadot/api: the script ended")
        return json.loads(line)


def find_modules(given: str | None) -> tuple[Path | None, str]:
    """Return the directory of npm packages that has @polkadot/api, or None and why there is none."""
    named = given or os.environ.get("EWASM_NODE_MODULES")
    if not named:
        return None, "@polkadot/api is not there: see `--node-modules`"
    if not (Path(named) / "@polkadot" / "api").is_dir():
        return None, f"{named} has no @polkadot/api: `npm install @polkadot/api`"
    if shutil.which("node") is None:
        return None, "node is not on the path"
    return Path(named), ""


def extrinsics(size: Size, node_modules: str | None) -> Table:
    """Send the same transfers through both sides of one node."""
    found = Table(
        "Pallet: ERC-20 transfers signed beforehand, through both sides of one node",
        ["transfers", "`ewasm.call`, @polkadot/api, a second", "`eth_sendRawTransaction`, HTTP, a second", "ratio"],
    )
    modules, reason = find_modules(node_modules)
    if modules is None:
        found.notes.append(f"Not measured: {reason}.")
        return found
    port = free_port()
    with ExitStack() as stack:
        server = stack.enter_context(ours("--substrate-port", str(port)))
        server.deploy()
        polkadot = stack.enter_context(Polkadot(modules, port))
        enrich(server, polkadot.about["token"])
        number, block = size.transfers, size.block
        pairs: dict[str, tuple[Timed, Timed]] = {
            "each when the last is taken": (
                sent(server, polkadot, "each", number),
                one_by_one(server, number),
            ),
            f"{number:,} at once; in batches of {BATCH}": (
                sent(server, polkadot, "all", number),
                batches(server, number, BATCH),
            ),
            f"{block} in one block": (
                in_one_block(server, polkadot, block),
                without_automine(server, one_block(server, block)),
            ),
        }
        variants: dict[str, Timed] = {}
        for name, (extrinsic, transaction) in pairs.items():
            variants |= {f"{name}, extrinsics": extrinsic, f"{name}, transactions": transaction}
        samples = in_turn(variants, size.rounds)
    for name in pairs:
        mine, theirs = f"{name}, extrinsics", f"{name}, transactions"
        found.rows.append(
            [
                name,
                rate(median(samples, mine)),
                rate(median(samples, theirs)),
                f"{1 / ratio(samples, mine, theirs):.2f}",
            ]
        )
    found.notes.append(
        f"@polkadot/api {polkadot.about['version']}, sr25519, six accounts in turn, over one WebSocket; transactions of"
        " ten accounts. Mining at once but for the last row; until all are in blocks."
    )
    return found


def enrich(server: Server, token: str) -> None:
    """Give the development accounts tokens."""
    from node.substrate.keys import h160, keypair  # noqa: PLC0415  # needs the extra `substrate`

    for name in DEVELOPERS:
        slot = balance_slot(h160(keypair(f"//{name}").account))
        server.ask("anvil_setStorageAt", token, _hex(slot), _hex(RICH))


def sent(server: Server, polkadot: Polkadot, how: str, number: int) -> Timed:
    """Return what sends extrinsics, mined at once; it tells the seconds of one."""
    return received(server, polkadot, number, lambda: polkadot.tell(how))


def in_one_block(server: Server, polkadot: Polkadot, number: int) -> Timed:
    """Return what sends extrinsics and has a block made of them; it tells the seconds of one."""

    def run() -> None:
        polkadot.tell("all")
        server.ask("evm_mine")

    return without_automine(server, received(server, polkadot, number, run))


def received(server: Server, polkadot: Polkadot, number: int, run: Callable[[], None]) -> Timed:
    """Return what measures a run, and looks whether all its transfers have arrived."""
    token, slot = polkadot.about["token"], _hex(balance_slot(RECIPIENTS[0]))

    def balance() -> int:
        return int(server.ask("eth_getStorageAt", token, slot, "latest"), 16)

    def measure() -> float:
        polkadot.tell(f"sign {number}")
        before = balance()
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        if balance() != before + 3 * number:
            raise SystemExit(f"{(balance() - before) // 3} transfers of {number} have arrived")
        return seconds / number

    return measure


def without_automine(server: Server, measure: Timed) -> Timed:
    """Return a measurement during which blocks are made only when told to."""

    def run() -> float:
        server.ask("evm_setAutomine", False)
        try:
            return measure()
        finally:
            server.ask("evm_setAutomine", True)

    return run
