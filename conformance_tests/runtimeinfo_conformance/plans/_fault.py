"""Faults of a plan: where something is raised, and what."""

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
"""All kinds. Runners meet some of them elsewhere: they retry, fall back, or take them for an end."""

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
"""The kinds that are not an Exception: an `except Exception` does not see them."""

# Each of these says that there is nothing more, or nothing at all: no runner can tell one from the other. A step that
# raises StopIteration is the end of the data, too, where the framework draws and steps in one.
_MEANT_OTHERWISE: Mapping[str, tuple[FaultKind, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("train_data", "val_data", "test_data"), ("stop_iteration", "index_error")),
        "train_step": ("stop_iteration", "attribute_error"),
    }
)


class PlanError(ValueError):
    """There is no such training."""


@dataclass(frozen=True, repr=False)
class Fault(ShortRepr):
    """Something that goes wrong: something raises at the n-th time of an event, or of a moment between two.

    Attributes:
        event: At which event a hook raises; or at which of the `MOMENTS`: as an item of ``train_data``, ``val_data`` or
            ``test_data`` is read, or as a ``train_step`` reads `Batch.outputs`. Only what happens in the thread in
            which the hooks are called counts, and raises: a worker's error takes ways that are not those of a hook's.
        occurrence: At which of its occurrences, from 0.
        kind: What is raised: an exception of the standard library, such as ``"error"`` for a ValueError and
            ``"interrupt"`` for a KeyboardInterrupt; or a ``"custom"`` one, whose class is made for it.
        hook: Which of the kit's hooks raises at an event: the ``"last"``, or the ``"first"``, so that those after it
            may not hear of the event.

    Raises:
        PlanError: If such an exception says something else there.
    """

    event: str
    occurrence: int = 0
    kind: FaultKind = "error"
    hook: Literal["last", "first"] = "last"

    def __post_init__(self) -> None:
        if self.kind in _MEANT_OTHERWISE.get(self.event, ()):
            raise PlanError(
                f"kind={self.kind!r} does not go with {self.event!r}, where it says that the data is at its end, or "
                "that an attribute is missing: give another kind"
            )
        if self.hook == "first" and self.event in MOMENTS:
            raise PlanError(f"hook goes with an event, and {self.event!r} is between two: leave it out")


def can_raise(event: str, kind: FaultKind) -> bool:
    """Tell whether a kind can be raised at an event or a moment, and be told from what Python means by it."""
    return kind not in _MEANT_OTHERWISE.get(event, ())


def make_error(kind: FaultKind) -> BaseException:
    """Make an exception of a kind, with the words that users write. Its class is never one of the kit's."""
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

# Not the generator that a seed of the user governs.
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
