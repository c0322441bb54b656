"""The node: transfers through web3.py, over HTTP and in full blocks, calls on many connections, a long history."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from benchmarks.code import FIXTURES, fixture
from benchmarks.connections import Stalled
from benchmarks.erc20 import Evm
from benchmarks.nodes import (
    ALICE,
    RECIPIENTS,
    RICH,
    WALLET,
    Sender,
    Server,
    anvil,
    anvil_version,
    balance_slot,
    batches,
    find_anvil,
    folder,
    many_calls,
    one_block,
    ours,
)
from benchmarks.table import Table, Timed, in_turn, median, micro, ratio, verdict
from evmc import Address
from node.chain import Chain
from state.lmdb import LmdbStore

PYTHON_TIMES, CALLS_BOUND, BLOCK_BOUND, RESTART_BOUND = 4, 1_000, 600, 2.0
CONNECTIONS, BLOCK, BATCH = 32, 200, 100
TRANSFER_EVENT = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def table(*, quick: bool, evm_python: str = sys.executable, anvil_path: str | None = None) -> str:
    """Measure the node and its peers."""
    path, rounds = find_anvil(anvil_path), 3 if quick else 9
    note = "Anvil is not installed: `npm install @foundry-rs/anvil`, see `--anvil`."
    name = None
    if path is not None:
        name = anvil_version(path)
        note = f"{name}, a node of its own process in Rust; its token is an EVM one."
    with Evm(evm_python) as evm:
        other = f"{evm.name}, in process." if evm.name else "eth-tester is not installed: see `--evm-python`."
        tables = [
            through_web3(evm, rounds, 10 if quick else 100),
            signed_batches(path, rounds, 200 if quick else 1_000),
            balances(evm, path, rounds, 500 if quick else 3_000),
            blocks(evm, path, rounds),
            history(path, 500 if quick else 10_000, rounds),
        ]
    tables[0].notes.append(f"The peers: {other} {note}")
    return "\n".join(map(str, tables))


def rate(seconds: float) -> str:
    """Write how many a second."""
    return f"{1 / seconds:,.0f}"


def milli(seconds: float) -> str:
    """Write milliseconds."""
    return f"{seconds * 1e3:,.1f} ms"


def guarded(run: Callable[[], float], stalled: set[str], name: str) -> Timed:
    """Return what measures, and an infinite time from when its node does not get on."""

    def measure() -> float:
        if name in stalled:
            return float("inf")
        try:
            return run()
        except Stalled:
            stalled.add(name)
            return float("inf")

    return measure


# web3.py in process


def through_web3(evm: Evm, rounds: int, times: int) -> Table:
    """Send transfers from an account of the node by web3.py, and wait for each receipt."""
    found = Table(
        "Node: ERC-20 transfers through web3.py in process, automine",
        ["transfer", "ours, a second", "eth-tester, a second", "ratio", "bound", ""],
    )
    try:
        from web3 import Web3  # noqa: PLC0415  # not there without the extra `web3`

        from ewasm.testing import EwasmProvider  # noqa: PLC0415
    except ImportError as error:
        found.notes.append(f"Not measured: {error}.")
        return found
    web3 = Web3(EwasmProvider())
    alice = web3.eth.accounts[0]
    abi = json.loads((FIXTURES / "erc20.abi.json").read_text())
    sent = web3.eth.send_transaction({"from": alice, "data": fixture("erc20_deploy")})
    address = web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
    slot = "0x" + balance_slot(ALICE).hex()
    web3.provider.make_request("anvil_setStorageAt", [address, slot, "0x" + RICH.hex()])  # type: ignore[arg-type]
    token = web3.eth.contract(address=address, abi=abi)
    to = Web3.to_checksum_address(str(RECIPIENTS[0]))

    def mine(**given: int) -> Timed:
        def measure() -> float:
            start = time.perf_counter()
            for _ in range(times):
                sent = token.functions.transfer(to, 3).transact({"from": alice, **given})
                receipt = web3.eth.wait_for_transaction_receipt(sent)
                if receipt["status"] != 1 or len(receipt["logs"]) != 1:
                    raise SystemExit("a transfer failed")
            return (time.perf_counter() - start) / times

        return measure

    variants = {"web3": mine(gas=200_000), "estimated": mine()}
    if evm.name:
        variants |= {f"{what}, peer": evm.ask(what, max(3, times // 10)) for what in ("web3", "estimated")}
    samples = in_turn(variants, rounds)
    for what, title in (("web3", "gas limit given"), ("estimated", "gas estimated by the node")):
        peer = [""] * 4
        if evm.name:
            times_faster = ratio(samples, f"{what}, peer", what)
            peer = [
                rate(median(samples, f"{what}, peer")),
                f"{times_faster:.1f}",
                f"≥ {PYTHON_TIMES}",
                verdict(times_faster, PYTHON_TIMES, at_least=True),
            ]
        found.rows.append([title, rate(median(samples, what)), *peer])
    found.notes.append(f"Ours with web3 {version('web3')}. The node signs; `wait_for_transaction_receipt` each time.")
    return found


# Over HTTP


def signed_batches(path: str | None, rounds: int, number: int) -> Table:
    """Send signed transfers in HTTP batches to nodes that mine at once."""
    found = Table(
        f"Node: signed ERC-20 transfers over HTTP, batches of {BATCH}, automine",
        ["node", "transfers a second", "blocks for them", "over ours"],
        notes=["Signed beforehand, of ten accounts in turn; from the first batch to the receipt of the last transfer."],
    )
    with ExitStack() as stack:
        servers = {"ours": stack.enter_context(ours())}
        if path is not None:
            servers["Anvil"] = stack.enter_context(anvil(path))
        made: dict[str, list[float]] = {name: [] for name in servers}
        stalled: set[str] = set()

        def counted(name: str) -> Callable[[], float]:
            server = servers[name]
            run = batches(server, number, BATCH)

            def measure() -> float:
                before = int(server.ask("eth_blockNumber"), 16)
                seconds = run()
                made[name].append(int(server.ask("eth_blockNumber"), 16) - before)
                return seconds

            return measure

        for server in servers.values():
            server.deploy()
        samples = in_turn({name: guarded(counted(name), stalled, name) for name in servers}, rounds)
    for name in servers:
        if name in stalled:
            found.rows.append([name, "it stopped mining", "", ""])
            continue
        found.rows.append(
            [name, rate(median(samples, name)), f"{median(made, name):,.0f}", f"{1 / ratio(samples, name, 'ours'):.2f}"]
        )
    return _without(found, path, 4)


def _without(found: Table, path: str | None, columns: int) -> Table:
    """Say that Anvil is not there."""
    if path is None:
        found.rows.append(["Anvil", "not installed", *[""] * (columns - 2)])
    return found


def balances(evm: Evm, path: str | None, rounds: int, number: int) -> Table:
    """Ask for a balance on many connections."""
    found = Table(
        f"Node: `eth_call` of `balanceOf`, {CONNECTIONS} connections",
        ["node", "calls a second", "one call", "over ours with 2 workers", "bound", ""],
        notes=["One client process, one request at a time on each connection. eth-tester: web3.py in process."],
    )
    first = "ours, `--workers 2`"
    with ExitStack() as stack:
        servers = {
            first: stack.enter_context(ours("--workers", "2")),
            "ours, no workers": stack.enter_context(ours()),
        }
        if path is not None:
            servers["Anvil"] = stack.enter_context(anvil(path))
        for server in servers.values():
            server.deploy()
        variants = {name: many_calls(server, number, CONNECTIONS) for name, server in servers.items()}
        if evm.name:
            variants["eth-tester"] = evm.ask("call", 20)
        samples = in_turn(variants, rounds)
    for name in variants:
        each = median(samples, name)
        end = (
            [f"≥ {CALLS_BOUND:,}", verdict(1 / each, CALLS_BOUND, at_least=True)]
            if name == first
            else ["", "for information"]
        )
        found.rows.append([name, rate(each), micro(each), f"{1 / ratio(samples, name, first):.2f}", *end])
    return _without(found, path, 6)


# Blocks


def blocks(evm: Evm, path: str | None, rounds: int) -> Table:
    """Make blocks of signed transfers."""
    found = Table(
        f"Node: {BLOCK} signed ERC-20 transfers a block",
        ["node", "transfers a second", "one transfer", "over ours in memory", "bound", ""],
        notes=[
            (
                "Decoding, recovering, checks, execution, roots, receipts, the write to the store. eth-tester,"
                " which takes one waiting transaction of a sender, makes a block of each."
            )
        ],
    )
    with ExitStack() as stack:
        disk = stack.enter_context(folder())
        store = stack.enter_context(LmdbStore(disk / "chain", create=True))
        variants: dict[str, Timed] = {"ours, in memory": in_blocks(Chain()), "ours, LMDB": in_blocks(Chain(store))}
        servers = {"ours, over HTTP": stack.enter_context(ours("--no-mining"))}
        if path is not None:
            servers["Anvil, over HTTP"] = stack.enter_context(anvil(path, "--no-mining"))
        for name, server in servers.items():
            server.ask("evm_setAutomine", True)
            server.deploy()
            server.ask("evm_setAutomine", False)
            variants[name] = one_block(server, BLOCK)
        if evm.name:
            variants["eth-tester"] = evm.ask("raw", 20)
        samples = in_turn(variants, rounds)
    for name in variants:
        each = median(samples, name)
        bound = name in ("ours, in memory", "ours, LMDB")
        end = [f"≥ {BLOCK_BOUND}", verdict(1 / each, BLOCK_BOUND, at_least=True)] if bound else ["", "for information"]
        found.rows.append([name, rate(each), micro(each), f"{1 / ratio(samples, name, 'ours, in memory'):.2f}", *end])
    return _without(found, path, 6)


def in_blocks(chain: Chain) -> Timed:
    """Return what makes one block of signed transfers; it tells the seconds of one."""
    sender = deployed(chain)
    chain.set_automine(False)

    def measure() -> float:
        transfers = sender.transfers(BLOCK)
        start = time.perf_counter()
        for raw in transfers:
            chain.send(raw)
        block = chain.mine()
        seconds = time.perf_counter() - start
        receipts = chain.receipts()
        if len(block.transactions) != BLOCK or not all(receipt.succeeded for receipt in receipts):
            raise SystemExit("a transfer failed")
        return seconds / BLOCK

    return measure


def deployed(chain: Chain) -> Sender:
    """Deploy the token on a chain, and give all accounts plenty."""
    sender = Sender()
    receipt = chain.receipt(chain.send(sender.deployment(fixture("erc20_deploy"))))
    if receipt is None or receipt.contract is None or not receipt.succeeded:
        raise SystemExit("the token was refused")
    sender.token = receipt.contract
    for address in WALLET.addresses:
        chain.set_storage(receipt.contract, balance_slot(address), RICH)
    return sender


# History


def history(path: str | None, number: int, rounds: int) -> Table:
    """Start nodes on a chain with so many blocks, each with a transfer, and ask for all logs."""
    found = Table(
        f"Node: a history of {number:,} blocks, a transfer in each",
        ["node", "start to first answer", "MiB then", "all logs", "logs to one account", "MiB then", "on disk, MiB",
         "bound of start", ""],
        notes=[("MiB: resident memory of the process, with the pages of the file that are mapped. Ours runs with"
               " `--state` over LMDB, Anvil with `--state`, which is one JSON file.")],
    )  # fmt: skip
    with folder() as disk:
        kept = disk / "ours"
        make_history(kept, number)
        found.rows.append(restarted("ours", lambda: ours("--state", str(kept)), kept, number, rounds))
        if path is not None:
            file = disk / "anvil.json"
            try:
                with anvil(path, "--no-mining", "--state", str(file)) as server:
                    make_history_at(server, number)
                found.rows.append(restarted("Anvil", lambda: anvil(path, "--state", str(file)), file, number, rounds))
            except Stalled as error:
                found.rows.append(["Anvil", str(error), *[""] * 7])
    return _without(found, path, 9)


def make_history(kept: Path, number: int) -> None:
    """Make the blocks of ours, in this process."""
    with LmdbStore(kept, create=True) as store:
        chain = Chain(store)
        sender = deployed(chain)
        for raw in sender.transfers(number):
            chain.send(raw)
        chain.close()


def make_history_at(server: Server, number: int) -> None:
    """Make the blocks of a node over HTTP, one by one."""
    server.ask("evm_setAutomine", True)
    server.deploy()
    server.ask("evm_setAutomine", False)
    for raw in server.sender.transfers(number):
        server.ask("eth_sendRawTransaction", "0x" + raw.hex())
        server.ask("evm_mine")


def restarted(name: str, start: Callable[[], Server], kept: Path, number: int, rounds: int) -> list[str]:
    """Start a node several times; return its row."""
    samples: dict[str, list[float]] = {what: [] for what in ("start", "begin", "all", "some", "end")}
    for _ in range(max(3, rounds // 3)):
        with start() as server:
            samples["start"].append(server.start_seconds)
            samples["begin"].append(server.memory())
            last = int(server.ask("eth_blockNumber"), 16)
            if last != number + 1:
                raise SystemExit(f"{name} has {last} blocks, not {number + 1}")
            samples["all"].append(logs(server, number, None))
            samples["some"].append(logs(server, number // len(RECIPIENTS), RECIPIENTS[7]))
            samples["end"].append(server.memory())
    files = [kept] if kept.is_file() else [each for each in kept.iterdir() if each.is_file()]
    size = sum(each.stat().st_blocks * 512 for each in files)
    begin = median(samples, "start")
    end = [f"< {RESTART_BOUND:.0f} s", verdict(begin, RESTART_BOUND)] if name == "ours" else ["", "for information"]
    return [
        name,
        f"{begin:.2f} s",
        f"{median(samples, 'begin') / (1 << 20):,.0f}",
        milli(median(samples, "all")),
        milli(median(samples, "some")),
        f"{median(samples, 'end') / (1 << 20):,.0f}",
        f"{size / (1 << 20):,.0f}",
        *end,
    ]


def logs(server: Server, expected: int, to: Address | None) -> float:
    """Ask for the logs of all blocks; return the seconds."""
    topics: list[str | None] = [TRANSFER_EVENT, None]
    if to is not None:
        topics.append("0x" + to.rjust(32, b"\0").hex())
    wanted = {"fromBlock": "0x2", "toBlock": "latest", "address": str(server.sender.token or TOKEN), "topics": topics}
    start = time.perf_counter()
    found = server.ask("eth_getLogs", wanted)
    seconds = time.perf_counter() - start
    if len(found) != expected:
        raise SystemExit(f"{server.kind} found {len(found)} logs, not {expected}")
    return seconds


TOKEN = Address.from_hex("5fbdb2315678afecb367f032d93f642f64180aa3")
"""Where the first contract of the first account is, on every chain."""
