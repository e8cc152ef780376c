"""The runner view of a Lightning trainer."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, cast

from runtimeinfo import MessageHub
from runtimeinfo.authoring import Config, TrainDataLoader
from runtimeinfo_adapters._counters import Counters
from runtimeinfo_adapters._text_config import TextConfig
from runtimeinfo_adapters._train_loader import with_dataset
from runtimeinfo_adapters.lightning._learning_rates import LearningRates


class LightningRunner:
    """Satisfies `runtimeinfo.TrainRunner` with a Lightning trainer.

    Args:
        hub: Where to publish.
        framework_version: Lightning's version.
        cfg: The configuration; if left out, the hyperparameters that the module and the data module have saved.
        seed: The seed; if left out, that of `seed_everything`, if it was called.
        experiment_name: The name; if left out, that of the first logger, if there is any.
        optimizer_names: What the optimizers are called.

    Attributes:
        trainer: The trainer, once it runs.
        counters: What is completed: Lightning's ``global_step`` counts optimizer steps.

    Source: META-01 to META-04, COUNT-01 to COUNT-10.
    """

    framework_name: str = "lightning"

    def __init__(
        self,
        hub: MessageHub,
        framework_version: str,
        *,
        cfg: Config | Mapping[str, Any] | str | None = None,
        seed: int | None = None,
        experiment_name: str | None = None,
        optimizer_names: Iterable[str] = (),
    ) -> None:
        self.message_hub: MessageHub = hub
        self.framework_version: str = framework_version
        self.trainer: Any = None
        self.counters: Counters = Counters()
        self._cfg = None if cfg is None else TextConfig.of(cfg)
        self._seed = seed
        self._experiment_name = experiment_name
        self._optimizer_names = tuple(optimizer_names)

    def connect(self, trainer: Any) -> None:
        """Go over to a trainer; another one than before begins with no iteration."""
        if trainer is not self.trainer:
            self.trainer = trainer
            self.counters.epoch = self.counters.iter = 0

    @property
    def cfg(self) -> Config:
        """The configuration."""
        if self._cfg is not None:
            return self._cfg
        parts = (self.trainer.datamodule, self.trainer.lightning_module)
        return TextConfig({name: value for part in parts if part is not None for name, value in part.hparams.items()})

    @property
    def seed(self) -> int | None:
        """The seed."""
        if self._seed is not None:
            return self._seed
        seed = os.environ.get("PL_GLOBAL_SEED", "")  # where seed_everything leaves it
        return int(seed) if seed.lstrip("-").isdecimal() else None

    @property
    def experiment_name(self) -> str | None:
        """The name of the experiment."""
        if self._experiment_name is not None or self.trainer.logger is None:
            return self._experiment_name
        name = self.trainer.logger.name
        return None if name is None else str(name)

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self.counters.epoch

    @property
    def iter(self) -> int:
        """Completed iterations: batches, however many of them make an optimizer step."""
        return self.counters.iter

    @property
    def max_epochs(self) -> int | None:
        """Epochs of the training; None if there is no bound."""
        bound = self.trainer.max_epochs
        return None if bound is None or bound < 0 else cast("int", bound)

    @property
    def max_iters(self) -> int | None:
        """Iterations of the training; None if there is no bound, or it cannot be known."""
        batches = self._batches
        by_epochs = None if self.max_epochs is None or batches is None else self.max_epochs * batches
        if self.trainer.max_steps < 0:
            return by_epochs
        by_steps = self._iterations_of(self.trainer.max_steps)
        # Either bound may be the first one to be reached: while one is unknown, so is the first.
        if by_steps is None or (by_epochs is None and self.max_epochs is not None):
            return None
        return by_steps if by_epochs is None else min(by_steps, by_epochs)

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The loader; of several the first one that has a dataset."""
        loaders: Any = self.trainer.train_dataloader
        several: list[Any] = [loaders]
        if isinstance(loaders, Mapping):
            several += cast("Mapping[Any, Any]", loaders).values()
        elif isinstance(loaders, list | tuple):
            several += cast("list[Any]", loaders)
        return with_dataset(next((each for each in several if hasattr(each, "dataset")), several[0]))

    @property
    def optim_wrapper(self) -> LearningRates:
        """The learning rates."""
        return LearningRates(self.trainer.optimizers, self._optimizer_names)

    @property
    def _batches(self) -> int | None:
        """Batches an epoch, as far as they are known: a loader without a length has inf."""
        batches = self.trainer.num_training_batches
        return None if math.isinf(batches) else int(batches)

    def _iterations_of(self, steps: int) -> int | None:
        """Return how many batches make that many optimizer steps, if that can be known."""
        if not self.trainer.lightning_module.automatic_optimization or self._accumulation_changes:
            return None  # who steps by hand does so when it pleases
        each: int = self.trainer.accumulate_grad_batches
        batches = self._batches
        if batches is None:
            return steps if each == 1 else None
        if batches == 0:
            return 0
        # Lightning steps with the last batch of an epoch, too.
        epochs, rest = divmod(steps, math.ceil(batches / each))
        return epochs * batches + rest * each

    @property
    def _accumulation_changes(self) -> bool:
        # Only a GradientAccumulationScheduler has that attribute.
        return any(hasattr(callback, "scheduling") for callback in self.trainer.callbacks)
