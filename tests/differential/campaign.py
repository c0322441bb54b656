"""Both engines on generated contracts, with random hosts and gas limits that run out anywhere: one outcome, one `==`.

The suite runs a few hundred modules. `python -m tests.differential.campaign --modules 20000 --runs 50 --seed 1` runs a
campaign and prints its count; a difference is printed with the seed of its module, and the run ends.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from random import Random
from typing import Any

from evmc import (
    U256,
    ZERO_BYTES32,
    Address,
    Bytes32,
    Log,
    Message,
    MockAccount,
    MockHost,
    Result,
    Status,
    TxContext,
)
from ewasm.eei import EEI
from ewasm.ruleset import EWASM
from ewasm.threads import on_fresh_thread
from ewasm.vm import EwasmVM, Reason
from tests.wasm.generate import CONTRACT, build
from wasm.compiled import CompiledEngine
from wasm.engine import Engine, HostFunction
from wasm.errors import Trap
from wasm.interpreter import Interpreter

_LETTER = {"i32": "i", "i64": "I"}
CONTRACT_ADDRESS = Address.from_int(0xC0DE)


def interface(rng: Random) -> tuple[tuple[str, str, str], ...]:
    """Draw a few host functions to import."""
    rows = [EEI[name] for name in rng.sample(sorted(EEI), rng.randint(0, 8))]
    return tuple(
        (
            "ethereum",
            row.name,
            "".join(_LETTER[t] for t in row.type.params) + ":" + "".join(_LETTER[t] for t in row.type.results),
        )
        for row in rows
    )


@dataclass
class RandomHost(MockHost):
    """A host whose answers follow from its seed and from what was asked so far."""

    seed: int = 0
    asked: int = 0

    def draw(self) -> Random:
        """Return a source for the next answer."""
        self.asked += 1
        return Random(f"{self.seed} {self.asked}")

    def get_balance(self, address: Address) -> U256:
        """Answer a balance, at times above 128 bits."""
        del address
        return U256(self.draw().choice((0, 1, 10**18, 2**127, 2**128 + 5)))

    def account_exists(self, address: Address) -> bool:
        """Answer anything."""
        del address
        return self.draw().random() < 0.5

    def get_code_size(self, address: Address) -> int:
        """Answer a size."""
        del address
        return 40

    def copy_code(self, address: Address, offset: int, size: int) -> bytes:
        """Answer code."""
        del address
        return bytes(range(40))[offset : offset + size]

    def get_block_hash(self, number: int) -> Bytes32 | None:
        """Answer a hash, or none."""
        rng = self.draw()
        return Bytes32(rng.randbytes(32)) if (number + rng.randrange(2)) % 2 else None

    def call(self, message: Message) -> Result:
        """Answer a call or creation with any end."""
        self.calls.append(message)
        rng = self.draw()
        left = rng.randint(0, message.gas)
        status = rng.choice((Status.SUCCESS, Status.SUCCESS, Status.REVERT, Status.OUT_OF_GAS))
        if status is Status.OUT_OF_GAS:
            return Result(status)
        created = Address(rng.randbytes(20)) if message.kind.is_create and status is Status.SUCCESS else None
        return Result(status, left, rng.randbytes(rng.choice((0, 7, 32, 64))), created)


class WatchedVM(EwasmVM):
    """A VM that notes host calls, the reason of a failure, and the memory at the end."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(EWASM, engine, on_failure=lambda _, reason: self.reasons.append(reason))
        self.reasons: list[Reason] = []
        self.asked: list[tuple[str, tuple[int, ...], int]] = []
        self.memory = b""
        self._imports = {key: self._noted(key[1], function) for key, function in self._imports.items()}

    def _noted(self, name: str, function: HostFunction) -> HostFunction:
        call = function.call

        def noted(instance: Any, *args: int) -> Any:
            self.asked.append((name, args, instance.gas))
            return call(instance, *args)

        return replace(function, call=noted)

    def _run(self, frame: Any, *rest: Any) -> Result:
        try:
            return super()._run(frame, *rest)
        finally:
            memory = frame.instance.memory if hasattr(frame, "instance") else None
            self.memory = b"" if memory is None else blake2b(memory.read(0, memory.size)).digest()


@dataclass(frozen=True)
class Outcome:
    """Everything that can be observed of a run. The memory counts where the run did not run out of gas or stack:
    a charge may be tested later or earlier than a store, never than a host call."""

    result: Result
    asked: tuple[tuple[str, tuple[int, ...], int], ...]
    calls: tuple[Message, ...]
    logs: tuple[Log, ...]
    storage: dict[Address, dict[Bytes32, Bytes32]]
    destroyed: tuple[tuple[Address, Address], ...]
    reason: str
    memory: bytes = field(repr=False)


def outcome(vm: WatchedVM, code: bytes, message: Message, seed: int) -> Outcome:
    """Run a message on a fresh random host."""
    host = RandomHost(
        accounts={CONTRACT_ADDRESS: MockAccount(storage={ZERO_BYTES32: Bytes32(bytes(31) + b"\1")})},
        tx_context=TxContext(gas_price=U256(7), number=9, timestamp=99, gas_limit=10**7, difficulty=U256(seed)),
        seed=seed,
    )
    vm.reasons.clear()
    vm.asked.clear()
    result = vm.execute(host, message, code)
    reason = vm.reasons[-1] if vm.reasons else None
    return Outcome(
        result,
        tuple(vm.asked),
        tuple(host.calls),
        tuple(host.logs),
        {address: dict(account.storage) for address, account in host.accounts.items()},
        tuple(host.destroyed),
        reason.kind.name if isinstance(reason, Trap) else type(reason).__name__,
        vm.memory,
    )


def limits(rng: Random, used: int, count: int) -> Iterator[int]:
    """Yield gas limits: enough, just enough, just not, and anything below."""
    yield from (used, max(0, used - 1), used + rng.randint(1, 5_000))
    for _ in range(max(0, count - 3)):
        yield rng.randint(0, used) if rng.random() < 0.8 else rng.randint(0, min(used, 60))


def compare(seed: int, runs: int, vms: tuple[WatchedVM, WatchedVM]) -> Counter[str]:
    """Run one generated contract on both machines; return how its runs ended, raise AssertionError on a difference."""
    rng = Random(f"campaign {seed}")
    shape = replace(CONTRACT, imports=interface(rng), size=rng.choice((4, 8, 14, 24)))
    code = build(rng, shape).binary
    counts: Counter[str] = Counter()
    generous = 3_000_000
    used = generous
    for number in range(runs):
        if number == 0:
            gas = generous
        else:
            if number == 1:
                plan = limits(rng, used, runs - 1)
            gas = next(plan, generous)
        message = Message(
            gas=gas,
            recipient=CONTRACT_ADDRESS,
            code_address=CONTRACT_ADDRESS,
            sender=Address.from_int(7),
            input=rng.randbytes(rng.choice((0, 4, 36, 100))),
            value=U256(rng.choice((0, 0, 1, 2**128 - 1))),
            is_static=rng.random() < 0.1,
        )
        host_seed = rng.randrange(1 << 30)
        first, second = (outcome(vm, code, message, host_seed) for vm in vms)
        assert first == second, f"seed {seed}, run {number}, gas {gas}:\n{first}\n{second}"
        if number == 0:
            used = generous - first.result.gas_left if first.result.gas_left else 40_000
        counts[first.result.status.name] += 1
    return counts


def campaign(seeds: range, runs: int, seconds: float | None = None) -> tuple[int, Counter[str]]:
    """Compare over many seeds; return the number of modules and how the runs ended."""
    counts: Counter[str] = Counter()
    modules = 0
    begin = time.monotonic()
    compiled = CompiledEngine()
    vms = (WatchedVM(Interpreter()), WatchedVM(compiled))
    for seed in seeds:
        if seconds is not None and time.monotonic() - begin > seconds:
            break
        counts += compare(seed, runs, vms)
        modules += 1
    return modules, counts


def main() -> None:
    """Run a campaign as asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--seconds", type=float)
    args = parser.parse_args()
    begin = time.monotonic()
    seeds = range(args.seed, args.seed + args.modules)
    modules, counts = on_fresh_thread(CompiledEngine(), lambda: campaign(seeds, args.runs, args.seconds))
    spent = time.monotonic() - begin
    sys.stdout.write(f"{modules} modules, {counts.total()} runs on each engine, {spent:.0f} s, no difference\n")
    sys.stdout.write(", ".join(f"{name} {count}" for name, count in counts.most_common()) + "\n")


if __name__ == "__main__":
    main()
