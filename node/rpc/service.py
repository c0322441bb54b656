"""What the methods act on: the chain, filters and subscriptions, and who asks."""

from __future__ import annotations

import sys
import threading
import traceback
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Self

from evmc import Result, Status
from node.abi import revert_reason
from node.chain import Chain, ChainError, ExecutionFailed
from node.chain.reader import Reader
from node.rpc.errors import REVERTED, Refused, RpcError
from node.rpc.execution import Executions
from node.rpc.filters import Filters
from node.rpc.kinds import BlockId, hex_data
from node.rpc.limits import Limits
from node.rpc.mining import IntervalMining
from node.rpc.session import Session
from node.rpc.subscriptions import Subscriptions
from state import StoreError


@dataclass(slots=True)
class Settings:
    """What developer methods can change of the node beside the chain."""

    logging: bool = True


class Service:
    """A chain with what its clients left here; `call_timeout` is in seconds, None for no limit."""

    def __init__(self, chain: Chain, limits: Limits | None = None, *, call_timeout: float | None = None) -> None:
        self.chain = chain
        self.limits = limits or Limits()
        self.call_timeout = call_timeout
        self.settings = Settings()
        self.filters = Filters(chain, self.limits)
        self.subscriptions = Subscriptions(chain, self.limits)
        self.mining = IntervalMining(chain.mine, _no_block)
        self.executions = Executions.on(chain.machine)
        self.lock = threading.Lock()

    def close(self) -> None:
        """End what runs by itself; the chain stays open."""
        self.mining.set(None)
        self.filters.close()
        self.subscriptions.close()


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, and what for: the first argument of every method.

    Methods that only read take `reader`, `executions`, and `timeout` in seconds; in a worker process there is nothing
    else.
    """

    reader: Reader
    executions: Executions
    timeout: float | None = None
    node: Service | None = None
    developer: bool = True
    session: Session | None = field(default=None, compare=False)

    @classmethod
    def of(cls, service: Service, *, developer: bool = True, session: Session | None = None) -> Self:
        """Return the context of a connection to a node."""
        return cls(service.chain, service.executions, service.call_timeout, service, developer, session)

    @property
    def service(self) -> Service:
        """The node."""
        assert self.node is not None, "only methods that read run in a worker"
        return self.node

    @property
    def chain(self) -> Chain:
        """The node's chain."""
        return self.service.chain


def _no_block(error: Exception) -> None:
    """Say that the clock made no block; the next one may be possible."""
    known = translate(error)
    if known is None:
        traceback.print_exception(error)
    else:
        print(f"Error: no block was made: {known.message}", file=sys.stderr, flush=True)  # noqa: T201  # nobody asked


def client_version() -> str:
    """Return the name and version of this node."""
    try:
        release = version("ewasm")
    except PackageNotFoundError:
        release = "unknown"
    return f"ewasm/v{release}/{sys.platform}/python{python_version()}"


def translate(error: Exception) -> RpcError | None:
    """Return the error for the client of what the chain raises, None for what is none of its."""
    if isinstance(error, ExecutionFailed):
        return execution_error(error.result, str(error))
    if isinstance(error, ChainError):
        return RpcError(error.code, str(error))
    if isinstance(error, StoreError):
        return Refused(f"{error}; this says nothing about the contract")
    if isinstance(error, MemoryError):
        return Refused("out of memory; this says nothing about the contract")
    return None


def execution_error(result: Result, reason: str | None) -> RpcError:
    """Return the error of a call that failed: a revert with its data under the code where clients look for it."""
    if result.status is not Status.REVERT:
        return Refused(reason or result.status.name.lower().replace("_", " "))
    text = revert_reason(result.output)
    return RpcError(REVERTED, "execution reverted" + (f": {text}" if text else ""), hex_data(result.output))


def is_pending(block: BlockId) -> bool:
    """Tell whether a block is the one that is not made yet."""
    return block == "pending"
