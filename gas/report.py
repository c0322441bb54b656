"""A profile for people and tools: names, JSON, folded stacks, speedscope files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from gas.meter import PARTICLES
from gas.profile import Failure, LastCall, Place, Profile, Spent
from gas.symbols import Line, Symbols

SHOWN: Final = 100
"""Names that are shown of either end of a path."""

VERSION: Final = 1
"""Version of the JSON form."""


def amount(particles: int) -> str:
    """Return particles as gas, exact to the particle."""
    whole, part = divmod(abs(particles), PARTICLES)
    return f"{'-' if particles < 0 else ''}{whole:,}.{part:04}"


class Labels:
    """Names of what a profile speaks of."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.symbols = [Symbols(contract.code) for contract in profile.contracts]

    def function(self, contract: int, function: int) -> str:
        """Return the name of a function."""
        return self.symbols[contract].function(function)

    def contract(self, contract: int) -> str:
        """Return what a contract is called: its address, told from init code."""
        found = self.profile.contracts[contract]
        return f"init code of {found.address}" if found.creation else found.address

    def node(self, index: int) -> str:
        """Return what a node is called."""
        node = self.profile.nodes[index]
        if node.kind == "root":
            return "all"
        if node.kind == "contract" and node.contract is not None:
            return self.contract(node.contract)
        if node.function is not None and node.contract is not None:
            return self.function(node.contract, node.function)
        return node.name

    def call(self, call: LastCall) -> str:
        """Return what was called."""
        return call.name if call.function is None else self.function(call.contract, call.function)

    def place(self, place: Place) -> str:
        """Return a place: contract, function, offset."""
        where = f"{self.contract(place.contract)} {self.function(place.contract, place.function)}"
        if place.offset is None:
            return where
        line = self.symbols[place.contract].line(place.offset)
        return f"{where} at {place.offset:#x}" + (f", {line}" if line else "")


def as_json(profile: Profile, labels: Labels) -> dict[str, Any]:
    """Return a profile as JSON has it; `docs/measuring.md` lists the keys."""
    nodes = profile.nodes
    return {
        "version": VERSION,
        "particles_per_gas": PARTICLES,
        "particles": profile.particles,
        "instructions": profile.instructions,
        "shares": profile.shares,
        "contracts": [
            {"address": contract.address, "creation": contract.creation, "size": len(contract.code)}
            for contract in profile.contracts
        ],
        "summary": [
            {
                **_what(profile, labels, row.node),
                "calls": row.calls,
                "particles": row.self.particles,
                "total_particles": row.total.particles,
                "instructions": row.self.count,
                "total_instructions": row.total.count,
            }
            for row in profile.summary
        ],
        "classes": {
            name: {"instructions": spent.count, "particles": spent.particles} for name, spent in profile.classes.items()
        },
        "opcodes": {
            name: {"instructions": spent.count, "particles": spent.particles} for name, spent in profile.opcodes.items()
        },
        "edges": [
            {
                "caller": _what(profile, labels, edge.caller),
                "callee": _what(profile, labels, edge.callee),
                "calls": edge.calls,
                "particles": edge.particles,
            }
            for edge in profile.edges
        ],
        "positions": [
            {
                "contract": place.contract,
                "function": place.function,
                "offset": place.offset,
                "instruction": op.name,
                "count": spent.count,
                "particles": spent.particles,
                **_line(labels, place),
            }
            for place, (op, spent) in profile.spent.items()
        ],
        "lines": [
            {
                "contract": contract,
                "file": line.file,
                "line": line.line,
                "count": spent.count,
                "particles": spent.particles,
            }
            for (contract, line), spent in by_line(profile, labels).items()
        ],
        "entries": [
            {"contract": place.contract, "function": place.function, "particles": particles}
            for place, particles in profile.entries.items()
        ],
        "nodes": [
            {
                "parent": node.parent,
                **_what(profile, labels, index),
                "calls": node.calls,
                "particles": node.particles,
                "total_particles": profile.totals[index].particles,
                "instructions": node.instructions,
                "parts": dict(node.parts),
            }
            for index, node in enumerate(nodes)
        ],
        "failures": [_failure(failure, labels) for failure in profile.failures],
    }


def _line(labels: Labels, place: Place) -> dict[str, Any]:
    line = labels.symbols[place.contract].line(place.offset or 0)
    return {} if line is None else {"file": line.file, "line": line.line}


def by_line(profile: Profile, labels: Labels) -> dict[tuple[int, Line], Spent]:
    """Return what the instructions of each source line cost, by contract and line, dearest first."""
    found: defaultdict[tuple[int, Line], Spent] = defaultdict(Spent)
    for place, (_, spent) in profile.spent.items():
        line = labels.symbols[place.contract].line(place.offset or 0)
        if line is not None:
            found[place.contract, line] += spent
    return dict(sorted(found.items(), key=lambda item: (-item[1].particles, item[0])))


def _what(profile: Profile, labels: Labels, index: int) -> dict[str, Any]:
    node = profile.nodes[index]
    return {"kind": node.kind, "contract": node.contract, "function": node.function, "name": labels.node(index)}


def _failure(failure: Failure, labels: Labels) -> dict[str, Any]:
    place = failure.place
    return {
        "contract": failure.contract,
        "depth": failure.depth,
        "reason": failure.reason,
        "out_of_gas": failure.out_of_gas,
        "gas": failure.gas,
        "function": None if place is None else place.function,
        "offset": None if place is None else place.offset,
        "where": None if place is None else labels.place(place),
        "host": failure.host,
        "path": [labels.function(step.contract, step.function) for step in failure.path],
        "above": failure.above,
        "last": [
            {
                "kind": call.kind,
                "name": labels.call(call),
                "particles": call.particles,
            }
            for call in failure.last
        ],
    }


def folded(profile: Profile, labels: Labels) -> Iterator[str]:
    """Yield folded stacks, as flame graph tools read them: a path and its particles a line.

    In the middle of a very deep path `...` stands for some. What is negative (a refund, a stipend) has no width and is
    left out; what a message pays for itself is its own.
    """
    path: list[tuple[int, str]] = []
    for index, node in enumerate(profile.nodes):
        while path and path[-1][0] != node.parent:
            path.pop()
        path.append((index, labels.node(index).replace(";", ":")))
        if node.particles > 0:
            names = [name for _, name in path]
            if len(names) > 2 * SHOWN:
                names[SHOWN:-SHOWN] = ["..."]
            yield f"{';'.join(names[1:] or names)} {node.particles}"


def speedscope(profile: Profile, labels: Labels, name: str) -> dict[str, Any]:
    """Return a speedscope file (its file format schema): paths opened and closed along an axis of gas."""
    frames: dict[tuple[Any, ...], int] = {}
    found: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    opened: list[tuple[int, int]] = []
    at = 0

    def close() -> None:
        events.append({"type": "C", "frame": opened.pop()[1], "at": at / PARTICLES})

    for index, node in enumerate(profile.nodes):
        while opened and opened[-1][0] != node.parent:
            close()
        key = profile.key(index)
        frame = frames.setdefault(key, len(found))
        if frame == len(found):
            found.append({"name": labels.node(index)})
            if node.kind == "function" and node.contract is not None:
                found[frame]["file"] = labels.contract(node.contract)
        opened.append((index, frame))
        events.append({"type": "O", "frame": frame, "at": at / PARTICLES})
        at += max(0, node.particles)
    while opened:
        close()
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": name,
        "exporter": "ewasm",
        "activeProfileIndex": 0,
        "shared": {"frames": found},
        "profiles": [
            {
                "type": "evented",
                "name": f"{name}: gas",
                "unit": "none",
                "startValue": 0,
                "endValue": at / PARTICLES,
                "events": events,
            }
        ],
    }
