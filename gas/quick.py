"""Quick profiles: what functions and host functions cost, from counters in the module, on the fastest engine.

Nobody is told of calls, so that a contract's functions and host functions all stand below the contract itself, and not
below their callers. What each costs by itself, how often it was called and what each of its instructions cost is as in
any profile; of a message that failed for want of gas or by a trap, what was charged is taken for executed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gas.collector import Collector, Frame
from gas.counting import Counted
from gas.meter import PARTICLES
from gas.profile import Failure, Place
from wasm.engine import Instance
from wasm.errors import Trap


class QuickFrame(Frame):
    """One running message, whose code counts by itself."""

    def read(self, counted: Counted, instance: Instance) -> None:
        """Take what the code has counted."""
        runs, operands = counted.read(instance)
        self.runs.update(runs)
        self.operands.update(operands)

    def _advance(self, gas: int) -> None:
        """Leave what instructions took to the counters."""
        self._gas = gas

    def _function(self, function: int) -> Any:
        """Return the node of a function: right below its contract's."""
        return self.outer.child(function, "function", self.contract, function, "")

    def close(self, gas_left: int, *, kept: bool) -> int:
        """End the message: give every function its own, return the particles used."""
        prices, local = self._collector.prices, self._collector.schedule.local
        for run, times in self.runs.items():
            node = self._function(run.function)
            if run.locals is not None:
                node.calls += times
                node.particles += times * run.locals * local
            node.instructions += times * len(run.instructions)
            node.particles += times * sum(prices[op] for _, op in run.instructions)
        for (function, _), particles in self.operands.items():
            self._function(function).particles += particles
        used = (self.given - gas_left) * PARTICLES
        own = self._price()
        self._collector.count(self.contract, self.runs, self.operands)
        self.outer.add("rounding" if kept else "lost", used - own - self._parts)
        return used

    def failure(self, depth: int) -> Failure:
        """Return why the message failed, and where as far as the engine tells."""
        found = super().failure(depth)
        trap = self.reason
        if not isinstance(trap, Trap) or trap.function is None:
            return found
        place = Place(self.contract, trap.function, trap.offset or None)
        return replace(found, place=place, path=(Place(self.contract, trap.function),))


class QuickCollector(Collector):
    """Listens to a transaction, or a message by itself, whose code counts."""

    counting = True
    frame = QuickFrame
