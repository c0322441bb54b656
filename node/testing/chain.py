"""The chain as a test uses it: deploy, call, transact, look, rewind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from evmc import U256, Address, Bytes32, Gas, Result, Status
from ewasm.artefacts import ArtefactStore, default_directory
from ewasm.cache import CodeCache
from ewasm.ruleset import EWASM, Ruleset, find_ruleset
from node.abi import AbiError
from node.chain import Call, CallResult, Genesis, Header, Tag, Wallet
from node.chain import Chain as Core
from node.chain.block import BlockReceipt
from node.chain.calls import explain
from node.chain.errors import ExecutionFailed
from node.codefile import code_in
from node.testing.contract import Contract, Event, Receipt, event_of
from node.testing.errors import failure
from node.testing.interface import Entry, Interface, Source, address_of
from node.testing.report import GasReport
from state.account import NO_ACCOUNT

INIT_SUFFIX: Final = "_deploy"
"""What a file of init code ends in, where the contract's own code has the name without it."""


class Chain:
    """A development chain in this process, each transaction mined when its method returns.

    `core` is the chain below it, with everything else that can be done to one.
    """

    def __init__(
        self,
        core: Core | None = None,
        *,
        engine: str = "compiled",
        ruleset: str | Ruleset = EWASM,
        accounts: int = 10,
        genesis: Genesis | None = None,
        clock: Callable[[], float] = time.time,
        report: GasReport | None = None,
    ) -> None:
        """Begin a chain in memory with so many accounts of the usual mnemonic, 10,000 coins each; or take `core`.

        `ruleset` is a value, a name, or the path of a TOML file; `report` collects the gas of calls and transactions.
        Raise RulesetError or UnusableChain for rules that no chain can have.
        """
        if core is None:
            directory = default_directory()
            core = Core(
                genesis=genesis,
                wallet=Wallet.from_mnemonic(count=accounts),
                ruleset=find_ruleset(ruleset) if isinstance(ruleset, str) else ruleset,
                engine=engine,
                cache=CodeCache(artefacts=None if directory is None else ArtefactStore(directory)),
                clock=clock,
            )
        self.core = core
        self.report = report
        self._known: dict[Address, Interface] = {}
        self._snapshots: dict[int, dict[Address, Interface]] = {}
        if report is not None:
            core.events.on_block(lambda _, receipts: report.block(core, receipts))

    # Accounts

    @property
    def accounts(self) -> tuple[Address, ...]:
        """The accounts whose keys the chain has."""
        return self.core.wallet.addresses

    def key(self, account: Address) -> Bytes32:
        """Return the private key of an account."""
        return self.core.wallet.key(account)

    def balance(self, account: Any) -> U256:
        """Return an account's or contract's coins, in the smallest unit."""
        return (self.core.state().account(address_of(account)) or NO_ACCOUNT).balance

    def set_balance(self, account: Any, balance: int) -> None:
        """Give an account or contract so many coins, in the smallest unit."""
        self.core.set_balance(address_of(account), U256(balance))

    def nonce(self, account: Any) -> int:
        """Return how many transactions an account has sent."""
        return self.core.nonce(address_of(account))

    # Contracts

    def deploy(
        self,
        code: bytes | str | Path,
        abi: Source = (),
        *,
        name: str | None = None,
        sender: Any = None,
        value: int = 0,
        gas: Gas | None = None,
    ) -> Contract:
        """Create a contract from init code, given as bytes or a file (`.wasm`, `.wat`, `.hex`), and return it.

        The name is for reports: without one the file's, without `_deploy`. Raise OSError or `CodeFileError` for a file
        that cannot be read, TransactionRefused for code that the rules refuse, `CallFailed` where the creation fails,
        `AbiError` for an ABI that is none.
        """
        interface = Interface.load(abi)
        if interface.takes_arguments:
            raise AbiError(
                "the ABI's constructor takes arguments, but there is no room for them: bytes after a module make it "
                "invalid; set the contract up by a call, or build the values into its init code"
            )
        if not isinstance(code, bytes):
            path = Path(code)
            name = name or path.stem.removesuffix(INIT_SUFFIX)
            code = code_in(path, path.read_bytes())
        receipt = self.transact(None, code, sender=sender, value=value, gas=gas, interface=interface)
        assert receipt.contract is not None, "a creation has an address"
        return self.at(receipt.contract, interface, name=name)

    def at(self, address: Any, abi: Source | Interface = (), *, name: str | None = None) -> Contract:
        """Return the contract at an address, with this ABI."""
        address = address_of(address)
        interface = abi if isinstance(abi, Interface) else Interface.load(abi)
        self._known[address] = interface
        if self.report is not None:
            account = self.core.state().account(address) or NO_ACCOUNT
            self.report.name(account.code_hash, name, interface)
        return Contract(self, address, interface, name or str(address))

    # Calls and transactions

    def call(
        self, to: Any, data: bytes = b"", *, sender: Any = None, value: int = 0, gas: Gas | None = None,
        block: Tag = "latest",
    ) -> bytes:  # fmt: skip
        """Call an account without a transaction and return the output; raise `Reverted` or `CallFailed`."""
        asked = self._asked(to, data, sender, value, gas)
        found = self.core.call(asked, block)
        if self.report is not None and asked.to is not None:
            self.report.call(self.core, asked.to, data, found.gas_used)
        if found.reason is not None:
            raise self._failed(found, asked.to)
        return found.result.output

    def _failed(self, found: CallResult, to: Address | None) -> Exception:
        return failure(found.result, found.reason or "", self._interface(to), found.gas_used)

    def estimate(self, to: Any, data: bytes = b"", *, sender: Any = None, value: int = 0) -> Gas:
        """Return the least gas limit with which a transaction succeeds; raise `Reverted` or `CallFailed`."""
        asked = self._asked(to, data, sender, value, None)
        try:
            return self.core.estimate_gas(asked, "pending")
        except ExecutionFailed as error:
            raise failure(error.result, str(error), self._interface(asked.to), 0) from error

    def send(
        self, to: Any, data: bytes = b"", *, sender: Any = None, value: int = 0, gas: Gas | None = None
    ) -> Bytes32:
        """Send a transaction and return its hash, mined or not; a sender without a key is impersonated.

        The gas limit is the block's where none is given and a block is made at once, else what is estimated.
        Raise TransactionRefused where the chain does not take it.
        """
        asked = self._asked(to, data, sender, value, gas)
        if asked.origin not in self.core.wallet:
            self.core.impersonate(asked.origin)
        if asked.gas is None and self.core.automine:
            asked = replace(asked, gas=self.core.settings.gas_limit)
        try:
            return self.core.send_from(asked)
        except ExecutionFailed as error:
            raise failure(error.result, str(error), self._interface(asked.to), 0) from error

    def transact(
        self, to: Any, data: bytes = b"", *, sender: Any = None, value: int = 0, gas: Gas | None = None,
        returns: Entry | None = None, interface: Interface | None = None,
    ) -> Receipt:  # fmt: skip
        """Send a transaction, have it mined, and return its receipt; `to` is None for a creation.

        `returns` is the function whose value the receipt has. Raise TransactionRefused where the chain does not take
        it, `Reverted` or `CallFailed`, with the receipt, where it fails; it is on the chain then nevertheless.
        """
        sent = self.send(to, data, sender=sender, value=value, gas=gas)
        found = self.core.receipt(sent)
        if found is None:
            self.core.mine()
            found = self.core.receipt(sent)
        if found is None:
            raise RuntimeError(f"the transaction {sent} waits for one with an earlier nonce, or for a lower base fee")
        receipt = self._receipt(found, interface, returns)
        if found.status is not Status.SUCCESS:
            to = found.transaction.to
            raise failure(
                Result(found.status, output=found.output),
                self._why(found),
                interface or self._interface(to),
                found.gas_used,
                receipt,
            )
        return receipt

    def receipt(self, transaction_hash: Bytes32) -> Receipt | None:
        """Return what came of a transaction, None while it waits."""
        found = self.core.receipt(transaction_hash)
        return None if found is None else self._receipt(found)

    def _asked(self, to: Any, data: bytes, sender: Any, value: int, gas: Gas | None) -> Call:
        return Call(
            sender=self.accounts[0] if sender is None else address_of(sender),
            to=None if to is None else address_of(to),
            gas=gas,
            value=U256(value),
            data=data,
        )

    def _interface(self, address: Address | None) -> Interface | None:
        return None if address is None else self._known.get(address)

    def _receipt(
        self, found: BlockReceipt, interface: Interface | None = None, returns: Entry | None = None
    ) -> Receipt:
        succeeded = found.succeeded
        events: list[Event] = []
        for log in found.logs:
            own = interface if log.address == found.contract else self._interface(log.address)
            event = None if own is None else event_of(log, own)
            if event is not None:
                events.append(event)
        return Receipt(
            hash=found.transaction.hash,
            block_number=found.block_number,
            status=found.status,
            gas_used=found.gas_used,
            contract=found.contract if succeeded else None,
            output=found.output,
            logs=found.logs,
            events=tuple(events),
            value=returns.decode_output(found.output) if succeeded and returns is not None else None,
        )

    def _why(self, found: BlockReceipt) -> str:
        """Return why a transaction failed: in more words, if it fails in the same way on the state before its block."""
        tx = found.transaction
        asked = Call(sender=tx.sender, to=tx.to, gas=tx.gas_limit, value=tx.value, data=tx.data)
        again = self.core.call(asked, found.block_number - 1)
        if again.result.status is found.status and again.reason is not None:
            return again.reason
        return explain(Result(found.status, output=found.output)) or ""

    # Blocks and time

    @property
    def block(self) -> Header:
        """The header of the last block."""
        return self.core.head

    @property
    def timestamp(self) -> int:
        """The time of the last block, Unix seconds."""
        return self.core.head.timestamp

    def mine(self, count: int = 1) -> Header:
        """Make blocks and return the last one's header."""
        return self.core.mine(count).header

    def travel(self, seconds: int) -> Header:
        """Let so many seconds go by, with a block after them; return its header."""
        self.core.set_next_timestamp(self.timestamp + seconds)
        return self.mine()

    # Rewinding

    def snapshot(self) -> int:
        """Remember the chain as it is and return a handle."""
        handle = self.core.snapshot()
        self._snapshots[handle] = dict(self._known)
        return handle

    def revert(self, snapshot: int) -> None:
        """Go back to a snapshot, which is used up with all later ones; raise ValueError if there is none."""
        if not self.core.revert(snapshot):
            raise ValueError(f"snapshot {snapshot} is unknown or used up")
        self._known = self._snapshots.get(snapshot, {})
        self._snapshots = {handle: known for handle, known in self._snapshots.items() if handle < snapshot}

    @contextmanager
    def isolated(self) -> Iterator[Chain]:
        """Forget at the end of the block what was done in it."""
        handle = self.snapshot()
        try:
            yield self
        finally:
            self.revert(handle)

    def close(self) -> None:
        """End the helper threads."""
        self.core.close()

    def __repr__(self) -> str:
        return f"<chain {self.core.chain_id} at block {self.block.number}>"
