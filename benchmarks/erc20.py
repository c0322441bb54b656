"""What an ERC-20 transfer costs: from a message to the journal, and as a whole transaction."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from eth_hash.auto import keccak

from benchmarks.code import fixture
from benchmarks.table import Table, Timed, in_turn, median, micro, ratio, timed, verdict
from evmc import U256, Address, Bytes32, Message, Status, TxContext
from ewasm.ruleset import EWASM
from ewasm.system import system_contracts
from ewasm.threads import on_fresh_thread
from ewasm.vm import EwasmVM, make_engine
from node.host import NodeHost
from node.transaction import Transaction, execute_transaction
from state import Database, GenesisAccount, Journal, WorldState

BOUND = 250e-6
ALICE, TOKEN = Address.from_int(0xA11CE), Address.from_int(0x70CE)
TO = bytes.fromhex("41dccbd49b26c50d34355ed86ff0fa9e489d1e01")
TRANSFER = bytes.fromhex("a9059cbb") + TO.rjust(32, b"\0") + (3).to_bytes(32, "big")
BLOCK = TxContext(number=1, timestamp=1_600_000_012, gas_limit=30_000_000)


def world() -> WorldState:
    """Return a state in which Alice has tokens and ether."""
    slot = Bytes32(keccak(ALICE.rjust(32, b"\0") + bytes(32)))
    token = GenesisAccount(nonce=1, code=fixture("erc20"), storage={slot: Bytes32.from_int(1 << 120)})
    return WorldState.genesis(Database(), {ALICE: GenesisAccount(balance=U256(1 << 90)), TOKEN: token})


def messages(engine: str, times: int) -> Timed:
    """Return transfers as messages, in one journal."""
    vm, contracts, code = EwasmVM(engine=make_engine(engine)), system_contracts(EWASM), fixture("erc20")
    host = NodeHost(Journal(world()), BLOCK, vm, EWASM, contracts, lambda _: None)
    message = Message(gas=1_000_000, recipient=TOKEN, code_address=TOKEN, sender=ALICE, input=TRANSFER)

    def run() -> None:
        result = vm.execute(host, message, code)
        if result.status is not Status.SUCCESS or result.output[-1:] != b"\1":
            raise SystemExit(f"the transfer failed: {result.status.name}")

    return timed(run, times)


def transactions(engine: str, times: int) -> Timed:
    """Return transfers as transactions, whose changes become the state and give a root each time."""
    vm, contracts = EwasmVM(engine=make_engine(engine)), system_contracts(EWASM)
    state = world()
    nonce = 0

    def run() -> None:
        nonlocal state, nonce
        transaction = Transaction(
            sender=ALICE, to=TOKEN, nonce=nonce, gas_limit=2_000_000, gas_price=U256(1), data=TRANSFER
        )
        receipt = execute_transaction(transaction, Journal(state), BLOCK, vm, EWASM, contracts)
        if receipt.result.status is not Status.SUCCESS:
            raise SystemExit("the transaction failed")
        state, nonce = state.apply(receipt.diff), nonce + 1
        assert state.root

    return timed(run, times, time.perf_counter)


class Evm:
    """The peer, in a Python of its own; `name` is None if it is not installed there."""

    def __init__(self, python: str) -> None:
        command = [python, str(Path(__file__).with_name("evm.py"))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        self.name = self.process.stdout.readline().strip() or None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def ask(self, what: str, times: int) -> Timed:
        """Return transfers over there."""

        def measure() -> float:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(f"{what} {times}\n")
            self.process.stdin.flush()
            return float(self.process.stdout.readline())

        return measure


def table(*, quick: bool, evm_python: str = sys.executable) -> Table:
    """Measure both engines and the peer."""
    rounds, times = (3, 50) if quick else (11, 300)
    result = Table("ERC-20 `transfer`, warm", ["transfer", "compiled", "interpreter", "EVM in Python"])
    result.header = [*result.header, "compiled / EVM", "bound", ""]
    with Evm(evm_python) as evm:
        variants = {
            "message": messages("compiled", times),
            "message, interpreter": messages("interpreter", times // 10),
            "transaction": transactions("compiled", times // 10),
            "transaction, interpreter": transactions("interpreter", times // 10),
        }
        if evm.name:
            variants |= {"message, EVM": evm.ask("message", times // 5), "transaction, EVM": evm.ask("transaction", 3)}
        found = on_fresh_thread(make_engine("compiled"), lambda: in_turn(variants, rounds))
    for what, title in (
        ("message", "`VM.execute`, `NodeHost`, journal"),
        ("transaction", "transaction, with the root after it"),
    ):
        mine = median(found, what)
        peers = (
            [micro(median(found, f"{what}, EVM")), f"{ratio(found, what, f'{what}, EVM'):.3f}"]
            if evm.name
            else [""] * 2
        )
        end = [f"≤ {micro(BOUND)}", verdict(mine, BOUND)] if what == "message" else ["", "for information"]
        result.rows.append([title, micro(mine), micro(median(found, f"{what}, interpreter")), *peers, *end])
    if evm.name:
        result.notes.append(
            f"The peer is {evm.name}, with a hand-assembled token of the same storage layout: a message is py-evm's"
            " `execute_bytecode`, a transaction goes through eth-tester, which signs it and makes a block of it."
        )
    else:
        result.notes.append("The peer is not installed: `pip install 'eth-tester[py-evm]' web3`, see `--evm-python`.")
    return result
