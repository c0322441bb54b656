"""Metadata, read by a description of it that is written after `frame-metadata` and `scale-info`, and by scalecodec."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from node.substrate import types as t
from node.substrate.apis import APIS
from node.substrate.extrinsic import EXTENSIONS
from node.substrate.metadata import Registry, metadata, rust_name
from node.substrate.pallets import PALLETS
from node.substrate.scale import (
    BYTES,
    STR,
    U8,
    U32,
    Compact,
    Enum,
    Field,
    Map,
    Option,
    ScaleType,
    Sequence,
    Tuple,
    Variant,
    decode,
    result,
)
from node.substrate.settings import Settings

PYTHON = os.environ.get("EWASM_SCALECODEC_PYTHON", "")
CONSTANTS = Settings().constants()

ID = Compact(U32)
DOCS = Sequence(STR)
FIELD = t.struct("Field", name=Option(STR), type=ID, type_name=Option(STR), docs=DOCS)
VARIANT = t.struct("Variant", name=STR, fields=Sequence(FIELD), index=U8, docs=DOCS)
PRIMITIVE = t.plain("Primitive", "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "u256", "i8", "i16")
DEFINITION = t.holding(
    "TypeDef",
    Composite=Sequence(FIELD),
    Variant=Sequence(VARIANT),
    Sequence=ID,
    Array=t.struct("Array", len=U32, type=ID),
    Tuple=Sequence(ID),
    Primitive=PRIMITIVE,
    Compact=ID,
)
PARAMETER = t.struct("Parameter", name=STR, type=Option(ID))
TYPE = t.struct("Type", id=ID, path=Sequence(STR), params=Sequence(PARAMETER), definition=DEFINITION, docs=DOCS)
SHAPE = Enum(
    "Shape",
    (
        Variant("Plain", 0, (Field(None, ID),)),
        Variant("Map", 1, (Field("hashers", Sequence(U8)), Field("key", ID), Field("value", ID))),
    ),
)
ITEM = t.struct("Item", name=STR, modifier=U8, shape=SHAPE, default=BYTES, docs=DOCS)
STORAGE = t.struct("Storage", prefix=STR, items=Sequence(ITEM))
CONSTANT = t.struct("Constant", name=STR, type=ID, value=BYTES, docs=DOCS)
PALLET: dict[str, ScaleType] = {
    "name": STR,
    "storage": Option(STORAGE),
    "calls": Option(ID),
    "events": Option(ID),
    "constants": Sequence(CONSTANT),
    "errors": Option(ID),
    "index": U8,
}
EXTENSION = t.struct("Extension", name=STR, type=ID, additional=ID)
ARGUMENT = t.struct("Argument", name=STR, type=ID)
METHOD = t.struct("Method", name=STR, arguments=Sequence(ARGUMENT), answer=ID, docs=DOCS)
API = t.struct("Api", name=STR, methods=Sequence(METHOD), docs=DOCS)
V14 = t.struct(
    "V14",
    types=Sequence(TYPE),
    pallets=Sequence(t.struct("Pallet", **PALLET)),
    extrinsic=t.struct("Extrinsic", type=ID, version=U8, extensions=Sequence(EXTENSION)),
    runtime=ID,
)
V15 = t.struct(
    "V15",
    types=Sequence(TYPE),
    pallets=Sequence(t.struct("Pallet", **PALLET, docs=DOCS)),
    extrinsic=t.struct(
        "Extrinsic", version=U8, address=ID, call=ID, signature=ID, extra=ID, extensions=Sequence(EXTENSION)
    ),
    runtime=ID,
    apis=Sequence(API),
    outer=Tuple((ID, ID, ID)),
    custom=Sequence(STR),
)


def read(version: int) -> dict[str, Any]:
    data = metadata(version, CONSTANTS)
    assert data[:5] == b"meta" + bytes([version])
    found: dict[str, Any] = decode({14: V14, 15: V15}[version], data[5:])
    return found


def references(value: Any, name: str = "") -> list[int]:
    """Return every number of a type in a definition."""
    if isinstance(value, dict):
        return [each for key, item in value.items() for each in references(item, key)]
    if isinstance(value, list | tuple):
        return [each for item in value for each in references(item, name)]
    return [value] if name in ("type", "definition") and isinstance(value, int) and not isinstance(value, bool) else []


@pytest.mark.parametrize("version", [14, 15])
def test_types_are_numbered_and_refer_to_each_other(version: int) -> None:
    types = read(version)["types"]
    assert [each["id"] for each in types] == list(range(len(types)))
    assert max(references(types)) < len(types)


@pytest.mark.parametrize("version", [14, 15])
def test_pallets_are_those_of_the_table(version: int) -> None:
    found = read(version)
    assert [(each["name"], each["index"]) for each in found["pallets"]] == [(p.name, p.index) for p in PALLETS]
    for listed, pallet in zip(found["pallets"], PALLETS, strict=True):
        items = listed["storage"]["items"] if listed["storage"] else []
        assert [each["name"] for each in items] == [each.name for each in pallet.storage]
        assert [each["name"] for each in listed["constants"]] == [each.name for each in pallet.constants]
        for kind, variants in (("calls", pallet.calls), ("events", pallet.events), ("errors", pallet.errors)):
            if not variants:
                assert listed[kind] is None
                continue
            name, definition = found["types"][listed[kind]]["definition"]
            assert name == "Variant"
            assert [(each["name"], each["index"]) for each in definition] == [(v.name, v.index) for v in variants]


def test_storage_of_the_pallet_is_what_its_clients_know() -> None:
    found = read(14)
    pallet = next(each for each in found["pallets"] if each["name"] == "Ewasm")
    accounts, codes, slots = pallet["storage"]["items"]
    concat = 2  # Blake2_128Concat

    def path(number: int) -> str:
        return "::".join(found["types"][number]["path"])

    assert [each["name"] for each in (accounts, codes, slots)] == ["Accounts", "AccountCodes", "AccountStorages"]
    assert accounts["shape"][1]["hashers"] == codes["shape"][1]["hashers"] == bytes([concat])
    assert slots["shape"][1]["hashers"] == bytes([concat, concat])
    assert path(accounts["shape"][1]["key"]) == "primitive_types::H160"
    assert path(slots["shape"][1]["value"]) == "primitive_types::H256"
    assert slots["default"] == bytes(32)


def test_extensions_and_apis_are_listed() -> None:
    found = read(15)
    assert [each["name"] for each in found["extrinsic"]["extensions"]] == [each.name for each in EXTENSIONS]
    assert [(api["name"], [m["name"] for m in api["methods"]]) for api in found["apis"]] == [
        (api.name, [method.name for method in api.methods]) for api in APIS
    ]
    assert [tuple(found["types"][number]["path"]) for number in found["outer"]] == [
        ("ewasm_runtime", name) for name in ("RuntimeCall", "RuntimeEvent", "RuntimeError")
    ]


def test_a_type_is_listed_once_and_a_map_as_what_it_is_in_rust() -> None:
    registry = Registry()
    first = registry.number(Map(U8, STR))
    assert registry.number(Map(U8, STR)) == first == 0
    types = decode(Sequence(TYPE), registry.encode())
    assert [each["path"] for each in types] == [["BTreeMap"], [], [], [], []]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (t.U256, "U256"),
        (Option(U8), "Option<u8>"),
        (Map(U8, Sequence(STR)), "BTreeMap<u8, Vec<str>>"),
        (Tuple((Compact(U32), BYTES)), "(Compact<u32>, Vec<u8>)"),
        (t.ACCOUNT_ID, "AccountId32"),
        (result(U8, t.H256), "Result<u8, H256>"),
        (t.H160.fields[0].type, "[u8; 20]"),
    ],
)
def test_types_have_names_in_rust(kind: ScaleType, name: str) -> None:
    """`substrate-interface` takes no argument of a call without one."""
    assert rust_name(kind) == name


def test_other_versions_and_missing_constants_are_refused() -> None:
    with pytest.raises(ValueError, match="versions 14, 15, not 13"):
        metadata(13, CONSTANTS)
    with pytest.raises(KeyError, match=r"System\.BlockWeights"):
        metadata(14, {})


@pytest.mark.skipif(not Path(PYTHON).is_file(), reason="EWASM_SCALECODEC_PYTHON names no Python with scalecodec")
def test_scalecodec_reads_it_and_writes_the_same() -> None:
    data = "0x" + metadata(14, CONSTANTS).hex()
    asked = json.dumps([["MetadataVersioned", data]])
    command = [PYTHON, Path(__file__).with_name("oracle.py"), "decode"]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [data]
