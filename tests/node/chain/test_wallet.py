"""The node's accounts, against eth-account; the genesis in JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct, encode_typed_data

from evmc import U256, Address, Bytes32
from node.chain import MNEMONIC, Genesis, UnusableChain, Wallet
from node.chain.errors import NotAuthorised
from state import GenesisAccount
from tests.node.chain.world import ALICE, NOBODY, WALLET, payload
from tests.node.world import word

TYPED = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
        "Mail": [{"name": "to", "type": "address"}, {"name": "contents", "type": "string"}],
    },
    "primaryType": "Mail",
    "domain": {"name": "Test", "chainId": 31337},
    "message": {"to": "0x" + "11" * 20, "contents": "Hello"},
}


def recovered(message: Any, signature: bytes) -> bytes:
    return bytes.fromhex(EthAccount.recover_message(message, signature=signature)[2:])


def test_the_mnemonic_gives_the_accounts_of_other_nodes() -> None:
    wallet = Wallet.from_mnemonic(MNEMONIC, 3)
    assert str(wallet.addresses[2]) == "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
    first = wallet.key(wallet.addresses[0])
    assert first == Bytes32.from_hex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


@pytest.mark.parametrize("mnemonic", ["", "test", "test " * 12, MNEMONIC.replace("junk", "test")])
def test_no_mnemonic(mnemonic: str) -> None:
    with pytest.raises(ValueError, match="not a mnemonic"):
        Wallet.from_mnemonic(mnemonic)


def test_signed_messages() -> None:
    wallet = Wallet(WALLET)
    for text in (b"", b"hello", b"\0" * 1000):
        assert recovered(encode_defunct(primitive=text), wallet.sign_message(ALICE, text)) == ALICE
    assert recovered(encode_typed_data(full_message=TYPED), wallet.sign_typed_data(ALICE, TYPED)) == ALICE


@pytest.mark.parametrize("document", [{}, {"types": {}}, {**TYPED, "primaryType": "None"}, {**TYPED, "message": 1}])
def test_no_typed_data(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not typed data"):
        Wallet(WALLET).sign_typed_data(ALICE, document)


def test_nobody_signs_without_a_key() -> None:
    wallet = Wallet(WALLET)
    assert (ALICE in wallet, NOBODY in wallet) == (True, False)
    for sign in (
        lambda: wallet.sign(payload(), NOBODY),
        lambda: wallet.sign_message(NOBODY, b""),
        lambda: wallet.sign_typed_data(NOBODY, TYPED),
        lambda: wallet.key(NOBODY),
    ):
        with pytest.raises(NotAuthorised, match="unknown account"):
            sign()


def test_no_key() -> None:
    with pytest.raises(ValueError):
        Wallet([word(0)])


# The genesis

DOCUMENT = {
    "config": {"chainId": 1234, "londonBlock": 0},
    "timestamp": "0x64",
    "gasLimit": "0x1c9c380",
    "baseFeePerGas": "0x7",
    "coinbase": "0x" + "c0" * 20,
    "extraData": "0x0102",
    "mixHash": "0x" + "ab" * 32,
    "alloc": {
        "0x" + "11" * 20: {"balance": "0x10"},
        "22" * 20: {"balance": "17", "nonce": "0x2", "code": "0x0061736d", "storage": {"0x01": "0x02"}},
    },
}


def test_a_genesis_of_geth() -> None:
    assert Genesis.parse(json.loads(json.dumps(DOCUMENT))) == Genesis(
        chain_id=1234,
        timestamp=100,
        gas_limit=30_000_000,
        base_fee=7,
        coinbase=Address(b"\xc0" * 20),
        extra_data=b"\1\2",
        mix_hash=Bytes32(b"\xab" * 32),
        accounts={
            Address(b"\x11" * 20): GenesisAccount(balance=U256(16)),
            Address(b"\x22" * 20): GenesisAccount(2, U256(17), b"\0asm", {word(1): word(2)}),
        },
    )
    assert Genesis.parse({}) == Genesis()


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ([], "genesis must be an object"),
        ({"config": 1}, "config must be"),
        ({"config": {"chainId": -1}}, "config.chainId"),
        ({"gasLimit": "many"}, "gasLimit"),
        ({"gasLimit": True}, "gasLimit"),
        ({"timestamp": 2**64}, "timestamp"),
        ({"coinbase": "0x12"}, "coinbase must have 20 bytes, not 1"),
        ({"mixHash": "xy"}, "mixHash must be hex"),
        ({"alloc": {"0x12": {}}}, "alloc.0x12"),
        ({"alloc": {"11" * 20: {"balance": "0x1" + "0" * 64}}}, "balance"),
        ({"alloc": {"11" * 20: {"storage": {"0x" + "00" * 33: "0x01"}}}}, "at most 32 bytes"),
        ({"alloc": {"11" * 20: {"code": 5}}}, "code"),
    ],
)
def test_what_is_no_genesis_is_named(document: Any, where: str) -> None:
    with pytest.raises(UnusableChain, match=where):
        Genesis.parse(document)


def test_every_field_is_in_the_digest() -> None:
    one = Genesis()
    others = [
        Genesis(chain_id=1),
        Genesis(timestamp=1),
        Genesis(gas_limit=1),
        Genesis(base_fee=1),
        Genesis(coinbase=ALICE),
        Genesis(extra_data=b"1"),
        Genesis(mix_hash=word(1)),
        *(
            Genesis(accounts={ALICE: account})
            for account in (
                GenesisAccount(),
                GenesisAccount(nonce=1),
                GenesisAccount(balance=U256(1)),
                GenesisAccount(code=b"1"),
                GenesisAccount(storage={word(1): word(1)}),
            )
        ),
    ]
    assert len({each.digest for each in (one, *others)}) == 1 + len(others)
    assert one.digest == Genesis().digest
