"""Learning rates of a loop of any framework: of optimizers, schedules, functions and numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from runtimeinfo import LoopError
from runtimeinfo.authoring import HasLearningRates, LearningRates, describe, is_scalar

_RATE = "learning_rate"  # as Keras, MLX and optax call it


def learning_rates(given: Any, completed: Callable[[], int]) -> HasLearningRates:
    """Return the learning rates of what a `Loop` was given as its optimizer.

    Args:
        given: One source of a rate, several by name, or None.
        completed: Returns the number of completed iterations.

    Raises:
        LoopError: If something has no rate that can be read.

    Source: SCALAR-02, SCALAR-03.
    """
    several = cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {"": given}
    if all(source is None or hasattr(source, "param_groups") for source in several.values()):
        return LearningRates(cast("Any", given))
    return GivenRates(given, completed)


class GivenRates:
    """Satisfies `runtimeinfo.authoring.HasLearningRates` with anything that tells a rate.

    Args:
        given: An optimizer with `param_groups` or `learning_rate`; a schedule, which is called with the number of
            completed iterations; a function without arguments, which returns the rate or a state of optax; a number; or
            several of these by name.
        completed: Returns the number of completed iterations.

    Raises:
        LoopError: If something has no rate that can be read.

    Example:
        >>> GivenRates(lambda step: 0.5**step, lambda: 2).get_lr()
        {'lr': [0.25]}
        >>> GivenRates({"generator": 0.1, "critic": lambda: 0.2}, lambda: 0).get_lr()
        {'generator.lr': [0.1], 'critic.lr': [0.2]}

    Source: SCALAR-02, SCALAR-03.
    """

    def __init__(self, given: Any, completed: Callable[[], int]) -> None:
        self._completed = completed
        # A mapping is kept: a number in it can be replaced while the training continues.
        self._sources = cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {"": given}
        self._takes_iteration = {name: _check_source(name, source) for name, source in self._sources.items()}

    def get_lr(self) -> dict[str, list[Any]]:
        """Return the rates as they are now: a scalar for each param group, which need not have come to the host."""
        return {f"{name}.lr" if name else "lr": self._of(name, source) for name, source in self._sources.items()}

    def _of(self, name: str, source: Any) -> list[Any]:
        groups = getattr(source, "param_groups", None)
        if groups is not None:
            return [group["lr"] for group in groups]
        if is_scalar(source):
            return [source]
        if hasattr(source, _RATE):
            rate = getattr(source, _RATE)
            return [rate if is_scalar(rate) else float(rate)]  # a variable of Keras is a float to Python only
        rate = source(self._completed()) if self._takes_iteration[name] else source()
        return [rate if is_scalar(rate) else _rate_of_state(name, rate)]


def _check_source(name: str, source: Any) -> bool:
    """Raise if this has no rate; return whether it is called with the number of iterations."""
    if hasattr(source, "param_groups") or is_scalar(source):
        return False
    rate = getattr(source, _RATE, None)
    if rate is not None and not isinstance(rate, str):
        return False
    if not callable(source):
        raise LoopError(
            f"{_named(name)}: an optimizer has param_groups or a learning_rate, but this is {describe(source)}; give "
            "an optimizer, a schedule (called with the number of iterations), a function without arguments that "
            "returns the rate, a number, a dict of these by name, or None"
        )
    try:
        parameters = inspect.signature(source).parameters.values()
    except (TypeError, ValueError):  # one that tells nothing of its arguments
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [each for each in parameters if each.kind in positional and each.default is each.empty]
    if len(required) > 1:
        raise LoopError(
            f"{_named(name)}: a function of a learning rate takes the number of completed iterations, or nothing, but "
            f"this takes {', '.join(each.name for each in required)}: wrap it in a lambda"
        )
    return bool(required) or any(each.kind is each.VAR_POSITIONAL for each in parameters)


def _rate_of_state(name: str, state: Any) -> Any:
    """Return the rate that a state of optax's `inject_hyperparams` holds, wherever in the state that is."""
    holder = _find_hyperparams(state)
    if holder is None:
        raise LoopError(
            f"{_named(name)}: its function returned {describe(state)}, which is neither a rate nor a state of "
            "optax.inject_hyperparams with a learning_rate: return a number"
        )
    if _RATE in getattr(holder, "hyperparams_states", ()):
        # optax works the rate out in `update`, so the state holds that of the last one.
        raise LoopError(
            f"{_named(name)}: the learning_rate of this state of optax follows from a schedule, and the state holds "
            "that of the last update, not of the next one: give the schedule itself, as in Loop(schedule)"
        )
    rate = holder.hyperparams[_RATE]
    if not is_scalar(rate):
        raise LoopError(f"{_named(name)}: the learning_rate of its state is {describe(rate)}: give a function of it")
    return rate


def _find_hyperparams(state: Any) -> Any:
    if _RATE in getattr(state, "hyperparams", ()):
        return state
    if isinstance(state, Mapping):
        state = tuple(cast("Mapping[Any, Any]", state).values())
    for part in cast("tuple[Any, ...]", state if isinstance(state, tuple | list) else ()):
        found = _find_hyperparams(part)
        if found is not None:
            return found
    return None


def _named(name: str) -> str:
    return f"optimizer {name!r}" if name else "optimizer"
