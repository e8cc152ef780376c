"""The interfaces of a runner: small Protocols, composed. Nobody has to inherit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from runtimeinfo._message_hub import MessageHub


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
class OptimWrapper(Protocol):
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
    def optim_wrapper(self) -> OptimWrapper:
        """Where the learning rates come from."""
        ...
