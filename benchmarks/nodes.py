"""Nodes as processes, ours and Anvil, and what asks them: one connection, or many at once."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.code import fixture
from benchmarks.connections import HOST, HTTP, PATIENCE, Stalled, flood
from benchmarks.evm import init_code
from evmc import U256, Address, Bytes32
from node.chain import Wallet
from node.chain.signed import Payload
from state import keccak256

CHAIN_ID: Final = 31_337
GAS: Final = 130_000
"""The gas limit of a transfer: 200 of them are within a block of 30 million."""

PRICE, TIP = U256(10**11), U256(10**9)
WALLET: Final = Wallet.from_mnemonic()
ALICE: Final = WALLET.addresses[0]
RICH: Final = Bytes32.from_int(1 << 120)
RECIPIENTS: Final = tuple(Address(keccak256(b"%d" % number)[:20]) for number in range(100))


# Transactions


def balance_slot(owner: Address) -> Bytes32:
    """Return where a token has the balance of an account."""
    return keccak256(owner.rjust(32, b"\0") + bytes(32))


def balance_of(owner: Address) -> bytes:
    """Return the data of `balanceOf`."""
    return bytes.fromhex("70a08231") + owner.rjust(32, b"\0")


def transfer_to(recipient: Address, value: int = 3) -> bytes:
    """Return the data of `transfer`."""
    return bytes.fromhex("a9059cbb") + recipient.rjust(32, b"\0") + value.to_bytes(32, "big")


class Sender:
    """Signs transfers of the usual accounts, each the next of its sender; all have tokens at `token`."""

    def __init__(self) -> None:
        self.token: Address | None = None
        self._nonces = {address: count() for address in WALLET.addresses}
        self._turn = count()

    def deployment(self, code: bytes) -> bytes:
        """Return a raw transaction that deploys code."""
        return self._signed(ALICE, None, code, 5_000_000)

    def transfers(self, number: int) -> list[bytes]:
        """Return raw transactions: of the ten accounts in turn, to a hundred others."""
        return [self._transfer(next(self._turn)) for _ in range(number)]

    def _transfer(self, turn: int) -> bytes:
        sender = WALLET.addresses[turn % len(WALLET.addresses)]
        return self._signed(sender, self.token, transfer_to(RECIPIENTS[turn % len(RECIPIENTS)]), GAS)

    def _signed(self, sender: Address, to: Address | None, data: bytes, gas: int) -> bytes:
        payload = Payload(
            chain_id=CHAIN_ID, nonce=next(self._nonces[sender]), max_fee=PRICE, max_tip=TIP, gas_limit=gas, to=to,
            data=data,
        )  # fmt: skip
        return WALLET.sign(payload, sender).raw


# Processes


def request(method: str, *params: Any, identifier: int = 1) -> dict[str, Any]:
    """Return a request."""
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params}


def batch(requests: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the body of a batch."""
    return json.dumps(requests).encode()


class Server:
    """A node in a process of its own, and a connection to it; `start_seconds` is the time until it answered."""

    def __init__(self, command: Sequence[str], *, kind: str) -> None:
        self.kind = kind
        self.sender = Sender()
        self.port = free_port()
        start = time.perf_counter()
        self.process = subprocess.Popen([*command, "--port", str(self.port)], stdout=subprocess.DEVNULL)
        self._connection = self._connected(start)
        self.start_seconds = time.perf_counter() - start

    def _connected(self, start: float) -> http.client.HTTPConnection:
        while time.perf_counter() - start < PATIENCE and self.process.poll() is None:
            self._connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE)
            with suppress(ConnectionError):
                self.ask("eth_blockNumber")
                return self._connection
            time.sleep(0.002)
        raise SystemExit(f"{self.kind} does not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> float:
        """End the node as Ctrl-C does; return the seconds that this takes."""
        start = time.perf_counter()
        self._connection.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return time.perf_counter() - start

    def post(self, body: bytes) -> bytes:
        """Send a body and return that of the answer; raise `Stalled`."""
        try:
            self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
            return self._connection.getresponse().read()
        except TimeoutError:
            raise Stalled(f"{self.kind} did not answer for {PATIENCE:.0f} s") from None

    def ask(self, method: str, *params: Any) -> Any:
        """Call a method and return its result; end everything where that is an error."""
        return _result(json.loads(self.post(json.dumps(request(method, *params)).encode())))

    def ask_all(self, body: bytes) -> list[Any]:
        """Send a batch and return the results."""
        return [_result(answer) for answer in json.loads(self.post(body))]

    def memory(self) -> int:
        """Return the resident bytes of the process and those it has started, pages of files included."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10

    def deploy(self) -> None:
        """Deploy the token, and give all accounts plenty."""
        code = init_code() if self.kind == "Anvil" else fixture("erc20_deploy")
        sent = self.ask("eth_sendRawTransaction", _hex(self.sender.deployment(code)))
        receipt = self.receipt(sent)
        if receipt["status"] != "0x1":
            raise SystemExit(f"{self.kind} refused the token")
        self.sender.token = Address.from_hex(receipt["contractAddress"])
        for address in WALLET.addresses:
            slot = balance_slot(address)
            self.ask("anvil_setStorageAt", receipt["contractAddress"], _hex(slot), _hex(RICH))

    def receipt(self, transaction_hash: str) -> Any:
        """Return a receipt as soon as there is one; raise `Stalled`."""
        start = time.perf_counter()
        while (found := self.ask("eth_getTransactionReceipt", transaction_hash)) is None:
            if time.perf_counter() - start > PATIENCE:
                raise Stalled(f"{self.kind} did not mine for {PATIENCE:.0f} s")
            time.sleep(0.001)
        return found


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _result(answer: Mapping[str, Any]) -> Any:
    if "error" in answer:
        raise SystemExit(f"refused: {answer['error']}")
    return answer["result"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def ours(*options: str) -> Server:
    """Start a node of ours."""
    return Server([sys.executable, "-m", "ewasm", "node", "--quiet", *options], kind="ours")


def anvil(path: str, *options: str) -> Server:
    """Start Anvil."""
    return Server([path, "--silent", *options], kind="Anvil")


def find_anvil(given: str | None) -> str | None:
    """Return the path of Anvil: as given, in `EWASM_NODE_MODULES`, or where programs are; None if it is not there."""
    if given is not None:
        return given
    modules = os.environ.get("EWASM_NODE_MODULES")
    found = sorted(Path(modules).glob("@foundry-rs/anvil-*/bin/anvil")) if modules else []
    return str(found[0]) if found else shutil.which("anvil")


def anvil_version(path: str) -> str:
    """Return Anvil's name and version."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    return "Anvil " + said.splitlines()[0].split()[-1]


@contextmanager
def folder() -> Iterator[Path]:
    """Lend a directory on disk."""
    with tempfile.TemporaryDirectory(prefix="ewasm-benchmark-") as name:
        yield Path(name)


# Runs


def batches(server: Server, number: int, size: int) -> Callable[[], float]:
    """Return what sends signed transfers in batches; it tells the seconds of one, to the last one's receipt."""

    def prepared(raw: Sequence[str]) -> Callable[[], str]:
        bodies = [
            batch([request("eth_sendRawTransaction", each, identifier=at) for at, each in enumerate(raw[n : n + size])])
            for n in range(0, number, size)
        ]
        return lambda: [server.ask_all(body) for body in bodies][-1][-1]

    return _to_the_last_receipt(server, number, prepared)


def one_by_one(server: Server, number: int) -> Callable[[], float]:
    """Return what sends signed transfers, each when the last is taken; it tells the seconds of one."""

    def prepared(raw: Sequence[str]) -> Callable[[], str]:
        return lambda: [server.ask("eth_sendRawTransaction", each) for each in raw][-1]

    return _to_the_last_receipt(server, number, prepared)


def _to_the_last_receipt(
    server: Server, number: int, prepared: Callable[[Sequence[str]], Callable[[], str]]
) -> Callable[[], float]:
    """Return what signs transfers, then sends them as prepared, which returns the last one's hash."""

    def measure() -> float:
        send = prepared([_hex(each) for each in server.sender.transfers(number)])
        start = time.perf_counter()
        receipt = server.receipt(send())
        seconds = time.perf_counter() - start
        if receipt["status"] != "0x1":
            raise SystemExit(f"a transfer failed at {server.kind}")
        return seconds / number

    return measure


def one_block(server: Server, number: int) -> Callable[[], float]:
    """Return what sends signed transfers in one batch and has a block made of them; it tells the seconds of one."""

    def measure() -> float:
        raw = [_hex(each) for each in server.sender.transfers(number)]
        body = batch([request("eth_sendRawTransaction", each, identifier=at) for at, each in enumerate(raw)])
        start = time.perf_counter()
        server.ask_all(body)
        server.ask("evm_mine")
        seconds = time.perf_counter() - start
        made = server.ask("eth_getBlockByNumber", "latest", False)["transactions"]
        if len(made) != number:
            raise SystemExit(f"{server.kind} made a block of {len(made)} transfers, not {number}")
        return seconds / number

    return measure


def many_calls(server: Server, number: int, connections: int) -> Callable[[], float]:
    """Return what asks for a balance over many connections at once; it tells the seconds of one call."""
    call = {"to": str(server.sender.token), "data": _hex(balance_of(ALICE))}
    body = json.dumps(request("eth_call", call, "latest")).encode()
    return lambda: flood(server.port, body, number, connections, HTTP, mark=b'"result":"0x').seconds / number
