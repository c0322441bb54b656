"""Running the WebAssembly specification's test scripts, in the JSON form that `wast2json` (wabt) makes of them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from evmc.reading import read_json
from gas.meter import STACK_BUDGET
from gas.metering import meter
from gas.schedule import FREE
from node.statetest import TestFileError
from wasm.decode import decode
from wasm.engine import Engine, Instance
from wasm.errors import Invalid, Malformed, Trap, TrapKind, Unlinkable, Unsupported, WasmError
from wasm.proposals import PROPOSALS
from wasm.text import assemble
from wasm.validate import validate

Status: TypeAlias = Literal["passed", "failed", "refused", "text"]

# The host module that the scripts import from (specification, interpreter/README.md, "spectest").
SPECTEST: Final = """
(module
  (memory (export "memory") 1 2)
  (table (export "table") 10 20 funcref)
  (global (export "global_i32") i32 (i32.const 666))
  (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (func (export "print"))
  (func (export "print_i32") (param i32))
  (func (export "print_i64") (param i64))
  (func (export "print_f32") (param f32))
  (func (export "print_f64") (param f64))
  (func (export "print_i32_f32") (param i32 f32))
  (func (export "print_f64_f64") (param f64 f64)))
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one command went. `refused` names the feature that the machine does not run; `text` is a text-format test."""

    name: str
    status: Status
    kind: str
    expected: str = ""
    got: str = ""
    feature: str = ""

    @property
    def executed(self) -> bool:
        """Whether this is an assertion on running code that passed."""
        return self.status == "passed" and self.kind in ("assert_return", "assert_trap", "assert_exhaustion")


def run_file(path: Path, engine: Engine) -> Iterator[Outcome]:
    """Run a `.wast` script or its JSON; raise `TestFileError` if that cannot be read or converted."""
    if path.suffix == ".json":
        yield from _run_json(path, engine)
        return
    converter = shutil.which("wast2json")
    if converter is None:
        raise TestFileError(f"{path}: wast2json is not on the PATH; install wabt, or give the JSON it makes")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{path.stem}.json"
        command = [converter, str(path.resolve()), "-o", str(target)]
        done = subprocess.run(  # noqa: S603  # a path, no shell
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,  # it quotes lines of the file
        )
        if done.returncode:
            raise TestFileError(
                f"{path}: wast2json: {done.stderr.strip().splitlines()[0] if done.stderr else 'failed'}"
            )
        yield from _run_json(target, engine)


def _run_json(path: Path, engine: Engine) -> Iterator[Outcome]:
    """Run the commands of a converted script."""
    try:
        script_json = read_json(path.read_text("utf-8"))
    except OSError as error:
        raise TestFileError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise TestFileError(f"{path}: not JSON ({error})") from error
    commands = script_json.get("commands") if isinstance(script_json, dict) else None
    if not isinstance(commands, list) or not all(isinstance(command, dict) for command in commands):
        raise TestFileError(
            f"{path}: not the JSON of a test script, which is an object whose commands are a list of objects"
        )
    script = _Script(path.parent, engine)
    for command in commands:
        name = f"{path.stem}:{command.get('line', '?')} {command.get('type', '?')}"
        try:
            outcome = script.run(name, command)
        except (OSError, KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise TestFileError(f"{path}: {name}: cannot be run ({error!r})") from error
        if outcome is not None:
            yield outcome


_Errors: TypeAlias = tuple[type[WasmError], ...]

# The binary that wast2json makes of a module that is invalid as text can be malformed already: it leaves out the data
# count section where there are no data segments.
_ERRORS: Final[dict[str, _Errors]] = {
    "assert_malformed": (Malformed,),
    "assert_invalid": (Invalid, Malformed),
    "assert_unlinkable": (Unlinkable,),
    "assert_uninstantiable": (Trap,),
}


class _Script:
    """The instances of a script so far; a module that was refused is its `Unsupported`."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine
        self.imports: dict[tuple[str, str], Any] = {}
        self.missing: dict[str, Unsupported] = {}
        self.named: dict[str, Instance | Unsupported] = {}
        self.current: Instance | Unsupported | None = None
        self.spectest: Instance | None = None
        self.spectest = self.instantiate(assemble(SPECTEST))
        self.register("spectest", self.spectest)

    def instantiate(self, binary: bytes) -> Instance:
        """Load and instantiate a module."""
        module = decode(binary)
        for item in module.imports:
            if item.module in self.missing:
                raise self.missing[item.module]
        loaded = self.engine.load(meter(validate(module), FREE))
        return loaded.instantiate(self.imports, stack=STACK_BUDGET, beside=self.spectest)

    def register(self, name: str, instance: Instance | Unsupported) -> None:
        """Let later modules import from an instance."""
        if isinstance(instance, Unsupported):
            self.missing[name] = instance
            return
        for field, export in instance.exports.items():
            self.imports[name, field] = export

    def run(self, name: str, command: dict[str, Any]) -> Outcome | None:
        """Run a command; None for one that asserts nothing and succeeded."""
        kind = command["type"]
        if kind == "register":
            self.register(command["as"], self._instance(command))
            return None
        if kind in ("assert_malformed", "assert_invalid", "assert_unlinkable", "assert_uninstantiable"):
            if command.get("module_type") == "text":
                return Outcome(name, "text", kind)
            error = _ERRORS[kind]
            binary = (self.folder / command["filename"]).read_bytes()
            return self._expect_error(name, kind, error, command["text"], lambda: self.instantiate(binary))
        if kind == "module":
            return self._module(name, command)
        if kind == "assert_trap":
            return self._expect_error(name, kind, (Trap,), command["text"], lambda: self._act(command["action"]))
        if kind == "assert_exhaustion":
            wanted = TrapKind.STACK_OVERFLOW.value
            return self._expect_error(name, kind, (Trap,), wanted, lambda: self._act(command["action"]))
        if kind in ("assert_return", "action"):
            return self._expect_values(name, kind, command)
        return Outcome(name, "failed", kind, "a known command", kind)

    def _module(self, name: str, command: dict[str, Any]) -> Outcome | None:
        """Make a module the current one."""
        outcome = None
        try:
            instance: Instance | Unsupported = self.instantiate((self.folder / command["filename"]).read_bytes())
        except Unsupported as error:
            instance = error
            outcome = Outcome(name, "refused", "module", feature=_title(error))
        except WasmError as error:
            instance = Unsupported("component-model", "the module failed")
            outcome = Outcome(name, "failed", "module", "a valid module", f"{type(error).__name__}: {error}")
        self.current = instance
        if "name" in command:
            self.named[command["name"]] = instance
        return outcome

    def _instance(self, command: dict[str, Any]) -> Instance | Unsupported:
        """Return the instance that a command means."""
        instance = self.named[command["name"]] if "name" in command else self.current
        assert instance is not None, "a script begins with a module"
        return instance

    def _act(self, action: dict[str, Any]) -> tuple[Any, ...]:
        """Invoke a function or read a global."""
        instance = self.named[action["module"]] if "module" in action else self.current
        if isinstance(instance, Unsupported):
            raise instance
        assert instance is not None, "a script begins with a module"
        if action["type"] == "get":
            return (instance.exports[action["field"]].value,)
        return instance.invoke(action["field"], *map(_value, action["args"]))

    def _expect_error(self, name: str, kind: str, error: _Errors, text: str, run: Callable[[], object]) -> Outcome:
        """Expect an error of one class; of a trap also its words."""
        wanted = f"{' or '.join(e.__name__ for e in error)}: {text}"
        try:
            run()
        except Unsupported as refusal:
            return Outcome(name, "refused", kind, wanted, str(refusal), _title(refusal))
        except WasmError as found:
            words = found.kind.value if isinstance(found, Trap) else ""
            right = isinstance(found, error) and (not words or text.startswith(words) or words.startswith(text))
            got = f"{type(found).__name__}: {found}"
            return Outcome(name, "passed" if right else "failed", kind, wanted, got)
        return Outcome(name, "failed", kind, wanted, "no error")

    def _expect_values(self, name: str, kind: str, command: dict[str, Any]) -> Outcome:
        """Expect the results of an action."""
        expected = command.get("expected", []) if kind == "assert_return" else None
        try:
            values = self._act(command["action"])
        except Unsupported as refusal:
            return Outcome(name, "refused", kind, got=str(refusal), feature=_title(refusal))
        except WasmError as error:
            return Outcome(name, "failed", kind, str(expected), f"{type(error).__name__}: {error}")
        fits = expected is None or (len(values) == len(expected) and all(map(_fits, expected, values)))
        return Outcome(
            name, "passed" if fits else "failed", kind, "" if fits else str(expected), "" if fits else str(values)
        )


def _title(error: Unsupported) -> str:
    return PROPOSALS[error.feature].title


@dataclass(frozen=True, slots=True)
class _Extern:
    """A reference to something of the script's own."""

    number: str


def _value(given: dict[str, Any]) -> Any:
    """Return an argument: a number as its bits, a reference as an object."""
    if given["type"] in ("funcref", "externref"):
        return None if given["value"] == "null" else _Extern(given["value"])
    return int(given["value"])


def _fits(expected: dict[str, Any], value: Any) -> bool:
    """Tell whether a result is as expected; a NaN by its kind."""
    wanted = expected.get("value")
    if wanted is None:
        return value is not None
    if isinstance(wanted, str) and wanted.startswith("nan:"):
        bits = 32 if expected["type"] == "f32" else 64
        fraction = 23 if bits == 32 else 52
        quiet = ((1 << bits - 1) - 1) >> fraction - 1 << fraction - 1
        return bool(value & quiet == quiet)
    return bool(value == _value(expected))
