import inspect

import pytest

from evmc import ZERO_BYTES32, Bytes32, Host, MockHost, StorageStatus

ZERO, ONE, TWO = ZERO_BYTES32, Bytes32.from_int(1), Bytes32(b"\1" + bytes(31))


def test_storage_statuses_have_the_numbers_of_evmc() -> None:
    members = {name: int(status) for name, status in StorageStatus.__members__.items()}
    assert members == {"UNCHANGED": 0, "ADDED": 1, "DELETED": 2, "MODIFIED": 3}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (ZERO, ZERO, StorageStatus.UNCHANGED),
        (ONE, ONE, StorageStatus.UNCHANGED),
        (ZERO, ONE, StorageStatus.ADDED),
        (ZERO, TWO, StorageStatus.ADDED),
        (ONE, ZERO, StorageStatus.DELETED),
        (TWO, ZERO, StorageStatus.DELETED),
        (ONE, TWO, StorageStatus.MODIFIED),
        (TWO, ONE, StorageStatus.MODIFIED),
    ],
)
def test_storage_status(old: Bytes32, new: Bytes32, expected: StorageStatus) -> None:
    assert StorageStatus.of(old, new) is expected


def test_the_mock_is_a_host() -> None:
    wanted = {name: function for name, function in vars(Host).items() if not name.startswith("_")}
    assert len(wanted) == 12
    for name, function in wanted.items():
        assert inspect.signature(getattr(MockHost, name)) == inspect.signature(function), name
