"""The state: the trie and the store against py-trie, reading, growth, memory."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from itertools import count
from pathlib import Path

import lmdb
from Crypto.Hash import keccak as pycryptodome
from trie import HexaryTrie

try:
    import sha3
except ImportError:
    sha3 = None

from benchmarks.table import Table, Timed, in_turn, median, micro, ratio, timed, verdict
from evmc import U256, Address, Bytes32
from state import (
    Account,
    AccountDiff,
    Change,
    Database,
    Diff,
    GenesisAccount,
    Trie,
    WorldState,
    keccak256,
)
from state import Table as Rows
from state.codec import encode_string
from state.lmdb import LmdbStore
from state.world import genesis_diff

KEYS, BATCH, CONTRACTS, SLOTS = 100_000, 1_000, 100, 10
SIZES = (10_000, 100_000, 1_000_000)
CACHE_BYTES, STEP = 32 << 20, 10_000


def table(*, quick: bool) -> str:
    """Measure all there is to say of the state."""
    sizes = tuple(size // 10 for size in SIZES) if quick else SIZES
    rounds = 3 if quick else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = [
            building(KEYS // 10 if quick else KEYS, 1 if quick else 3),
            changing(folder, sizes[1], rounds),
            *growth_and_reads(folder, sizes, rounds),
            hashing(rounds),
        ]
    return "\n".join(map(str, tables))


def address(number: int) -> Address:
    """Return an address, the same in every run."""
    return Address(keccak256(b"%d" % number)[:20])


def addresses(number: int) -> list[Address]:
    """Return so many addresses."""
    return [address(n) for n in range(number)]


def wall(run: Callable[[], object]) -> float:
    """Return the seconds that something takes, disk included."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


# The trie alone


def building(keys: int, rounds: int) -> Table:
    """Put fresh keys into an empty trie in memory."""
    entries = {keccak256(b"%d" % n): encode_string(n.to_bytes(8, "big")) for n in range(keys)}
    roots = set()

    def ours() -> None:
        trie = Trie(Database())
        trie.update(entries)
        roots.add(bytes(trie.commit()))

    def peer() -> None:
        trie = HexaryTrie({})
        for key, value in entries.items():
            trie[key] = value
        roots.add(trie.root_hash)

    samples = in_turn({"ours": timed(ours), "peer": timed(peer)}, rounds, warm=False)
    if len(roots) != 1:
        raise SystemExit("the roots differ")
    times = ratio(samples, "peer", "ours")
    return Table(
        f"State: {keys:,} fresh 32-byte keys into an empty trie, and its root",
        ["", "ours", "py-trie", "ratio", "bound", ""],
        [["in memory", second(median(samples, "ours")), second(median(samples, "peer")), f"{times:.1f}", "≥ 10",
          verdict(times, 10, at_least=True)]],
    )  # fmt: skip


def second(seconds: float) -> str:
    """Write seconds."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


# Commits to disk


class PeerTable(MutableMapping[bytes, bytes]):
    """What py-trie stores in: new nodes wait in memory, `flush` writes them to LMDB in one transaction."""

    def __init__(self, path: Path) -> None:
        self.environment = lmdb.open(str(path), map_size=8 << 30)
        self.waiting: dict[bytes, bytes] = {}

    def __getitem__(self, key: bytes) -> bytes:
        if key in self.waiting:
            return self.waiting[key]
        with self.environment.begin() as transaction:
            found = transaction.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.waiting[key] = value

    def __delitem__(self, key: bytes) -> None:
        self.waiting.pop(key, None)

    def __iter__(self) -> Iterator[bytes]:
        raise TypeError

    def __len__(self) -> int:
        raise TypeError

    def flush(self) -> None:
        with self.environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(sorted(self.waiting.items()))
        self.waiting.clear()


class Peer:
    """Accounts in py-trie over LMDB."""

    def __init__(self, path: Path) -> None:
        self.table = PeerTable(path)
        self.trie = HexaryTrie(self.table)

    def load(self, nodes: Mapping[bytes, bytes], root: bytes) -> None:
        """Take over the nodes of ours, whose trie is the same: building takes py-trie minutes."""
        for key, value in nodes.items():
            self.table[key[-32:]] = value
        self.table.flush()
        self.trie = HexaryTrie(self.table, root)

    def change(self, diff: Diff) -> bytes:
        """Apply a diff of balances and slots."""
        trie = self.trie
        with trie.squash_changes() as batch:
            for address, change in diff.accounts.items():
                key = keccak256(address)
                account = Account.decode(batch[key])
                storage_root = account.storage_root
                if change.slots:
                    storage = HexaryTrie(self.table, bytes(storage_root))
                    with storage.squash_changes() as slots:
                        for slot, value in change.slots.items():
                            slots[keccak256(slot)] = encode_string(value.after.lstrip(b"\0"))
                    storage_root = Bytes32(storage.root_hash)
                balance = account.balance if change.balance is None else change.balance.after
                batch[key] = Account(account.nonce, balance, storage_root, account.code_hash).encode()
        self.table.flush()
        return bytes(trie.root_hash)


class Ours:
    """The same accounts in a state of ours."""

    def __init__(self, world: WorldState) -> None:
        self.world = world

    def change(self, diff: Diff) -> bytes:
        """Apply a diff, and have it on disk."""
        self.world = self.world.apply(diff)
        return bytes(self.world.root)


class Changes:
    """Diffs of a state that follow one another: random accounts, or slots of some contracts."""

    def __init__(self, who: list[Address]) -> None:
        self.who, self.contracts = who, who[:CONTRACTS]
        self.slots = [Bytes32.from_int(n) for n in range(100)]
        self.balances = dict.fromkeys(who, U256(1))
        self.values = {(address, key): Bytes32.from_int(1) for address in self.contracts for key in self.slots}
        self.draw, self.fresh = random.Random(1), count(2)

    def genesis(self) -> dict[Address, GenesisAccount]:
        """Return the accounts that the first diff begins from."""
        storage = dict.fromkeys(self.slots, Bytes32.from_int(1))
        plain = {address: GenesisAccount(balance=U256(1)) for address in self.who}
        return plain | {address: GenesisAccount(balance=U256(1), storage=storage) for address in self.contracts}

    def of_accounts(self) -> Diff:
        """Return new balances of random accounts."""
        value = U256(next(self.fresh))
        changed = {
            address: AccountDiff(balance=Change(self.balances[address], value))
            for address in sorted(self.draw.sample(self.who, BATCH))
        }
        self.balances.update(dict.fromkeys(changed, value))
        return Diff(changed)

    def of_slots(self) -> Diff:
        """Return new values of random slots of every contract."""
        value, changed = Bytes32.from_int(next(self.fresh)), {}
        for address in sorted(self.contracts):
            keys = self.draw.sample(self.slots, SLOTS)
            changed[address] = AccountDiff(slots={key: Change(self.values[address, key], value) for key in keys})
            self.values.update({(address, key): value for key in keys})
        return Diff(changed)


def compared(
    diff: Callable[[], Diff], sides: Mapping[str, Callable[[Diff], bytes]], rounds: int
) -> dict[str, list[float]]:
    """Apply one diff a round on every side, and see that the roots are the same; the first round is not counted."""
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        change, roots = diff(), set()
        for name in list(sides)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            roots.add(sides[name](change))
            if number:
                samples[name].append(time.perf_counter() - start)
        if len(roots) != 1:
            raise SystemExit("the roots differ")
    return samples


def changing(folder: Path, size: int, rounds: int) -> Table:
    """Change accounts and slots of a state on disk, root and commit included."""
    result = Table(
        f"State: changes to {size:,} accounts in LMDB, root and commit included",
        ["change", "ours", "py-trie over LMDB", "ratio", "bound", ""],
        notes=["py-trie takes a trie's changes in one `squash_changes`; its nodes, by hash, go into one transaction."],
    )
    changes = Changes(addresses(size))
    with LmdbStore(folder / "changing", create=True) as store:
        ours, peer = Ours(WorldState.genesis(Database(store), changes.genesis())), Peer(folder / "peer")
        peer.load(dict(store.items(Rows.NODES)), ours.world.root)
        for name, diff, bound in (
            (f"{BATCH:,} random balances", changes.of_accounts, 5),
            (f"{SLOTS} slots in each of {CONTRACTS} contracts", changes.of_slots, None),
        ):
            samples = compared(diff, {"ours": ours.change, "peer": peer.change}, rounds)
            times = ratio(samples, "peer", "ours")
            end = ["", "for information"] if bound is None else [f"≥ {bound}", verdict(times, bound, at_least=True)]
            both = [second(median(samples, which)) for which in ("ours", "peer")]
            result.rows.append([name, *both, f"{times:.1f}", *end])
        peer.table.environment.close()
    return result


# Size


def growing(folder: Path, sizes: tuple[int, ...]) -> None:
    """Build a state in steps, with a small cache; print the memory that this took up to each size, in MiB."""
    with LmdbStore(folder, create=True) as store:
        world = WorldState(Database(store, cache_bytes=CACHE_BYTES))
        base, most, made = own_memory(), 0, 0
        for size in sizes:
            while made < size:
                step = min(STEP, size - made)
                world = world.apply(
                    genesis_diff({address(made + n): GenesisAccount(balance=U256(1)) for n in range(step)})
                )
                made += step
                most = max(most, own_memory() - base)
            store.write({Rows.ROOTS: {size.to_bytes(8, "big"): world.root}})
            print(most >> 10, flush=True)


def own_memory() -> int:
    """Return the memory of this process that is not a mapped file, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0])


def growth_and_reads(folder: Path, sizes: tuple[int, ...], rounds: int) -> list[Table]:
    """Build a state in a process of its own, then time commits at each size and reads at the last."""
    code = f"from benchmarks.state import *; growing(Path({str(folder / 'growing')!r}), {sizes})"
    built = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    memory = [int(line) for line in built.stdout.split()]
    who = addresses(sizes[-1])
    with LmdbStore(folder / "growing") as store:
        roots = {int.from_bytes(key, "big"): Bytes32(root) for key, root in store.items(Rows.ROOTS)}
        size = store.size
        reads = reading(store, roots[sizes[-1]], who, rounds)
        samples: dict[str, list[float]] = {str(each): [] for each in sizes}
        nodes = {}
        worlds = {each: WorldState(Database(store), roots[each]) for each in sizes}
        changes = {each: Changes(who[:each]) for each in sizes}
        for number in range(2 * rounds + 1):
            for each in sizes[:: -1 if number % 2 else 1]:
                diff = changes[each].of_accounts()
                start = time.perf_counter()
                worlds[each], draft = worlds[each].changed(diff)
                store.write(draft)
                took = time.perf_counter() - start
                nodes[each] = len(draft[Rows.NODES])
                if number:
                    samples[str(each)].append(took)
    result = Table(
        f"State: a commit of {BATCH:,} changed accounts to LMDB, as the state grows",
        ["accounts", "commit", "nodes written", "time over the first", "nodes over the first", "bound", ""],
        notes=[
            f"All sizes are roots of one database of {size / (1 << 20):,.0f} MiB. The work of a commit is its nodes.",
            "Their number grows with the logarithm of the state; time may grow as they do, and 25 % more for noise.",
        ],
    )
    for each in sizes:
        times, more = ratio(samples, str(each), str(sizes[0])), nodes[each] / nodes[sizes[0]]
        end = ["", ""] if each == sizes[0] else [f"≤ {1.25 * more:.2f}", verdict(times, 1.25 * more)]
        result.rows.append(
            [f"{each:,}", second(median(samples, str(each))), f"{nodes[each]:,}", f"{times:.2f}", f"{more:.2f}", *end]
        )
    bound = (CACHE_BYTES >> 20) + 256
    used = Table(
        f"State: memory above an empty process while accounts are made, {STEP:,} a commit",
        ["accounts", "MiB at most", "bound", ""],
        notes=[
            f"The cache of decoded nodes is set to {CACHE_BYTES >> 20} MiB.",
            "Recent accounts and remembered hashes of keys are at most 65,536 each.",
            "256 MiB are allowed for these, a step, and the interpreter's own. Mapped pages of the file do not count.",
        ],
    )
    for each, most in zip(sizes, memory, strict=True):
        used.rows.append([f"{each:,}", f"{most:,}", f"≤ {bound}", verdict(most, bound)])
    return [result, reads, used]


def reading(store: LmdbStore, root: Bytes32, who: list[Address], rounds: int) -> Table:
    """Read random accounts: for the first time in a process, again, and their leaves by a plain lookup."""
    draw = random.Random(2)
    number = 2_000
    leaves = [key for key, _ in zip(store.items(Rows.NODES), range(200_000), strict=False)]
    keys = [key for key, _ in draw.sample(leaves, number)]
    found = {"plain": 0.0, "cold": 0.0, "warm": 0.0}
    samples: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        chosen = draw.sample(who, number)
        world = WorldState(Database(store), root)
        get, account = store.get, world.account
        samples["plain"].append(wall(lambda get=get: [get(Rows.NODES, key) for key in keys]) / number)  # type: ignore[misc]
        for name in ("cold", "warm"):
            samples[name].append(
                wall(lambda account=account, chosen=chosen: [account(each) for each in chosen]) / number  # type: ignore[misc]
            )
    rows = []
    for name, what, bound in (
        ("plain", "plain `get` of a node", None),
        ("cold", "account, nothing decoded before", None),
        ("warm", "account, read before", 200_000),
    ):
        rate = 1 / median(samples, name)
        end = ["", "for information"] if bound is None else [f"≥ {bound:,}", verdict(rate, bound, at_least=True)]
        rows.append([what, micro(median(samples, name)), f"{rate:,.0f}", *end])
    return Table(
        f"State: random accounts of {len(who):,}, read from LMDB",
        ["read", "each", "a second", "bound", ""],
        rows,
        ["The system has the database in memory; cold reads walk the trie, and check and decode each of its nodes."],
    )


# Hashing


def hashing(rounds: int) -> Table:
    """Hash with each backend."""
    backends: dict[str, Callable[[bytes], bytes]] = {
        "pycryptodome": lambda data: pycryptodome.new(digest_bits=256, data=data).digest()
    }
    if sha3 is not None:
        backends["safe-pysha3 (extra `fast`)"] = lambda data: bytes(sha3.keccak_256(data).digest())
    result = Table("Keccak-256: time for one hash", ["bytes", *backends, "chosen"], [])
    chosen = "safe-pysha3" if len(backends) > 1 else "pycryptodome"
    for size in (32, 136, 532, 4_096, 65_536):
        data, times = bytes(size), max(20, 20_000_000 // (size + 2_000))
        samples = in_turn({name: repeated(run, data, times // 10) for name, run in backends.items()}, rounds)
        result.rows.append([f"{size:,}", *(micro(median(samples, name)) for name in backends), chosen])
    return result


def repeated(run: Callable[[bytes], bytes], data: bytes, times: int) -> Timed:
    """Return what hashes so many times and tells the seconds of one."""
    return lambda: wall(lambda: [run(data) for _ in range(times)]) / times
