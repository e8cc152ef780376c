"""Faults of a plan: an exception, and the place where it is raised."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from runtimeinfo_conformance.plans._moments import MOMENTS
from runtimeinfo_conformance.plans._short_repr import ShortRepr

FaultKind = Literal[
    "error",
    "interrupt",
    "runtime_error",
    "os_error",
    "memory_error",
    "arithmetic_error",
    "key_error",
    "index_error",
    "type_error",
    "attribute_error",
    "not_implemented",
    "assertion",
    "custom",
    "stop_iteration",
    "generator_exit",
    "system_exit",
    "cancelled",
    "custom_base",
]

FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
"""All kinds. Runners handle some of them in other places: they retry, fall back, or treat them as an end."""

_CLASSES: Mapping[FaultKind, type[BaseException]] = MappingProxyType(
    {
        "error": ValueError,
        "interrupt": KeyboardInterrupt,
        "runtime_error": RuntimeError,
        "os_error": TimeoutError,
        "memory_error": MemoryError,
        "arithmetic_error": FloatingPointError,
        "key_error": KeyError,
        "index_error": IndexError,
        "type_error": TypeError,
        "attribute_error": AttributeError,
        "not_implemented": NotImplementedError,
        "assertion": AssertionError,
        "stop_iteration": StopIteration,
        "generator_exit": GeneratorExit,
        "system_exit": SystemExit,
        "cancelled": asyncio.CancelledError,
    }
)

_BASES: Mapping[FaultKind, type[BaseException]] = MappingProxyType({"custom": Exception, "custom_base": BaseException})

BASE_KINDS = frozenset(kind for kind in FAULT_KINDS if not issubclass({**_CLASSES, **_BASES}[kind], Exception))
"""The kinds that `except Exception` does not catch."""

# In these places, the exceptions mean that the data or the attribute does not exist, and a runner cannot tell the
# difference. A StopIteration in a step also means the end of the data if the framework draws and steps in one call.
_MEANT_OTHERWISE: Mapping[str, tuple[FaultKind, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("train_data", "val_data", "test_data"), ("stop_iteration", "index_error")),
        "train_step": ("stop_iteration", "attribute_error"),
    }
)


class PlanError(ValueError):
    """A plan describes an impossible training."""


@dataclass(frozen=True, repr=False)
class Fault(ShortRepr):
    """An exception at the n-th occurrence of an event, or of a moment between two events.

    Attributes:
        event: The event at which a hook raises, or one of the `MOMENTS`: when an item of ``train_data``, ``val_data``
            or ``test_data`` is read, or when a ``train_step`` reads `Batch.outputs`. Moments count and raise only in
            the thread that calls the hooks, because errors of workers propagate differently.
        occurrence: The index of the occurrence, from 0.
        kind: The kind of exception: one of the standard library, such as ``"error"`` for a ValueError and
            ``"interrupt"`` for a KeyboardInterrupt, or a ``"custom"`` one of a new class.
        hook: The hook of the kit that raises at an event: the ``"last"``, or the ``"first"``, so that later hooks may
            not hear of the event.

    Raises:
        PlanError: If the exception has another meaning there.
    """

    event: str
    occurrence: int = 0
    kind: FaultKind = "error"
    hook: Literal["last", "first"] = "last"

    def __post_init__(self) -> None:
        if self.kind in _MEANT_OTHERWISE.get(self.event, ()):
            raise PlanError(
                f"kind={self.kind!r} does not go with {self.event!r}, where it means that the data has ended, or "
                "that an attribute is missing: give another kind"
            )
        if self.hook == "first" and self.event in MOMENTS:
            raise PlanError(f"hook goes with an event, and {self.event!r} is between two: leave it out")


def can_raise(event: str, kind: FaultKind) -> bool:
    """Return whether a kind, raised at an event or a moment, has no other meaning there."""
    return kind not in _MEANT_OTHERWISE.get(event, ())


def make_error(kind: FaultKind) -> BaseException:
    """Create an exception of a kind that looks like a user's. Its class is never one of the kit's."""
    base = _BASES.get(kind)
    if base is None:
        return _ARGUMENTS.get(kind, _with_message)(_CLASSES[kind])
    name = f"{_choose(_FIRST_WORDS)}{_choose(_LAST_WORDS)}"
    return _with_message(type(name, (base,), {"__module__": _choose(MODULES)}))


MODULES = ("__main__", "hooks", "callbacks", "project.callbacks", "train", "my_lib.hooks")
"""Modules in which users write hooks and exceptions."""

_FIRST_WORDS = ("Training", "Data", "Loss", "Budget", "Worker", "Node", "Stop", "Gradient")
_LAST_WORDS = ("Error", "Exhausted", "Lost", "Failed", "Diverged", "Request")
_MESSAGES = ("the loss is {}", "cannot read sample {}", "device {} is gone", "no entry for {}", "{} is out of range")

# Separate from the generator that the user's seed controls.
_random = random.Random()  # noqa: S311  # nothing secret


def _choose(words: tuple[str, ...]) -> str:
    return _random.choice(words)


def _with_message(kind: type[BaseException]) -> BaseException:
    return kind(_choose(_MESSAGES).format(_random.randrange(1000)))


_ARGUMENTS: Mapping[FaultKind, Callable[[type[BaseException]], BaseException]] = MappingProxyType(
    {
        "interrupt": lambda kind: kind(),
        "generator_exit": lambda kind: kind(),
        "stop_iteration": lambda kind: kind(),
        "system_exit": lambda kind: kind(_random.randrange(1, 100)),
    }
)
