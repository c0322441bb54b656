"""The joint at which hosts meet virtual machines (EVMC 12, `evmc_vm`)."""

from __future__ import annotations

from typing import Protocol

from evmc.host import Host
from evmc.message import Message
from evmc.result import Result


class VM(Protocol):
    """A machine that runs contract code."""

    @property
    def name(self) -> str:
        """The machine's name, for reports."""

    def execute(self, host: Host, message: Message, code: bytes) -> Result:
        """Run `code` for `message` against `host`; never raise for anything a contract did."""
