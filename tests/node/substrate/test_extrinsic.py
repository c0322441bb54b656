"""Extrinsics: round trips, what a signature covers, eras, and bytes that are none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.substrate import types as t
from node.substrate.extrinsic import Surroundings, payload, read_extrinsic, sign, signature_holds, unsigned
from node.substrate.hashing import blake2_256
from node.substrate.keys import Scheme, keypair
from node.substrate.scale import BYTES, ScaleError, decode, encode

AROUND = Surroundings(1, 1, b"\x11" * 32, b"\x22" * 32)
REMARK: tuple[str, Any] = ("System", ("remark", {"remark": b"hi"}))
LONG: tuple[str, Any] = ("System", ("remark", {"remark": bytes(300)}))
TARGET = bytes(range(20))
CALL: tuple[str, Any] = (
    "Ewasm",
    ("call", {"target": TARGET, "input": b"\1\2", "value": 3, "gas_limit": 1 << 40, "gas_price": 99}),
)


@pytest.mark.parametrize("scheme", ["sr25519", "ed25519", "ecdsa"])
@pytest.mark.parametrize("call", [REMARK, LONG, CALL], ids=["short", "long", "ewasm"])
@pytest.mark.parametrize("era", [t.IMMORTAL, t.Era(64, 42), t.Era(65536, 16 * 7)], ids=str)
def test_a_signed_extrinsic_is_read_again_and_holds(scheme: Scheme, call: tuple[str, Any], era: t.Era) -> None:
    extrinsic = sign(keypair("//Alice", scheme), call, 7, AROUND, era, tip=5)
    read = read_extrinsic(extrinsic.encoded)
    assert read == extrinsic
    assert read.signed is not None
    assert (read.call, read.signed.nonce, read.signed.tip, read.signed.era) == (call, 7, 5, era)
    assert signature_holds(read, AROUND)


@pytest.mark.parametrize(
    "around",
    [
        replace(AROUND, spec_version=2),
        replace(AROUND, transaction_version=2),
        replace(AROUND, genesis=bytes(32)),
        replace(AROUND, birth=bytes(32)),
    ],
)
def test_a_signature_is_for_one_chain_one_runtime_and_one_era(around: Surroundings) -> None:
    assert not signature_holds(sign(keypair("//Alice"), REMARK, 0, AROUND), around)


def test_everything_in_an_extrinsic_is_signed() -> None:
    extrinsic = sign(keypair("//Alice", "ed25519"), REMARK, 0, AROUND)
    for position in range(len(extrinsic.raw)):
        changed = bytearray(extrinsic.raw)
        changed[position] ^= 1
        try:
            read = read_extrinsic(encode(BYTES, bytes(changed)))
        except ScaleError:
            continue
        assert not signature_holds(read, AROUND), position


def test_long_payloads_are_hashed() -> None:
    short = payload(bytes(100), t.IMMORTAL, 0, 0, AROUND)
    assert short == bytes(100) + b"\0\0\0" + b"\1\0\0\0" * 2 + b"\x11" * 32 + b"\x22" * 32
    exact = payload(bytes(256 - 75), t.IMMORTAL, 0, 0, AROUND)
    assert len(exact) == 256
    assert payload(bytes(257 - 75), t.IMMORTAL, 0, 0, AROUND) == blake2_256(bytes(1) + exact)


def test_nobody_signed_an_unsigned_one() -> None:
    extrinsic = unsigned(("Timestamp", ("set", {"now": 1234})))
    assert extrinsic.encoded.hex() == "14" + "04" + "0100" + "4913"
    assert read_extrinsic(extrinsic.encoded) == extrinsic
    assert not signature_holds(extrinsic, AROUND)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "ends at byte 0, 1 bytes are expected from byte 0"),
        ("00", "ends at byte 0, 1 bytes are expected from byte 0"),
        ("0405", "version: extrinsics of version 5 are not known, only 4"),
        ("0c0499ff", "call: RuntimeCall has no variant 153, which is at byte 1"),
        ("0c0404", "3 items are announced, 2 bytes are left at byte 1"),
        ("0c0404ff", "call.Ewasm: Call has no variant 255, which is at byte 2"),
        ("08" + "8407", "address: MultiAddress has no variant 7, which is at byte 1"),
        ("1404000000ff", "1 bytes too many after the call"),
    ],
)
def test_what_is_no_extrinsic_is_refused_by_place(data: str, message: str) -> None:
    with pytest.raises(ScaleError) as error:
        read_extrinsic(bytes.fromhex(data))
    assert str(error.value).startswith(message)


def test_a_sender_by_index_is_refused() -> None:
    signed = b"\x84" + encode(t.ADDRESS, ("Index", 5)) + encode(t.SIGNATURE, ("Ed25519", bytes(64))) + bytes(6)
    with pytest.raises(ScaleError, match="address by Index cannot be looked up"):
        read_extrinsic(encode(BYTES, signed))


# Eras: examples of `sp_runtime::generic::era`


@pytest.mark.parametrize(
    ("era", "encoded"),
    [
        (t.IMMORTAL, "00"),
        (t.Era(64, 42), "a502"),
        (t.Era(32768, 20000), "4e9c"),
        (t.Era(4, 3), "3100"),
    ],
)
def test_eras(era: t.Era, encoded: str) -> None:
    assert encode(t.ERA, era).hex() == encoded
    assert decode(t.ERA, bytes.fromhex(encoded)) == era


@pytest.mark.parametrize(("current", "birth"), [(42, 42), (43, 42), (105, 42), (106, 106), (170, 170), (10, 42)])
def test_birth_of_an_era(current: int, birth: int) -> None:
    assert t.Era(64, 42).birth(current) == birth
    assert t.IMMORTAL.birth(current) == 0


@given(st.integers(0, 0xFFFF))
def test_eras_are_read_as_they_are_written_or_not_at_all(number: int) -> None:
    data = number.to_bytes(2, "little")
    if not data[0]:
        return
    try:
        era = decode(t.ERA, data)
    except ScaleError:
        return
    assert encode(t.ERA, era) == data


@pytest.mark.parametrize("era", [t.Era(3, 0), t.Era(2, 0), t.Era(64, 64), t.Era(8192, 1), t.Era(1 << 17, 0)])
def test_eras_that_cannot_be_written_are_refused(era: t.Era) -> None:
    with pytest.raises(ScaleError, match="no era has period"):
        encode(t.ERA, era)
