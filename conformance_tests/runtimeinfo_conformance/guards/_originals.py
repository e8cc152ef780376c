"""The classes and modules that the kit relies on, as they were before any subject ran."""

from __future__ import annotations

import importlib
import operator
import pkgutil
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import runtimeinfo
import runtimeinfo.authoring
import runtimeinfo.spec
import runtimeinfo_adapters
from runtimeinfo_conformance.guards._misbehaviour import SubjectMisbehaved

_CLASSES = (
    runtimeinfo.RuntimeInfoHook,
    runtimeinfo.authoring.Dispatcher,
    runtimeinfo.spec.Lifecycle,
    runtimeinfo.spec.Position,
    runtimeinfo_adapters.MessageHub,
    runtimeinfo_adapters.ScalarHistory,
)

_PUBLIC_MODULES = (runtimeinfo, runtimeinfo.spec, runtimeinfo.authoring, runtimeinfo_adapters)

_MOST_NAMED = 3

_ABSENT: Any = object()


class Originals:
    """Remember the attributes of the classes and modules that the kit relies on, and put them back.

    A patch from before that is left alone.
    """

    def __init__(self) -> None:
        # Not at the top: the judges import the module that runs subjects, which imports the guards.
        from runtimeinfo_conformance import judges
        from runtimeinfo_conformance.observation import _observation, _recorder

        modules = [
            importlib.import_module(f"{judges.__name__}.{each.name}") for each in pkgutil.iter_modules(judges.__path__)
        ]
        classes = [*_CLASSES, _recorder.Recorder, _recorder.Probe, judges.Case, judges.Finding]
        owners = dict.fromkeys(base for each in classes for base in each.__mro__ if base not in {object, tuple})
        self._places: list[_Attributes | _Items] = [_Attributes(owner) for owner in owners]
        self._places += [_Attributes(module) for module in (_observation, _recorder, *modules)]
        self._places.append(_Items("runtimeinfo_conformance.judges.JUDGES", judges.JUDGES))

    def after_run(self) -> SubjectMisbehaved | None:
        """Put back what a run has changed."""
        changed = [change for place in self._places if not place.is_untouched() for change in place.put_back()]
        if not changed:
            return None
        more = f", and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
        return SubjectMisbehaved(
            "tampering",
            f"it {', '.join(changed[:_MOST_NAMED])}{more} while it ran: the kit judges by that, so what was observed "
            "means nothing. All is put back. Wrap an object of your own, or undo the patch before run returns",
        )


class _Place:
    """The names and values of a namespace, as they were."""

    def __init__(self, name: str, namespace: Mapping[str, Any]) -> None:
        self._name = name
        self._now = namespace
        self._remember()

    def is_untouched(self) -> bool:
        """Tell whether all values are the same, in the same order: a false "no" costs time only."""
        then = self._then_values
        return len(self._now) == len(then) and all(map(operator.is_, self._now.values(), then))

    def put_back(self) -> Iterator[str]:
        """Undo the changes that matter, and say what each was."""
        for name in list(dict.fromkeys((*self._then, *self._now))):
            then, now = self._then.get(name, _ABSENT), self._now.get(name, _ABSENT)
            if then is now or not self._matters(name, then, now):
                continue
            if then is _ABSENT:
                self._drop(name)
                yield f"added {self._path(name)}"
            else:
                self._put(name, then)
                yield f"{'removed' if now is _ABSENT else 'replaced'} {self._path(name)}"
        self._remember()

    def _remember(self) -> None:
        self._then = dict(self._now)
        self._then_values = tuple(self._then.values())

    def _matters(self, name: str, then: Any, now: Any) -> bool:
        raise NotImplementedError

    def _path(self, name: str) -> str:
        raise NotImplementedError

    def _put(self, name: str, value: Any) -> None:
        raise NotImplementedError

    def _drop(self, name: str) -> None:
        raise NotImplementedError


class _Attributes(_Place):
    """Those of a class or a module."""

    def __init__(self, owner: type | ModuleType) -> None:
        self._owner = owner
        super().__init__(_name_of(owner), vars(owner))

    def _matters(self, name: str, then: Any, now: Any) -> bool:
        if _is_code(then) or _is_code(now):
            return True
        # Any other value may be a cache. Those of abc, typing and the interpreter have names like these; a text of a
        # class is no cache, nor is a new attribute of it with another name.
        is_special = name.startswith(("__", "_abc_", "_is_"))
        return isinstance(self._owner, type) and not is_special and (then is _ABSENT or isinstance(then, str))

    def _path(self, name: str) -> str:
        return f"{self._name}.{name}"

    def _put(self, name: str, value: Any) -> None:
        setattr(self._owner, name, value)

    def _drop(self, name: str) -> None:
        delattr(self._owner, name)


class _Items(_Place):
    """Those of a dictionary."""

    def __init__(self, name: str, items: dict[str, Any]) -> None:
        self._items = items
        super().__init__(name, items)

    def _matters(self, name: str, then: Any, now: Any) -> bool:  # noqa: ARG002
        return True

    def _path(self, name: str) -> str:
        return f"{self._name}[{name!r}]"

    def _put(self, name: str, value: Any) -> None:
        self._items[name] = value

    def _drop(self, name: str) -> None:
        del self._items[name]


def _name_of(owner: type | ModuleType) -> str:
    if isinstance(owner, ModuleType):
        return owner.__name__
    # A class is named as its users import it, not by the private module that it is in.
    public = (module.__name__ for module in _PUBLIC_MODULES if vars(module).get(owner.__name__) is owner)
    return f"{next(public, owner.__module__.partition('.')[0])}.{owner.__qualname__}"


def _is_code(value: object) -> bool:
    return isinstance(value, FunctionType | BuiltinFunctionType | type) or hasattr(type(value), "__get__")
