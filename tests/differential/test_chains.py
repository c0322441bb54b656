"""The same history on both engines: every block has the same hash, and so the same state, receipts and logs."""

from __future__ import annotations

import random

import pytest

from evmc import U256, Address, Status
from ewasm.cache import CodeCache
from ewasm.vm import ENGINES
from fixtures.deploy import init_code
from node.chain import Call, Chain, Genesis, Wallet
from state import GenesisAccount
from tests.helpers import fixture_code
from tests.node.chain.world import (
    ACCOUNTS,
    ALICE,
    BOB,
    CALLER,
    CAROL,
    COINBASE,
    LOOPER,
    NOBODY,
    REVERTER,
    TOKEN,
    WALLET,
    Clock,
    contract,
    transfer_data,
)
from tests.node.world import ONE, call, word

DOOMED = [Address.from_int(0xD00 + number) for number in range(3)]
GENESIS = Genesis(
    accounts={
        **ACCOUNTS,
        CAROL: GenesisAccount(balance=U256(10**24)),
        **{address: contract(fixture_code("caller"), balance=U256(5)) for address in DOOMED},
    }
)
_CACHE = CodeCache()


def hexed(address: Address) -> str:
    return f"0x{address.hex()}"


def history(seed: int) -> list[list[Call]]:
    """Return blocks of calls: transfers, creations, failures of every kind, and the ends of contracts."""
    chance = random.Random(seed)  # the same every time
    kill = [Call(to=each, data=call("kill(address)", hexed(chance.choice([NOBODY, each])))) for each in DOOMED]
    nested = call("call(address,uint256,uint256,bytes)", hexed(REVERTER), 0, 50_000, b"")
    deeper = call("callDelegate(address,uint256,bytes)", hexed(CALLER), 100_000, call("set(bytes32,bytes32)", ONE, ONE))
    create = call("create2(uint256,bytes32,bytes)", 0, bytes(32), init_code(b""))
    kinds = [
        *(Call(data=init_code(fixture_code(name)), gas=2_000_000) for name in ("counter", "caller", "fib")),
        Call(data=fixture_code("erc20_deploy"), gas=3_000_000),
        Call(to=TOKEN, data=transfer_data(BOB, 3)),
        Call(to=TOKEN, data=transfer_data(BOB, 10**30)),
        Call(to=NOBODY, value=U256(7)),
        Call(to=REVERTER, value=U256(1)),
        Call(to=CALLER, data=call("set(bytes32,bytes32)", word(chance.randrange(4)), word(chance.randrange(3)))),
        Call(to=CALLER, data=call("setAndFail(bytes32,bytes32)", ONE, ONE)),
        Call(to=CALLER, data=call("note(bytes32,bytes)", ONE, chance.randbytes(9))),
        Call(to=CALLER, data=nested),
        Call(to=CALLER, data=deeper),
        Call(to=CALLER, data=create, gas=1_000_000),
        *kill,
    ]
    last = [Call(to=LOOPER, gas=40_000), Call(to=REVERTER), Call(to=NOBODY)]
    return [*(chance.choices(kinds, k=chance.randrange(1, 6)) for _ in range(6)), last]


@pytest.mark.parametrize("seed", range(2))
def test_a_history_gives_the_same_blocks(seed: int) -> None:
    chains = [
        Chain(genesis=GENESIS, wallet=Wallet(WALLET), engine=name, cache=_CACHE, automine=False, clock=Clock())
        for name in sorted(ENGINES)
    ]
    ended = set[Status]()
    for chain in chains:
        chain.set_coinbase(COINBASE)
    for number, calls in enumerate(history(seed), 1):
        blocks = []
        for chain in chains:
            for index, each in enumerate(calls):
                sender = (ALICE, BOB, CAROL)[index % 3]
                gas = each.gas or 400_000
                chain.send_from(Call(sender=sender, to=each.to, data=each.data, value=each.value, gas=gas))
            blocks.append((chain.mine().hash, chain.receipts(number)))
        first, *others = blocks
        assert all(other == first for other in others)
        ended |= {receipt.status for receipt in first[1]}
    assert {Status.SUCCESS, Status.REVERT, Status.OUT_OF_GAS} <= ended
    assert all(chain.dump() == chains[0].dump() for chain in chains)
    for chain in chains:
        chain.close()
