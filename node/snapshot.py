"""Gas snapshots: what each of a list of calls used, in the file format of `forge snapshot`.

A line is `Contract:function(types) (gas: 12345)`; lines are in order of their names.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evmc import U256, Address, Gas, Status
from ewasm.ruleset import Ruleset
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM
from node import defaults
from node.abi import AbiError, encode_call, parse_signature, revert_reason
from node.host import create_address
from node.transaction import InvalidTransaction, Receipt, Transaction, execute_transaction
from state import Database, GenesisAccount, Journal, WorldState
from wasm.engine import Engine

FILE: Final = ".gas-snapshot"
"""The name of a snapshot, unless another is given."""

_LINE: Final = re.compile(r"(?P<name>.+:\w+\s*\(.*\)) \(gas: (?P<gas>\d+)\)\s*")
_NAME: Final = re.compile(r"\w+\(.*\)")


class SnapshotError(Exception):
    """A snapshot or a list of calls that cannot be used: the message says where, what, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a contract, as a transaction; it must succeed, or fail if it `fails`."""

    name: str
    data: bytes
    value: U256
    gas: Gas
    sender: Address
    fails: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A contract and its calls, each on the state that the one before left.

    Code is deployed by a transaction if it is init code (`deploy`), else it is an account's from the start. The path is
    as in the list, relative to its directory.
    """

    name: str
    file: Path
    deploy: bool
    sender: Address
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What one call used before and now; None where there was or is no such call."""

    name: str
    before: Gas | None
    after: Gas | None

    @property
    def difference(self) -> int:
        """Gas more than before."""
        return (self.after or 0) - (self.before or 0)

    def exceeds(self, tolerance: float) -> bool:
        """Tell whether it changed by more than so many percent, or is new or gone."""
        if self.before is None or self.after is None:
            return True
        return abs(self.difference) * 100 > tolerance * self.before


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed between two snapshots, the smallest change in proportion first."""

    changes: tuple[Change, ...] = field(default=())

    @property
    def both(self) -> tuple[Change, ...]:
        """Calls that are in both."""
        return tuple(change for change in self.changes if change.before is not None and change.after is not None)

    def lines(self) -> Iterator[str]:
        """Yield the difference as `forge snapshot --diff` prints it, then calls that are new or gone."""
        for change in self.both:
            name = change.name.partition(":")[2]
            yield f"{name} (gas: {change.difference} ({_percent(change.difference, change.before or 0)}))"
        for change in self.changes:
            if change.before is None:
                yield f"{change.name} (gas: {change.after}), new"
            elif change.after is None:
                yield f"{change.name} (gas: {change.before}), gone"
        total = sum(change.difference for change in self.both)
        yield f"Overall gas change: {total} ({_percent(total, sum(change.before or 0 for change in self.both))})"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole if whole else 0:.3f}%"


def compare(before: Mapping[str, Gas], after: Mapping[str, Gas]) -> Difference:
    """Compare two snapshots."""
    changes = [Change(name, before.get(name), after.get(name)) for name in before.keys() | after.keys()]
    changes.sort(key=lambda change: (abs(change.difference) / (change.before or 1), change.name))
    return Difference(tuple(changes))


def render(snapshot: Mapping[str, Gas]) -> str:
    """Return a snapshot as its file has it."""
    return "".join(f"{name} (gas: {gas})\n" for name, gas in sorted(snapshot.items()))


def parse(text: str) -> dict[str, Gas]:
    """Read a snapshot file; raise `SnapshotError` that names the line."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise SnapshotError(f"line {number}: 'Contract:function(types) (gas: 12345)' is expected, not {line!r:.80}")
        found[match["name"]] = int(match["gas"])
    return found


# Lists of calls


def read_scripts(text: str) -> tuple[Script, ...]:
    """Read a list of calls in TOML; `docs/measuring.md` has an example. Raise `SnapshotError` that names the key."""
    try:
        given = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"not TOML: {error}") from error
    rows = _Table("", given)
    scripts = tuple(_script(row) for row in rows.tables("contract"))
    rows.end()
    if not scripts:
        raise SnapshotError("no [[contract]]: there is nothing to measure")
    names = [f"{script.name}:{step.name}" for script in scripts for step in script.steps]
    names += [f"{script.name}:constructor()" for script in scripts if script.deploy]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SnapshotError(f'{min(twice)} is there twice: give each call a name of its own, as name = "testSecond()"')
    return scripts


def _script(row: _Table) -> Script:
    deploy = row.text("deploy", None)
    code = row.text("code", None)
    if (deploy is None) is (code is None):
        raise SnapshotError(f"{row.where}: either deploy (a file of init code) or code (a contract's file) is expected")
    file = Path(deploy or code or "")
    name = row.text("name", file.stem)
    sender = row.address("sender", defaults.SENDER)
    steps = tuple(_step(call, sender) for call in row.tables("call"))
    row.end()
    if not re.fullmatch(r"\w+", name or ""):
        raise SnapshotError(f"{row.where}, name: letters, digits and _ are expected, not {name!r:.40}")
    return Script(name=name or "", file=file, deploy=deploy is not None, sender=sender, steps=steps)


def _step(row: _Table, sender: Address) -> Step:
    sig, data = row.text("sig", None), row.text("input", None)
    arguments = tuple(row.texts("arguments"))
    if (sig is None) is (data is None):
        raise SnapshotError(f"{row.where}: either sig or input is expected")
    try:
        encoded = (
            bytes.fromhex((data or "").removeprefix("0x"))
            if sig is None
            else encode_call(parse_signature(sig), arguments)
        )
    except AbiError as error:
        raise SnapshotError(f"{row.where}, sig: {error}") from error
    except ValueError as error:
        raise SnapshotError(f"{row.where}, input: bad hex: {error}") from error
    plain = None if sig is None else re.match(r"\w+\(.*?\)(?=\(|$)", sig.replace(" ", ""))
    name = row.text("name", plain[0] if plain else None)
    if name is None or not _NAME.fullmatch(name):
        raise SnapshotError(f'{row.where}, name: a name such as "testTransfer()" is expected, not {name!r:.40}')
    step = Step(
        name=name,
        data=encoded,
        value=U256(row.number("value", 0, (1 << 256) - 1)),
        gas=row.number("gas", defaults.GAS, (1 << 63) - 1),
        sender=row.address("sender", sender),
        fails=row.flag("fails"),
    )
    row.end()
    return step


class _Table:
    """A TOML table whose keys are taken one by one; `end` finds those that nobody knows."""

    def __init__(self, where: str, given: Mapping[str, Any]) -> None:
        self.where = where
        self._left = dict(given)

    def _take(self, key: str, default: Any, what: str, fits: type | tuple[type, ...]) -> Any:
        value = self._left.pop(key, default)
        if value is not default and (not isinstance(value, fits) or (isinstance(value, bool) and fits is not bool)):
            raise SnapshotError(f"{self.where}{', ' if self.where else ''}{key}: {what} is expected")
        return value

    def text(self, key: str, default: str | None) -> str | None:
        """Take a text."""
        value: str | None = self._take(key, default, "a text", str)
        return value

    def flag(self, key: str) -> bool:
        """Take true or false."""
        return bool(self._take(key, False, "true or false", bool))  # noqa: FBT003  # a default

    def number(self, key: str, default: int, most: int) -> int:
        """Take a whole number, also as a text where it is great."""
        value = self._take(key, default, "a whole number", (int, str))
        try:
            number = int(value, 0) if isinstance(value, str) else int(value)
        except ValueError:
            number = -1
        if not 0 <= number <= most:
            raise SnapshotError(f"{self.where}, {key}: a whole number from 0 to {most} is expected")
        return number

    def address(self, key: str, default: Address) -> Address:
        """Take an address."""
        value = self.text(key, None)
        try:
            return default if value is None else Address.from_hex(value)
        except ValueError:
            raise SnapshotError(f"{self.where}, {key}: an address of 40 hex digits is expected") from None

    def texts(self, key: str) -> list[str]:
        """Take a list of arguments, numbers as the texts they are."""
        values = self._take(key, [], "a list of texts and numbers", list)
        if not all(isinstance(value, str | int) for value in values):
            raise SnapshotError(f"{self.where}, {key}: a list of texts and numbers is expected")
        return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]

    def tables(self, key: str) -> list[_Table]:
        """Take a list of tables."""
        values = self._take(key, [], f"[[{key}]]", list)
        if not all(isinstance(value, dict) for value in values):
            raise SnapshotError(f"{self.where}{', ' if self.where else ''}{key}: [[{key}]] is expected")
        inside = f"{self.where}, " if self.where else ""
        return [_Table(f"{inside}{key} {number}", value) for number, value in enumerate(values, 1)]

    def end(self) -> None:
        """Find keys that nobody knows."""
        if self._left:
            raise SnapshotError(f"{self.where}{', ' if self.where else ''}{min(self._left)}: there is no such key")


# Measuring


def measure(
    scripts: tuple[Script, ...], codes: Mapping[Path, bytes], ruleset: Ruleset, engine: Engine
) -> dict[str, Gas]:
    """Execute every call as a transaction, each contract on a state of its own; return the gas that each used.

    Raise `SnapshotError` if a call does not end as its list says.
    """
    found: dict[str, Gas] = {}
    vm = EwasmVM(ruleset, engine)
    for script in scripts:
        accounts = {
            sender: GenesisAccount(balance=defaults.BALANCE)
            for sender in (script.sender, *(step.sender for step in script.steps))
        }
        address = create_address(script.sender, 0)
        code = codes[script.file]
        if not script.deploy:
            accounts[address] = GenesisAccount(nonce=1, code=code)
        world = WorldState.genesis(Database(), accounts)
        number = 0
        if script.deploy:
            deploying = Step(
                name="constructor()", data=code, value=U256(0), gas=1 << 40, sender=script.sender, fails=False
            )
            world, gas = _execute(vm, world, number := 1, script.name, deploying, None)
            found[f"{script.name}:constructor()"] = gas
        for step in script.steps:
            world, gas = _execute(vm, world, number := number + 1, script.name, step, address)
            found[f"{script.name}:{step.name}"] = gas
    return found


def _execute(
    vm: EwasmVM, world: WorldState, number: int, contract: str, step: Step, to: Address | None
) -> tuple[WorldState, Gas]:
    """Execute a step; return the state after, and the gas used."""
    journal = Journal(world)
    block = defaults.block(number, step.gas)
    tx = Transaction(
        sender=step.sender,
        to=to,
        nonce=journal.nonce(step.sender),
        gas_limit=step.gas,
        value=step.value,
        data=step.data,
    )
    try:
        receipt = execute_transaction(tx, journal, block, vm, vm.ruleset, system_contracts(vm.ruleset))
    except InvalidTransaction as error:
        raise SnapshotError(f"{contract}:{step.name}: {error}") from error
    if (receipt.result.status is not Status.SUCCESS) is not step.fails:
        raise SnapshotError(f"{contract}:{step.name}: {_outcome(receipt)}")
    return world.apply(receipt.diff), receipt.gas_used


def _outcome(receipt: Receipt) -> str:
    """Return how a call ended that should have ended otherwise."""
    status = receipt.result.status
    if status is Status.SUCCESS:
        return "it succeeded, and fails = true says that it does not"
    reason = revert_reason(receipt.result.output) if status is Status.REVERT else None
    return f"{status.name}{f': {reason}' if reason else ''}; if it is meant to fail, say fails = true"
