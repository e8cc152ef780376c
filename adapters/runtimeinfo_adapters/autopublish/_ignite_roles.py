"""Tell which engine of Ignite trains: the one whose process function reaches an optimizer, and steps it."""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast

# How far the search goes: from a process function to a function that it calls, to an attribute of an object.
_DEPTH = 4
_MOST_ITEMS = 16  # of a collection that could hold optimizers

_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


def optimizers_of(process: Callable[..., Any], engine: Any = None) -> dict[str, Any]:
    """Return the optimizers that a process function steps, by the name of the variable; none if it does not train.

    It is searched by the names that its code mentions: in its closure, its globals, the object that it is a method of,
    the functions that it calls, and the engine.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> def make(optimizer):
        ...     def train(engine, batch):
        ...         optimizer.step()
        ...     return train
        >>> list(optimizers_of(make(optimizer))), optimizers_of(len)
        (['optimizer'], {})
    """
    search = _Search()
    search.visit("optimizer", process, frozenset({"__call__"}), _DEPTH)  # it can be an object that is called
    search.visit_object(engine, frozenset(search.names), _DEPTH)
    return search.found if "step" in search.names else {}


class _Search:
    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.names: set[str] = set()  # of the attributes that the code mentions
        self._seen: set[Any] = set()

    def visit(self, name: str, value: Any, names: frozenset[str], depth: int) -> None:
        """Look at a value of a variable, in code that mentions attributes of these names."""
        if depth == 0 or id(value) in self._seen:
            return
        if isinstance(value, ModuleType):  # which might import something when it is asked for an attribute
            self.visit_object(value, names, depth)
        elif hasattr(value, "param_groups") and callable(getattr(value, "step", None)):
            self._seen.add(id(value))
            self._add(name, value)
        elif isinstance(value, MethodType):
            self._visit_function(cast("Any", value.__func__), depth, value.__self__)
        elif isinstance(value, FunctionType):
            self._visit_function(value, depth)
        elif isinstance(value, functools.partial):
            partial = cast("functools.partial[Any]", value)
            self.visit(name, partial.func, names, depth)
            for each, given in (*((name, each) for each in partial.args), *partial.keywords.items()):
                self.visit(each, given, names, depth - 1)
        elif isinstance(value, list | tuple | dict):
            self._visit_items(name, value, names, depth)
        else:
            self.visit_object(value, names, depth)

    def _add(self, name: str, optimizer: Any) -> None:
        unique, number = name, 1
        while unique in self.found:
            unique, number = f"{name}-{number}", number + 1
        self.found[unique] = optimizer

    def _visit_function(self, function: Any, depth: int, owner: Any = None) -> None:
        code = getattr(function, "__code__", None)
        if code is None or (id(function), id(owner)) in self._seen:
            return
        self._seen.add((id(function), id(owner)))
        attributes = frozenset(_names_in(code, _ATTRIBUTES))
        self.names |= attributes
        for name, value in _variables_of(function):
            self.visit(name, value, attributes, depth - 1)
        if owner is not None:
            self.visit_object(owner, attributes, depth)

    def _visit_items(self, name: str, value: Any, names: frozenset[str], depth: int) -> None:
        named = cast("Mapping[Any, Any]", value).items() if isinstance(value, Mapping) else ((name, i) for i in value)
        for key, item in list(named)[:_MOST_ITEMS]:
            self.visit(str(key), item, names, depth - 1)

    def visit_object(self, value: Any, names: frozenset[str], depth: int) -> None:
        """Look at the attributes of an object, or a module, that the code mentions. Properties are not called."""
        attributes: dict[str, Any] = getattr(value, "__dict__", {})
        kinds = cast("type[Any]", type(value)).__mro__
        methods: dict[str, Any] = {name: each for kind in reversed(kinds) for name, each in vars(kind).items()}
        for name in sorted(names & attributes.keys()):
            self.visit(name, attributes[name], names, depth - 1)
        if isinstance(value, ModuleType) or hasattr(value, "_parameters"):  # a model is called, and steps nothing
            return
        for name in sorted(names & methods.keys()) if attributes else ():
            method = methods[name]
            if isinstance(method, FunctionType):
                self._visit_function(method, depth - 1, value)


def _names_in(code: CodeType, operations: frozenset[str]) -> Iterator[str]:
    """Iterate over the names in some operations of code, that of the functions inside of it included."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in operations:
            yield str(instruction.argval)
        elif isinstance(instruction.argval, CodeType):
            yield from _names_in(instruction.argval, operations)


def _variables_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not set yet
            continue
    for name in dict.fromkeys(_names_in(function.__code__, _GLOBALS)):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    yield from (function.__kwdefaults__ or {}).items()
    code, defaults = function.__code__, function.__defaults__ or ()
    arguments = code.co_varnames[: code.co_argcount]
    yield from zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True)
