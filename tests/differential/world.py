"""A mock host whose contracts call each other, and a ledger that adds up what every message has to pay.

The ledger is a witness: it knows the published prices of the interface, which it has written down once more, and adds
to them the prices of a trace's instructions. It never looks at a gas counter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Final

from evmc import (
    U256,
    Address,
    Bytes32,
    CallKind,
    Message,
    MockAccount,
    MockHost,
    Result,
    Status,
    StorageStatus,
    TxContext,
)
from ewasm.precompiles import BYZANTIUM, precompiles
from ewasm.ruleset import EWASM, Ruleset
from gas.schedule import Schedule
from tests.gas.witness import Witness
from tests.helpers import KEEPS_GAS, Run
from wasm.decode import decode
from wasm.engine import Engine, HostFunction, Tracer
from wasm.validate import validate

SELF: Final = Address(bytes(range(0xA0, 0xB4)))
ALICE: Final = Address(b"alice" + bytes(15))
BOB: Final = Address(b"bob" + bytes(17))
OTHER: Final = Address(bytes(range(0xC0, 0xD4)))
NOBODY: Final = Address(b"nobody" + bytes(14))

CONTEXT: Final = TxContext(
    gas_price=U256(7),
    origin=ALICE,
    coinbase=Address(b"coinbase" + bytes(12)),
    number=1_000,
    timestamp=1_700_000_000,
    gas_limit=30_000_000,
    difficulty=U256(2**40 + 1),
    chain_id=U256(1_337),
)


@dataclass
class Asked:
    """A host function that was called, and what it asked of the host."""

    name: str
    args: tuple[int, ...]
    stored: StorageStatus | None = None
    exists: bool | None = None
    paying: bool = False
    inner: tuple[Message, Result] | None = None


@dataclass
class Frame:
    """One message: its code, what it asked, the witness of its instructions."""

    message: Message
    code: bytes
    asked: list[Asked] = field(default_factory=list)
    witness: Witness | None = None
    result: Result | None = None


class World(MockHost):
    """Accounts whose code runs when it is called; what fails is undone."""

    def __init__(self, run: Ledger, accounts: dict[Address, MockAccount]) -> None:
        super().__init__(
            accounts=accounts,
            tx_context=CONTEXT,
            precompiles=precompiles(BYZANTIUM),
            block_hashes={999: Bytes32(b"\x99" * 32)},
        )
        self.run = run
        self.created = 0

    def call(self, message: Message) -> Result:
        """Move the value and run what is called; undo everything if it fails."""
        asked = self.run.asked
        kept = deepcopy(self.accounts), len(self.logs), len(self.destroyed)
        result = self._call(message)
        if result.status is not Status.SUCCESS:
            self.accounts = kept[0]
            del self.logs[kept[1] :], self.destroyed[kept[2] :]
        asked.inner = (message, result)
        return result

    def _call(self, message: Message) -> Result:
        if message.kind.is_create:
            return self._create(message)
        if message.kind is CallKind.CALL and message.value:
            self._move(message.sender, message.recipient, message.value)
        precompile = self.precompiles.get(message.code_address)
        if precompile:
            return precompile(message.input, message.gas)
        return self.run.enter(self, message, self._account(message.code_address).code)

    def _create(self, message: Message) -> Result:
        self.created += 1
        salt = message.salt if message.kind is CallKind.CREATE2 else bytes([self.created])
        address = Address(hashlib.sha256(message.sender + salt + message.input).digest()[:20])
        self.accounts[address] = MockAccount()
        self._move(message.sender, address, message.value)
        result = self.run.enter(self, replace(message, recipient=address, code_address=address), message.input)
        if result.status is not Status.SUCCESS:
            return result
        self.accounts[address].code = result.output
        return replace(result, created=address)

    def _move(self, sender: Address, recipient: Address, value: int) -> None:
        self.accounts[sender].balance = U256(self.accounts[sender].balance - value)
        account = self.accounts.setdefault(recipient, MockAccount())
        account.balance = U256(account.balance + value)

    # What the price of a host function depends on is noted beside its call.

    def set_storage(self, address: Address, key: Bytes32, value: Bytes32) -> StorageStatus:
        """Write a slot."""
        status = super().set_storage(address, key, value)
        self.run.asked.stored = status
        return status

    def account_exists(self, address: Address) -> bool:
        """Tell whether the account is in the dictionary."""
        exists = super().account_exists(address)
        self.run.asked.exists = exists
        return exists

    def get_balance(self, address: Address) -> U256:
        """Return the balance."""
        self.run.asked.paying = True
        return super().get_balance(address)


class Ledger(Run):
    """A VM whose every message is a `Frame`; with `traced`, on an engine that traces, it can be added up.

    `events` sees what is traced: the depth of the message, then what the tracer is given but for the gas. With
    `debugging` the debug functions are allowed, and `printed` has what they print.
    """

    def __init__(
        self,
        engine: Engine,
        ruleset: Ruleset = EWASM,
        *,
        traced: bool = False,
        debugging: bool = False,
    ) -> None:
        self.open: list[Frame] = []
        self.frames: list[Frame] = []
        self.events: Callable[..., None] | None = None
        self.printed: list[str] = []
        self.schedule = ruleset.schedule
        printing = self.printed.append if debugging else None
        super().__init__(engine, ruleset, trace=self._tracer if traced else None, debug=printing)

    def _noted(self, name: str, function: HostFunction) -> HostFunction:
        noted = super()._noted(name, function)

        def asked(instance: Any, *args: int) -> Any:
            self.open[-1].asked.append(Asked(name, args))
            return noted.call(instance, *args)

        return replace(noted, call=asked)

    def _tracer(self, message: Message) -> Tracer:
        frame = self.open[-1]
        module = validate(decode(frame.code))
        main = next(e.index for e in module.exports if e.name == "main")
        witness = frame.witness = Witness(module, self.schedule, main)
        events = self.events
        if events is None:
            return witness

        def tracer(function: int, offset: int, name: str, operands: tuple[Any, ...], gas: int) -> None:
            witness(function, offset, name, operands, gas)
            events(message.depth, function, offset, name, operands)

        return tracer

    @property
    def asked(self) -> Asked:
        """The host function that is running."""
        return self.open[-1].asked[-1]

    def enter(self, host: World, message: Message, code: bytes) -> Result:
        """Run one message."""
        frame = Frame(message, code)
        self.frames.append(frame)
        self.open.append(frame)
        try:
            frame.result = self.vm.execute(host, message, code)
        finally:
            self.open.pop()
        return frame.result

    def top(self, host: World, message: Message, code: bytes) -> Result:
        """Run a message that nobody called, and hold every result against the failure invariant."""
        self.calls.clear()
        self.reasons.clear()
        self.frames.clear()
        self.printed.clear()
        self.enter(host, message, code)
        for frame in self.frames:
            result = frame.result
            assert result is not None
            assert 0 <= result.gas_left <= frame.message.gas
            if result.status not in KEEPS_GAS:
                assert (result.gas_left, result.output) == (0, b"")
        top = self.frames[0].result
        assert top is not None
        return top


# Prices of the interface: Ewasm design, fee schedule; what is not named costs nothing


FIXED: Final = {
    **dict.fromkeys(
        (
            *("getGasLeft", "getAddress", "getCaller", "getCallValue", "getCallDataSize", "getCodeSize"),
            *("getTxOrigin", "getTxGasPrice", "getBlockCoinbase", "getBlockDifficulty", "getBlockGasLimit"),
            *("getBlockNumber", "getBlockTimestamp", "getReturnDataSize", "getChainId"),
        ),
        2,
    ),
    "getExternalBalance": 400,
    "getBlockHash": 800,
    "getExternalCodeSize": 700,
    "storageLoad": 200,
    "finish": 0,
    "revert": 0,
    **dict.fromkeys(("print32", "print64", "printMem", "printMemHex", "printStorage", "printStorageHex"), 0),
}


def interface_price(asked: Asked) -> int:
    """Return what a host function that ran to its end cost, in gas."""
    name, args = asked.name, asked.args
    if name in FIXED:
        return FIXED[name]
    return sum(_parts(asked, name, args))


def _parts(asked: Asked, name: str, args: tuple[int, ...]) -> Iterator[int]:
    """Give the parts of a price that depends on something."""
    if name == "useGas":
        yield args[0]
    elif name in ("callDataCopy", "codeCopy", "returnDataCopy"):
        yield 3 + 3 * ((args[2] + 31) // 32)
    elif name == "externalCodeCopy":
        yield 700 + 3 * ((args[3] + 31) // 32)
    elif name == "storageStore":
        yield 20_000 if asked.stored is StorageStatus.ADDED else 5_000
    elif name == "log":
        yield 375 + 8 * args[1] + 375 * args[2]
    elif name == "selfDestruct":
        yield 5_000 if asked.exists else 30_000
    elif name in ("create", "create2"):
        yield 32_000 + (6 * ((args[2] + 31) // 32) if name == "create2" else 0)
        if asked.inner:
            yield 20 * args[2]
            yield _forwarded(asked.inner)
    elif name in ("call", "callCode", "callDelegate", "callStatic"):
        yield 700
        if asked.paying:
            yield 9_000 + (25_000 if asked.exists is False else 0)
        if asked.inner:
            yield _forwarded(asked.inner) - (2_300 if asked.paying else 0)
    else:
        raise KeyError(name)


def _forwarded(inner: tuple[Message, Result]) -> int:
    message, result = inner
    return message.gas - result.gas_left


def particles(frame: Frame, schedule: Schedule) -> int:
    """Return what a message that succeeded or reverted had to pay: pages, instructions, interface."""
    assert frame.witness is not None
    pages = sum(m.limits.minimum for m in decode(frame.code).memories)
    memory = max(0, pages - 2) * schedule.page
    return memory + frame.witness.sum + 10_000 * sum(map(interface_price, frame.asked))
