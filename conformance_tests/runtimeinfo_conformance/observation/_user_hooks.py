"""Hooks for a subject that look like a user's: nothing in them tells a runner that it is observed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_conformance.plans import MODULES

Hear = Callable[[str, Any, Mapping[str, Any]], object]
"""Hears of an event: called with its name, the runner and the arguments."""

_ATTRIBUTE = "write"
"""The attribute of a hook that holds what hears of its events."""

_FIRST_WORDS = ("Loss", "Epoch", "Metric", "Progress", "Timing", "Memory", "Sample", "Gradient", "Lr", "Batch")
_LAST_WORDS = ("Logger", "Monitor", "Printer", "Hook", "Writer", "Tracker", "Callback", "Recorder")

_CLASSES = 12
"""How many classes there are in a process: dispatchers remember the signatures of those that they have seen."""

# Not the generator that a seed of the user governs.
_random = random.Random()  # noqa: S311  # nothing secret


def make_hook(hear: Hear, priority: str) -> Any:
    """Return a hook of a class made on the fly, which has no base, and a name that users give.

    Args:
        hear: Hears of each event.
        priority: Its priority.
    """
    hook = _random.choice(hook_classes())()
    hook.priority = priority
    setattr(hook, _ATTRIBUTE, hear)
    return hook


def observer_of(hook: object) -> object:
    """Return the object that hears of a hook's events; None for a hook that was not made here."""
    return getattr(getattr(hook, _ATTRIBUTE, None), "__self__", None)


@cache
def hook_classes() -> tuple[type[Any], ...]:
    """Return the classes of the hooks of this process."""
    names = _random.sample([f"{first}{last}" for first in _FIRST_WORDS for last in _LAST_WORDS], _CLASSES)
    return tuple(_make_class(name, _random.choice(MODULES)) for name in names)


def _make_class(name: str, module: str) -> type[Any]:
    """Run the source of a class as if it were written in a module of the user's."""
    lines = [f"class {name}:"]
    for event, arguments in HOOK_POINTS.items():
        signature = ", ".join(["self", "runner", *(f"{argument}=None" for argument in arguments)])
        given = ", ".join(f"{argument!r}: {argument}" for argument in arguments)
        lines.append(f"    def {event}({signature}):")
        lines.append(f"        self.{_ATTRIBUTE}({event!r}, runner, {{{given}}})")
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile("\n".join(lines), f"{module.replace('.', '/')}.py", "exec"), namespace)  # noqa: S102  # it is our own
    return cast("type[Any]", namespace[name])
