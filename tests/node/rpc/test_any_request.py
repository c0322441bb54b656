"""Every method with any parameters: an answer, never a fault of the node."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from ewasm.cache import CodeCache
from node.chain import Chain, Wallet
from node.rpc.dispatch import Dispatcher
from node.rpc.limits import Limits
from node.rpc.methods import METHODS
from node.rpc.service import Context, Service, translate
from node.rpc.table import Method
from tests.helpers import fixture_code
from tests.node.rpc.serving import request

WALLET = Wallet.from_mnemonic()
ADDRESSES = [*map(str, WALLET.addresses[:3]), *("0x" + f"{number:040x}" for number in (0, 1, 5, 9, 2**160 - 1))]
NUMBERS = [
    *(0, 1, 2, 10, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 2**128, 2**256 - 1, 2**256, -1),
    *(1.0, 0.5, -0.0, 1e308, 5e-324),
]
CODES = ["0x" + fixture_code(name).hex() for name in ("erc20_deploy", "counter_deploy", "caller", "counter")]
TAGS = ["latest", "earliest", "pending", "safe", "finalized", "0x0", "0x1", "0x7fffffffffffffff"]
TEXTS = [
    *("", "0x", "0X1", "0x\u0661", "\ud800", "\x00", "1", "-1", "0x-1", "x" * 300, "1e5", "NaN", "0x" + "f" * 65),
    *("callTracer", "prestateTracer", "noopTracer", "newHeads", "logs", "newPendingTransactions", "ewasm"),
]
FIELDS = [
    *("from", "to", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "nonce", "data", "input"),
    *("accessList", "chainId", "type", "fromBlock", "toBlock", "blockHash", "blockNumber", "address", "topics"),
    *("number", "time", "gasLimit", "baseFeePerGas", "balance", "code", "state", "stateDiff", "tracer", "tracerConfig"),
    *("blocks", "timestamp", "types", "domain", "primaryType", "message", "storageKeys", "forking", "stateOverrides"),
    *("blockOverrides", "accounts", "root", "nodes", "codes", "onDemand", "sender", "block", "deadline", "hashes"),
]
SELDOM = ("mine", "reset", "revert", "rollback", "drop", "setBlockGasLimit", "loadState", "IntervalMining")


class Anything:
    """Makes parameters at random: near to what a method wants, or far from it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # the same every time

    def params(self, method: Method) -> Any:
        """Return parameters for a method."""
        kind = self.random.random()
        if kind < 0.1:
            return self.value()
        if kind < 0.25:
            return [self.value() for _ in range(self.random.randrange(4))]
        found = [self.near(param.kind.name) for param in method.params]
        return found if kind < 0.8 else found[: self.random.randrange(len(found) + 1)]

    def near(self, kind: str) -> Any:
        """Return a value that is of a kind, or almost."""
        choose = self.random.choice
        number = choose(NUMBERS)
        near: dict[str, Callable[[], Any]] = {
            "address": lambda: choose(ADDRESSES),
            "hash": lambda: "0x" + "11" * 32,
            "block": lambda: choose([*TAGS, self.random.randrange(5)]),
            "transaction": self.call,
            "boolean": lambda: choose([True, False]),
            "data": lambda: choose([*CODES, "0x", "0x" + self.random.randbytes(40).hex()]),
            "slot": lambda: choose(["0x0", "0x1", "0x" + "f" * 64]),
            "quantity": lambda: choose([number, hex(abs(int(number)))]),
            "number": lambda: number,
        }
        return near[kind]() if kind in near and self.random.random() < 0.8 else self.value()

    def call(self) -> dict[str, Any]:
        """Return a transaction, most of it possible."""
        fields: dict[str, Any] = {"from": self.random.choice(ADDRESSES)}
        for name, values in (("to", ADDRESSES), ("data", [*CODES, "0x"]), ("type", ["0x0", "0x1", "0x2", "0x3"])):
            if self.random.random() < 0.4:
                fields[name] = self.random.choice(values)
        for name in ("gas", "value", "nonce", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"):
            if self.random.random() < 0.3:
                fields[name] = hex(abs(int(self.random.choice(NUMBERS))))
        return fields

    def value(self, depth: int = 0) -> Any:
        """Return any JSON."""
        kind = self.random.random()
        if depth > 3 or kind < 0.6:
            number = self.random.choice(NUMBERS)
            return self.random.choice(
                [
                    number,
                    hex(int(number)),
                    None,
                    True,
                    *(self.random.choice(each) for each in (ADDRESSES, CODES, TAGS, TEXTS)),
                ]
            )
        if kind < 0.75:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        if kind < 0.8:
            return self.call()
        return {self.random.choice(FIELDS): self.value(depth + 1) for _ in range(self.random.randrange(6))}


def asked(seed: int, count: int) -> list[tuple[str, Exception]]:
    """Ask a node that many requests; return the faults, with the request that met each."""
    faults: list[tuple[str, Exception]] = []
    body = ""
    chain = Chain(wallet=WALLET, cache=CodeCache())
    service = Service(chain, Limits(logs=1_000, filters=50), call_timeout=1)
    dispatcher = Dispatcher(
        METHODS, service.limits, translate=translate, on_fault=lambda _name, fault: faults.append((body[:500], fault))
    )
    context, anything = Context.of(service), Anything(seed)
    for _ in range(count):
        name = anything.random.choice(METHODS.names)
        if any(part in name for part in SELDOM) and anything.random.random() < 0.95:
            continue
        method = METHODS.find(name)
        assert method is not None
        body = json.dumps(request(name) | {"params": anything.params(method)})
        answer = json.loads(dispatcher.handle(body, context) or "null")
        assert (answer["jsonrpc"], answer["id"], "result" in answer) == ("2.0", 1, "error" not in answer), body
        if "error" in answer:
            assert answer["error"].keys() <= {"code", "message", "data"}
            assert answer["error"]["message"], body
    service.close()
    chain.close()
    return faults


@pytest.mark.parametrize("seed", range(4))
def test_no_request_is_a_fault_of_the_node(seed: int) -> None:
    assert asked(seed, 2_500) == []
