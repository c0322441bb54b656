"""Kinds: what is read from JSON and what is refused, and that what is written is read as the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmc import Address, Bytes32
from node.rpc import kinds
from node.rpc.kinds import ADDRESS, BLOCK, DATA, FLAG, HASH, QUANTITY, SLOT, SMALL, TEXT, Kind, Unreadable

A = "0x" + "aB" * 20
H = "0x" + "0c" * 32


@pytest.mark.parametrize(
    ("kind", "given_", "value"),
    [
        (QUANTITY, "0x0", 0),
        (QUANTITY, "0x00ff", 255),
        (QUANTITY, "0x" + "f" * 64, 2**256 - 1),
        (QUANTITY, 7, 7),
        (SMALL, "0x7fffffffffffffff", 2**63 - 1),
        (DATA, "0x", b""),
        (DATA, "0x0aFf", b"\x0a\xff"),
        (ADDRESS, A, Address(b"\xab" * 20)),
        (HASH, H, Bytes32(b"\x0c" * 32)),
        (SLOT, "0x0", Bytes32(bytes(32))),
        (SLOT, "0x123", Bytes32.from_int(0x123)),
        (SLOT, 2, Bytes32.from_int(2)),
        (SLOT, H, Bytes32(b"\x0c" * 32)),
        (FLAG, True, True),
        (TEXT, "", ""),
        (BLOCK, "latest", "latest"),
        (BLOCK, "safe", "safe"),
        (BLOCK, "0x10", 16),
        (BLOCK, 3, 3),
        (BLOCK, {"blockNumber": "0x2"}, 2),
        (BLOCK, {"blockHash": H, "requireCanonical": True}, Bytes32(b"\x0c" * 32)),
        (BLOCK, H, Bytes32(b"\x0c" * 32)),
        (kinds.array(ADDRESS), [A], (Address(b"\xab" * 20),)),
        (kinds.optional(ADDRESS), None, None),
    ],
)
def test_what_is_read(kind: Kind, given_: Any, value: Any) -> None:
    found = kind.read(given_)
    assert found == value
    assert type(found) is type(value) or isinstance(found, int)


@pytest.mark.parametrize(
    ("kind", "given_"),
    [
        *(
            (QUANTITY, bad)
            for bad in ("", "0x", "1", "0xg", 1.5, True, [], {}, "0x" + "f" * 65, 2**256, -1, "0X1", "0x1\n")
        ),
        *((SMALL, bad) for bad in ("0x8000000000000000", 2**63)),
        *((DATA, bad) for bad in ("", "0x1", "ff", 1, "0xgg", "0x 1")),
        *((ADDRESS, bad) for bad in ("0x", A[:-1], A + "0", A[2:], 0, None)),
        *((HASH, bad) for bad in (A, H + "00")),
        *((SLOT, bad) for bad in ("0x", "", "0x" + "0" * 65, True, None)),
        *((FLAG, bad) for bad in (0, 1, "true", None)),
        *((TEXT, bad) for bad in (0, None)),
        *(
            (BLOCK, bad)
            for bad in (
                "newest",
                "",
                "10",
                "0x",
                {},
                [],
                True,
                {"blockHash": "0x1"},
                {"blockNumber": "latest"},
                "0x" + "f" * 17,
            )
        ),
        (kinds.array(ADDRESS), A),
        (kinds.array(ADDRESS), [A, "0x"]),
    ],
)
def test_what_is_refused(kind: Kind, given_: Any) -> None:
    with pytest.raises(Unreadable) as caught:
        kind.read(given_)
    assert len(str(caught.value)) < 150


def test_a_field_and_an_item_are_named() -> None:
    with pytest.raises(Unreadable, match=r"^nonce: a number"):
        kinds.field({"nonce": "x"}, "nonce", kinds.read_quantity)
    with pytest.raises(Unreadable, match=r"^\[1\]: an address"):
        kinds.array(ADDRESS).read([A, "0x"])
    assert kinds.field({"nonce": None}, "nonce", kinds.read_quantity, 5) == 5


@given(st.integers(0, 2**256 - 1))
def test_quantities_are_read_as_written(value: int) -> None:
    written = QUANTITY.write(value)
    assert QUANTITY.read(written) == value
    assert written == "0x0" or not written.startswith("0x0")


@given(st.binary(max_size=80))
def test_data_are_read_as_written(value: bytes) -> None:
    assert DATA.read(DATA.write(value)) == value
