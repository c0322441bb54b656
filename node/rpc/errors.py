"""What a request can be answered with instead of a result (JSON-RPC 2.0 section 5.1, EIP-1474, geth's phrasing)."""

from __future__ import annotations

from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
LIMIT_EXCEEDED = -32005
REVERTED = 3
"""The code under which clients look for revert data."""


class RpcError(Exception):
    """An error for the client: a code, a message, and data if there are any."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def document(self) -> dict[str, Any]:
        """Return the error object of a response."""
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            found["data"] = self.data
        return found


class InvalidParams(RpcError):
    """Parameters that a method cannot take; the message names the one at fault."""

    def __init__(self, message: str) -> None:
        super().__init__(INVALID_PARAMS, message)


class Refused(RpcError):
    """A request that was understood and cannot be done."""

    def __init__(self, message: str) -> None:
        super().__init__(SERVER_ERROR, message)
