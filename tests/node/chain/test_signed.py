"""Raw transactions, against eth-account, the executable specification, and published vectors."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("ethereum", reason="ethereum-execution is absent: its wheels end at CPython 3.12")

from eth_account import Account as EthAccount
from eth_account.typed_transactions import TypedTransaction
from ethereum.crypto.hash import Hash32
from ethereum.forks.london import transactions as london
from ethereum_types.numeric import U64
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import U256, Address, Bytes32
from node.chain import Payload, SignedTransaction, Wallet
from node.chain.errors import InvalidSignature, MalformedTransaction, TransactionRefused, UnsupportedType
from node.chain.signed import ACCESS_LIST, DYNAMIC_FEE, LEGACY, ORDER
from state import encode, keccak256
from state.codec import scalar
from tests.node.chain.world import ALICE, WALLET, payload

KEYS = st.integers(1, ORDER - 1)
NUMBERS = st.integers(0, 2**64 - 1)
WORDS = st.integers(0, 2**256 - 1)
ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)
LISTS = st.lists(
    st.tuples(ADDRESSES, st.lists(st.binary(min_size=32, max_size=32).map(Bytes32), max_size=3).map(tuple)), max_size=3
).map(tuple)


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    type_ = draw(st.sampled_from([LEGACY, ACCESS_LIST, DYNAMIC_FEE]))
    fee = U256(draw(WORDS))
    return Payload(
        type=type_,
        chain_id=draw(st.none() | st.integers(1, 2**63)) if type_ == LEGACY else draw(st.integers(1, 2**63)),
        nonce=draw(NUMBERS),
        max_fee=fee,
        max_tip=U256(draw(st.integers(0, fee))) if type_ == DYNAMIC_FEE else fee,
        gas_limit=draw(NUMBERS),
        to=draw(st.none() | ADDRESSES),
        value=U256(draw(WORDS)),
        data=draw(st.binary(max_size=100)),
        access_list=draw(LISTS) if type_ != LEGACY else (),
    )


def dictionary(given: Payload) -> dict[str, Any]:
    """Return a transaction as eth-account takes it."""
    fields: dict[str, Any] = {
        "nonce": given.nonce,
        "gas": given.gas_limit,
        "to": given.to or b"",
        "value": given.value,
        "data": given.data,
    }
    if given.chain_id is not None:
        fields["chainId"] = given.chain_id
    if given.type == DYNAMIC_FEE:
        fields |= {"maxFeePerGas": given.max_fee, "maxPriorityFeePerGas": given.max_tip}
    else:
        fields["gasPrice"] = given.max_fee
    if given.type != LEGACY:
        fields["type"] = given.type
        fields["accessList"] = [
            {"address": f"0x{address.hex()}", "storageKeys": [f"0x{key.hex()}" for key in keys]}
            for address, keys in given.access_list
        ]
    return fields


@settings(deadline=None, max_examples=150)
@given(payloads(), KEYS)
def test_eth_account_signs_the_same(given: Payload, key: int) -> None:
    account = EthAccount.from_key(key.to_bytes(32, "big"))
    theirs = account.sign_transaction(dictionary(given))
    raw = bytes(theirs.raw_transaction)
    ours = SignedTransaction.decode(raw)
    assert (ours.sender, ours.hash, ours.raw) == (bytes.fromhex(account.address[2:]), bytes(theirs.hash), raw)
    assert (ours.v, ours.r, ours.s) == (theirs.v, theirs.r, theirs.s)
    assert Wallet([Bytes32.from_int(key)]).sign(given, ours.sender) == ours
    for name in Payload.__dataclass_fields__:
        assert getattr(ours, name) == getattr(given, name)
    if given.type != LEGACY:
        assert ours.signing_hash == TypedTransaction.from_dict(dictionary(given)).hash()


@settings(deadline=None, max_examples=100)
@given(payloads(), st.sampled_from(WALLET))
def test_the_specification_reads_the_same(given: Payload, key: Bytes32) -> None:
    wallet = Wallet([key])
    tx = wallet.sign(given, wallet.addresses[0])
    if tx.type == LEGACY:
        from ethereum_rlp import rlp

        theirs: Any = rlp.decode_to(london.LegacyTransaction, tx.raw)
    else:
        theirs = london.decode_transaction(tx.raw)
    sender = london.recover_sender(U64(given.chain_id or 1), theirs)
    assert (sender, theirs.nonce, theirs.value, theirs.data) == (tx.sender, tx.nonce, tx.value, tx.data)
    assert london.get_transaction_hash(london.encode_transaction(theirs)) == Hash32(tx.hash)


@given(payloads(), ADDRESSES)
def test_an_impersonated_sender_is_in_the_hash(given: Payload, sender: Address) -> None:
    tx = SignedTransaction.impersonated(given, sender)
    assert tx.is_impersonated
    assert tx.hash == keccak256(tx.raw)
    assert SignedTransaction.restore(tx.raw, sender) == tx
    assert tx.hash != SignedTransaction.impersonated(given, Address.from_int(int.from_bytes(sender) ^ 1)).hash
    with pytest.raises(InvalidSignature):
        SignedTransaction.decode(tx.raw)


# EIP-155's example, in full there.
EIP155_KEY = Bytes32(b"\x46" * 32)
EIP155_RAW = bytes.fromhex(
    "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025"
    "a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276"
    "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
)


def test_the_example_of_eip_155() -> None:
    tx = SignedTransaction.decode(EIP155_RAW)
    assert tx.signing_hash == Bytes32.from_hex("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53")
    assert (tx.chain_id, tx.v, tx.nonce, tx.value) == (1, 37, 9, 10**18)
    assert Wallet([EIP155_KEY]).addresses == (tx.sender,)


# What is refused


def raw(tx: SignedTransaction, **fields: Any) -> bytes:
    """Return a transaction's encoding with a signature that is not its own."""
    return tx.with_signature(fields.get("y_parity", tx.y_parity), fields.get("r", tx.r), fields.get("s", tx.s))


@pytest.fixture(params=[LEGACY, ACCESS_LIST, DYNAMIC_FEE])
def tx(request: pytest.FixtureRequest) -> SignedTransaction:
    given = payload(type=request.param)
    if request.param != DYNAMIC_FEE:
        given = replace(given, max_tip=given.max_fee)
    return Wallet(WALLET).sign(given, ALICE)


def test_the_greater_s_is_refused(tx: SignedTransaction) -> None:
    with pytest.raises(InvalidSignature):
        SignedTransaction.decode(raw(tx, s=ORDER - tx.s, y_parity=1 - tx.y_parity))


@pytest.mark.parametrize("fields", [{"r": 0}, {"s": 0}, {"r": ORDER}, {"s": ORDER}, {"r": 2**256 - 1}, {"r": 2**300}])
def test_numbers_out_of_range_are_refused(tx: SignedTransaction, fields: dict[str, int]) -> None:
    with pytest.raises(InvalidSignature):
        SignedTransaction.decode(raw(tx, **fields))


def test_a_point_that_is_none_is_refused(tx: SignedTransaction) -> None:
    # 5 is the x of no point of the curve: 5^3 + 7 has no square root.
    with pytest.raises(InvalidSignature):
        SignedTransaction.decode(raw(tx, r=5))


@pytest.mark.parametrize("y_parity", [2, 3, 7])
def test_a_parity_is_0_or_1(tx: SignedTransaction, y_parity: int) -> None:
    unprotected = replace(tx, chain_id=None) if tx.type == LEGACY else tx
    with pytest.raises(InvalidSignature):
        SignedTransaction.decode(raw(unprotected, y_parity=y_parity))


@pytest.mark.parametrize("type_", [0x00, 0x03, 0x04, 0x7F, 0x80, 0xBF])
def test_other_types_are_refused(tx: SignedTransaction, type_: int) -> None:
    with pytest.raises(UnsupportedType, match="transaction type not supported"):
        SignedTransaction.decode(bytes([type_]) + tx.raw[1:])


def test_every_cut_is_refused(tx: SignedTransaction) -> None:
    for end in range(len(tx.raw)):
        with pytest.raises(TransactionRefused):
            SignedTransaction.decode(tx.raw[:end])
    with pytest.raises(MalformedTransaction):
        SignedTransaction.decode(tx.raw + b"\0")


FIELDS: list[Any] = [
    scalar(31337), scalar(0), scalar(1), scalar(9), scalar(21_000), bytes(20), b"", b"", [], b"", b"\1", b"\1",
]  # fmt: skip


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (1, b"\0"),
        (1, b"\0\1"),
        (1, bytes([1]) + bytes(8)),
        (4, bytes([1]) + bytes(8)),
        (3, bytes([1]) + bytes(32)),
        (6, bytes([1]) + bytes(32)),
        (5, bytes(19)),
        (5, bytes(21)),
        (5, []),
        (7, []),
        (8, b""),
        (8, [[bytes(20)]]),
        (8, [[bytes(19), []]]),
        (8, [[bytes(20), b""]]),
        (8, [[bytes(20), [bytes(31)]]]),
        (8, [[bytes(20), [[]]]]),
        (8, [bytes(20)]),
        (10, b"\0\1"),
        (11, []),
    ],
)
def test_fields_of_another_form_are_refused(index: int, value: Any) -> None:
    fields = [*FIELDS[:index], value, *FIELDS[index + 1 :]]
    with pytest.raises(MalformedTransaction):
        SignedTransaction.decode(b"\2" + encode(fields))


@pytest.mark.parametrize("count", [11, 13])
def test_another_number_of_fields_is_refused(count: int) -> None:
    with pytest.raises(MalformedTransaction):
        SignedTransaction.decode(b"\2" + encode([*FIELDS, b""][:count]))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_transaction_or_refused(data: bytes) -> None:
    with suppress(TransactionRefused):
        assert SignedTransaction.decode(data).raw == data


@given(payloads(), st.integers(0, 2**256 - 1))
def test_prices_after_eip_1559(given: Payload, base_fee: int) -> None:
    if given.max_fee >= base_fee:
        price, tip = given.effective_price(base_fee), given.effective_tip(base_fee)
        assert price == base_fee + tip
        assert 0 <= tip <= given.max_tip
        assert price <= given.max_fee
        assert price == given.max_fee or tip == given.max_tip
