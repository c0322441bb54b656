import copy
import pickle

import pytest

from evmc import U256, ZERO_ADDRESS, ZERO_BYTES32, Address, Bytes32

WIDTHS = [(Address, 20), (Bytes32, 32)]
FixedBytes = type[Address] | type[Bytes32]


@pytest.mark.parametrize(("kind", "width"), WIDTHS)
def test_bytes_have_one_length(kind: FixedBytes, width: int) -> None:
    raw = bytes(range(1, width + 1))
    value = kind(raw)
    assert value == raw
    assert hash(value) == hash(raw)
    assert bytes(value) == raw
    assert len(value) == width
    for wrong in (0, 1, width - 1, width + 1, 2 * width):
        with pytest.raises(ValueError, match=f"{kind.__name__} takes {width} bytes, not {wrong}"):
            kind(bytes(wrong))


@pytest.mark.parametrize(("kind", "width"), WIDTHS)
def test_a_number_is_not_a_length(kind: FixedBytes, width: int) -> None:
    with pytest.raises(TypeError):
        kind(width)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        kind("x" * width)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "width"), WIDTHS)
def test_hex(kind: FixedBytes, width: int) -> None:
    digits = bytes(range(0xA0, 0xA0 + width)).hex()
    for text in (digits, "0x" + digits, digits.upper()):
        assert kind.from_hex(text).hex() == digits
    assert str(kind.from_hex(digits)) == f"0x{digits}"
    assert repr(kind.from_hex(digits)) == f"{kind.__name__}(0x{digits})"
    for wrong in ("", "0x", digits[:-2], digits[:-1], digits + "00", digits[:-1] + "g", "0x0x" + digits):
        with pytest.raises(ValueError):
            kind.from_hex(wrong)


@pytest.mark.parametrize(("kind", "width"), WIDTHS)
def test_integers_are_big_endian(kind: FixedBytes, width: int) -> None:
    assert kind.from_int(0) == bytes(width)
    assert kind.from_int(0x1234) == bytes(width - 2) + b"\x12\x34"
    assert kind.from_int((1 << 8 * width) - 1) == b"\xff" * width
    for wrong in (-1, 1 << 8 * width):
        with pytest.raises(OverflowError):
            kind.from_int(wrong)


@pytest.mark.parametrize("value", [Address(bytes(range(20))), Bytes32(bytes(range(32))), U256(7)])
def test_copies_keep_type_and_value(value: Address | Bytes32 | U256) -> None:
    for same in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert same == value
        assert type(same) is type(value)


def test_zeros() -> None:
    assert (type(ZERO_ADDRESS), ZERO_ADDRESS) == (Address, bytes(20))
    assert (type(ZERO_BYTES32), ZERO_BYTES32) == (Bytes32, bytes(32))


def test_u256_range() -> None:
    for value in (0, 1, 1 << 128, (1 << 256) - 1):
        assert U256(value) == value
    for value in (-1, 1 << 256, 1 << 300):
        with pytest.raises(ValueError, match="is not an unsigned 256-bit number"):
            U256(value)


def test_wrapping_a_sum_is_the_overflow_check() -> None:
    most = U256((1 << 256) - 1)
    assert type(most + 1) is int
    with pytest.raises(ValueError):
        U256(most + 1)
    with pytest.raises(ValueError):
        U256(U256(0) - 1)
