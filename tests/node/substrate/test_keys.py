"""Addresses, keys and derivation, against what @polkadot/util-crypto gives for the development phrase."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.substrate.keys import InvalidKey, Scheme, h160, keypair, ss58_decode, ss58_encode, verify

LONG = "//averyveryveryverylongjunctionnamethatishashed"
SCHEMES: tuple[Scheme, ...] = ("sr25519", "ed25519", "ecdsa")
ALICE = bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")


@pytest.mark.parametrize(
    ("scheme", "uri", "address"),
    [
        ("sr25519", "//Alice", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
        ("sr25519", "//Bob//stash", "5HpG9w8EBLe5XCrbczpwq5TSXvedjrBGCwqxK1iQ7qUsSWFc"),
        ("sr25519", "//7", "5GHJzqvG6tXnngCpG7B12qjUvbo5e4e9z8Xjidk3CQZHxTPZ"),
        ("sr25519", LONG, "5DyHdZMudjJ6NQG5tcU9WER2aM16cmPDbziCQzejjtdNNazM"),
        ("ed25519", "//Alice", "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"),
        ("ed25519", "//Bob//stash", "5CzfGC7p9sC39Zvb2bg4WgtVvx6c6JVb1SMwsNDVTmRrEas2"),
        ("ed25519", "//7", "5HnLET6TVVoYeh5RE7gCf9vL2bFTwCtHkgU4cVdCj4K33GHb"),
        ("ed25519", LONG, "5CQpr3QUxCGMcowGX6xNifrBHWm4ztjVPiHUeVzvAmrR5sNK"),
        ("ecdsa", "//Alice", "5C7C2Z5sWbytvHpuLTvzKunnnRwQxft1jiqrLD5rhucQ5S9X"),
        ("ecdsa", "//Bob//stash", "5EzBGVAKAnoPdhTwV7wbTDuxAS3tBTcYAEX5u3bhpoNZRNFZ"),
        ("ecdsa", "//7", "5EB6xDJG7ECo6hXHsdTpXNc7LtFyc21X5AjprdtyPbyHn5qL"),
        ("ecdsa", LONG, "5GWjPanxBbzPH5HF4qxQ2rxpGqaLdxizYa2KqA7cE4raBZ5U"),
    ],
)
def test_derived_accounts(scheme: Scheme, uri: str, address: str) -> None:
    pair = keypair(uri, scheme)
    assert pair.address == address
    assert ss58_decode(address) == (pair.account, 42)


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        (0, "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"),
        (2, "HNZata7iMYWmk5RvZRTiAsSDhV8366zq2YGb3tLH5Upf74F"),
        (63, "7NPoMQbiA6trJKkjB35uk96MeJD4PGWkLQLH7k7hXEkZpiba"),
        (64, "cEaNSpz4PxFcZ7nT1VEKrKewH67rfx6MfcM6yKojyyPz7qaqp"),
        (255, "yGHXkYLYqxijLKKfd9Q2CB9shRVu8rPNBS53wvwGTutYg4zTg"),
        (256, "VByeGLMtP8r8BYQpNX1sb2VtAW8GYCbtFAeXJwsA2ur3MNRdq"),
        (16383, "yNa8JpqfFB3q8A29rCwSgxvdU94ufJw2yKKxDgznS5m1PoFvn"),
    ],
)
def test_prefixes_of_one_and_two_bytes(prefix: int, address: str) -> None:
    assert ss58_encode(ALICE, prefix) == address
    assert ss58_decode(address) == (ALICE, prefix)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 16383))
def test_addresses_are_read_again(account: bytes, prefix: int) -> None:
    assert ss58_decode(ss58_encode(account, prefix)) == (account, prefix)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "35 to 50 letters, not 0"),
        ("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQX", "checksum"),
        ("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKut0Y", "'0' is no letter"),
        ("1" * 47, "no SS58 address of an account"),
        ("z" * 47, "checksum"),
    ],
)
def test_what_is_no_address_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidKey, match=message):
        ss58_decode(text)


def test_an_account_id_or_a_prefix_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        ss58_encode(bytes(31))
    with pytest.raises(ValueError, match="from 0 to 16383"):
        ss58_encode(ALICE, 16384)


def test_addresses_on_the_contract_side_are_those_of_the_original() -> None:
    """`HashTruncateConvertAccountId<Keccak256>`; both stand in the genesis of substrate-ssvm-node."""
    assert str(h160(keypair("//Alice").account)) == "0x9621dde636de098b43efb0fa9b61facfe328f99d"
    assert str(h160(keypair("//Bob").account)) == "0x41dccbd49b26c50d34355ed86ff0fa9e489d1e01"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_signature_holds_for_its_payload_and_its_account_only(scheme: Scheme) -> None:
    pair, other = keypair("//Alice", scheme), keypair("//Bob", scheme)
    signature = pair.sign(b"payload")
    assert verify(signature, b"payload", pair.account)
    assert not verify(signature, b"payloaf", pair.account)
    assert not verify(signature, b"payload", other.account)
    for index in (0, 40, len(signature[1]) - 1):
        changed = bytearray(signature[1])
        changed[index] ^= 1
        assert not verify((signature[0], bytes(changed)), b"payload", pair.account)


@pytest.mark.parametrize("kind", ["Sr25519", "Ed25519", "Ecdsa"])
@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
def test_noise_is_no_signature(kind: str, filling: bytes) -> None:
    data = filling * (65 if kind == "Ecdsa" else 64)
    assert not verify((kind, data), b"payload", ALICE)
    assert not verify((kind, data), b"payload", b"\xff" * 32)


@pytest.mark.parametrize("uri", ["Alice", "/Alice", "//", "//Alice/soft", "//Alice///password"])
def test_other_paths_are_refused(uri: str) -> None:
    with pytest.raises(InvalidKey, match="no path of hard junctions"):
        keypair(uri)
