"""The house as it was planned: which package may use which, what is documented, what is shipped."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import ROOT

# Arrows point down only.
MAY_USE: dict[str, set[str]] = {
    "evmc": set(),
    "wasm": set(),
    "gas": {"wasm"},
    "state": {"evmc"},
    "ewasm": {"wasm", "gas", "evmc"},
    "node": {"evmc", "wasm", "gas", "state", "ewasm"},
}

# What comes from elsewhere: for each package, libraries and the one place in it that may import them ("" is any).
LIBRARIES: dict[str, dict[str, str]] = {
    "evmc": {"cffi": ""},
    "wasm": {"wasmtime": "wasm/compiled/", "cffi": "wasm/compiled/native.py"},
    "gas": {"cxxfilt": "gas/symbols.py", "elftools": "gas/symbols.py", "rust_demangler": "gas/symbols.py"},
    "state": {
        "rlp": "state/codec.py",
        "eth_hash": "state/hash.py",
        "lmdb": "state/lmdb.py",
        "filelock": "state/lmdb.py",
    },
    "ewasm": {"coincurve": "", "Crypto": "", "eth_hash": "", "mclbn256": "ewasm/bn128.py", "py_ecc": "ewasm/bn128.py"},
}
ASSEMBLER = ("wasm/text.py", "wasmtime")
"""The assembler of text format, beside the compiled engine."""

DOORS = {"ewasm/__init__.py", "ewasm/__main__.py", "ewasm/testing.py", "ewasm/client.py"}
"""The only files that may look up, and only when they are asked to: not while they are imported."""

IMPORT_NAMES = {
    "pycryptodome": "Crypto",
    "py-ecc": "py_ecc",
    "py-sr25519-bindings": "sr25519",
    "pyelftools": "elftools",
    "pynacl": "nacl",
}
LONGEST = 640
LONGER: dict[str, int] = {}
"""Files that may be longer than others, and how long."""

FILES = sorted(path for package in MAY_USE for path in (ROOT / package).rglob("*.py"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(node: ast.AST, *, lazy: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield the top-level names that a file imports, and whether that is only for types or inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name.partition(".")[0], lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield str(child.module).partition(".")[0], lazy
        else:
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            )
            yield from imports(child, lazy=lazy or inner)


def broken(path: str, source: str) -> list[str]:
    """Return what a file imports and may not."""
    package = path.partition("/")[0]
    found = []
    for module, lazy in imports(ast.parse(source)):
        if module == package or module in sys.stdlib_module_names or module in MAY_USE[package]:
            continue
        if module in MAY_USE and path in DOORS and (lazy or path.endswith("__main__.py")):
            continue
        place = LIBRARIES.get(package, {}).get(module)
        if package == "node" and module not in MAY_USE:
            continue
        if place is None or not (path.startswith(place) or (path, module) == ASSEMBLER):
            found.append(f"{path} imports {module}")
    return found


@pytest.mark.parametrize("path", FILES, ids=name)
def test_arrows_point_down(path: Path) -> None:
    assert broken(name(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("evmc/types.py", "import wasm"),
        ("wasm/decode.py", "from gas.meter import Meter"),
        ("wasm/decode.py", "import wasmtime"),
        ("wasm/text.py", "import cffi"),
        ("gas/meter.py", "def f():\n    from evmc import Gas"),
        ("state/trie.py", "import rlp"),
        ("state/codec.py", "from ewasm import EwasmVM"),
        ("ewasm/vm.py", "from state import Journal"),
        ("ewasm/vm.py", "if TYPE_CHECKING:\n    import node.host"),
        ("ewasm/vm.py", "import click"),
        ("ewasm/__init__.py", "import node"),
        ("ewasm/testing.py", "from state import Journal"),
    ],
)
def test_a_wrong_arrow_is_found(path: str, source: str) -> None:
    assert len(broken(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("evmc/abi.py", "import cffi"),
        ("wasm/text.py", "import wasmtime"),
        ("wasm/compiled/engine.py", "import wasmtime"),
        ("state/codec.py", "from rlp.codec import length_prefix"),
        ("ewasm/testing.py", "def fixture():\n    from node.host import NodeHost"),
        ("ewasm/__main__.py", "from node.cli import main"),
        ("node/host.py", "import state, click"),
    ],
)
def test_a_right_arrow_is_none_of_them(path: str, source: str) -> None:
    assert broken(path, source) == []


@pytest.mark.parametrize("path", [path for path in FILES if name(path) not in DOORS], ids=name)
def test_nothing_is_imported_by_name_at_run_time(path: Path) -> None:
    assert not re.search(r"\b(import_module|__import__|find_spec)\b", path.read_text())


def test_libraries_of_the_state_are_used_in_one_file_each() -> None:
    used: dict[str, list[str]] = {library: [] for library in LIBRARIES["state"]}
    for path in (ROOT / "state").rglob("*.py"):
        for module in {module for module, _ in imports(ast.parse(path.read_text()))}:
            if module in used:
                used[module].append(name(path))
    assert {library: len(files) for library, files in used.items() if len(files) > 1} == {}
    assert used["rlp"] == ["state/codec.py"]


def distributions(requirements: list[str]) -> set[str]:
    """Return what requirements are imported as."""
    names = {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in requirements}  # type: ignore[index]
    return {IMPORT_NAMES.get(each, each.replace("-", "_")) for each in names}


def test_what_is_imported_is_what_is_required() -> None:
    required = distributions(PROJECT["project"]["dependencies"])
    optional = distributions([r for extra in PROJECT["project"]["optional-dependencies"].values() for r in extra])
    used = {module for path in FILES for module, _ in imports(ast.parse(path.read_text()))}
    foreign = used - sys.stdlib_module_names - MAY_USE.keys()
    assert foreign <= required | optional, "imported, not required"
    assert required <= foreign, "required, not imported"


def test_looking_in_loads_nothing() -> None:
    """`import ewasm` finds its neighbours and imports none of them, nor any library."""
    code = "import sys, ewasm; print(sorted({m.partition('.')[0] for m in sys.modules} - sys.stdlib_module_names))"
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"], capture_output=True, text=True, check=True)  # fmt: skip
    loaded = set(ast.literal_eval(done.stdout))
    assert "ewasm" in loaded
    assert not loaded & {*MAY_USE.keys() - {"ewasm"}, "wasmtime", "click", "rich", "eth_abi", "coincurve", "mclbn256"}


# What is documented


def undocumented(path: Path) -> Iterator[str]:
    """Yield the public things in a file that have no docstring."""

    def visit(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[str]:
        for child in node.body:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and child.name[0] != "_":
                if not ast.get_docstring(child):
                    yield prefix + child.name
                if isinstance(child, ast.ClassDef):
                    yield from visit(child, f"{prefix}{child.name}.")

    tree = ast.parse(path.read_text())
    if not ast.get_docstring(tree):
        yield "the module"
    yield from visit(tree, "")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_everything_public_is_documented(path: Path) -> None:
    assert list(undocumented(path)) == []


# What the files are


def text_files() -> Iterator[tuple[str, str]]:
    """Yield every file of the project that people write, with its text."""
    kept = {".py", ".md", ".toml", ".c", ".h", ".wat", ".json", ".tsv", ".yml", ".cfg", ".sh", ""}
    hidden = {".git", ".venv", "__pycache__", "build", "dist"}
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if any(part in hidden or part.endswith(("_cache", ".egg-info")) or part == ".hypothesis" for part in parts):
            continue
        if path.is_file() and path.suffix in kept:
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


def test_no_file_is_too_long() -> None:
    lines = {path: text.count("\n") for path, text in text_files() if path.endswith(".py") and path[:6] != "tests/"}
    too_long = {path: count for path, count in lines.items() if count > LONGER.get(path, LONGEST)}
    assert too_long == {}
    assert {path for path in LONGER if lines[path] <= LONGEST} == set(), "no longer an exception"


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    code = (".py", ".c", ".h", ".wat", ".toml", "run")
    assert [path for path, text in text_files() if path.endswith(code) and marks.search(text)] == []
    assert [name(path) for path in FILES if "NotImplementedError" in path.read_text()] == []


def test_nothing_names_a_place_on_a_machine() -> None:
    folders = "work|root|home|Users|tmp/bash"
    places = re.compile(rf"(?<![\w.])/(?:{folders})[/_]\w|[A-Z]:\\Users")
    assert [(path, found[0]) for path, text in text_files() if (found := places.search(text))] == []


# What is shipped


def test_packages_are_listed() -> None:
    """What is listed is what is there: a package that is forgotten is missing only once it is installed."""
    found = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in FILES if path.name == "__init__.py"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found
    assert {path.parent for path in FILES} == {ROOT / package.replace(".", "/") for package in found}


def test_data_is_listed() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    assert data.keys() == MAY_USE.keys()
    for package, patterns in data.items():
        assert "py.typed" in patterns
        folder = ROOT / package
        there = {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
        }
        listed = {path.relative_to(folder).as_posix() for pattern in patterns for path in folder.glob(pattern)}
        assert there == listed, package
        assert all(list(folder.glob(pattern)) for pattern in patterns), f"{package}: a pattern finds nothing"


def test_the_command_is_there() -> None:
    assert PROJECT["project"]["scripts"] == {"ewasm": "node.cli:main"}
    from node.cli import main

    assert callable(main)
