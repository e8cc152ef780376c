"""Checks once, at the beginning, that a runner has all that the hook will read."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import cast

from runtimeinfo._errors import RunnerError
from runtimeinfo._shown import shown

_Check = Callable[[object], bool]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_integer(value: object) -> bool:
    # Integral, not int: NumPy's integers are welcome. A bool is no count.
    return not isinstance(value, bool) and isinstance(value, Integral)


def _is_count(value: object) -> bool:
    return _is_integer(value) and cast("int", value) >= 0


def _is_count_or_none(value: object) -> bool:
    return value is None or _is_count(value)


def _is_integer_or_none(value: object) -> bool:
    return value is None or _is_integer(value)


def _has(*names: str) -> _Check:
    return lambda value: all(hasattr(value, name) for name in names)


_Rule = tuple[str, _Check, str]

# What the hook and a component call; what else a hub owes is for the kit to judge.
_HUB_METHODS = ("get_info", "update_info", "update_info_dict", "pop_info", "get_scalar", "update_scalar")

# member, what it must be, and that in words
_RUNNER_RULES: tuple[_Rule, ...] = (
    ("cfg", lambda cfg: _is_text(getattr(cfg, "pretty_text", None)), "an object whose pretty_text is a string"),
    ("seed", _is_integer_or_none, "an int or None"),
    ("experiment_name", _is_text_or_none, "a string or None"),
    ("framework_name", _is_text, "a string"),
    ("framework_version", _is_text, "a string"),
    ("message_hub", _has(*_HUB_METHODS), "a MessageHub"),
)
_TRAIN_RULES: tuple[_Rule, ...] = (
    ("epoch", _is_count, "an int from 0, the completed epochs"),
    ("iter", _is_count, "an int from 0, the completed iterations"),
    ("max_epochs", _is_count_or_none, "an int from 0, or None if it is not known"),
    ("max_iters", _is_count_or_none, "an int from 0, or None if it is not known"),
    ("train_dataloader", _has("dataset"), "an object with a dataset"),
    ("optim_wrapper", _has("get_lr"), "an object with get_lr()"),
)


def check_runner(runner: object) -> None:
    """Check a runner against `Runner`.

    Raises:
        RunnerError: With everything that is wrong, in one message.

    Source: META-06.
    """
    _check(runner, "Runner", _RUNNER_RULES, "META-06")


def check_train_runner(runner: object) -> None:
    """Check a runner against what `TrainRunner` adds to `Runner`.

    Raises:
        RunnerError: With everything that is wrong, in one message.

    Source: COUNT-09.
    """
    _check(runner, "TrainRunner", _TRAIN_RULES, "COUNT-09")


def _check(runner: object, protocol: str, rules: tuple[_Rule, ...], requirement: str) -> None:
    problems: list[str] = []
    for member, check, wanted in rules:
        try:
            value = getattr(runner, member)
        except AttributeError as error:
            problems.append(f"{member}: missing ({error}); it must be {wanted}")
            continue
        if not check(value):
            problems.append(f"{member}: must be {wanted}, but is {shown(value)}")
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise RunnerError(
            f"{type(runner).__name__} does not keep the contract of {protocol}:{listed}\n  Give it these members, "
            "or give the hooks a view of it that has them",
            problems=tuple(problems),
            requirement=requirement,
        )
