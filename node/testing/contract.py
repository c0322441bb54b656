"""Contracts as objects: their functions by name, what transactions did, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evmc import U256, Address, Bytes32, Gas, Log, Status
from node.abi import AbiError
from node.chain import LogFilter, Tag
from node.testing.interface import Entry, Interface

if TYPE_CHECKING:
    from node.testing.chain import Chain


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a known contract: `event["to"]` is one of its values."""

    name: str
    address: Address
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What came of a transaction.

    `value` is what the function returned, None where that is nothing or unknown; `contract` is what a creation made.
    `events` are the decoded ones of `logs`: those of contracts whose ABI the chain was told.
    """

    hash: Bytes32
    block_number: int
    status: Status
    gas_used: Gas
    contract: Address | None
    output: bytes = field(repr=False)
    logs: tuple[Log, ...] = field(repr=False)
    events: tuple[Event, ...]
    value: Any = None

    def named(self, name: str) -> list[Event]:
        """Return the events of a name."""
        return [event for event in self.events if event.name == name]


class Function:
    """A function of a contract, or several of one name: which one is meant is told by the arguments.

    Calling it calls a `view` or `pure` function and returns its value; of any other it sends a transaction and returns
    the `Receipt`. `call`, `transact`, `estimate` and `data` say what is wanted. Keywords: `sender` (the first account
    where it is absent), `value` in the smallest unit, `gas` as a limit; calls also take a `block`.
    All raise `AbiError` for arguments that do not fit, `Reverted` or `CallFailed` where the contract fails.
    """

    def __init__(self, contract: Contract, entries: Sequence[Entry]) -> None:
        self._contract = contract
        self._entries = entries

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call a function that only reads, otherwise send a transaction."""
        entry, data = self._chosen(arguments)
        return (self._call if entry.reads else self._transact)(entry, data, **options)

    def call(self, *arguments: Any, **options: Any) -> Any:
        """Call without a transaction and return the value; what it changes is forgotten."""
        return self._call(*self._chosen(arguments), **options)

    def transact(self, *arguments: Any, **options: Any) -> Receipt:
        """Send a transaction and return its receipt, mined."""
        return self._transact(*self._chosen(arguments), **options)

    def estimate(self, *arguments: Any, **options: Any) -> Gas:
        """Return the least gas limit with which a transaction succeeds."""
        _, data = self._chosen(arguments)
        return self._contract.chain.estimate(self._contract, data, **options)

    def data(self, *arguments: Any) -> bytes:
        """Return the call data."""
        return self._chosen(arguments)[1]

    def _call(self, entry: Entry, data: bytes, **options: Any) -> Any:
        return entry.decode_output(self._contract.chain.call(self._contract, data, **options))

    def _transact(self, entry: Entry, data: bytes, **options: Any) -> Receipt:
        return self._contract.chain.transact(self._contract, data, returns=entry, **options)

    def _chosen(self, arguments: Sequence[Any]) -> tuple[Entry, bytes]:
        """Return the function that the arguments fit, and the call data."""
        if len(self._entries) == 1:
            return self._entries[0], self._entries[0].encode(arguments)
        fitting = []
        for entry in self._entries:
            try:
                fitting.append((entry, entry.encode(arguments)))
            except AbiError:
                continue
        if len(fitting) != 1:
            names = ", ".join(entry.signature for entry in self._entries)
            what = "the arguments fit none" if not fitting else "the arguments fit more than one"
            raise AbiError(f"{what} of {names}; name one as contract[{self._entries[0].signature!r}]")
        return fitting[0]

    def __repr__(self) -> str:
        return f"<{' and '.join(entry.signature for entry in self._entries)} of {self._contract.address}>"


class Contract:
    """A contract at an address; its ABI's functions are attributes.

    A function whose name is an attribute already, and one of several of a name, is found as `contract["balance"]` or
    `contract["balance(uint256)"]`. `label` is what the contract is called in reports.
    """

    def __init__(self, chain: Chain, address: Address, interface: Interface, label: str) -> None:
        self.chain = chain
        self.address = address
        self.interface = interface
        self.label = label

    def __getattr__(self, name: str) -> Function:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the ABI of {self.label} has no function {name}") from None

    def __getitem__(self, name: str) -> Function:
        if "(" in name:
            entries = [e for e in self.interface.functions.get(name.partition("(")[0], ()) if e.signature == name]
        else:
            entries = self.interface.functions.get(name, [])
        if not entries:
            raise KeyError(name)
        return Function(self, entries)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.interface.functions]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Contract) and (self.address, self.chain) == (other.address, other.chain)

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"<{self.label} at {self.address}>"

    @property
    def balance(self) -> U256:
        """The contract's coins, in the smallest unit."""
        return self.chain.balance(self.address)

    def events(self, name: str | None = None, *, first: Tag = "earliest", last: Tag = "latest") -> list[Event]:
        """Return the contract's events of these blocks, all or those of a name."""
        logs = self.chain.core.logs(LogFilter(addresses=frozenset({self.address})), first, last)
        found = (event_of(placed.log, self.interface) for placed in logs)
        return [event for event in found if event is not None and name in (None, event.name)]


def event_of(log: Log, interface: Interface) -> Event | None:
    """Return the event that a log is, None if the ABI does not have it."""
    entry = interface.events.get(log.topics[0]) if log.topics else None
    values = None if entry is None else entry.decode_log(log)
    return None if entry is None or values is None else Event(entry.name, log.address, values)
