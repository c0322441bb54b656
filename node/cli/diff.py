"""What an execution changed, account by account: for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from node.cli import show
from state import EMPTY_CODE_HASH, AccountDiff, Change, Diff, keccak256

T = TypeVar("T")


def diff_json(diff: Diff) -> dict[str, Any]:
    """Return the changes as JSON, by address; what did not change is left out."""
    return {str(address): _account_json(account) for address, account in diff.accounts.items()}


def emit_diff(diff: Diff) -> None:
    """Print the changes: a heading for each account, and below it a line for each change."""
    if not diff.accounts:
        show.emit_line("nothing changed", show.NOTE)
    for address, account in diff.accounts.items():
        word, style = _heading(account)
        show.emit_line(f"{address} {word}", style)
        for line in _lines(account):
            show.emit_line(f"  {line}")


def _heading(account: AccountDiff) -> tuple[str, str]:
    if account.deleted:
        return "deleted", show.BAD
    return ("created", show.GOOD) if account.created else ("changed", show.NOTE)


def _lines(account: AccountDiff) -> Iterator[str]:
    if (nonce := _changed(account.nonce)) is not None:
        yield f"nonce: {nonce.before} -> {nonce.after}"
    if (balance := _changed(account.balance)) is not None:
        yield f"balance: {balance.before} -> {balance.after} ({balance.after - balance.before:+})"
    if (code := _changed(account.code)) is not None:
        yield f"code: {_code_text(code.before)} -> {_code_text(code.after)}"
    if account.storage_cleared:
        yield "storage: all slots cleared" + (" but those that follow" if account.slots else "")
    for key, change in account.slots.items():
        yield f"slot {key}: {change.before} -> {change.after}"


def _code_text(code: bytes) -> str:
    return f"{len(code):,} bytes with hash {keccak256(code)}" if code else "none"


def _account_json(account: AccountDiff) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name in ("created", "deleted", "storage_cleared"):
        if getattr(account, name):
            document[name] = True
    if (nonce := _changed(account.nonce)) is not None:
        document["nonce"] = {"before": nonce.before, "after": nonce.after}
    if (balance := _changed(account.balance)) is not None:
        document["balance"] = {"before": hex(balance.before), "after": hex(balance.after)}
    if (code := _changed(account.code)) is not None:
        document["code"] = {"before": _code_json(code.before), "after": _code_json(code.after)}
    if account.slots:
        document["storage"] = {
            str(key): {"before": str(change.before), "after": str(change.after)}
            for key, change in account.slots.items()
        }
    return document


def _code_json(code: bytes) -> dict[str, Any]:
    return {"size": len(code), "hash": str(keccak256(code) if code else EMPTY_CODE_HASH)}


def _changed(change: Change[T] | None) -> Change[T] | None:
    """Return a change that makes a difference; a created account comes with some that make none."""
    return change if change is not None and change.before != change.after else None
