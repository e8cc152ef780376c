"""The interfaces of a runner: small Protocols, composed. Nobody has to inherit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Protocol, cast, runtime_checkable

from runtimeinfo._errors import RunnerError
from runtimeinfo._message_hub import MessageHub
from runtimeinfo._scalar import shown


@runtime_checkable
class Config(Protocol):
    """The configuration of a run, as far as the protocol reads it."""

    @property
    def pretty_text(self) -> str:
        """The configuration as text for people."""
        ...


@runtime_checkable
class RunMetadata(Protocol):
    """What identifies a run. Published once, at its beginning (META-01 to META-05)."""

    @property
    def cfg(self) -> Config:
        """The configuration."""
        ...

    @property
    def seed(self) -> int | None:
        """The random seed, or None if the run has none."""
        ...

    @property
    def experiment_name(self) -> str | None:
        """The name of the experiment, or None if it has none."""
        ...

    @property
    def framework_name(self) -> str:
        """The framework's name; its version is published as ``<framework_name>_version``."""
        ...

    @property
    def framework_version(self) -> str:
        """The framework's version."""
        ...


@runtime_checkable
class TrainState(Protocol):
    """Where the training is.

    Both counters say how many are *completed*: during the first epoch `epoch` is 0, and `iter` grows by one
    only after `after_train_iter` (COUNT-01 to COUNT-04). An iteration is one batch, however many of
    them make an optimizer step (COUNT-10).
    """

    @property
    def epoch(self) -> int:
        """Completed epochs, from 0."""
        ...

    @property
    def iter(self) -> int:
        """Completed iterations of the whole training, from 0."""
        ...

    @property
    def max_epochs(self) -> int | None:
        """Epochs of the whole training, or None if that is not known."""
        ...

    @property
    def max_iters(self) -> int | None:
        """Iterations of the whole training, or None if that is not known."""
        ...


@runtime_checkable
class HasLearningRates(Protocol):
    """One optimizer or several, as far as the protocol reads them."""

    def get_lr(self) -> Mapping[str, Sequence[float]]:
        """Return the learning rates by name: an entry for each param group, the first one is published."""
        ...


@runtime_checkable
class TrainDataLoader(Protocol):
    """The loader of the training data."""

    @property
    def dataset(self) -> Any:
        """The dataset; if it has `metainfo`, that is published as ``dataset_meta`` (META-07)."""
        ...


@runtime_checkable
class Runner(RunMetadata, Protocol):
    """Whatever validates or tests."""

    @property
    def message_hub(self) -> MessageHub:
        """The hub that this run publishes to."""
        ...


@runtime_checkable
class TrainRunner(Runner, TrainState, Protocol):
    """Whatever trains."""

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The loader of the training data."""
        ...

    @property
    def optim_wrapper(self) -> HasLearningRates:
        """Where the learning rates come from."""
        ...


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
