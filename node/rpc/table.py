"""The table of methods: each is a row beside its function, and everything else is made from the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from node.rpc.errors import InvalidParams
from node.rpc.kinds import Kind, Unreadable

Function: TypeAlias = Callable[..., Any]
F = TypeVar("F", bound=Function)
REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter; `default` is what an absent one, or null, stands for, as JSON."""

    name: str
    kind: Kind
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Method:
    """A method: its names, parameters and result, what it does, and who may run it.

    `developer` methods change the chain from outside or sign with its keys; `reads` tells that the call only reads the
    chain and executes, so that a worker process can serve it.
    """

    name: str
    function: Function
    params: tuple[Param, ...]
    result: Kind
    doc: str
    aliases: tuple[str, ...] = ()
    developer: bool = False
    reads: bool = False

    def arguments(self, given: Any) -> list[Any]:
        """Return what the function is called with; raise `InvalidParams` that names the parameter."""
        if isinstance(given, dict):
            unknown = given.keys() - {param.name for param in self.params}
            if unknown:
                raise InvalidParams(f"unknown argument {min(unknown)!r}; there are {self._names()}")
            values = [given.get(param.name) for param in self.params]
        else:
            values = list(given)
        if len(values) > len(self.params):
            extra = values[len(self.params) :]
            if any(value is not None for value in extra):
                raise InvalidParams(f"too many arguments, want at most {len(self.params)}")
            values = values[: len(self.params)]
        values += [None] * (len(self.params) - len(values))
        return [
            self._read(index, param, value)
            for index, (param, value) in enumerate(zip(self.params, values, strict=True))
        ]

    def _read(self, index: int, param: Param, value: Any) -> Any:
        if value is None:
            if param.required:
                raise InvalidParams(f"missing value for required argument {index} ({param.name})")
            value = param.default
            if value is None:
                return None
        try:
            return param.kind.read(value)
        except Unreadable as error:
            raise InvalidParams(f"invalid argument {index} ({param.name}): {error}") from None

    def _names(self) -> str:
        return ", ".join(param.name for param in self.params) or "none"


class MethodTable:
    """Methods by name, in the order in which they were written down."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}
        self._names: dict[str, Method] = {}

    def method(
        self,
        name: str,
        *params: Param,
        result: Kind,
        aliases: tuple[str, ...] = (),
        developer: bool = False,
        reads: bool = False,
    ) -> Callable[[F], F]:
        """Return a decorator that adds a function as a method; its docstring's first line is the method's."""

        def add(function: F) -> F:
            doc = (function.__doc__ or "").strip().partition("\n")[0]
            method = Method(name, function, params, result, doc, aliases, developer, reads)
            self._methods[name] = method
            for each in (name, *aliases):
                assert each not in self._names, f"{each} is there twice"
                self._names[each] = method
            return function

        return add

    def include(self, other: MethodTable) -> None:
        """Add the methods of another table."""
        assert not self._names.keys() & other._names.keys()
        self._methods |= other._methods
        self._names |= other._names

    def find(self, name: str) -> Method | None:
        """Return the method of a name or an alias."""
        return self._names.get(name)

    def __iter__(self) -> Iterator[Method]:
        return iter(self._methods.values())

    @property
    def names(self) -> list[str]:
        """All names, aliases too."""
        return list(self._names)
