"""A host over a journal for tests: messages and transactions, with the invariants of every result checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import decode, encode

from evmc import U256, VM, Address, Bytes32, CallKind, Host, Message, Precompiles, Result, Status, TxContext
from ewasm.ruleset import EWASM, Ruleset
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM
from fixtures.deploy import init_code
from node.host import NodeHost
from node.transaction import Receipt, Transaction, execute_transaction
from state import Database, GenesisAccount, Journal, WorldState, keccak256
from tests.helpers import KEEPS_GAS, fixture_code, wat
from wasm.engine import Engine

ALICE, BOB = (Address.from_int(0xA11CE), Address.from_int(0xB0B))
RICH = U256(10**18)
GAS = 5_000_000
A, B, C = (Address.from_int(number) for number in (0xAAAA, 0xBBBB, 0xCCCC))
CALLER = fixture_code("caller")
ALL_GAS = 2**64
ONE, TWO = Bytes32.from_int(1), Bytes32.from_int(2)
NOTHING = init_code(b"")
"""Init code that returns no code."""


class CheckedVM:
    """A VM that holds the result of every message, nested ones included, against what all results must keep."""

    def __init__(self, vm: EwasmVM) -> None:
        self.vm = vm
        self.name = vm.name
        self.messages: list[Message] = []
        self.results: list[Result] = []

    def execute(self, host: Host, message: Message, code: bytes) -> Result:
        """Execute a message, and take note of it."""
        self.messages.append(message)
        result = self.vm.execute(host, message, code)
        self.results.append(result)
        assert 0 <= result.gas_left <= message.gas
        if result.status not in KEEPS_GAS:
            assert result.gas_left == 0
            assert result.output == b""
        return result


@dataclass
class Node:
    """A state with a block around it."""

    engine: Engine
    accounts: Mapping[Address, GenesisAccount]
    ruleset: Ruleset = EWASM
    block: TxContext = TxContext(number=1_000, gas_limit=30_000_000, coinbase=Address.from_int(0xC0))
    hashes: Mapping[int, Bytes32] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = WorldState.genesis(Database(), self.accounts)
        self.journal = Journal(self.world)
        self.vm = CheckedVM(EwasmVM(self.ruleset, self.engine))
        self.contracts: Precompiles = system_contracts(self.ruleset)

    @property
    def host(self) -> NodeHost:
        """A host on the state as it is now."""
        vm: VM = self.vm
        return NodeHost(self.journal, self.block, vm, self.ruleset, self.contracts, self.hashes.get)

    def message(
        self, to: Address, data: bytes = b"", *, value: int = 0, sender: Address = ALICE, **fields: Any
    ) -> Result:
        """Send a message from outside, without a transaction around it."""
        fields = {"gas": GAS, "code_address": to, **fields}
        return self.host.call(Message(recipient=to, sender=sender, input=data, value=U256(value), **fields))

    def create(self, code: bytes, *, value: int = 0, sender: Address = ALICE, **fields: Any) -> Result:
        """Send a creation from outside, without a transaction around it."""
        fields = {"gas": GAS, "kind": CallKind.CREATE, **fields}
        return self.host.call(Message(sender=sender, input=code, value=U256(value), **fields))

    def transact(self, to: Address | None, data: bytes = b"", *, sender: Address = ALICE, **fields: Any) -> Receipt:
        """Execute the sender's next transaction and keep what it changed."""
        fields = {"nonce": self.journal.nonce(sender), "gas_limit": GAS, **fields}
        transaction = Transaction(sender=sender, to=to, data=data, **fields)
        receipt = execute_transaction(
            transaction, self.journal, self.block, self.vm, self.ruleset, self.contracts, self.hashes.get
        )
        self.world = self.world.apply(receipt.diff)
        return receipt

    def slot(self, address: Address, key: int | Bytes32) -> int:
        """Return a slot of the storage as a number."""
        key = key if isinstance(key, Bytes32) else word(key)
        return int.from_bytes(self.journal.get_storage(address, key))

    @property
    def supply(self) -> int:
        """The sum of all balances that the journal knows."""
        return sum(self.journal.balance(address) for address in self.accounts)


def contract(code: bytes, **fields: Any) -> GenesisAccount:
    """Return the account of a contract."""
    return GenesisAccount(**{"nonce": 1, "code": code, **fields})


def answered(result: Result, *types: str) -> tuple[Any, ...]:
    """Return what a contract answered."""
    assert result.status is Status.SUCCESS
    return decode(types, result.output)


def word(value: int) -> Bytes32:
    """Return a number as 32 bytes."""
    return Bytes32.from_int(value)


def call(signature: str, *arguments: Any) -> bytes:
    """Return call data."""
    _, _, types = signature.partition("(")
    return keccak256(signature.encode())[:4] + encode(
        types.removesuffix(")").split(",") if types != ")" else (), arguments
    )


def finisher(length: int, first: bytes = b"", *, end: str = "finish") -> bytes:
    """Return a contract that finishes, or reverts, with so many bytes of its memory, which begins as given."""
    digits = "".join(f"\\{byte:02x}" for byte in first)
    return wat(
        f"""(module
          (import "ethereum" "{end}" (func $finish (param i32 i32)))
          (memory (export "memory") 2)
          (data (i32.const 0) "{digits}")
          (func (export "main") (call $finish (i32.const 0) (i32.const {length}))))"""
    )
