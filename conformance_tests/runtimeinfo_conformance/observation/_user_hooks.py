"""Hooks that look like a user's, so that a runner cannot tell that it is observed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_conformance.plans import MODULES

Hear = Callable[[str, Any, Mapping[str, Any]], object]
"""Handler of an event, called with its name, the runner and the arguments."""

_ATTRIBUTE = "write"
"""The attribute of a hook that holds its event handler."""

_FIRST_WORDS = ("Loss", "Epoch", "Metric", "Progress", "Timing", "Memory", "Sample", "Gradient", "Lr", "Batch")
_LAST_WORDS = ("Logger", "Monitor", "Printer", "Hook", "Writer", "Tracker", "Callback", "Recorder")

_CLASSES = 12
"""The number of hook classes per process. It is limited because dispatchers remember their signatures."""

# Separate from the generator that the user's seed controls.
_random = random.Random()  # noqa: S311  # nothing secret


def make_hook(hear: Hear, priority: str) -> Any:
    """Return a hook of a class that is created on the fly, without a base, and named as users would name it.

    Args:
        hear: The handler of each event.
        priority: The priority of the hook.
    """
    hook = _random.choice(hook_classes())()
    hook.priority = priority
    setattr(hook, _ATTRIBUTE, hear)
    return hook


def observer_of(hook: object) -> object:
    """Return the object that handles a hook's events, or None for a hook that was not created here."""
    return getattr(getattr(hook, _ATTRIBUTE, None), "__self__", None)


@cache
def hook_classes() -> tuple[type[Any], ...]:
    """Return the classes of the hooks of this process."""
    names = _random.sample([f"{first}{last}" for first in _FIRST_WORDS for last in _LAST_WORDS], _CLASSES)
    return tuple(_make_class(name, _random.choice(MODULES)) for name in names)


def _make_class(name: str, module: str) -> type[Any]:
    """Run the source of a class as if it were part of a user's module."""
    lines = [f"class {name}:"]
    for event, arguments in HOOK_POINTS.items():
        signature = ", ".join(["self", "runner", *(f"{argument}=None" for argument in arguments)])
        given = ", ".join(f"{argument!r}: {argument}" for argument in arguments)
        lines.append(f"    def {event}({signature}):")
        lines.append(f"        self.{_ATTRIBUTE}({event!r}, runner, {{{given}}})")
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile("\n".join(lines), f"{module.replace('.', '/')}.py", "exec"), namespace)  # noqa: S102  # it is our own
    return cast("type[Any]", namespace[name])
