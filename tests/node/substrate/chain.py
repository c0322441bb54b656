"""A runtime over a state in memory, for tests: extrinsics in, events out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evmc import Address, TxContext
from ewasm.ruleset import EWASM, Ruleset
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM
from node.defaults import COIN
from node.substrate.accounts import HOME, Accounts, Native, genesis_account
from node.substrate.extrinsic import Surroundings, sign
from node.substrate.keys import Keypair, h160, keypair
from node.substrate.pallets import EVENTS, PALLETS
from node.substrate.runtime import Applied, Event, Runtime
from node.substrate.scale import decode, encode
from node.substrate.settings import Settings
from state import Database, GenesisAccount, Journal, WorldState
from tests.node.world import CheckedVM
from wasm.engine import Engine

ALICE, BOB = keypair("//Alice"), keypair("//Bob")
ALICE_20, BOB_20 = h160(ALICE.account), h160(BOB.account)
AROUND = Surroundings(1, 1, bytes(32), bytes(32))
GAS = 5_000_000
COINBASE = Address.from_int(0xC0)


@dataclass
class Pallet:
    """A state with the account side, in which extrinsics are applied one after the other."""

    engine: Engine
    accounts: Mapping[Address, GenesisAccount] = field(default_factory=dict)
    ruleset: Ruleset = EWASM
    settings: Settings = field(default_factory=Settings)
    block: TxContext = TxContext(number=7, timestamp=1_000, gas_limit=30_000_000, coinbase=COINBASE)

    def __post_init__(self) -> None:
        native = {ALICE.account: Native(free=COIN), BOB.account: Native(free=COIN)}
        self.world = WorldState.genesis(Database(), {HOME: genesis_account(native), **self.accounts})
        self.journal = Journal(self.world)
        self.vm = CheckedVM(EwasmVM(self.ruleset, self.engine))
        self.runtime = Runtime(self.settings, self.vm, self.ruleset, system_contracts(self.ruleset))

    def native(self, pair: Keypair = ALICE) -> Native:
        """Return what an account has on the account side."""
        return Accounts(self.journal).get(pair.account)

    def send(self, pallet: str, name: str, /, *, by: Keypair = ALICE, tip: int = 0, **arguments: Any) -> Applied:
        """Sign, check and apply the sender's next extrinsic; its events must be what they decode to again."""
        extrinsic = sign(by, (pallet, (name, arguments)), self.native(by).nonce, AROUND, tip=tip)
        signed = self.runtime.check(extrinsic, Accounts(self.journal), AROUND)
        done = self.runtime.apply(extrinsic, signed, self.journal, self.block)
        records = [{"phase": ("ApplyExtrinsic", 1), "event": event, "topics": []} for event in done.events]
        assert decode(EVENTS, encode(EVENTS, records)) == records
        return done

    def call(self, target: Address, data: bytes = b"", *, value: int = 0, gas: int = GAS, price: int = 1, by: Keypair = ALICE) -> Applied:  # fmt: skip
        """Call a contract."""
        return self.send("Ewasm", "call", by=by, target=target, input=data, value=value, gas_limit=gas, gas_price=price)

    def create(self, code: bytes, *, value: int = 0, gas: int = GAS, price: int = 1) -> Applied:
        """Create a contract."""
        return self.send("Ewasm", "create", code=code, value=value, gas_limit=gas, gas_price=price)

    @property
    def supply(self) -> int:
        """All coins of both sides that these tests know."""
        known = (*self.accounts, ALICE_20, BOB_20, COINBASE)
        sides = self.native(ALICE).free + self.native(BOB).free
        return sides + sum(self.journal.balance(address) for address in set(known))


def named(done: Applied) -> list[str]:
    """Return the events of the contract side by name."""
    return [name for pallet, (name, _) in done.events if pallet == "Ewasm"]


def event(done: Applied, name: str) -> Any:
    """Return the fields of the one event of this name."""
    found = [fields for _, (each, fields) in done.events if each == name]
    assert len(found) == 1, done.events
    return found[0]


def error(done: Applied) -> str | None:
    """Return the name of an extrinsic's error; the event must carry the same."""
    failed: list[Event] = [each for each in done.events if each[1][0] == "ExtrinsicFailed"]
    if done.error is None:
        assert not failed
        return None
    assert [fields["dispatch_error"] for _, (_, fields) in failed] == [done.error]
    kind, inner = done.error
    if kind != "Module":
        return kind
    pallet = next(each for each in PALLETS if each.index == inner["index"])
    return next(each.name for each in pallet.errors if each.index == inner["error"][0])
