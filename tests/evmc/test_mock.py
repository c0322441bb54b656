import hashlib

import pytest

from evmc import (
    U256,
    ZERO_BYTES32,
    Address,
    Bytes32,
    CallKind,
    Gas,
    Log,
    Message,
    MockAccount,
    MockHost,
    Result,
    Status,
    StorageStatus,
    TxContext,
)

HERE, THERE = Address.from_int(0xA), Address.from_int(0xB)
KEY, ONE, TWO = (Bytes32.from_int(number) for number in (7, 1, 2))


def test_accounts() -> None:
    host = MockHost({HERE: MockAccount(U256(5), b"abcdef", {KEY: ONE})})
    assert (host.account_exists(HERE), host.account_exists(THERE)) == (True, False)
    assert (host.get_balance(HERE), host.get_balance(THERE)) == (5, 0)
    assert (host.get_code_size(HERE), host.get_code_size(THERE)) == (6, 0)
    assert (host.get_storage(HERE, KEY), host.get_storage(HERE, ONE)) == (ONE, ZERO_BYTES32)
    assert host.get_storage(THERE, KEY) == ZERO_BYTES32
    assert list(host.accounts) == [HERE]  # asking makes no account


def test_code() -> None:
    host = MockHost({HERE: MockAccount(code=b"abcdef")})
    assert host.copy_code(HERE, 0, 6) == b"abcdef"
    assert host.copy_code(HERE, 2, 3) == b"cde"
    assert host.copy_code(HERE, 4, 10) == b"ef"
    assert host.copy_code(HERE, 6, 1) == host.copy_code(HERE, 99, 1) == host.copy_code(THERE, 0, 1) == b""


def test_code_hash_is_given() -> None:
    host = MockHost({HERE: MockAccount(code=b"abc")}, code_hash=lambda code: Bytes32(hashlib.sha256(code).digest()))
    assert host.get_code_hash(HERE) == hashlib.sha256(b"abc").digest()
    assert host.get_code_hash(THERE) == ZERO_BYTES32
    assert MockHost({HERE: MockAccount(code=b"abc")}).get_code_hash(HERE) == ZERO_BYTES32


def test_storage_tells_what_a_write_changed() -> None:
    host = MockHost()
    for value, expected in (
        (ZERO_BYTES32, StorageStatus.UNCHANGED),
        (ONE, StorageStatus.ADDED),
        (ONE, StorageStatus.UNCHANGED),
        (TWO, StorageStatus.MODIFIED),
        (ZERO_BYTES32, StorageStatus.DELETED),
    ):
        assert host.set_storage(THERE, KEY, value) is expected
        assert host.get_storage(THERE, KEY) == value
    assert host.get_storage(HERE, KEY) == ZERO_BYTES32


@pytest.mark.parametrize("kind", [CallKind.CALL, CallKind.CALLCODE, CallKind.DELEGATECALL])
def test_by_default_nobody_has_code(kind: CallKind) -> None:
    host = MockHost()
    message = Message(kind=kind, gas=77, code_address=THERE)
    assert host.call(message) == Result(Status.SUCCESS, 77)
    assert host.calls == [message]


@pytest.mark.parametrize("kind", [CallKind.CREATE, CallKind.CREATE2])
def test_by_default_creations_fail(kind: CallKind) -> None:
    host = MockHost()
    assert host.call(Message(kind=kind, gas=77, input=b"code")) == Result(Status.FAILURE)
    assert len(host.calls) == 1


def test_precompiles_come_before_other_answers() -> None:
    def double(data: bytes, gas: Gas) -> Result:
        return Result(Status.SUCCESS, gas - 1, data * 2)

    host = MockHost(precompiles={THERE: double}, on_call=lambda message: Result(Status.REVERT, message.gas, b"other"))
    for kind in (CallKind.CALL, CallKind.CALLCODE, CallKind.DELEGATECALL):
        assert host.call(Message(kind=kind, gas=5, code_address=THERE, input=b"ab")).output == b"abab"
    assert host.call(Message(gas=5, code_address=HERE, recipient=THERE)).output == b"other"
    assert host.call(Message(kind=CallKind.CREATE, gas=5, code_address=THERE)).output == b"other"
    assert len(host.calls) == 5


def test_the_rest_is_recorded_or_given() -> None:
    context = TxContext(number=9)
    host = MockHost(tx_context=context, block_hashes={8: ONE})
    logs = [Log(HERE, (KEY,), b"data"), Log(THERE, (), b"")]
    for log in logs:
        host.emit_log(log)
    host.selfdestruct(HERE, THERE)
    host.selfdestruct(HERE, HERE)
    assert host.logs == logs
    assert host.destroyed == [(HERE, THERE), (HERE, HERE)]
    assert host.get_tx_context() is context
    assert (host.get_block_hash(8), host.get_block_hash(7)) == (ONE, None)


def test_mocks_share_nothing() -> None:
    first, second = MockHost(), MockHost()
    first.set_storage(HERE, KEY, ONE)
    first.call(Message(gas=0))
    first.emit_log(Log(HERE, (), b""))
    first.selfdestruct(HERE, THERE)
    assert (second.accounts, second.calls, second.logs, second.destroyed) == ({}, [], [], [])
