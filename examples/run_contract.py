"""Run one contract against a host in dictionaries: no chain, no transaction, no state root.

Run it: `python examples/run_contract.py`.
"""

from pathlib import Path

from ewasm import Address, Bytes32, EwasmVM, Message, MockAccount, MockHost, Result

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
GAS = 1_000_000

CONTRACT = Address.from_int(0xC0DE)
CALLER = Address.from_int(0xCA11)

INCREMENT = bytes.fromhex("d09de08a")  # increment()
ADD = bytes.fromhex("1003e2d2")  # add(uint256)
GET = bytes.fromhex("6d4ce63c")  # get() -> uint256


def main() -> None:
    """Count to eight, read the counter, and make two mistakes."""
    code = (FIXTURES / "counter.wasm").read_bytes()
    host = MockHost(accounts={CONTRACT: MockAccount(code=code)})
    failures: list[str] = []
    vm = EwasmVM(on_failure=lambda _message, reason: failures.append(str(reason)))

    def call(data: bytes, gas: int = GAS) -> Result:
        message = Message(gas=gas, recipient=CONTRACT, code_address=CONTRACT, sender=CALLER, input=data)
        return vm.execute(host, message, code)

    def show(what: str, result: Result, gas: int = GAS) -> None:
        print(f"{what}: {result.status.name}, {gas - result.gas_left} gas")

    show("increment()", call(INCREMENT))
    show("add(7)", call(ADD + (7).to_bytes(32, "big")))
    answer = call(GET)
    show("get()", answer)
    print("  the count is", int.from_bytes(answer.output, "big"))
    print("  slot 0 is", int.from_bytes(host.get_storage(CONTRACT, Bytes32(bytes(32))), "big"))
    print("  events:", [int.from_bytes(log.data, "big") for log in host.logs])

    show("a call that nobody knows", call(b"\1\2\3\4"))
    show("increment() with 6,000 gas", call(INCREMENT, 6_000), 6_000)
    print("  why:", failures[-1] or "a charge of a host function could not be paid")


if __name__ == "__main__":
    main()
