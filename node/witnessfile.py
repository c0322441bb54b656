"""Witnesses as JSON: written in one form, read strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from evmc import U256, Address, Bytes32, CallKind, Log, Message, Status, TxContext
from evmc.reading import read_json
from node.host import MAX_NONCE
from node.transaction import Transaction
from node.witness import Execution, Outcome, Step, Witness, WitnessError, outer_message

FORMAT: Final = "ewasm-witness"
VERSION: Final = 2
"""What is written. Version 1, which is still read, says nothing of `tip`, `max_price` and `access_list`."""
MAX_NUMBER: Final = (1 << 63) - 1
"""The greatest gas, block number and time that EVMC can carry."""

_DATA: Final = re.compile(r"0x(?:[0-9a-f]{2})*")
_AMOUNT: Final = re.compile(r"0x(?:0|[1-9a-f][0-9a-f]{0,63})")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_SHOWN: Final = 40
_PRICED: Final = ("tip", "max_price", "access_list")
"""Fields of a transaction since version 2."""

F = TypeVar("F", Address, Bytes32)
T = TypeVar("T")


# Writing


def dump(witness: Witness) -> str:
    """Return a witness as JSON: gas, numbers, nonces and times as numbers, all else in hex with `0x`."""
    return json.dumps(as_json(witness), indent=1) + "\n"


def as_json(witness: Witness) -> dict[str, Any]:
    """Return a witness as a JSON document."""
    block = witness.block
    return {
        "format": FORMAT,
        "version": VERSION,
        "ruleset": {"name": witness.ruleset, "hash": witness.ruleset_hash},
        "block": {
            "number": block.number,
            "timestamp": block.timestamp,
            "gas_limit": block.gas_limit,
            "coinbase": str(block.coinbase),
            "difficulty": hex(block.difficulty),
            "chain_id": hex(block.chain_id),
        },
        "steps": [_step(step) for step in witness.steps],
        "root_before": str(witness.root),
        "nodes": {str(digest): _hex(node) for digest, node in witness.nodes.items()},
        "codes": {str(digest): _hex(code) for digest, code in witness.codes.items()},
        "block_hashes": {
            str(number): None if digest is None else str(digest) for number, digest in witness.block_hashes.items()
        },
        "outcomes": [_outcome(outcome) for outcome in witness.claim.outcomes],
        "root_after": str(witness.claim.root),
    }


def _step(step: Step) -> dict[str, Any]:
    if isinstance(step, Message):
        message = {
            "sender": str(step.sender),
            "to": None if step.kind is CallKind.CREATE else str(step.recipient),
            "gas": step.gas,
            "value": hex(step.value),
            "data": _hex(step.input),
        }
        return {"message": message}
    transaction = {
        "sender": str(step.sender),
        "to": None if step.to is None else str(step.to),
        "nonce": step.nonce,
        "gas_limit": step.gas_limit,
        "gas_price": hex(step.gas_price),
        "value": hex(step.value),
        "data": _hex(step.data),
        "tip": None if step.tip is None else hex(step.tip),
        "max_price": None if step.max_price is None else hex(step.max_price),
        "access_list": [
            {"address": str(address), "slots": [str(slot) for slot in slots]} for address, slots in step.access_list
        ],
    }
    return {"transaction": transaction}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status.name,
        "gas_used": outcome.gas_used,
        "output": _hex(outcome.output),
        "logs": [
            {"address": str(log.address), "topics": [str(topic) for topic in log.topics], "data": _hex(log.data)}
            for log in outcome.logs
        ],
        "contract": None if outcome.contract is None else str(outcome.contract),
    }


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


# Reading


def parse(text: str | bytes) -> Witness:
    """Return the witness that `dump` wrote; raise WitnessError that says what in it is not one, and where."""
    try:
        value = read_json(text if isinstance(text, str) else text.decode(), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise WitnessError("not a witness: not text in UTF-8") from error
    except ValueError as error:
        raise WitnessError(f"not a witness: not JSON ({error!s:.100})") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise WitnessError(f'not a witness: it has no "format": "{FORMAT}"')
    version = value.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise WitnessError(f"a witness of version {_brief(version)}; this program reads versions 1 to {VERSION}")
    return _witness(_Place(value, ""), version)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; raise ValueError if it has a key twice, which two readers could understand differently."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {_brief(key)} stands twice in one object")
        found[key] = value
    return found


def _brief(value: Any) -> str:
    """Return a value as a message shows it, however great it is."""
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number beyond 256 bits"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


@dataclass(frozen=True, slots=True)
class _Place:
    """A value in the document, and what it is called there."""

    value: Any
    name: str

    def refusal(self, expected: str) -> WitnessError:
        return WitnessError(f"not a witness: {self.name or 'the document'}: {expected}, not {_brief(self.value)}")

    def inner(self, key: object, value: Any) -> _Place:
        return _Place(value, f"{self.name}.{key}" if self.name else str(key))

    def fields(self, *keys: str) -> Callable[[str], _Place]:
        """Return what gives each of these fields, which must be all there are."""
        given: dict[str, Any] = {place.name: place.value for place in self._entries()}
        for key in keys:
            if key not in given:
                raise WitnessError(f"not a witness: {self.inner(key, None).name} is missing")
        for key in given:
            if key not in keys:
                raise WitnessError(f"not a witness: {self.name or 'the document'}: {_brief(key)} is no field of it")
        return lambda key: self.inner(key, given[key])

    def _entries(self) -> list[_Place]:
        if not isinstance(self.value, dict):
            raise self.refusal("an object is expected")
        return [_Place(value, key) for key, value in self.value.items()]

    def mapping(self, key_of: Callable[[_Place], T]) -> dict[T, _Place]:
        """Return an object whose keys are of one kind."""
        found = {}
        for place in self._entries():
            key = key_of(_Place(place.name, f"{self.name}, a key"))
            found[key] = self.inner(key, place.value)
        return found

    def items(self) -> list[_Place]:
        if not isinstance(self.value, list):
            raise self.refusal("a list is expected")
        return [_Place(value, f"{self.name}[{index}]") for index, value in enumerate(self.value)]

    def number(self, bound: int = MAX_NUMBER) -> int:
        if type(self.value) is not int or not 0 <= self.value <= bound:
            raise self.refusal(f"a whole number from 0 to {bound} is expected")
        return self.value

    def digits(self) -> int:
        """Return a number that is written as a key."""
        if not _NUMBER.fullmatch(self.value) or int(self.value) > MAX_NUMBER:
            raise self.refusal(f"the digits of a whole number from 0 to {MAX_NUMBER} are expected")
        return int(self.value)

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.refusal("text is expected")
        return self.value

    def amount(self) -> U256:
        if not isinstance(self.value, str) or not _AMOUNT.fullmatch(self.value):
            raise self.refusal("hex of at most 256 bits, with 0x and without leading zeros, is expected")
        return U256(int(self.value, 16))

    def optional_amount(self) -> U256 | None:
        return None if self.value is None else self.amount()

    def data(self) -> bytes:
        if not isinstance(self.value, str) or not _DATA.fullmatch(self.value):
            raise self.refusal("lower-case hex with 0x is expected")
        return bytes.fromhex(self.value[2:])

    def fixed(self, kind: type[F]) -> F:
        if not isinstance(self.value, str) or len(self.value) != 2 + 2 * kind.length:
            raise self.refusal(f"{kind.length} bytes of hex with 0x are expected")
        return kind(self.data())

    def optional(self, kind: type[F]) -> F | None:
        return None if self.value is None else self.fixed(kind)


def _witness(place: _Place, version: int) -> Witness:
    field = place.fields(
        "format",
        "version",
        "ruleset",
        "block",
        "steps",
        "root_before",
        "nodes",
        "codes",
        "block_hashes",
        "outcomes",
        "root_after",
    )
    ruleset = field("ruleset").fields("name", "hash")
    steps, outcomes = field("steps").items(), field("outcomes").items()
    if len(steps) != len(outcomes):
        raise WitnessError(f"not a witness: {len(outcomes)} outcomes of {len(steps)} steps")
    return Witness(
        ruleset=ruleset("name").text(),
        ruleset_hash=ruleset("hash").text(),
        block=_parse_block(field("block")),
        steps=tuple(_parse_step(step, version) for step in steps),
        root=field("root_before").fixed(Bytes32),
        nodes={digest: node.data() for digest, node in field("nodes").mapping(_hash).items()},
        codes={digest: code.data() for digest, code in field("codes").mapping(_hash).items()},
        block_hashes={
            number: digest.optional(Bytes32) for number, digest in field("block_hashes").mapping(_Place.digits).items()
        },
        claim=Execution(tuple(map(_parse_outcome, outcomes)), field("root_after").fixed(Bytes32)),
    )


def _hash(place: _Place) -> Bytes32:
    return place.fixed(Bytes32)


def _parse_block(place: _Place) -> TxContext:
    field = place.fields("number", "timestamp", "gas_limit", "coinbase", "difficulty", "chain_id")
    return TxContext(
        number=field("number").number(),
        timestamp=field("timestamp").number(),
        gas_limit=field("gas_limit").number(),
        coinbase=field("coinbase").fixed(Address),
        difficulty=field("difficulty").amount(),
        chain_id=field("chain_id").amount(),
    )


def _parse_step(place: _Place, version: int) -> Step:
    if isinstance(place.value, dict) and "message" in place.value:
        field = place.fields("message")("message").fields("sender", "to", "gas", "value", "data")
        return outer_message(
            field("sender").fixed(Address),
            field("to").optional(Address),
            field("gas").number(),
            field("value").amount(),
            field("data").data(),
        )
    names = ("sender", "to", "nonce", "gas_limit", "gas_price", "value", "data")
    priced = version > 1
    field = place.fields("transaction")("transaction").fields(*names, *(_PRICED if priced else ()))
    return Transaction(
        sender=field("sender").fixed(Address),
        to=field("to").optional(Address),
        nonce=field("nonce").number(MAX_NONCE),
        gas_limit=field("gas_limit").number(),
        gas_price=field("gas_price").amount(),
        value=field("value").amount(),
        data=field("data").data(),
        tip=field("tip").optional_amount() if priced else None,
        max_price=field("max_price").optional_amount() if priced else None,
        access_list=tuple(map(_parse_listed, field("access_list").items())) if priced else (),
    )


def _parse_listed(place: _Place) -> tuple[Address, tuple[Bytes32, ...]]:
    field = place.fields("address", "slots")
    return field("address").fixed(Address), tuple(map(_hash, field("slots").items()))


def _parse_outcome(place: _Place) -> Outcome:
    field = place.fields("status", "gas_used", "output", "logs", "contract")
    name = field("status").text()
    if name not in Status.__members__:
        raise field("status").refusal("the name of a status is expected")
    return Outcome(
        status=Status[name],
        gas_used=field("gas_used").number(),
        output=field("output").data(),
        logs=tuple(map(_parse_log, field("logs").items())),
        contract=field("contract").optional(Address),
    )


def _parse_log(place: _Place) -> Log:
    field = place.fields("address", "topics", "data")
    topics = field("topics").items()
    if len(topics) > 4:
        raise field("topics").refusal("at most 4 topics are expected")
    return Log(field("address").fixed(Address), tuple(map(_hash, topics)), field("data").data())
