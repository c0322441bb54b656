"""What a profile is told beside the instructions: host functions, messages, precompiled contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from evmc import Address, CallKind, Gas, Host, Message, Precompile, Precompiles, Result, Status
from ewasm.precompiles import ROWS
from ewasm.ruleset import HostPrices
from ewasm.system import SENTINEL
from gas.collector import Collector
from wasm.engine import HostFunction, Instance

_NAMES: Final = {**{row.address: row.name for row in ROWS}, SENTINEL: "sentinel"}
"""Names of precompiled and system contracts by their address."""


def watched_imports(
    imports: Mapping[tuple[str, str], HostFunction], collector: Collector
) -> Mapping[tuple[str, str], HostFunction]:
    """Return host functions that tell a collector when they begin and end."""
    return {
        key: HostFunction(function.type, _watched(key[1], function.call, collector))
        for key, function in imports.items()
    }


def _watched(name: str, call: Any, collector: Collector) -> Any:
    def watched(instance: Instance, *args: int) -> Any:
        frame = collector.frames[-1]
        frame.host_begin(name, instance.gas)
        try:
            result = call(instance, *args)
        except BaseException:
            frame.host_end(instance.gas, returned=False)
            raise
        frame.host_end(instance.gas, returned=True)
        return result

    return watched


def watched_precompiles(precompiles: Precompiles, collector: Collector) -> Precompiles:
    """Return precompiled contracts that tell a collector what they cost."""

    def watch(address: Address, precompile: Precompile) -> Precompile:
        name = _NAMES.get(address, str(address))

        def watched(data: bytes, gas: Gas) -> Result:
            result = precompile(data, gas)
            collector.precompile(name, gas, result.gas_left)
            return result

        return watched

    return {address: watch(address, precompile) for address, precompile in precompiles.items()}


class WatchedHost:
    """A host that tells a collector of the messages sent through it."""

    def __init__(self, host: Host, collector: Collector, prices: HostPrices) -> None:
        self._host = host
        self._collector = collector
        self._stipend = prices.call_stipend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def call(self, message: Message) -> Result:
        """Send a message on."""
        pays = message.kind in (CallKind.CALL, CallKind.CALLCODE) and message.value
        name = message.kind.name.lower() if message.kind.is_create else str(message.code_address)
        self._collector.message_begin(name, message.gas, self._stipend if pays else 0)
        result = self._host.call(message)
        stored = message.kind.is_create and result.status is Status.SUCCESS
        self._collector.message_end(result.gas_left, stored=stored)
        return result
