"""What the server bears: one place for all bounds, each an option of `ewasm node`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the server; sizes in bytes, times in seconds."""

    body: int = 16 << 20
    batch: int = 1_000
    depth: int = 64
    response: int = 64 << 20
    connections: int = 10_000
    in_flight: int = 32
    queue: int = 1_000
    subscriptions: int = 1_000
    filters: int = 10_000
    filter_seconds: int = 300
    logs: int = 100_000
    body_seconds: int = 30
