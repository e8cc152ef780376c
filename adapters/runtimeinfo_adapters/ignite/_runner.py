"""The runner view of a trainer of Ignite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import ignite
from ignite.engine import Engine

from runtimeinfo import MessageHub
from runtimeinfo.authoring import Config
from runtimeinfo_adapters._counters import Counters
from runtimeinfo_adapters._text_config import TextConfig
from runtimeinfo_adapters._train_loader import length_of, with_dataset
from runtimeinfo.authoring import LearningRates


class IgniteRunner:
    """Satisfies `runtimeinfo.TrainRunner` with a trainer of Ignite.

    The totals are those at the start of the training: an epoch's length that turns out later was not known then.

    Args:
        trainer: The engine that trains.
        counters: What it has completed.
        optimizer: One optimizer, several by name, or None.
        hub: Where to publish.
        cfg: The configuration.
        seed: The random seed; if left out, that of the engine's state, which a `DeterministicEngine` has.
        experiment_name: The name of the experiment.

    Source: META-01 to META-07, COUNT-01 to COUNT-10.
    """

    framework_name: str = "ignite"
    framework_version: str = str(ignite.__version__)

    def __init__(
        self,
        trainer: Engine,
        counters: Counters,
        *,
        optimizer: Any,
        hub: MessageHub,
        cfg: Config | Mapping[str, Any] | str | None,
        seed: int | None,
        experiment_name: str | None,
    ) -> None:
        self.trainer = trainer
        self.cfg: Config = TextConfig.of(cfg)
        self.experiment_name: str | None = experiment_name
        self.message_hub: MessageHub = hub
        self.optim_wrapper: LearningRates = LearningRates(optimizer)
        self.max_epochs: int | None = None
        self.max_iters: int | None = None
        self._seed = seed
        self._counters = counters

    @property
    def seed(self) -> int | None:
        """The random seed."""
        return self.trainer.state.seed if self._seed is None else self._seed

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self._counters.epoch

    @property
    def iter(self) -> int:
        """Completed iterations: calls of the trainer's step, however many of them make an optimizer step."""
        return self._counters.iter

    @property
    def train_dataloader(self) -> Any:
        """The data that the trainer runs over; data without a dataset are their own dataset."""
        return with_dataset(cast("Any", self.trainer).state.dataloader)

    def note_totals(self) -> None:
        """Note how long the training is going to be, as far as that is known."""
        state = cast("Any", self.trainer).state
        if state.max_iters is not None:  # max_epochs may be there as well, worked out from it
            self.max_epochs, self.max_iters = None, state.max_iters
            return
        # `Engine.set_data` does not look how long the data are.
        length = length_of(state.dataloader) if state.epoch_length is None else state.epoch_length
        self.max_epochs = state.max_epochs
        self.max_iters = None if length is None or self.max_epochs is None else length * self.max_epochs
