"""Calls of every fixture contract, in order, on one account; the test modules say what is held against them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from eth_abi import encode as encode_abi
from eth_hash.auto import keccak

from evmc import U256, Address, CallKind, Message, MockAccount, Result, Status
from tests.differential.world import ALICE, BOB, NOBODY, OTHER, SELF, Ledger, World
from tests.helpers import FIXTURES, fixture_code
from wasm.engine import Engine

GAS: Final = 2_000_000
MOST: Final = (1 << 63) - 1
"""What EVMC hosts pass when gas does not matter."""


@dataclass(frozen=True)
class Call:
    """One message to a contract; `title` is a word for people."""

    title: str
    input: bytes = b""
    gas: int = GAS
    value: int = 0
    sender: Address = ALICE
    static: bool = False
    create: bool = False

    def message(self, gas: int | None = None) -> Message:
        """Return the message, with other gas if wanted."""
        return Message(
            kind=CallKind.CREATE if self.create else CallKind.CALL,
            is_static=self.static,
            gas=self.gas if gas is None else gas,
            recipient=SELF,
            code_address=SELF,
            sender=self.sender,
            value=U256(self.value),
            input=b"" if self.create else self.input,
        )


def abi(signature: str, *args: Any) -> bytes:
    """Return call data for a function by its signature."""
    name, _, types = signature.rstrip(")").partition("(")
    kinds = types.split(",") if types else []
    assert name
    return keccak(signature.encode())[:4] + encode_abi(kinds, args)


def le32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def le64(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=value < 0)


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


KEY, ONE, TWO = word(0xBEEF), word(1), word(2)
ALL: Final = 2**256 - 1

COUNTER: Final = (
    Call("first increment", abi("increment()")),
    Call("second increment", abi("increment()")),
    Call("add", abi("add(uint256)", 5)),
    Call("get", abi("get()")),
    Call("get, static", abi("get()"), static=True),
    Call("increment, static", abi("increment()"), static=True),
    Call("add beyond 256 bits", abi("add(uint256)", ALL)),
    Call("unknown selector", b"\1\2\3\4"),
    Call("no selector", b"\1\2\3"),
    Call("value is refused", abi("get()"), value=1),
    Call("too little gas", abi("increment()"), gas=5_500),
)

TOKEN: Final = (
    Call("name", abi("name()")),
    Call("symbol", abi("symbol()")),
    Call("decimals", abi("decimals()")),
    Call("total supply", abi("totalSupply()")),
    Call("balance", abi("balanceOf(address)", ALICE)),
    Call("transfer", abi("transfer(address,uint256)", BOB, 100)),
    Call("transfer more", abi("transfer(address,uint256)", BOB, 1)),
    Call("transfer too much", abi("transfer(address,uint256)", BOB, 900)),
    Call("transfer to zero", abi("transfer(address,uint256)", bytes(20), 1)),
    Call("approve", abi("approve(address,uint256)", BOB, 50)),
    Call("allowance", abi("allowance(address,address)", ALICE, BOB)),
    Call("transferFrom", abi("transferFrom(address,address,uint256)", ALICE, BOB, 30), sender=BOB),
    Call("transferFrom too much", abi("transferFrom(address,address,uint256)", ALICE, BOB, 30), sender=BOB),
    Call("dirty address", abi("balanceOf(address)", ALICE)[:4] + b"\1" + bytes(11) + ALICE),
    Call("short call data", abi("balanceOf(address)", ALICE)[:-1]),
    Call("unknown selector", b"\xff\xff\xff\xff"),
)


def caller_calls() -> Iterator[Call]:
    """Give calls of the contract that does what it is told; `OTHER` is a counter."""
    to_counter = "call(address,uint256,uint256,bytes)"
    increment = abi("increment()")
    yield Call("receive", value=3)
    yield Call("whoami", abi("whoami()"), value=5)
    yield Call("set", abi("set(bytes32,bytes32)", KEY, ONE))
    yield Call("get", abi("get(bytes32)", KEY))
    yield Call("set zero", abi("set(bytes32,bytes32)", KEY, bytes(32)))
    yield Call("note", abi("note(bytes32,bytes)", ONE, b"what is logged"))
    yield Call("set and revert", abi("setAndRevert(bytes32,bytes32)", KEY, TWO))
    yield Call("set and fail", abi("setAndFail(bytes32,bytes32)", KEY, TWO))
    yield Call("fail", abi("fail()"))
    yield Call("call", abi(to_counter, OTHER, 0, 100_000, increment))
    yield Call("call with all gas", abi(to_counter, OTHER, 0, ALL, increment))
    yield Call("call with too little gas", abi(to_counter, OTHER, 0, 3_000, increment))
    yield Call("call what refuses value", abi(to_counter, OTHER, 1, 100_000, increment))
    yield Call("call with value nobody", abi(to_counter, NOBODY, 2, 100_000, b""))
    yield Call("call with value a person", abi(to_counter, BOB, 2, 0, b""))
    yield Call("call with more value than there is", abi(to_counter, BOB, 10**15, 0, b""))
    yield Call("call sha256", abi(to_counter, Address.from_int(2), 0, ALL, b"abc"))
    yield Call("callCode", abi("callCode(address,uint256,uint256,bytes)", OTHER, 0, 100_000, increment))
    yield Call("callDelegate", abi("callDelegate(address,uint256,bytes)", OTHER, 100_000, increment))
    yield Call("callStatic", abi("callStatic(address,uint256,bytes)", OTHER, 100_000, abi("get()")))
    yield Call("callStatic of a change", abi("callStatic(address,uint256,bytes)", OTHER, 100_000, increment))
    yield Call("create", abi("create(uint256,bytes)", 0, fixture_code("counter_deploy")))
    yield Call("create with value", abi("create(uint256,bytes)", 4, fixture_code("counter_deploy")))
    yield Call("create2", abi("create2(uint256,bytes32,bytes)", 0, ONE, fixture_code("wat/empty")))
    yield Call("create what fails", abi("create(uint256,bytes)", 0, fixture_code("wat/unreachable")))
    yield Call("forward", abi("forward(address,bytes)", OTHER, abi("get()")))
    yield Call("forward a revert", abi("forward(address,bytes)", OTHER, b"\1\2\3\4"))
    sequence = [abi("set(bytes32,bytes32)", KEY, TWO), abi("setAndRevert(bytes32,bytes32)", KEY, ONE), abi("fail()")]
    yield Call("sequence", abi("sequence(bytes[])", sequence))
    inner = abi(to_counter, OTHER, 0, ALL, increment)
    yield Call("call itself to call", abi(to_counter, SELF, 0, ALL, inner))
    yield Call("kill", abi("kill(address)", BOB))
    yield Call("kill for nobody", abi("kill(address)", NOBODY))


ENDS: Final = (Call("finish"), Call("revert", b"\1"), Call("self-destruct", b"\2"), Call("static", static=True))
NUMBERS: Final = b"".join(map(le32, (5, 3, 2**32 - 1, 0, 3, 77, 1, 2**31)))

CALLS: Final[dict[str, tuple[Call, ...]]] = {
    "caller": tuple(caller_calls()),
    "counter": COUNTER,
    "counter_deploy": (Call("deploy", create=True), Call("deploy with value", create=True, value=1)),
    "debug": (Call("print"),),
    "erc20": TOKEN,
    "erc20_deploy": (Call("deploy", create=True), Call("deploy with value", create=True, value=1)),
    "every": ENDS,
    "every_extra": ENDS,
    "fib": (Call("0", word(0)), Call("1", word(1)), Call("12", word(12))),
    "keccak": (Call("nothing"), Call("abc", b"abc"), Call("two blocks", bytes(range(200)))),
    "lines": (
        Call("nothing"),
        Call("three bytes", b"\x05\xc8\xc9"),
        Call("more than it reads", bytes(range(180, 250))),
    ),
    "quicksort": (Call("nothing"), Call("eight", NUMBERS), Call("sixty-four", NUMBERS[::-1] * 8)),
    "sha256": (Call("nothing"), Call("abc", b"abc"), Call("two blocks", bytes(range(100)))),
    "sieve": (Call("0", word(0)), Call("100", word(100)), Call("1000", word(1000))),
    "wat/div_overflow": (Call("run"),),
    "wat/div_zero": (Call("run"),),
    "wat/empty": (Call("run"), Call("without gas", gas=0)),
    "wat/finish_input": (Call("nothing"), Call("echo", b"echo"), Call("a page", b"ab" * 32_768)),
    "wat/finish_nested": (Call("run"),),
    "wat/global": (Call("first"), Call("second")),
    "wat/grow": tuple(Call(f"{n}", le32(n)) for n in (0, 1, 127, 128, 1_000, 2**32 - 1)),
    "wat/grow_bounded": (Call("run", gas=5 * 10**12),),
    "wat/indirect_bad": tuple(Call(title, bytes([n])) for n, title in enumerate(("good", "type", "empty", "outside"))),
    "wat/log_five_topics": (Call("run"),),
    "wat/log_topics": (Call("run"), Call("static", static=True)),
    "wat/loop_forever": (Call("run", gas=50),),
    "wat/memory_copy_fill": (Call("inside"), Call("outside", b"\1")),
    "wat/oob_empty_host": (Call("inside"), Call("outside", b"\1")),
    "wat/oob_host": (Call("run"),),
    "wat/oob_load": (Call("run"),),
    "wat/oob_store": (Call("run"),),
    "wat/precompile": (
        Call("ecrecover of nothing", b"\1"),
        Call("sha256", b"\2abc"),
        Call("ripemd160", b"\3abc"),
        Call("identity", b"\4abc"),
        Call("modexp", b"\5" + word(1) + word(1) + word(1) + b"\3\5\7"),
        Call("modexp too dear", b"\5" + word(2**40) * 3),
        Call("addition of nothing", b"\6"),
        Call("addition of no point", b"\6" + word(1) * 4),
        Call("pairing of nothing", b"\x08"),
        Call("keccak", b"\x09abc"),
        Call("nobody", b"\x0b"),
    ),
    "wat/recurse_forever": (Call("run", gas=GAS), Call("out of gas", gas=10)),
    "wat/recurse_indirect": (Call("run", gas=20_000_000), Call("out of gas", gas=10)),
    "wat/reenter": (Call("run", gas=40_000),),
    "wat/revert_input": (Call("nothing"), Call("with data", b"why")),
    "wat/selfdestruct": (Call("for a person", BOB), Call("for nobody", NOBODY), Call("static", BOB, static=True)),
    "wat/store_load": (
        Call("store", KEY + ONE),
        Call("load", KEY),
        Call("change", KEY + TWO),
        Call("the same", KEY + TWO),
        Call("clear", KEY + bytes(32)),
        Call("static", KEY + ONE, static=True),
    ),
    "wat/unreachable": (Call("run"),),
    "wat/use_gas": (
        Call("some", le64(1_000)),
        Call("nothing", le64(0)),
        Call("negative", le64(-1)),
        Call("too much", le64(GAS)),
        Call("far too much", le64(2**63 - 1)),
    ),
}
"""By contract, the name of its file in `fixtures/`."""


def contracts() -> list[str]:
    """Return the names of all fixture contracts."""
    found = (*FIXTURES.glob("*.wasm"), *FIXTURES.glob("wat/*.wasm"))
    return sorted(str(path.relative_to(FIXTURES).with_suffix("")) for path in found)


Accounts: TypeAlias = dict[Address, MockAccount]


def accounts(contract: str, run: Ledger) -> Accounts:
    """Return the accounts before the first call: the contract, two persons, a counter; a token is deployed."""
    found = {
        SELF: MockAccount(U256(1_000), fixture_code(contract)),
        ALICE: MockAccount(U256(10**18)),
        BOB: MockAccount(U256(1)),
        OTHER: MockAccount(code=fixture_code("counter")),
    }
    if contract == "erc20":
        world = World(run, found)
        deployed = run.top(world, Call("deploy", create=True).message(), fixture_code("erc20_deploy"))
        assert deployed.status is Status.SUCCESS
        found = world.accounts
    return found


def steps(contract: str, run: Ledger) -> Iterator[tuple[Call, Accounts]]:
    """Give every call with the accounts as the calls before it left them."""
    state = accounts(contract, run)
    for call in CALLS[contract]:
        yield call, state
        state = execute(run, contract, call, state)[1].accounts


def execute(run: Ledger, contract: str, call: Call, state: Accounts, gas: int | None = None) -> tuple[Result, World]:
    """Run a call on a copy of the accounts; a failure leaves them as they were."""
    world = World(run, deepcopy(state))
    result = run.top(world, call.message(gas), fixture_code(contract))
    if result.status is not Status.SUCCESS:
        world.accounts = deepcopy(state)
        world.logs.clear()
        world.destroyed.clear()
    return result, world


def ledger(contract: str, engine: Engine, *, traced: bool = False) -> Ledger:
    """Make a machine for a contract: with debugging for the one that debugs."""
    return Ledger(engine, traced=traced, debugging=contract == "debug")
