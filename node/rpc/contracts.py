"""Methods about contracts: what the rules say of code, its metered form, witnesses and profiles (`ewasm_`)."""

from __future__ import annotations

from typing import Any, Final

from ewasm.contract import check as check_code
from ewasm.ruleset import RULESETS, Ruleset
from gas.emission import write_out
from node.chain.replay import block_witness
from node.rpc.errors import Refused
from node.rpc.kinds import BLOCK, DATA, OBJECT, BlockId, Kind, Unreadable, shown
from node.rpc.service import Context
from node.rpc.table import MethodTable, Param
from node.witnessfile import as_json
from wasm.encode import encode

TABLE: Final = MethodTable()


def _read_ruleset(value: Any) -> Ruleset:
    """Find a ruleset by its name; a client may not name a file."""
    if not isinstance(value, str) or value not in RULESETS:
        raise Unreadable(f"one of {', '.join(RULESETS)} is expected, not {shown(value)}")
    return RULESETS[value]


RULESET: Final = Param("ruleset", Kind("ruleset", {"enum": list(RULESETS)}, _read_ruleset), None)


@TABLE.method("ewasm_check", Param("code", DATA), RULESET, result=OBJECT)
def check(ctx: Context, code: bytes, ruleset: Ruleset | None) -> dict[str, Any]:
    """Return whether the rules accept code, and every finding; the chain's ruleset if none is named."""
    ruleset = ruleset or ctx.chain.ruleset
    verdict = check_code(code, ruleset)
    return {
        "ruleset": ruleset.name,
        "accepted": verdict.accepted,
        "findings": [
            {"rule": each.rule, "message": each.message, "offset": each.offset, "function": each.function}
            for each in verdict.findings
        ],
    }


@TABLE.method("ewasm_meter", Param("code", DATA), RULESET, result=DATA)
def meter(ctx: Context, code: bytes, ruleset: Ruleset | None) -> bytes:
    """Return the metered module of code: it counts gas and stack by itself."""
    ruleset = ruleset or ctx.chain.ruleset
    verdict = check_code(code, ruleset)
    if verdict.module is None:
        raise Refused(f"contract refused by ruleset {ruleset.name}: {verdict.findings[0].message}")
    return encode(write_out(ruleset.meter(verdict.module)))


@TABLE.method("ewasm_executionWitness", Param("block", BLOCK), result=OBJECT, reads=True)
def execution_witness(ctx: Context, block: BlockId) -> dict[str, Any]:
    """Return the witness of a mined block, or of the one with a transaction: the file that `ewasm verify` reads."""
    with ctx.reader.lent(ctx.timeout) as vm:
        return as_json(block_witness(ctx.reader, block, vm))
