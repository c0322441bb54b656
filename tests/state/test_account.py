from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmc import U256, Bytes32
from state import EMPTY_CODE_HASH, EMPTY_ROOT, Account, CodecError, encode, keccak256
from tests.state.conformance_data import cases, unhex

HASHES = st.binary(min_size=32, max_size=32).map(Bytes32)


def test_empty_code_hash() -> None:
    assert EMPTY_CODE_HASH.hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"") == EMPTY_CODE_HASH


@pytest.mark.parametrize("case", cases("trie/hex_encoded_securetrie_test.json"))
def test_published_accounts(case: dict[str, Any]) -> None:
    for text in case["in"].values():
        account = Account.decode(unhex(text))
        assert account.encode() == unhex(text)


def test_an_account_by_hand() -> None:
    account = Account(nonce=1, balance=U256(0x05F446A7))
    assert account.encode() == unhex("f848018405f446a7a0" + EMPTY_ROOT.hex() + "a0" + EMPTY_CODE_HASH.hex())


@given(st.builds(Account, st.integers(0, 2**64 - 1), st.integers(0, 2**256 - 1).map(U256), HASHES, HASHES))
def test_decoding_inverts_encoding(account: Account) -> None:
    assert Account.decode(account.encode()) == account


@pytest.mark.parametrize(
    "item",
    [
        b"",
        [b"", b"", EMPTY_ROOT],
        [b"\x00", b"", EMPTY_ROOT, EMPTY_CODE_HASH],
        [b"", b"\x00\x01", EMPTY_ROOT, EMPTY_CODE_HASH],
        [b"", b"\x01" + bytes(32), EMPTY_ROOT, EMPTY_CODE_HASH],
        [b"", b"", b"short", EMPTY_CODE_HASH],
        [b"", b"", EMPTY_ROOT, [EMPTY_CODE_HASH]],
    ],
)
def test_what_is_no_account(item: Any) -> None:
    with pytest.raises(CodecError):
        Account.decode(encode(item))


@pytest.mark.parametrize(
    ("account", "empty"),
    [
        (Account(), True),
        (Account(storage_root=keccak256(b"some")), True),
        (Account(nonce=1), False),
        (Account(balance=U256(1)), False),
        (Account(code_hash=keccak256(b"\x00")), False),
    ],
)
def test_empty_accounts(account: Account, empty: bool) -> None:
    assert account.is_empty is empty
