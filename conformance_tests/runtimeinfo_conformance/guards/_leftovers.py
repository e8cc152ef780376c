"""Leftovers of a run: threads that are still alive, and changes to the classes and modules that the kit relies on."""

from __future__ import annotations

import concurrent.futures.thread
import gc
import importlib
import operator
import pkgutil
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import runtimeinfo
import runtimeinfo.authoring
import runtimeinfo.spec
import runtimeinfo_adapters
from runtimeinfo_conformance.guards._misbehaviour import SubjectMisbehaved

# -- changes

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
    """Remember the attributes of the classes and modules that the kit relies on, and restore them after a run.

    A patch that was there before the check is left alone.
    """

    def __init__(self) -> None:
        # Not at the top: the judges import the module that runs subjects, which imports this package.
        from runtimeinfo_conformance import judges
        from runtimeinfo_conformance.observation import _model, _observation, _recorder, _user_hooks

        modules = [
            importlib.import_module(f"{judges.__name__}.{each.name}") for each in pkgutil.iter_modules(judges.__path__)
        ]
        classes = [*_CLASSES, _model.RunModel, _recorder.Recorder, _recorder.Probe, judges.Case, judges.Finding]
        classes += _user_hooks.hook_classes()
        owners = dict.fromkeys(base for each in classes for base in each.__mro__ if base not in {object, tuple})
        self._places: list[_Attributes | _Items] = [_Attributes(owner) for owner in owners]
        self._places += [_Attributes(module) for module in (_model, _observation, _recorder, _user_hooks, *modules)]
        self._places.append(_Items("runtimeinfo_conformance.judges.JUDGES", judges.JUDGES))

    def after_run(self) -> SubjectMisbehaved | None:
        """Restore what a run has changed."""
        changed = [change for place in self._places if not place.is_untouched() for change in place.put_back()]
        if not changed:
            return None
        more = f", and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
        return SubjectMisbehaved(
            "tampering",
            f"it {', '.join(changed[:_MOST_NAMED])}{more} while it ran: the kit judges by that, so what was observed "
            "means nothing. All is put back. Wrap an object of your own, or undo the patch before run returns",
        )


class _Namespace:
    """The names and values of a namespace before a run."""

    def __init__(self, name: str, namespace: Mapping[str, Any]) -> None:
        self._name = name
        self._now = namespace
        self._remember()

    def is_untouched(self) -> bool:
        """Tell whether all values are the same, in the same order: a wrong False only costs time."""
        then = self._then_values
        return len(self._now) == len(then) and all(map(operator.is_, self._now.values(), then))

    def put_back(self) -> Iterator[str]:
        """Undo the changes that matter, and yield a text for each."""
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


class _Attributes(_Namespace):
    """The attributes of a class or a module."""

    def __init__(self, owner: type | ModuleType) -> None:
        self._owner = owner
        super().__init__(_name_of(owner), vars(owner))

    def _matters(self, name: str, then: Any, now: Any) -> bool:
        if _is_code(then) or _is_code(now):
            return True
        # Any other value can be a cache. Those of abc, typing and the interpreter have names like these; a string
        # attribute of a class is not a cache, and a new attribute with another name is not one either.
        is_special = name.startswith(("__", "_abc_", "_is_"))
        return isinstance(self._owner, type) and not is_special and (then is _ABSENT or isinstance(then, str))

    def _path(self, name: str) -> str:
        return f"{self._name}.{name}"

    def _put(self, name: str, value: Any) -> None:
        setattr(self._owner, name, value)

    def _drop(self, name: str) -> None:
        delattr(self._owner, name)


class _Items(_Namespace):
    """The items of a dictionary."""

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
    # Use the public path by which users import a class, not its private module.
    public = (module.__name__ for module in _PUBLIC_MODULES if vars(module).get(owner.__name__) is owner)
    return f"{next(public, owner.__module__.partition('.')[0])}.{owner.__qualname__}"


def _is_code(value: object) -> bool:
    return isinstance(value, FunctionType | BuiltinFunctionType | type) or hasattr(type(value), "__get__")


# -- threads

# A framework can build a pool once, and keep it: in the first run, or only in the second.
_FREE_RUNS = 2

_GRACE_SECONDS = 1.0


class Threads:
    """Keep track of the threads that runs leave alive.

    Attributes:
        daemons: The names of the daemon threads among them.
    """

    def __init__(self) -> None:
        self.daemons: set[str] = set()
        self._runs = 0
        self._left: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    @property
    def left(self) -> list[threading.Thread]:
        """The threads that are still alive, and are not daemons."""
        return [thread for thread in self._left if thread.is_alive()]

    def after_run(self, before: frozenset[threading.Thread]) -> SubjectMisbehaved | None:
        """Look for threads that a run has left alive.

        Args:
            before: The threads before the run.
        """
        self._runs += 1
        new = [thread for thread in threading.enumerate() if thread not in before]
        if not new:
            return None
        self.daemons.update(thread.name for thread in new if thread.daemon)
        new = [thread for thread in new if not thread.daemon]
        self._left.update(new)
        is_judged = self._runs > _FREE_RUNS
        if is_judged:
            new = _wait_for(_without_old_pools(new, before))
        if not new or not is_judged:
            return None
        named = "; ".join(_describe(thread) for thread in new)
        return SubjectMisbehaved(
            "threads",
            f"it left behind, still alive {_GRACE_SECONDS:g} s after the run: {named}. A thread that is not a daemon "
            "keeps the process from ending; stop and join it, or shut its executor down, before run returns",
        )


def _without_old_pools(threads: list[threading.Thread], before: Iterable[threading.Thread]) -> list[threading.Thread]:
    """Leave out threads by which an executor from before the run has grown."""
    queues = _queues()
    old = {id(queues[thread]) for thread in before if thread in queues}
    return [thread for thread in threads if thread not in queues or id(queues[thread]) not in old]


def _wait_for(threads: list[threading.Thread]) -> list[threading.Thread]:
    """Wait for threads to end, and return those that did not."""
    if not threads:
        return []
    # An executor ends its threads when it is collected; a runner that has one is usually part of a cycle.
    gc.collect()
    deadline = time.monotonic() + _GRACE_SECONDS
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))
    return [thread for thread in threads if thread.is_alive()]


def _queues() -> Any:
    # No other place tells which executor a thread belongs to: it can have any name.
    return getattr(concurrent.futures.thread, "_threads_queues", {})


def _describe(thread: threading.Thread) -> str:
    if thread in _queues():
        return f"the thread {thread.name!r} of an executor that was not shut down"
    target: Any = getattr(thread, "_target", None) or getattr(thread, "function", None) or type(thread).run
    name = getattr(target, "__qualname__", None) or repr(target)
    return f"the thread {thread.name!r} with the target {getattr(target, '__module__', '?')}.{name}"
