"""Dispatch events to hooks in priority order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from runtimeinfo._errors import HookError, LifecycleError
from runtimeinfo._hook import Priority, PriorityLike, get_priority, hook_methods
from runtimeinfo.spec._grammar import HOOK_POINTS


class _Registered(NamedTuple):
    """A hook, its priority, and its methods by event."""

    rank: int
    hook: object
    methods: dict[str, Callable[..., object]]


class Dispatcher:
    """Calls each hook at the hook points that it implements: by priority, then as registered.

    An event without a listener costs a dictionary look-up.

    Args:
        hooks: Hooks to register.

    Attributes:
        methods: The methods to call at each hook point, in their order. It is replaced, never changed, when a hook is
            registered.

    Example:
        >>> class Say:
        ...     def __init__(self, word, priority):
        ...         self.word, self.priority = word, priority
        ...     def before_run(self, runner):
        ...         print(self.word)
        >>> dispatcher = Dispatcher([Say("world", "LOW"), Say("hello", "HIGH")])
        >>> dispatcher.dispatch("before_run", None)
        hello
        world

    Source: ORDER-01, ORDER-03.
    """

    def __init__(self, hooks: Iterable[object] = ()) -> None:
        self._registered: list[_Registered] = []
        self.methods: Mapping[str, tuple[Callable[..., object], ...]] = dict.fromkeys(HOOK_POINTS, ())
        for hook in hooks:
            self.register(hook)

    @property
    def hooks(self) -> tuple[object, ...]:
        """The hooks in the order in which they run."""
        return tuple(each.hook for each in self._registered)

    def register(self, hook: object, /, priority: PriorityLike | None = None) -> None:
        """Add a hook.

        Args:
            hook: An object with at least one hook point.
            priority: Instead of the hook's own `priority`, or NORMAL if it has none.

        Raises:
            HookError: If it has no hook point, one of the wrong signature, or a priority that is not one. The
                hooks stay as they were.

        Source: ORDER-01, ORDER-03.
        """
        methods = hook_methods(hook)  # a wrong hook raises before anything has changed
        wanted = getattr(hook, "priority", Priority.NORMAL) if priority is None else priority
        try:
            rank = get_priority(wanted)
        except (TypeError, ValueError) as error:
            raise HookError(f"{type(hook).__name__}.priority: {error}", hook=hook, requirement="ORDER-01") from None
        behind = (at for at, other in enumerate(self._registered) if other.rank > rank)
        self._registered.insert(next(behind, len(self._registered)), _Registered(rank, hook, methods))
        self._collect_methods()

    def __getstate__(self) -> dict[str, Any]:
        # Python pickles a bound method by the name of its function, which another one may have, or none: a decorator
        # may have made it, and a class may have it under two names. The name of the hook point is the right one.
        registered = [
            (rank, hook, {point: None if _is_of_its_class(hook, point) else each for point, each in methods.items()})
            for rank, hook, methods in self._registered
        ]
        return {"_registered": registered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._registered = [
            _Registered(
                rank,
                hook,
                {point: getattr(hook, point) if method is None else method for point, method in methods.items()},
            )
            for rank, hook, methods in state["_registered"]
        ]
        self._collect_methods()

    def _collect_methods(self) -> None:
        self.methods = {
            point: tuple(each.methods[point] for each in self._registered if point in each.methods)
            for point in HOOK_POINTS
        }

    def dispatch(self, event: str, runner: object, /, **arguments: Any) -> None:
        """Call one hook point of every hook; an exception of a hook comes out unchanged.

        Args:
            event: The hook point.
            runner: What the hooks get as their runner.
            arguments: The keyword arguments of `HOOK_POINTS` for this event.

        Raises:
            LifecycleError: If there is no such event.

        Source: ORDER-01.
        """
        for method in self._listeners(event):
            method(runner, **arguments)

    def dispatch_to_all(self, event: str, runner: object, /, **arguments: Any) -> list[BaseException]:
        """Call one hook point of every hook, also of those after one that raises: for a close that all hooks need.

        Returns:
            What the hooks raised.

        Raises:
            LifecycleError: If there is no such event.

        Source: LIFE-05.
        """
        raised: list[BaseException] = []
        for method in self._listeners(event):
            try:
                method(runner, **arguments)
            except BaseException as error:  # noqa: BLE001  # the caller decides what becomes of it
                raised.append(error)
        return raised

    def _listeners(self, event: str) -> tuple[Callable[..., object], ...]:
        # The tuple is never changed, only replaced: a hook may register another one while it runs.
        try:
            return self.methods[event]
        except KeyError:
            raise LifecycleError(
                f"there is no event {event!r}: give one of {', '.join(HOOK_POINTS)}", event=event, open_scopes=()
            ) from None


def _is_of_its_class(hook: object, point: str) -> bool:
    return hasattr(type(hook), point) and point not in getattr(hook, "__dict__", ())
