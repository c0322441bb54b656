"""Export and import: the same state comes out, and whatever is wrong with a stream is said with its line."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evmc import U256, Address, Bytes32
from state import Database, GenesisAccount, MemoryStore, Store, Table, WorldState, keccak256, transfer
from state.history import recorded_roots, world_at
from state.prune import SWEPT, prune
from state.transfer import (
    MadeWith,
    StateHeader,
    TransferError,
    Transferred,
    export_state,
    import_state,
    is_packed,
    packing,
    unpacking,
)
from tests.state.chains import needed
from tests.state.test_world import GENESES

RULES = MadeWith("ewasm", "ab" * 32)
A, B, C = sorted((Address.from_int(number) for number in (0xA, 0xB, 0xC)), key=keccak256)


def word(number: int) -> Bytes32:
    return Bytes32.from_int(number)


ACCOUNTS = {
    A: GenesisAccount(nonce=3, balance=U256(2**255), code=b"code", storage={word(n): word(n + 1) for n in range(5)}),
    B: GenesisAccount(),
    C: GenesisAccount(nonce=2**64 - 1, code=b"code"),
}


def exported(accounts: dict[Address, GenesisAccount], number: int = 7, ruleset: MadeWith | None = RULES) -> bytes:
    file = BytesIO()
    export_state(WorldState.genesis(Database(), accounts), number, file, ruleset)
    return file.getvalue()


def imported(stream: bytes, store: Store | None = None) -> tuple[Database, StateHeader, Transferred]:
    database = Database(MemoryStore() if store is None else store)
    header, done = import_state(database, BytesIO(stream))
    return database, header, done


@settings(deadline=None)
@given(GENESES, st.integers(0, 2**53 - 1))
def test_the_same_state_comes_out(accounts: dict[Address, GenesisAccount], number: int) -> None:
    assume(sum(account.balance for account in accounts.values()) < 1 << 256)
    stream = exported(accounts, number)
    database, header, done = imported(stream)
    root = WorldState.genesis(Database(), accounts).root
    assert header == StateHeader(number=number, root=root, ruleset=RULES)
    assert list(recorded_roots(database.store)) == [(number, root)]
    assert {table: dict(database.store.items(table)) for table in SWEPT} == needed(accounts)
    slots = sum(any(value) for account in accounts.values() for value in account.storage.values())
    assert done == Transferred(len(accounts), slots, 1.0)
    again = BytesIO()
    assert export_state(world_at(database, number), number, again, RULES) == done
    assert again.getvalue() == stream


def test_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SLOTS_A_LINE", 2)
    header, *accounts, end = map(json.loads, exported(ACCOUNTS, ruleset=None).splitlines())
    root = str(WorldState.genesis(Database(), ACCOUNTS).root)
    assert header == {"format": "ewasm-state", "version": 1, "number": 7, "root": root}
    assert end == {"end": {"accounts": 3, "slots": 5}}
    assert [line["address"] for line in accounts] == [str(each) for each in (A, A, A, B, C)]
    assert [len(line.get("slots", ())) for line in accounts] == [2, 2, 1, 0, 0]
    slots = [slot for line in accounts[:3] for slot in line["slots"]]
    assert slots == sorted(
        ([str(key), str(value)] for key, value in ACCOUNTS[A].storage.items()),
        key=lambda slot: keccak256(bytes.fromhex(slot[0][2:])),
    )
    first = {key: value for key, value in accounts[0].items() if key not in ("slots", "leaf")}
    assert first == {"address": str(A), "nonce": 3, "balance": hex(2**255), "code": "0x" + b"code".hex()}


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("slots", [1, 2, 5, 100])
def test_batches_and_pieces_make_no_difference(
    new_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch, batch: int, slots: int
) -> None:
    monkeypatch.setattr(transfer, "_BATCH", batch)
    monkeypatch.setattr(transfer, "SLOTS_A_LINE", slots)
    accounts = {
        Address.from_int(n): GenesisAccount(n, storage={word(m): word(m + 1) for m in range(n % 7)}) for n in range(40)
    }
    database, _, _ = imported(exported(accounts), new_store())
    prune(database, 1)
    assert {table: dict(database.store.items(table)) for table in SWEPT} == needed(accounts)


def test_neither_way_holds_the_state_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One account has most of the slots, and all of them take far more than what is allowed."""
    monkeypatch.setattr(transfer, "_BATCH", 256)
    from state.lmdb import LmdbStore

    accounts = {A: GenesisAccount(storage={word(n): word(n + 1) for n in range(4_000)})}
    stream = exported(accounts)
    del accounts
    path = tmp_path / "state.jsonl"
    path.write_bytes(stream)
    size = len(stream)
    del stream
    with LmdbStore(tmp_path / "store", create=True) as store, path.open("rb") as file:
        tracemalloc.start()
        try:
            database = Database(store, cache_bytes=1 << 16)
            import_state(database, file)
            with Path("/dev/null").open("wb") as nowhere:
                export_state(world_at(database, 7), 7, nowhere)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert size > 500_000
    assert peak < 3_000_000


def test_gzip(tmp_path: Path) -> None:
    stream, packed = exported(ACCOUNTS), BytesIO()
    for _ in range(2):
        packed = BytesIO()
        with packing(packed) as file:
            file.write(stream)
    assert gzip.decompress(packed.getvalue()) == stream
    with unpacking(BytesIO(packed.getvalue())) as file:
        assert import_state(Database(), file)[1].accounts == 3
    assert [is_packed(Path(name)) for name in ("a.jsonl.gz", "a.jsonl", "gz")] == [True, False, False]


def test_progress_rises() -> None:
    there: list[Transferred] = []
    back: list[Transferred] = []
    import_state(Database(), BytesIO(exported(ACCOUNTS)), listener=there.append)
    export_state(WorldState.genesis(Database(), ACCOUNTS), 1, BytesIO(), listener=back.append)
    for seen in (there, back):
        fractions = [done.fraction for done in seen]
        assert fractions == sorted(fractions)
        assert 0 <= fractions[0] < fractions[-1] <= 1
        assert (seen[-1].accounts, seen[-1].slots) == (3, 5)


# What is refused


def refused(stream: bytes, *, packed: bool = False) -> str:
    """Return what is said; see that nothing is recorded."""
    database = Database()
    with (unpacking if packed else nullcontext)(BytesIO(stream)) as file, pytest.raises(TransferError) as raised:
        import_state(database, file)
    assert list(database.store.items(Table.ROOTS)) == []
    assert list(database.store.items(Table.META)) == []
    return str(raised.value)


LINES = exported(ACCOUNTS).splitlines(keepends=True)
LAST = len(LINES)


def changed(line: int, change: dict[str, Any]) -> bytes:
    """Return the stream with other values in a line, counted from 1; None leaves a key out."""
    given = {**json.loads(LINES[line - 1]), **change}
    text = json.dumps({key: value for key, value in given.items() if value is not None}).encode() + b"\n"
    return b"".join([*LINES[: line - 1], text, *LINES[line:]])


def test_a_stream_that_is_cut_off() -> None:
    stream = b"".join(LINES)
    for end in range(len(stream) - 1):
        line = stream[: end + 1].count(b"\n") + 1  # one that lacks its line end only is whole
        assert refused(stream[:end]).startswith(f"line {line}: the file is cut off here"), end
    imported(stream[:-1])


def test_a_packed_stream_that_is_cut_off_or_damaged() -> None:
    stream = gzip.compress(b"".join(LINES), mtime=0)
    for end in (0, *range(2, len(stream))):
        assert "cut off here" in refused(stream[:end], packed=True), end
    assert refused(stream[:1], packed=True).startswith("line 1: not gzip")
    for place in range(10, len(stream)):
        damaged = bytearray(stream)
        damaged[place] ^= 0x55
        assert refused(bytes(damaged), packed=True).startswith("line ")
    assert refused(b"".join(LINES), packed=True).startswith("line 1: not gzip, or damaged (")
    assert refused(stream).startswith("line 1: not JSON")


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"", "line 1: the file is cut off here"),
        (b"\xff\n", "line 1: not JSON"),
        (b"[" * 100_000 + b"\n", "line 1: not JSON"),
        (b"[]\n", "line 1: not a JSON object"),
        (b"{}\n", "line 1: not the export of a state, which begins with the format ewasm-state"),
        (changed(1, {"version": 2}), "line 1: version 2, this one reads version 1"),
        (changed(1, {"number": None}), "line 1: number is missing"),
        (changed(1, {"number": 2**53}), f"line 1: number: {2**53} is not a whole number from 0 to {2**53 - 1}"),
        (changed(1, {"number": True}), "line 1: number: True is not a whole number"),
        (changed(1, {"root": "0x12"}), "line 1: root: '0x12' is not 32 bytes in hex, with 0x"),
        (changed(1, {"ruleset": {"name": "ewasm"}}), "line 1: ruleset: a name and a hash are expected"),
        (changed(1, {"rules": 1}), "line 1: 'rules' is unknown"),
        (changed(1, {"root": "0x" + "11" * 32}), f"line {LAST}: the accounts have root 0x"),
        (changed(2, {"address": 5}), "line 2: address: 5 is not 20 bytes in hex, with 0x"),
        (changed(2, {"nonce": 4}), f"line 2: account {A} is not what it was when it was exported"),
        (changed(2, {"balance": "0x1"}), f"line 2: account {A} is not what it was when it was exported"),
        (changed(2, {"code": "0x"}), f"line 2: account {A} is not what it was when it was exported"),
        (changed(2, {"slots": []}), f"line 2: account {A} is not what it was when it was exported"),
        (changed(2, {"nonce": 4, "leaf": None}), f"line {LAST}: the accounts have root 0x"),
        (changed(2, {"nonce": -1}), "line 2: nonce: -1 is not a whole number from 0 to"),
        (changed(2, {"nonce": 2**64}), "line 2: nonce: 18446744073709551616 is not a whole number from 0 to"),
        (changed(2, {"balance": 1}), "line 2: balance: 1 is not a number of at most 256 bits in hex, with 0x"),
        (changed(2, {"balance": "0x1" + "0" * 64}), "line 2: balance: '0x1000"),
        (changed(2, {"balance": "0x" + "f" * 9_000}), "line 2: balance: '0xffff"),
        (changed(3, {"balance": "0x" + "f" * 64}), "line 3: the balances up to here add up to more than 256 bits"),
        (changed(2, {"code": "0x0"}), "line 2: code: '0x0' is not bytes in hex, with 0x"),
        (changed(2, {"code": None}), "line 2: code is missing"),
        (changed(2, {"colour": "red"}), "line 2: 'colour' is unknown"),
        (changed(2, {"slots": {}}), "line 2: slots: a list of pairs is expected"),
        (changed(2, {"slots": ["0x"]}), "line 2: slots: a list of pairs is expected"),
        (changed(2, {"slots": [["0x", {}]]}), "line 2: slots: '0x' is not 32 bytes in hex, with 0x"),
        (changed(2, {"slots": [[str(word(1)), str(word(0))]]}), f"line 2: slot {word(1)} is zero"),
        (changed(2, {"slots": [[str(word(1))] * 2] * 2}), f"line 2: slot {word(1)} is out of order"),
        (b"".join([*LINES[:2], *LINES[1:]]), f"line 3: account {A} stands twice, here and in line 2"),
        (b"".join([*LINES[:3], *LINES[1:]]), f"line 4: account {A} is out of order"),
        (b"".join([LINES[0], LINES[2], LINES[1], *LINES[3:]]), f"line 3: account {A} is out of order"),
        (b"".join([*LINES[:2], *LINES[3:]]), f"line {LAST - 1}: there were 2 accounts and 5 slots, here stands"),
        (changed(LAST, {"end": {"accounts": 3, "slots": 6}}), f"line {LAST}: there were 3 accounts and 5 slots"),
        (changed(LAST, {"end": None, "address": str(A)}), f"line {LAST}: "),
        (b"".join([*LINES, b"\n"]), f"line {LAST + 1}: something follows the end of the state"),
        (b"".join([LINES[0], b"\n", *LINES[1:]]), "line 2: not JSON"),
    ],
)
def test_a_stream_that_is_wrong(stream: bytes, said: str) -> None:
    assert refused(stream).startswith(said)


def test_a_line_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_LINE", 1_000)
    assert refused(LINES[0] + b" " * 2_000) == "line 2: longer than 1,000 bytes, which is no line of a state"


def test_no_byte_can_be_changed_unseen() -> None:
    """But for the block's number, the ruleset, and what JSON leaves open, such as a space."""
    state = {table: dict(imported(b"".join(LINES))[0].store.items(table)) for table in SWEPT}
    for place in range(len(LINES[0]), len(b"".join(LINES))):
        damaged = bytearray(b"".join(LINES))
        damaged[place] ^= 0x01
        try:
            database, _, _ = imported(bytes(damaged))
        except TransferError:
            continue
        assert {table: dict(database.store.items(table)) for table in SWEPT} == state, place


def test_a_store_with_a_state_is_left_alone() -> None:
    database, _, _ = imported(b"".join(LINES))
    before = [list(database.store.items(table)) for table in Table]
    with pytest.raises(TransferError, match="the store has a state already, after block 7; import into a new one"):
        import_state(database, BytesIO(b"".join(LINES)))
    assert [list(database.store.items(table)) for table in Table] == before


def test_the_caller_may_refuse_and_add() -> None:
    class Other(Exception):
        pass

    def refuse(header: StateHeader) -> Any:
        assert header.ruleset == RULES
        raise Other

    database = Database()
    with pytest.raises(Other):
        import_state(database, BytesIO(b"".join(LINES)), refuse)
    import_state(database, BytesIO(b"".join(LINES)), lambda _header: {Table.META: {b"a": b"b"}})
    assert database.store.get(Table.META, b"a") == b"b"


def test_an_import_that_was_ended_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it left is of no state, and goes when the store is pruned."""
    monkeypatch.setattr(transfer, "_BATCH", 1)
    database = Database()
    with pytest.raises(TransferError):
        import_state(database, BytesIO(exported({A: GenesisAccount(nonce=9), C: GenesisAccount(code=b"x")})[:-3]))
    assert list(database.store.items(Table.NODES))
    import_state(database, BytesIO(b"".join(LINES)))
    prune(database, 1)
    assert {table: dict(database.store.items(table)) for table in SWEPT} == needed(ACCOUNTS)
