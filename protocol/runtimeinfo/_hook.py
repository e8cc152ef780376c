"""Hooks: their points, their priorities, and how each one is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

from runtimeinfo._errors import HookError
from runtimeinfo._scalar import shown
from runtimeinfo.spec._grammar import HOOK_POINTS

if TYPE_CHECKING:
    from runtimeinfo._runner import Runner, TrainRunner

Event = Literal[
    "before_run",
    "before_train",
    "before_train_epoch",
    "before_train_iter",
    "before_val",
    "before_val_epoch",
    "before_val_iter",
    "before_test",
    "before_test_epoch",
    "before_test_iter",
    "after_run",
    "after_train",
    "after_train_epoch",
    "after_train_iter",
    "after_val",
    "after_val_epoch",
    "after_val_iter",
    "after_test",
    "after_test_epoch",
    "after_test_iter",
    "after_load_checkpoint",
    "before_save_checkpoint",
    "on_exception",
]
"""Every event by its name, for type checkers: a misspelt one does not type-check."""


class Priority(IntEnum):
    """When a hook runs among the others: lower values first.

    The levels and their values are mmengine's, so that one hook runs in the same place under both.
    """

    HIGHEST = 0
    VERY_HIGH = 10
    HIGH = 30
    ABOVE_NORMAL = 40
    NORMAL = 50
    BELOW_NORMAL = 60
    LOW = 70
    VERY_LOW = 90
    LOWEST = 100


PriorityLike = Priority | int | str
"""A level, its name in any case (``"very_high"``), or a number from 0 to 100."""


def get_priority(priority: object, /) -> int:
    """Return the number of a priority.

    Args:
        priority: A `PriorityLike`, or an enum member whose value is one (mmengine's own `Priority`).

    Raises:
        ValueError: If it is not a level's name, or a number outside 0 to 100.
        TypeError: If it is something else altogether.

    Example:
        >>> get_priority("very_high"), get_priority(Priority.NORMAL), get_priority(7)
        (10, 50, 7)

    Source: ORDER-01.
    """
    if isinstance(priority, str):
        try:
            return Priority[priority.upper()].value
        except KeyError:
            levels = ", ".join(Priority.__members__)
            raise ValueError(
                f"unknown priority {priority!r}: give a number from 0 to 100, or one of {levels}"
            ) from None
    number = priority if isinstance(priority, int) else getattr(priority, "value", None)
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"a priority cannot be {shown(priority)}: give a level, its name, or a number from 0 to 100")
    if not 0 <= number <= 100:
        raise ValueError(f"a priority cannot be {number}: give a number from 0 to 100")
    return int(number)


_T = TypeVar("_T")


@runtime_checkable
class Hook(Protocol):
    """Anything with a priority and any of the hook points as methods; a hook need not inherit.

    Each hook point takes the runner first, then the keyword arguments of `HOOK_POINTS`.

    Example:
        >>> class PrintEpoch:
        ...     priority = "LOW"
        ...     def before_train_epoch(self, runner) -> None:
        ...         print("epoch", runner.epoch)
        >>> sorted(hook_methods(PrintEpoch()))
        ['before_train_epoch']

    Source: ORDER-01, ORDER-02.
    """

    @property
    def priority(self) -> PriorityLike:
        """When it runs among the others."""
        ...


class HookBase:
    """A base for hooks, if you want one: every hook point with its types, so that a misspelt one can be found.

    Override the hook points that you need, with ``typing_extensions.override`` above each: a name that is not a hook
    point, or a signature that cannot be called, then fails in mypy and pyright. A hook point that you do not override
    is not called.

    Example:
        >>> class PrintEpoch(HookBase):
        ...     def before_train_epoch(self, runner):
        ...         print("epoch", runner.epoch)
        >>> sorted(hook_methods(PrintEpoch()))
        ['before_train_epoch']

    Source: ORDER-01 to ORDER-03.
    """

    priority: PriorityLike = "NORMAL"

    def before_run(self, runner: Runner) -> None:
        """The run begins."""

    def after_run(self, runner: Runner) -> None:
        """The run has ended."""

    def before_train(self, runner: TrainRunner) -> None:
        """The training begins."""

    def after_train(self, runner: TrainRunner) -> None:
        """The training has ended."""

    def before_train_epoch(self, runner: TrainRunner) -> None:
        """An epoch begins."""

    def after_train_epoch(self, runner: TrainRunner) -> None:
        """An epoch has ended; it is counted after this event."""

    def before_train_iter(self, runner: TrainRunner, batch_idx: int, data_batch: Any = None) -> None:
        """An iteration begins."""

    def after_train_iter(
        self, runner: TrainRunner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """An iteration has ended; it is counted after this event."""

    def before_val(self, runner: Runner) -> None:
        """A validation begins."""

    def after_val(self, runner: Runner) -> None:
        """A validation has ended."""

    def before_val_epoch(self, runner: Runner) -> None:
        """An epoch of a validation begins."""

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, Any] | None = None) -> None:
        """An epoch of a validation has ended, with its metrics."""

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """An iteration of a validation begins."""

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """An iteration of a validation has ended."""

    def before_test(self, runner: Runner) -> None:
        """A test begins."""

    def after_test(self, runner: Runner) -> None:
        """A test has ended."""

    def before_test_epoch(self, runner: Runner) -> None:
        """An epoch of a test begins."""

    def after_test_epoch(self, runner: Runner, metrics: Mapping[str, Any] | None = None) -> None:
        """An epoch of a test has ended, with its metrics."""

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """An iteration of a test begins."""

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """An iteration of a test has ended."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: Any) -> None:
        """A checkpoint is about to be saved."""

    def after_load_checkpoint(self, runner: Runner, checkpoint: Any) -> None:
        """A checkpoint was loaded."""

    def on_exception(self, runner: Runner, exception: BaseException) -> None:
        """An exception leaves at least the innermost open scope."""


# The parameters that were found callable at a hook point. Inspecting a signature takes long, and hooks are registered
# again and again: for each fold, each trial, each plan of a test. By the parameters and not by the function, so that it
# holds for each new closure of a factory, keeps no function alive, and notices a function whose signature changes.
_known: set[tuple[object, ...]] = set()
_MAX_KNOWN = 1000
_VARIADIC = 0x04 | 0x08  # `*args` and `**kwargs`, as in `inspect.CO_VARARGS`; importing that module takes long
_MAX_WRAPPERS = 10

_OF_BASE = {point: getattr(HookBase, point) for point in HOOK_POINTS}


def hook_methods(hook: object, /) -> dict[str, Callable[..., object]]:
    """Return the hook points that a hook implements, each checked to be callable as it will be called.

    Raises:
        HookError: If it implements none (a misspelt name is pointed out), or one of them cannot be called.

    Example:
        >>> class Misspelt:
        ...     def before_train_epochs(self, runner): ...
        >>> hook_methods(Misspelt())
        Traceback (most recent call last):
        ...
        runtimeinfo._errors.HookError: Misspelt has no hook point; did you mean before_train_epoch for \
before_train_epochs? [ORDER-03]

    Source: ORDER-03.
    """
    methods: dict[str, Callable[..., object]] = {}
    for point, arguments in HOOK_POINTS.items():
        method = getattr(hook, point, None)
        if method is None or getattr(method, "__func__", None) is _OF_BASE[point]:
            continue
        parameters = _parameters_of(point, method)
        if parameters is None:
            _check_callable(hook, point, method, arguments)
        elif parameters not in _known:
            _check_callable(hook, point, method, arguments)
            if len(_known) >= _MAX_KNOWN:
                _known.clear()
            _known.add(parameters)
        methods[point] = method
    if not methods:
        raise HookError(f"{_name(hook)} has no hook point{_suggestion(hook)}", hook=hook, requirement="ORDER-03")
    return methods


def on_any_event(by: str) -> Callable[[type[_T]], type[_T]]:
    """Give a class every hook point, as a decorator: each one passes its event on to one method.

    Args:
        by: The name of that method. It is called with the event, the runner, and the event's arguments in a dict.

    Example:
        >>> @on_any_event(by="note")
        ... class Diary:
        ...     def note(self, event, runner, arguments):
        ...         print(event, arguments)
        >>> Diary().before_train_iter(None, 0, data_batch="batch")
        before_train_iter {'batch_idx': 0, 'data_batch': 'batch'}

    Source: ORDER-03.
    """

    def decorate(kind: type[_T]) -> type[_T]:
        for event, names in HOOK_POINTS.items():
            setattr(kind, event, _passing_on(event, names, by, kind))
        return kind

    return decorate


def _passing_on(event: str, names: tuple[str, ...], by: str, kind: type) -> Callable[..., None]:
    def method(self: object, runner: object, *args: object, **kwargs: object) -> None:
        getattr(self, by)(event, runner, {**dict(zip(names, args, strict=False)), **kwargs})

    # As if it were written in the class: tracebacks and profilers show the names of the code, not of the function.
    method.__name__, method.__qualname__, method.__module__ = event, f"{kind.__qualname__}.{event}", kind.__module__
    method.__code__ = method.__code__.replace(co_name=event, co_qualname=method.__qualname__)
    method.__doc__ = f"Pass {event} on to {by}."
    return method


def _parameters_of(point: str, method: object) -> tuple[object, ...] | None:
    """Return everything that decides whether a function can be called at a hook point, or None for other callables."""
    function = method.__func__ if isinstance(method, MethodType) else method
    is_bound = function is not method
    for _ in range(_MAX_WRAPPERS):
        if type(function) is not FunctionType:
            return None
        attributes = function.__dict__
        if attributes:  # most have none
            if "__signature__" in attributes or "__partialmethod__" in attributes:
                return None
            if "__wrapped__" in attributes:
                function = attributes["__wrapped__"]
                continue
        code, defaults = function.__code__, function.__defaults__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_flags & _VARIADIC, len(defaults or ()))
        return (point, is_bound, names, counts, *(function.__kwdefaults__ or ()))
    return None


def _check_callable(hook: object, point: str, method: object, arguments: tuple[str, ...]) -> None:
    call = f"{point}(runner{''.join(f', {name}=...' for name in arguments)})"
    if not callable(method):
        raise HookError(
            f"{_name(hook)}.{point} is {shown(method)}: make it a method, called as {call}",
            hook=hook,
            point=point,
            requirement="ORDER-03",
        )
    import inspect  # here, and not above: it takes a quarter of the time in which `import runtimeinfo` is done

    try:
        signature = inspect.signature(method)
    except ValueError:  # some builtins have none to show: they will speak for themselves
        return
    try:
        signature.bind(None, **dict.fromkeys(arguments))
    except TypeError as error:
        raise HookError(
            f"{_name(hook)}.{point}{signature} cannot be called as {call}: {error}. Let it take these arguments",
            hook=hook,
            point=point,
            requirement="ORDER-03",
        ) from None


def _suggestion(hook: object) -> str:
    import difflib  # here, because only a mistake needs it

    for name in dir(hook):
        if name.startswith(("before_", "after_", "on_")) and name not in HOOK_POINTS:
            close = difflib.get_close_matches(name, HOOK_POINTS, n=1)
            if close:
                return f"; did you mean {close[0]} for {name}?"
    return f"; it needs at least one of {', '.join(HOOK_POINTS)}"


def _name(hook: object) -> str:
    return getattr(hook, "__name__", None) or type(hook).__name__
