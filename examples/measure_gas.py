"""Measure where a contract's gas goes: a tracer sees every instruction and the gas counter before it.

Run it: `python examples/measure_gas.py`.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from ewasm import EWASM, Address, Bytes32, EwasmVM, Message, MockAccount, MockHost, make_engine, system_contracts
from gas.meter import PARTICLES
from state import keccak256
from wasm.decode import decode

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
TOKEN, ALICE, BOB = Address.from_int(0xC0DE), Address.from_int(0xA11CE), Address.from_int(0xB0B)
TRANSFER = bytes.fromhex("a9059cbb") + bytes(12) + BOB + (3).to_bytes(32, "big")  # transfer(address,uint256)
BALANCE_OF_ALICE = keccak256(bytes(12) + ALICE + bytes(32))  # the slot, as Solidity lays storage out
GAS = 1_000_000


class GasByFunction:
    """A tracer that adds up instructions and particles (1/10,000 gas) for each function.

    Charges are cut at calls and stand inside the function that they are for, so what went from the counter since the
    last instruction belongs to the function that runs now; what a host function took, to its caller.
    """

    def __init__(self, gas: int) -> None:
        self.left = gas * PARTICLES
        self.function = 0
        self.instructions: Counter[int] = Counter()
        self.particles: Counter[int] = Counter()

    def __call__(self, function: int, offset: int, name: str, operands: tuple[Any, ...], gas: int) -> None:  # noqa: ARG002  # a `Tracer`
        """Take note of one instruction."""
        self.instructions[function] += 1
        self.particles[function] += self.left - gas
        self.left, self.function = gas, function

    def finish(self, gas_left: int) -> None:
        """Add what the last instruction took: whole gas, as all that host functions take."""
        self.particles[self.function] += (self.left // PARTICLES - gas_left) * PARTICLES


def main() -> None:
    """Transfer three tokens and print a table."""
    code = (FIXTURES / "erc20.wasm").read_bytes()
    storage = {BALANCE_OF_ALICE: Bytes32.from_int(1_000)}
    host = MockHost(accounts={TOKEN: MockAccount(storage=storage)}, precompiles=system_contracts(EWASM))
    tracer = GasByFunction(GAS)
    vm = EwasmVM(EWASM, make_engine("interpreter"), trace=lambda message: tracer if message.depth == 0 else None)
    message = Message(gas=GAS, recipient=TOKEN, code_address=TOKEN, sender=ALICE, input=TRANSFER)
    result = vm.execute(host, message, code)
    tracer.finish(result.gas_left)

    module = decode(code)
    print(f"{'function':<16}{'instructions':>14}{'gas':>14}")
    for function, particles in tracer.particles.most_common():
        name = module.name_of(function) or f"function {function}"
        print(f"{name:<16}{tracer.instructions[function]:>14,}{particles / PARTICLES:>14,.4f}")
    total = tracer.particles.total()
    print(f"{'all':<16}{tracer.instructions.total():>14,}{total / PARTICLES:>14,.4f}")
    print(f"{result.status.name}, gas used {GAS - result.gas_left:,}")


if __name__ == "__main__":
    main()
