"""Accounts and contracts of the tests of the chain."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import decode

from evmc import U256, Address, Bytes32
from fixtures.deploy import init_code
from node.chain import BlockReceipt, Call, Chain, Payload, SignedTransaction, Wallet
from state import GenesisAccount, keccak256
from tests.helpers import fixture_code, wat
from tests.node.world import call, finisher, word

WALLET = [Bytes32.from_int(number) for number in range(1, 5)]
ALICE, BOB, CAROL, DAVE = Wallet(WALLET).addresses
NOBODY = Address.from_int(0xB0B)
COINBASE = Address.from_int(0xC0)
RICH = U256(10**24)
CALLER = Address.from_int(0xCA11)
TOKEN = Address.from_int(0x70)
REVERTER = Address.from_int(0xBAD)
LOOPER = Address.from_int(0x100)
GWEI = 10**9
CHAIN_ID = 31_337

ENDLESS = wat(
    """(module
      (memory (export "memory") 1)
      (func (export "main") (loop $again (br $again))))"""
)
"""Loops until its gas is gone."""


def contract(code: bytes, **fields: Any) -> GenesisAccount:
    return GenesisAccount(**{"nonce": 1, "code": code, **fields})


def balance_slot(owner: Address) -> Bytes32:
    """Return where the token keeps a balance: the mapping in slot 0."""
    return keccak256(bytes(12) + owner + bytes(32))


REASON = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (4).to_bytes(32, "big") + b"boo!".ljust(32, b"\0")

ACCOUNTS = {
    **{address: GenesisAccount(balance=RICH) for address in (ALICE, BOB, CAROL)},
    CALLER: contract(fixture_code("caller")),
    TOKEN: contract(fixture_code("erc20"), storage={balance_slot(ALICE): word(1_000_000)}),
    REVERTER: contract(finisher(len(REASON), REASON, end="revert")),
    LOOPER: contract(ENDLESS),
}
COUNTER_INIT = init_code(fixture_code("counter"))


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def payload(**fields: Any) -> Payload:
    fields = {
        "chain_id": CHAIN_ID,
        "nonce": 0,
        "max_fee": U256(100 * GWEI),
        "max_tip": U256(GWEI),
        "gas_limit": 21_000,
        "to": NOBODY,
        **fields,
    }
    return Payload(**{**fields, "max_fee": U256(fields["max_fee"]), "max_tip": U256(fields["max_tip"])})


def signed(chain: Chain, sender: Address = ALICE, **fields: Any) -> SignedTransaction:
    """Return the sender's next transaction."""
    fields = {"nonce": chain.nonce(sender, "pending"), **fields}
    return chain.wallet.sign(payload(**fields), sender)


def transact(chain: Chain, sender: Address = ALICE, **fields: Any) -> BlockReceipt:
    """Send a transaction as a client does, and return its receipt."""
    receipt = chain.receipt(chain.send_from(Call(sender=sender, **fields)))
    assert receipt is not None
    return receipt


def transfer(chain: Chain, recipient: Address = BOB, amount: int = 1, sender: Address = ALICE) -> BlockReceipt:
    """Transfer tokens."""
    return transact(chain, sender, to=TOKEN, data=transfer_data(recipient, amount))


def transfer_data(recipient: Address, amount: int) -> bytes:
    return call("transfer(address,uint256)", f"0x{recipient.hex()}", amount)


def balance_call(owner: Address) -> Call:
    return Call(to=TOKEN, data=call("balanceOf(address)", f"0x{owner.hex()}"))


def tokens(chain: Chain, owner: Address, tag: Any = "latest") -> int:
    """Return a balance of the token, asked by a call."""
    (balance,) = decode(["uint256"], chain.call(balance_call(owner), tag).result.output)
    return int(balance)


def balance(chain: Chain, address: Address, tag: Any = "latest") -> int:
    account = chain.state(tag).account(address)
    return 0 if account is None else account.balance
