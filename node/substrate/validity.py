"""Why an extrinsic is not taken, with the codes and words of Substrate's pool (`sc-rpc-api`, `sp_runtime`)."""

from __future__ import annotations

from typing import Final

BAD_FORMAT: Final = 1001
INVALID: Final = 1010
ALREADY_IMPORTED: Final = 1013
TOO_LOW_PRIORITY: Final = 1014
IMMEDIATELY_DROPPED: Final = 1016


class ExtrinsicRefused(Exception):
    """An extrinsic that is not taken; `code` and message are of JSON-RPC, `detail` its data."""

    def __init__(self, code: int, message: str, detail: str | None = None) -> None:
        super().__init__(message if detail is None else f"{message}: {detail}")
        self.code = code
        self.message = message
        self.detail = detail


def malformed(what: str) -> ExtrinsicRefused:
    """Return the error for bytes that are no extrinsic."""
    return ExtrinsicRefused(BAD_FORMAT, f"Extrinsic has invalid format: {what}")


def invalid(detail: str) -> ExtrinsicRefused:
    """Return the error for an extrinsic that cannot be in a block."""
    return ExtrinsicRefused(INVALID, "Invalid Transaction", detail)


BAD_SIGNATURE: Final = "Transaction has a bad signature"
STALE: Final = "Transaction is outdated"
FUTURE: Final = "Transaction will be valid in the future"
ANCIENT: Final = "Transaction has an ancient birth block"
PAYMENT: Final = "Inability to pay some fees (e.g. account balance too low)"
EXHAUSTS: Final = "Transaction would exhaust the block limits"
UNEXPECTED: Final = "Transaction call is not expected"
"""The details that `sp_runtime::transaction_validity::InvalidTransaction` has for clients."""
