"""The chain of tests: contracts as objects, on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from ewasm import Address, Status
from ewasm.testing import AbiError, CallFailed, Chain, Contract, Reverted, TransactionRefused
from node.codefile import CodeFileError
from state import keccak256
from tests.helpers import FIXTURES
from tests.node.testing.reflect import ECHO, THROW, TRAP, function, placed

COIN = 10**18
DEPLOY, ABI = FIXTURES / "erc20_deploy.wasm", FIXTURES / "erc20.abi.json"
SUPPLY = 1_000
NOBODY = Address(bytes(20))


def test_a_token_is_deployed_used_and_read(chain: Chain, token: Contract) -> None:
    alice, bob = chain.accounts[:2]
    assert token.name() == token["name"]() == "Fixture Token"
    assert (token.decimals(), token.totalSupply()) == (0, SUPPLY)
    receipt = token.transfer(bob, 3)
    assert (receipt.status, receipt.value, receipt.contract) == (Status.SUCCESS, True, None)
    (event,) = receipt.events
    assert (event.name, event.address) == ("Transfer", token.address)
    assert event.values == {"from": alice, "to": bob, "value": 3}
    assert event["value"] == 3
    assert receipt.named("Transfer") == [event]
    assert receipt.named("Approval") == []
    assert (token.balanceOf(alice), token.balanceOf(bob)) == (SUPPLY - 3, 3)
    assert token.balanceOf(bob, block=receipt.block_number - 1) == 0
    assert chain.receipt(receipt.hash).events == receipt.events  # type: ignore[union-attr]
    assert [each["value"] for each in token.events("Transfer")] == [SUPPLY, 3]
    assert token.events("Transfer", first=receipt.block_number) == [event]


def test_addresses_may_be_given_in_any_form(chain: Chain, token: Contract) -> None:
    bob = chain.accounts[1]
    token.transfer(bob, 5)
    assert {token.balanceOf(each) for each in (bob, bytes(bob), str(bob), bob.hex().upper())} == {5}
    token.transfer(token, 7)
    assert token.balanceOf(token) == token.balanceOf(token.address) == 7
    assert chain.at(str(token.address), ABI).balanceOf(bob) == 5


def test_a_transaction_can_be_only_called_and_a_view_sent(chain: Chain, token: Contract) -> None:
    bob = chain.accounts[1]
    assert token.transfer.call(bob, 3) is True
    assert token.balanceOf(bob) == 0
    receipt = token.balanceOf.transact(chain.accounts[0])
    assert receipt.value == SUPPLY
    assert chain.block.number == receipt.block_number
    assert token.transfer.data(bob, 3)[:4] == keccak256(b"transfer(address,uint256)")[:4]


def test_an_estimate_is_the_least_gas_that_will_do(chain: Chain, token: Contract) -> None:
    bob = chain.accounts[1]
    gas = token.transfer.estimate(bob, 3)
    with pytest.raises(CallFailed) as failed:
        token.transfer(bob, 3, gas=gas - 1)
    assert failed.value.status is Status.OUT_OF_GAS
    assert failed.value.gas_used == gas - 1
    assert token.transfer(bob, 3, gas=gas).gas_used == gas
    with pytest.raises(Reverted, match="exceeds balance"):
        token.transfer.estimate(bob, SUPPLY + 1)


def test_a_revert_has_its_reason_and_its_receipt(chain: Chain, token: Contract) -> None:
    alice, bob = chain.accounts[:2]
    for attempt in (token.transfer, token.transfer.call):
        with pytest.raises(Reverted, match=r"^execution reverted: ERC20: transfer amount exceeds balance$") as failed:
            attempt(alice, 1, sender=bob)
        assert failed.value.reason == "ERC20: transfer amount exceeds balance"
        assert failed.value.status is Status.REVERT
        assert (failed.value.panic, failed.value.error) == (None, None)
    with pytest.raises(Reverted) as failed:
        token.transfer(alice, 1, sender=bob)
    receipt = failed.value.receipt
    assert receipt is not None
    assert (receipt.status, receipt.events, receipt.value) == (Status.REVERT, (), None)
    assert chain.nonce(bob) == 2, "what failed is on the chain"


ERRORS = [
    {"type": "error", "name": "Short", "inputs": [{"name": "have", "type": "uint256"}, {"name": "", "type": "address"}]}
]


def test_errors_of_the_abi_and_panics_are_told(chain: Chain) -> None:
    contract = placed(chain, THROW, ERRORS)
    said = keccak256(b"Short(uint256,address)")[:4] + (7).to_bytes(32, "big") + bytes(32)
    with pytest.raises(Reverted, match=rf"^execution reverted: Short\(have=7, arg1={NOBODY}\)$") as failed:
        chain.transact(contract, bytes(4) + said)
    assert failed.value.error is not None
    assert failed.value.error.values == {"have": 7, "arg1": NOBODY}
    assert failed.value.reason is None

    panic = bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big")
    with pytest.raises(Reverted, match=r"panic 0x11 .arithmetic overflow or underflow.") as failed:
        chain.call(contract, bytes(4) + panic)
    assert (failed.value.panic, failed.value.reason) == (0x11, None)

    for data, shown in ((b"\xab\xcd", "execution reverted: 0xabcd"), (said[:20], f"0x{said[:20].hex()}"), (b"", "d$")):
        with pytest.raises(Reverted, match=shown) as failed:
            chain.call(contract, bytes(4) + data)
        assert failed.value.output == data


def test_what_is_no_revert_says_how_it_ended(chain: Chain) -> None:
    contract = placed(chain, TRAP, [function("f")])
    for attempt in (contract.f, contract.f.transact):
        with pytest.raises(CallFailed, match="unreachable") as failed:
            attempt()
        assert not isinstance(failed.value, Reverted)
        assert failed.value.output == b""


PAIR = {
    "name": "p",
    "type": "tuple",
    "components": [{"name": "a", "type": "uint256"}, {"name": "b", "type": "address"}],
}
PAIRS = PAIR | {"type": "tuple[]", "name": "pairs"}
TEXT = {"name": "text", "type": "string"}


def test_values_of_every_kind_go_in_and_come_out(chain: Chain) -> None:
    alice, bob = chain.accounts[:2]
    word = {"name": "", "type": "bytes32"}
    number = {"name": "", "type": "int8"}
    rows = [
        function("pair", PAIR),
        function("many", PAIRS, TEXT),
        function("bare", word, number),
        function("grid", {"name": "", "type": "uint8[2][]"}),
        function("nothing"),
    ]
    echo = placed(chain, ECHO, rows)
    pair = echo.pair({"b": alice, "a": 5})
    assert (pair.a, pair.b, pair) == (5, alice, (5, alice))
    found = echo.many([(1, bob), [2, alice]], "né")
    assert [each.a for each in found.pairs] == [1, 2]
    assert found.text == "né"
    assert echo.bare("0x" + "ab" * 32, -3) == (b"\xab" * 32, -3)
    assert echo.grid([[1, 2], [3, 4]]) == [[1, 2], [3, 4]]
    assert echo.nothing() is None


def test_one_of_several_functions_of_a_name(chain: Chain) -> None:
    uint, text = {"name": "", "type": "uint256"}, {"name": "", "type": "string"}
    rows = [function("f", uint), function("f", text), function("f", uint, uint), function("address", uint)]
    echo = placed(chain, ECHO, rows)
    assert echo.f(1) == 1
    assert echo.f("a") == "a"
    assert echo.f(1, 2) == (1, 2)
    assert echo["f(uint256)"](1) == 1
    assert echo["address"](3) == 3
    assert echo.address == Address.from_int(0xEC40)
    with pytest.raises(AbiError, match=r"fit none of f\(uint256\), f\(string\), f\(uint256,uint256\)"):
        echo.f(b"", 1, 2)
    with pytest.raises(AttributeError, match="has no function g"):
        echo.g(1)
    with pytest.raises(KeyError):
        echo["f(bytes)"]


def test_arguments_that_do_not_fit_are_named(chain: Chain, token: Contract) -> None:
    bob = chain.accounts[1]
    for arguments, said in (
        ((bob,), r"transfer takes 2 arguments \(address, uint256\), not 1"),
        ((bob, -1), r"argument 2 of transfer \(value\), -1, is not of type uint256"),
        ((bob, 2**256), "is not of type uint256"),
        (("0x12", 1), r"argument 1 of transfer \(to\), '0x12', is not of type address"),
        ((bob, "three"), "is not of type uint256"),
    ):
        with pytest.raises(AbiError, match=said):
            token.transfer(*arguments)
    assert chain.block.number == 1, "nothing was sent"


def test_output_that_is_not_the_abi_s_is_told(chain: Chain) -> None:
    echo = placed(chain, ECHO, [function("f", outputs=[{"name": "", "type": "uint256"}])])
    with pytest.raises(AbiError, match=r"f returned no output, which is not \(uint256\)"):
        echo.f()


def test_coins(chain: Chain) -> None:
    alice, bob = chain.accounts[:2]
    assert (chain.balance(bob), len(chain.accounts)) == (10_000 * COIN, 10)
    receipt = chain.transact(bob, value=COIN)
    assert (receipt.gas_used, chain.balance(bob)) == (21_000, 10_001 * COIN)
    stranger = Address.from_int(5)
    chain.set_balance(stranger, COIN)
    chain.transact(alice, sender=stranger)
    assert chain.nonce(stranger) == 1
    echo = placed(chain, ECHO, [function("pay", reads=False)])
    echo.pay(value=9)
    assert echo.balance == 9


def test_what_the_chain_does_not_take(chain: Chain) -> None:
    with pytest.raises(TransactionRefused, match="contract refused"):
        chain.deploy(b"\x60\x80\x60\x40")
    with pytest.raises(TransactionRefused, match="insufficient funds"):
        chain.transact(chain.accounts[1], sender=Address.from_int(99))


def test_constructor_arguments_are_refused_with_a_way_out(chain: Chain) -> None:
    abi = [{"type": "constructor", "inputs": [{"name": "supply", "type": "uint256"}]}]
    with pytest.raises(AbiError, match=r"constructor takes arguments.*set the contract up by a call"):
        chain.deploy(DEPLOY, abi)


def test_snapshots(chain: Chain, token: Contract) -> None:
    bob = chain.accounts[1]
    handle = chain.snapshot()
    token.transfer(bob, 3)
    with chain.isolated():
        token.transfer(bob, 4)
        assert token.balanceOf(bob) == 7
    assert token.balanceOf(bob) == 3
    chain.revert(handle)
    assert (token.balanceOf(bob), chain.block.number) == (0, 1)
    with pytest.raises(ValueError, match=f"snapshot {handle} is unknown or used up"):
        chain.revert(handle)


def test_an_address_is_not_taken_for_the_contract_that_was_there(chain: Chain) -> None:
    with chain.isolated():
        first = chain.deploy(DEPLOY, ABI)
    again = chain.deploy(FIXTURES / "counter_deploy.wasm", FIXTURES / "counter.abi.json")
    assert again.address == first.address
    receipt = again.increment()
    assert {event.name for event in receipt.events} <= {entry.name for entry in again.interface.events.values()}
    assert again.get() == 1


def test_time(chain: Chain) -> None:
    before = chain.timestamp
    assert chain.travel(3_600).timestamp == before + 3_600
    assert chain.mine(3).number == 4
    assert chain.timestamp > before + 3_600


def test_transactions_wait_where_blocks_are_not_made_at_once(chain: Chain, token: Contract) -> None:
    bob = chain.accounts[1]
    chain.core.set_automine(False)
    sent = [chain.send(token, token.transfer.data(bob, 1)) for _ in range(2)]
    assert [chain.receipt(each) for each in sent] == [None, None]
    block = chain.mine()
    assert [chain.receipt(each).block_number for each in sent] == [block.number] * 2  # type: ignore[union-attr]
    assert token.transfer(bob, 1).block_number == block.number + 1
    assert token.balanceOf(bob) == 3


def test_a_ruleset_by_name_and_a_number_of_accounts() -> None:
    chain = Chain(ruleset="ewasm", accounts=2)
    assert len(chain.accounts) == 2
    assert chain.key(chain.accounts[0]).hex().startswith("ac0974be")
    assert repr(chain) == "<chain 31337 at block 0>"
    chain.close()


def test_code_is_read_in_every_form(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "token.hex").write_text("0x" + DEPLOY.read_bytes().hex())
    assert chain.deploy(tmp_path / "token.hex", ABI).totalSupply() == SUPPLY
    assert chain.deploy(FIXTURES / "wat" / "empty.wat").label == "empty"
    (tmp_path / "text.wasm").write_text("(module)")
    with pytest.raises(CodeFileError, match=r"text\.wasm: looks like WebAssembly in text format"):
        chain.deploy(tmp_path / "text.wasm")


@pytest.mark.parametrize("nobody", ["alice", "0x12", b"short", 20, None])
def test_what_is_no_address_is_said(chain: Chain, nobody: object) -> None:
    with pytest.raises(ValueError, match="is no address: 40 hex digits, 20 bytes or a contract is expected"):
        chain.balance(nobody)
