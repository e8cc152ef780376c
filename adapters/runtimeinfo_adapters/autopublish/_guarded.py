"""Classes of adapters whose errors do not reach the training: they withdraw the part that attaches these adapters."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from runtimeinfo_adapters.autopublish._guard import Part, hide_own_frames

# They are called under the guard of what attaches and detaches.
_UNGUARDED = frozenset({"attach", "attach_to", "detach", "detach_from", "is_attached_to"})


def guarded(
    kind: type[Any], part: Part, arounds: Mapping[str, int], members: Mapping[str, Any], name: tuple[str, str]
) -> type[Any]:
    """Return a subclass of an adapter's class, whose methods are guarded: those that a framework calls.

    Args:
        kind: The class.
        part: What an error withdraws. From then on the methods do nothing.
        arounds: The methods that stand around a method of the framework, each with the place of that one among its
            arguments. What leaves them is what leaves the method of the framework, whatever happens in ours.
        members: What the subclass has beside that.
        name: The module and the name under which the subclass can be found, for pickles.
    """
    own: dict[str, Any] = {}
    for each, function in inspect.getmembers(kind, inspect.isfunction):
        if not function.__module__.startswith("runtimeinfo_adapters"):
            continue
        function = members.get(each, function)
        if each in arounds:
            own[each] = _guarded_around(function, part, arounds[each])
        elif not each.startswith("_") and each not in _UNGUARDED:
            own[each] = _guarded_event(function, part)
    module, qualified = name
    body = {**members, **own, "__module__": module, "__qualname__": qualified, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), body)


def _guarded_event(function: Callable[..., Any], part: Part) -> Callable[..., Any]:
    # Without `__wrapped__`: the adapters look through wrappers for methods of their own.
    guarded_function = part.guard(function)
    vars(guarded_function).pop("__wrapped__", None)
    return guarded_function


def _guarded_around(function: Callable[..., Any], part: Part, place: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def around(adapter: Any, *args: Any, **kwargs: Any) -> Any:
        method = args[place]
        if not part.is_active:
            return method(*args[place + 1 :], **kwargs)
        call = _Call(method)
        try:
            return function(adapter, *args[:place], call, *args[place + 1 :], **kwargs)
        except BaseException as error:
            if call.error is None and not isinstance(error, Exception):  # Ctrl-C
                hide_own_frames(error)
                raise
            # An adapter may raise what has led to the error, which is a service that the script has not asked for.
            if call.error is None or (error is not call.error and error is not call.error.__context__):
                part.withdraw(error)
            elif error is call.error:
                hide_own_frames(error)
                raise
        if call.error is not None:
            raise call.error
        return call.result if call.was_called else method(*args[place + 1 :], **kwargs)

    vars(around).pop("__wrapped__", None)
    return around


class _Call:
    """Calls a method of a framework for an adapter, and notes what comes out."""

    __slots__ = ("__wrapped__", "error", "result", "was_called")

    def __init__(self, method: Callable[..., Any]) -> None:
        self.__wrapped__ = method
        self.was_called = False
        self.result: Any = None
        self.error: BaseException | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.was_called = True
        try:
            self.result = self.__wrapped__(*args, **kwargs)
        except BaseException as error:
            self.error = error
            raise
        return self.result
