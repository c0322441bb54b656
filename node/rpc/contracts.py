"""Methods about contracts: what the rules say of code, its metered form, witnesses and profiles (`ewasm_`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from evmc import Bytes32, Gas
from ewasm.contract import check as check_code
from ewasm.ruleset import RULESETS, Ruleset
from ewasm.vm import EwasmVM, make_engine
from gas.emission import write_out
from gas.report import Labels
from node.chain import Call, CallAborted
from node.chain.reader import Reader
from node.chain.replay import block_witness, replay
from node.chain.timeouts import TimedMachines
from node.measure import Sent, document, gas_required_on, profiled_on
from node.rpc.errors import Refused
from node.rpc.eth import AT
from node.rpc.kinds import BLOCK, DATA, FLAG, HASH, OBJECT, BlockId, Kind, Unreadable, read_hash, shown
from node.rpc.objects import CALL, read_call
from node.rpc.service import Context
from node.rpc.table import MethodTable, Param
from node.transaction import InvalidTransaction
from node.witnessfile import as_json
from wasm.encode import encode

TABLE: Final = MethodTable()
PROFILE_SECONDS: Final = 30.0
"""Seconds that each part of a profile may take where no time limit is set."""


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


def _read_target(value: Any) -> Bytes32 | Call:
    return read_call(value) if isinstance(value, dict) else read_hash(value)


TARGET: Final = Param("target", Kind("hash or transaction", {"oneOf": [HASH.schema, CALL.schema]}, _read_target))


@TABLE.method("ewasm_gasProfile", TARGET, AT, Param("quick", FLAG, default=False), result=OBJECT, reads=True)
def gas_profile(ctx: Context, target: Bytes32 | Call, block: BlockId, quick: bool) -> dict[str, Any]:  # noqa: FBT001  # JSON's
    """Return where the gas of a mined transaction, by its hash, or of a call went: what `ewasm gas --json` prints."""
    reader = ctx.reader
    seconds = ctx.timeout or PROFILE_SECONDS
    try:
        with reader.lent(seconds) as vm:
            sent = replay(reader, target, vm) if isinstance(target, Bytes32) else reader.site(block).sent(target)
        with _profiling(reader, seconds, quick=quick) as vm:
            profile, done = profiled_on(vm, sent, quick=quick)
        required = _required(reader, sent, seconds)
    except InvalidTransaction as error:
        raise Refused(str(error)) from error
    return document(profile, Labels(profile), done, gas=sent.gas, required=required)


@contextmanager
def _profiling(reader: Reader, seconds: float, *, quick: bool) -> Iterator[EwasmVM]:
    """Lend a machine for a profile: one that tells of every instruction, or the chain's, whose code counts."""
    if quick:
        with reader.lent(seconds) as vm:
            yield vm
        return
    machines = TimedMachines(EwasmVM(reader.ruleset, make_engine("interpreter")))
    try:
        with machines.within(seconds) as vm:
            yield vm
    except CallAborted as error:
        raise CallAborted(f"{error}: ask for a quick profile") from error


def _required(reader: Reader, sent: Sent, seconds: float) -> Gas | None:
    """Return the least limit that suffices; None if there is none, or none was found in time."""
    try:
        with reader.lent(seconds) as vm:
            return gas_required_on(vm, sent, most=max(sent.gas, sent.most))
    except CallAborted:
        return None
