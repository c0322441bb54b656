"""The door for pallets: a connection to an engine elsewhere. Needs the extra `node`."""

from __future__ import annotations

from typing import Any


def connect(url: str, host: Any = None) -> Any:
    """Return a connection to an engine, to be used as a context manager.

    It is a `node.client.EngineClient`. `host` maps `host_getAccount` and its like to functions that answer for states
    which are asked for on demand.
    """
    from node.extras import needed_by  # noqa: PLC0415  # a door looks up only when it is opened

    with needed_by("ewasm.client"):
        from node.client import EngineClient  # noqa: PLC0415  # the same
    return EngineClient(url, host)
