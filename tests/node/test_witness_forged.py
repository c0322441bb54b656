"""Witnesses over states that nobody made: tries of the wrong shape, accounts and slots that are none.

All nodes have the hashes by which they are named, so whatever they say follows from the root before.
"""

from __future__ import annotations

import random

from evmc import U256, Bytes32, Status, TxContext
from ewasm.ruleset import SSVM
from ewasm.vm import EwasmVM
from node.transaction import Transaction
from node.witness import Execution, Outcome, Step, Witness, outer_message, verify
from node.witnessfile import dump, parse
from state import EMPTY_CODE_HASH, EMPTY_ROOT, keccak256
from state.codec import Item, encode, scalar
from state.node import hex_prefix
from tests.node.test_undo import CALLS, CONTRACTS, END, ENDS, PLAIN, SET, Act, robot, script
from tests.node.world import ALICE, word
from wasm.engine import Engine

ADDRESSES = [keccak256(address).hex() for address in (ALICE, *CONTRACTS, PLAIN)]
SLOTS = [keccak256(word(number)).hex() for number in (1, 2, 3)]
FINISH = Act(ENDS["finish"])
SCRIPTS = [
    script((*(Act(SET, data=word(key) + word(value)) for key in (1, 2, 3)), FINISH))
    for value in (0, 1)
] + [
    script((Act(CALLS["call"], CONTRACTS[1], 1, inner=(Act(SET, data=word(1) + word(0)), FINISH)), FINISH)),
    script((Act(END, CONTRACTS[2]),)),
    script((Act(ENDS["trap"]),)),
]  # fmt: skip


class Forger:
    """Makes up tries."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        self.nodes: dict[Bytes32, bytes] = {}

    def often(self, chance: float) -> bool:
        return self.source.random() < chance

    def named(self, node: Item) -> Bytes32:
        encoded = encode(node)
        digest = keccak256(encoded)
        self.nodes[digest] = encoded
        return digest

    def child(self, node: Item) -> Item:
        return node if len(encode(node)) < 32 and self.often(0.9) else self.named(node)

    def root(self) -> Bytes32:
        return self.named(self.node(self.source.choice(ADDRESSES), 0, 4, ADDRESSES))

    def node(self, key: str, depth: int, fuel: int, keys: list[str]) -> Item:
        """Return a node on the way to a key, mostly."""
        kind, rest = self.source.random(), key[depth:]
        if not fuel or kind < 0.35:
            path = rest if self.often(0.8) else self.source.choice(["", rest + "a", rest[:-1], "0" * 70])
            return [hex_prefix(path, leaf=True), self.value(keys)]
        if kind < 0.55:
            path = rest[: self.source.randrange(5)] if self.often(0.8) else self.source.choice(["", "abc", "0" * 80])
            below = self.node(key, min(64, depth + len(path)), fuel - 1, keys)
            return [hex_prefix(path, leaf=False), self.child(below) if self.often(0.9) else b"x" * 32]
        children: list[Item] = [b""] * 16
        if depth < 64:
            for each in [key, *self.source.sample(keys, 2)]:
                children[int(each[depth], 16)] = self.child(self.node(each, depth + 1, fuel - 1, keys))
        if self.often(0.1):
            children[self.source.randrange(16)] = self.source.choice([b"y" * 32, b"\1", [b"\x20", b"v"], []])
        return [*children, b"" if self.often(0.8) else self.value(keys)]

    def value(self, keys: list[str]) -> bytes:
        if self.often(0.1):
            return self.source.choice([b"", b"\x80", b"x", encode([b""] * 4), self.source.randbytes(40)])
        if keys is SLOTS:
            return encode(self.source.choice([b"", b"\1", b"\0\1", b"x" * 32, b"x" * 33]))
        storage = self.named(self.node(self.source.choice(SLOTS), 0, 3, SLOTS)) if self.often(0.7) else EMPTY_ROOT
        code_hash = self.source.choice([keccak256(robot())] * 3 + [EMPTY_CODE_HASH, bytes(32), b"z" * 31])
        nonce, balance = (self.source.choice([0, 1, bound - 1, bound, 2**300]) for bound in (2**64, 2**256))
        return encode([scalar(nonce), scalar(balance), storage, code_hash])

    def step(self) -> Step:
        sender, data = self.source.choice([ALICE, PLAIN, *CONTRACTS]), self.source.choice(SCRIPTS)
        to, value = self.source.choice([*CONTRACTS, None]), U256(self.source.choice([0, 1, 2**255]))
        if self.often(0.5):
            return outer_message(sender, to, 10**9, value, data)
        nonce, price = self.source.choice([0, 1, 2**64 - 1]), U256(self.source.choice([0, 1]))
        return Transaction(sender=sender, to=to, nonce=nonce, gas_limit=10**7, gas_price=price, value=value, data=data)


def test_no_state_makes_a_check_fail(engine: Engine) -> None:
    """Each is answered, and all kinds of answers are given."""
    vm = EwasmVM(SSVM, engine)
    block = TxContext(number=1_000, gas_limit=10**13)
    claim = Outcome(status=Status.SUCCESS, gas_used=0)
    answers = []
    for seed in range(200):
        forger = Forger(seed)
        root = forger.root()
        witness = Witness(
            ruleset=SSVM.name,
            ruleset_hash=SSVM.hash,
            block=block,
            steps=(forger.step(),),
            root=root,
            nodes=forger.nodes,
            codes={keccak256(robot()): robot()},
            block_hashes={},
            claim=Execution((claim,), root),
        )
        verdict = verify(parse(dump(witness)), vm)
        assert not verdict.confirmed
        answers.append(verdict.differences[0])
    for beginning in ("the root before is no state's: ", "MissingNode", "step 0: nonce", "step 0, gas used"):
        assert any(answer.startswith(beginning) for answer in answers), beginning
