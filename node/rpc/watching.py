"""Methods for those who wait: filters, and subscriptions over a WebSocket."""

from __future__ import annotations

from typing import Any, Final

from node.rpc import eth
from node.rpc.errors import InvalidParams, Refused
from node.rpc.format import log_document
from node.rpc.kinds import ANY, FLAG, OBJECT, TEXT, Kind, Unreadable, array
from node.rpc.objects import LOG_QUERY, LogQuery, read_log_query
from node.rpc.service import Context
from node.rpc.session import Session
from node.rpc.subscriptions import Subscription
from node.rpc.table import MethodTable, Param

TABLE: Final = MethodTable()
TOPICS: Final = ("newHeads", "logs", "newPendingTransactions")


def _read_topic(value: Any) -> str:
    if value not in TOPICS:
        raise Unreadable(f"one of {', '.join(TOPICS)} is expected, not {value!r:.60}")
    return str(value)


TOPIC: Final = Kind("topic", {"enum": list(TOPICS)}, _read_topic)
IDENTIFIER: Final = Param("id", TEXT)


@TABLE.method("eth_newFilter", Param("filter", LOG_QUERY), result=TEXT)
def new_filter(ctx: Context, query: LogQuery) -> str:
    """Have logs of new blocks gathered, and return the filter's id."""
    return ctx.service.filters.add("logs", query)


@TABLE.method("eth_newBlockFilter", result=TEXT)
def new_block_filter(ctx: Context) -> str:
    """Have hashes of new blocks gathered, and return the filter's id."""
    return ctx.service.filters.add("blocks")


@TABLE.method("eth_newPendingTransactionFilter", result=TEXT)
def new_pending_filter(ctx: Context) -> str:
    """Have hashes of new transactions gathered, and return the filter's id."""
    return ctx.service.filters.add("transactions")


@TABLE.method("eth_getFilterChanges", IDENTIFIER, result=array(ANY))
def get_filter_changes(ctx: Context, identifier: str) -> list[Any]:
    """Return what a filter has gathered since the last time."""
    return ctx.service.filters.changes(identifier)


@TABLE.method("eth_getFilterLogs", IDENTIFIER, result=array(OBJECT))
def get_filter_logs(ctx: Context, identifier: str) -> list[dict[str, Any]]:
    """Return all logs that a filter of logs asks for."""
    return [log_document(log) for log in eth.logs(ctx, ctx.service.filters.query(identifier))]


@TABLE.method("eth_uninstallFilter", IDENTIFIER, result=FLAG)
def uninstall_filter(ctx: Context, identifier: str) -> bool:
    """Drop a filter; tell whether there was one."""
    return ctx.service.filters.remove(identifier)


@TABLE.method("eth_subscribe", Param("topic", TOPIC), Param("options", ANY, None), result=TEXT)
def subscribe(ctx: Context, topic: Any, options: Any) -> str:
    """Be told of new heads, logs (a filter is the option) or new transactions (true: in full), over a WebSocket."""
    session = _session(ctx)
    query, full = None, False
    if topic == "logs":
        try:
            query = read_log_query(options or {})
        except Unreadable as error:
            raise InvalidParams(f"invalid argument 1 (options): {error}") from None
    elif topic == "newPendingTransactions":
        full = options is True
    return ctx.service.subscriptions.add(Subscription(session, topic, query, full))


@TABLE.method("eth_unsubscribe", IDENTIFIER, result=FLAG)
def unsubscribe(ctx: Context, identifier: str) -> bool:
    """End a subscription of this connection; tell whether there was one."""
    return ctx.service.subscriptions.remove(_session(ctx), identifier)


def _session(ctx: Context) -> Session:
    if ctx.session is None:
        raise Refused("notifications not supported: open a WebSocket to subscribe")
    return ctx.session
