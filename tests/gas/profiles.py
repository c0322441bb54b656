"""What every profile must keep."""

from __future__ import annotations

from gas.meter import PARTICLES
from gas.profile import Profile
from gas.schedule import EWASM as SCHEDULE


def hold(profile: Profile, gas_used: int) -> None:
    """Hold a profile against the gas used, and its sums against each other."""
    used = gas_used * PARTICLES
    assert profile.particles == profile.totals[0].particles == used
    assert sum(profile.shares.values()) == used
    functions = [node for node in profile.nodes if node.kind == "function"]
    by_place = sum(spent.particles for _, spent in profile.spent.values())
    by_place += sum(profile.entries.values())
    assert sum(node.particles for node in functions) == by_place
    assert sum(spent.particles for spent in profile.classes.values()) == by_place
    assert profile.instructions == sum(spent.count for _, spent in profile.spent.values())
    assert profile.instructions == sum(spent.count for spent in profile.classes.values())
    assert sum(row.self.particles for row in profile.summary) == used
    assert all(node.particles >= 0 for node in functions)
    assert all(0 <= node.parts.get("rounding", 0) < node.calls * PARTICLES for node in profile.nodes)
    for op, spent in profile.spent.values():
        if op.name not in SCHEDULE.operands:
            assert spent.particles == spent.count * SCHEDULE.price(op)
    for share, particles in profile.shares.items():
        assert (particles < 0) is (share in ("refund", "stipend")), share
    for node in profile.nodes[1:]:
        assert profile.nodes[node.parent].calls
