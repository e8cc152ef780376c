"""The interfaces of a runner: small Protocols, composed, which a runner need not inherit."""

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
    """The identity of a run. Published once, when it starts (META-01 to META-05)."""

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
    """A runner that validates or tests."""

    @property
    def message_hub(self) -> MessageHub:
        """The hub that this run publishes to."""
        ...


@runtime_checkable
class TrainRunner(Runner, TrainState, Protocol):
    """A runner that trains."""

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The loader of the training data."""
        ...

    @property
    def optim_wrapper(self) -> HasLearningRates:
        """Where the learning rates come from."""
        ...


# -- What the members must be, checked once, at the beginning.

_Check = Callable[[object], bool]

# What the hook and a component call; what else a hub owes is for the kit to judge.
_HUB_METHODS = ("get_info", "update_info", "update_info_dict", "pop_info", "get_scalar", "update_scalar")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_integer(value: object) -> bool:
    # Integral, not int: NumPy's integers are welcome. A bool is not a count.
    return not isinstance(value, bool) and isinstance(value, Integral)


def _is_count(value: object) -> bool:
    return _is_integer(value) and cast("int", value) >= 0


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _has(*names: str) -> _Check:
    return lambda value: all(hasattr(value, name) for name in names)


# What each member must be, and that in words. Which members belong to which Protocol is read from the Protocol.
_RULES: dict[str, tuple[_Check, str]] = {
    "cfg": (lambda cfg: _is_text(getattr(cfg, "pretty_text", None)), "an object whose pretty_text is a string"),
    "seed": (_or_none(_is_integer), "an int or None"),
    "experiment_name": (_or_none(_is_text), "a string or None"),
    "framework_name": (_is_text, "a string"),
    "framework_version": (_is_text, "a string"),
    "message_hub": (_has(*_HUB_METHODS), "a MessageHub"),
    "epoch": (_is_count, "an int from 0, the completed epochs"),
    "iter": (_is_count, "an int from 0, the completed iterations"),
    "max_epochs": (_or_none(_is_count), "an int from 0, or None if it is not known"),
    "max_iters": (_or_none(_is_count), "an int from 0, or None if it is not known"),
    "train_dataloader": (_has("dataset"), "an object with a dataset"),
    "optim_wrapper": (_has("get_lr"), "an object with get_lr()"),
}


def check_runner(runner: object) -> None:
    """Check a runner against `Runner`.

    Raises:
        RunnerError: With everything that is wrong, in one message.

    Source: META-06.
    """
    _check(runner, "Runner", _members(Runner), "META-06")


def check_train_runner(runner: object) -> None:
    """Check a runner against the members that `TrainRunner` adds to `Runner`.

    Raises:
        RunnerError: With everything that is wrong, in one message.

    Source: COUNT-09.
    """
    _check(runner, "TrainRunner", _members(TrainRunner) - _members(Runner), "COUNT-09")


def _members(protocol: type) -> frozenset[str]:
    from typing_extensions import get_protocol_members  # here: `import runtimeinfo` needs the standard library only

    return get_protocol_members(protocol)


def _check(runner: object, protocol: str, members: frozenset[str], requirement: str) -> None:
    problems: list[str] = []
    for member, (check, wanted) in _RULES.items():
        if member not in members:
            continue
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
