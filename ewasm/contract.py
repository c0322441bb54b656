"""What a contract may be: contract interface, features and limits of the ruleset, validity; all findings at once.

Source: the Ewasm design document *Ewasm Contract Interface*.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from ewasm.eei import DEBUG, EEI
from ewasm.ruleset import Ruleset
from gas.schedule import Unpriced
from wasm.binary import MAGIC
from wasm.decode import decode
from wasm.errors import Invalid, Malformed, Unsupported, place
from wasm.instructions import Op
from wasm.module import Function, Import, Module, ValidModule
from wasm.names import printable
from wasm.proposals import PROPOSALS
from wasm.types import PAGE, FuncType
from wasm.validate import validate

# What an import's module means, as far as it is known by name.
_KNOWN_MODULES: Final = {
    "wasi": "WASI, which lets a program see files, clocks and random numbers of its host",
    "wasi_unstable": "WASI, which lets a program see files, clocks and random numbers of its host",
    "wasi_snapshot_preview1": "WASI, which lets a program see files, clocks and random numbers of its host",
    "wasi_ephemeral_nn": "WASI neural networks, which depend on the host",
    "wasmedge_process": "the WasmEdge process extension, which runs commands of the host",
    "env": "the default module of C and Rust tool chains: a symbol that the linker did not find",
    "wasm:js-string": "JavaScript string builtins",
    "__wbindgen_placeholder__": "wasm-bindgen, the bindings of JavaScript hosts",
    "go": "the Go runtime for JavaScript hosts",
    "debug": "the debug functions, which exist only in debugging runs",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to refuse a module.

    `rule` is a slug: a feature, `limit`, `import`, `export`, `start`, `segment`, `price`, `preamble`, `malformed` or
    `invalid`. `message` says what, why and where.
    """

    rule: str
    message: str
    offset: int | None = None
    function: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of a module: a valid one without findings, or findings."""

    findings: tuple[Finding, ...]
    module: ValidModule | None = None

    @property
    def accepted(self) -> bool:
        """Whether the module may run."""
        return not self.findings


def has_preamble(code: bytes) -> bool:
    """Tell whether code claims to be WebAssembly."""
    return code[:4] == MAGIC


def check(code: bytes, ruleset: Ruleset, *, debug: bool = False) -> Verdict:
    """Judge code by a ruleset; with `debug` the debug functions may be imported."""
    if not has_preamble(code):
        return Verdict((Finding("preamble", "not WebAssembly: the code does not begin with 00 61 73 6d", 0),))
    try:
        module = decode(code, keep_customs=True)
    except Malformed as error:
        return Verdict((Finding("malformed", f"malformed module: {error}", error.offset, error.function),))
    except Unsupported as error:
        message = f"{error.message.replace(': ', _refusal(error.feature), 1)}{place(error.offset, error.function)}"
        return Verdict((Finding(error.feature, message, error.offset, error.function),))
    module = replace(module, names=module.all_names())
    findings = [*_features(module, ruleset), *_form(module, ruleset, debug=debug), *_limits(module, ruleset)]
    findings += _prices(module, ruleset)
    valid = None
    try:
        valid = validate(module)
    except Invalid as error:
        message = f"invalid module: {error.message}{_place(module, error.offset, error.function)}"
        findings.append(Finding("invalid", message, error.offset, error.function))
    except Unsupported:
        assert findings, "what the machine does not run is in no ruleset"
    findings.sort(key=lambda f: f.offset or 0)
    return Verdict(tuple(findings), None if findings else valid)


def _refusal(feature: str) -> str:
    return f" {PROPOSALS[feature].verb} not allowed ({PROPOSALS[feature].why}): "


def _place(module: Module, offset: int | None, function: int | None) -> str:
    name = None if function is None else module.names.get(function)
    return place(offset, function, None if name is None else printable(name))


def _features(module: Module, ruleset: Ruleset) -> Iterator[Finding]:
    """Find uses of features that the ruleset does not have."""
    for use in module.uses:
        if use.feature not in ruleset.features:
            title = PROPOSALS[use.feature].title
            where = _place(module, use.offset, use.function)
            yield Finding(use.feature, f"{title}{_refusal(use.feature)}{use.what}{where}", use.offset, use.function)
    # A second table or memory, even if no instruction speaks of it.
    for what, count, feature in (
        ("tables", len(module.imported("table")) + len(module.tables), "reference-types"),
        ("memories", len(module.imported("memory")) + len(module.memories), "multi-memory"),
    ):
        if count > 1 and feature not in ruleset.features:
            yield Finding(feature, f"{PROPOSALS[feature].title}{_refusal(feature)}{count} {what}")


def _form(module: Module, ruleset: Ruleset, *, debug: bool) -> Iterator[Finding]:
    """Find what the contract interface forbids: imports, exports, start, segments outside."""
    for item in module.imports:
        yield from _import(module, item, ruleset, debug=debug)
    if module.start is not None:
        yield Finding("start", f"a start function is not allowed: function {module.start} would run before gas is set")
    found = {export.name: export for export in module.exports}
    for export in module.exports:
        if export.name not in ("main", "memory"):
            message = f'export "{printable(export.name)}" is not allowed: a contract exports main and memory only'
            yield Finding("export", message + place(export.offset), export.offset)
    main = found.get("main")
    types = module.func_types
    if main is None or main.kind != "func":
        yield Finding("export", "the export main, a function of type [] -> [], is missing")
    elif main.index < len(types) and types[main.index] < len(module.types):
        type_ = module.types[types[main.index]]
        if type_ != FuncType():
            yield Finding("export", f"the export main must be of type [] -> [], not {type_}", main.offset)
    memory = found.get("memory")
    if memory is None or memory.kind != "memory":
        yield Finding("export", "the export memory is missing")
    yield from _segments(module)


def _import(module: Module, item: Import, ruleset: Ruleset, *, debug: bool) -> Iterator[Finding]:
    """Find what is wrong with an import."""
    where = place(item.offset)
    name = f"{printable(item.module)}.{printable(item.name)}"
    table = {"ethereum": EEI, "debug": DEBUG if debug else {}}.get(item.module, {})
    function = table.get(item.name)
    if function is not None and function.extra and item.name not in ruleset.extra_functions:
        function = None
    if function is None:
        known = _KNOWN_MODULES.get(item.module)
        why = f": {known}" if known else ": no such host function"
        yield Finding("import", f"import {name} is not allowed{why}{where}", item.offset)
    elif item.kind != "func":
        yield Finding("import", f"import {name} is not allowed as a {item.kind}{where}", item.offset)
    elif isinstance(item.type, int) and item.type < len(module.types):
        given = module.types[item.type]
        if given != function.type:
            message = f"import {name} has the signature {given}, it must be {function.type}{where}"
            yield Finding("import", message, item.offset)


def _segments(module: Module) -> Iterator[Finding]:
    """Find active segments outside the initial memory or table: instantiation must not be able to fail."""
    memory = module.memories[0].limits.minimum * PAGE if module.memories else 0
    for n, data in enumerate(module.data):
        if data.at is not None and data.at[0].op.name == "i32.const":
            end = (data.at[0].imm & 0xFFFF_FFFF) + len(data.bytes)
            if end > memory:
                message = f"data segment {n} ends at {end}, outside the initial memory of {memory} bytes"
                yield Finding("segment", message + place(data.offset), data.offset)
    for n, element in enumerate(module.elements):
        if element.at is not None and element.at[0].op.name == "i32.const" and element.table < len(module.tables):
            end = (element.at[0].imm & 0xFFFF_FFFF) + len(element.items)
            size = module.tables[element.table].limits.minimum
            if end > size:
                message = f"element segment {n} ends at {end}, outside the table of {size} entries"
                yield Finding("segment", message + place(element.offset), element.offset)


def _limits(module: Module, ruleset: Ruleset) -> Iterator[Finding]:
    """Find what exceeds a limit of the ruleset."""
    limits = ruleset.limits

    def over(
        what: str, value: int, bound: int | None, offset: int | None = None, function: int | None = None
    ) -> Iterator[Finding]:
        if bound is not None and value > bound:
            message = f"limit exceeded: {value} {what}, at most {bound}{_place(module, offset, function)}"
            yield Finding("limit", message, offset, function)

    yield from over("functions", len(module.func_types), limits.functions)
    yield from over("globals", len(module.globals), limits.globals)
    yield from over("imports", len(module.imports), limits.imports)
    yield from over("types", len(module.types), limits.types)
    yield from over("data segments", len(module.data), limits.data_segments)
    yield from over("element segments", len(module.elements), limits.element_segments)
    yield from over("locals in all functions", sum(f.local_count for f in module.functions), limits.module_locals)
    if limits.table_entries is not None:
        yield from over("tables", len(module.tables), 1)
    for table in module.tables:
        yield from over("table entries", table.limits.minimum, limits.table_entries)
    for memory in module.memories:
        yield from over("initial pages of memory", memory.limits.minimum, limits.memory_pages)
    for n, type_ in enumerate(module.types):
        yield from over(f"params in type {n}", len(type_.params), limits.params)
        yield from over(f"results in type {n}", len(type_.results), limits.results)
    names = [(name, i.offset) for i in module.imports for name in (i.module, i.name)]
    names += [(e.name, e.offset) for e in module.exports]
    for name, offset in names:
        yield from over("bytes in a name", len(name.encode()), limits.name_bytes, offset)
    for custom in module.customs:
        yield from over("bytes in the name of a custom section", len(custom.name.encode()), limits.name_bytes)
    for number, function in enumerate(module.functions, len(module.func_types) - len(module.functions)):
        where = (function.offset, number)
        yield from over("bytes in a function body", function.size, limits.body_bytes, *where)
        yield from over("instructions in a function", len(function.body), limits.instructions, *where)
        yield from over("locals in a function", function.local_count, limits.locals, *where)
        blocks, nesting, targets = _shape(function)
        yield from over("blocks in a function", blocks, limits.blocks, *where)
        yield from over("nested blocks", nesting, limits.nesting, *where)
        yield from over("targets in a br_table", targets, limits.br_table_targets, *where)


def _shape(function: Function) -> tuple[int, int, int]:
    """Return the number of blocks, the greatest nesting, and the most targets of a `br_table` (without its default)."""
    steps = [_OPENS.get(op.name, 0) for op, _, _ in function.body]
    targets = max((len(imm) - 1 for op, imm, _ in function.body if op.name == "br_table"), default=0)
    return steps.count(1), max(accumulate(steps), default=0), targets


_OPENS: Final = {"block": 1, "loop": 1, "if": 1, "end": -1}


def _prices(module: Module, ruleset: Ruleset) -> Iterator[Finding]:
    """Find instructions that the ruleset allows and has no price for."""
    for number, function in enumerate(module.functions, len(module.func_types) - len(module.functions)):
        seen: set[Op] = set()
        for op, _, offset in function.body:
            if op in seen:
                continue
            seen.add(op)
            if op.proposal == "mvp" or op.proposal in ruleset.features:
                try:
                    ruleset.schedule.price(op)
                except Unpriced:
                    message = f"{op.name} has no price in ruleset {ruleset.name}{_place(module, offset, number)}"
                    yield Finding("price", message, offset, number)
