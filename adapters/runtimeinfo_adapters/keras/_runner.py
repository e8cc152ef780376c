"""The runner view of a model of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo.authoring import Config
from runtimeinfo_adapters._counters import Counters
from runtimeinfo_adapters._text_config import TextConfig
from runtimeinfo_adapters._train_loader import with_dataset
from runtimeinfo_adapters.keras._untyped import keras


class KerasRunner:
    """Satisfies `runtimeinfo.TrainRunner` with a model of Keras.

    It is its own `optim_wrapper`, since a model may be compiled anew.

    Args:
        counters: What the training has completed.
        optimizers: Several optimizers by name; if left out, the one that the model is compiled with.
        hub: Where to publish.
        cfg: The configuration.
        seed: The random seed.
        experiment_name: The name of the experiment.

    Source: META-01 to META-07, COUNT-01 to COUNT-10, SCALAR-02, SCALAR-03.
    """

    framework_name: str = "keras"
    framework_version: str = str(keras.__version__)

    def __init__(
        self,
        counters: Counters,
        *,
        optimizers: Mapping[str, Any] | None,
        hub: MessageHub,
        cfg: Config | Mapping[str, Any] | str | None,
        seed: int | None,
        experiment_name: str | None,
    ) -> None:
        self.model: Any = None
        self.data: Any = None
        self.cfg: Config = TextConfig.of(cfg)
        self.seed: int | None = seed
        self.experiment_name: str | None = experiment_name
        self.message_hub: MessageHub = hub
        self.max_epochs: int | None = None
        self.max_iters: int | None = None
        self._counters = counters
        self._optimizers = optimizers

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self._counters.epoch

    @property
    def iter(self) -> int:
        """Completed iterations: batches, however many of them make an optimizer step."""
        return self._counters.iter

    @property
    def train_dataloader(self) -> Any:
        """The data that `fit` was given; data without a dataset are their own dataset.

        Keras tells a callback nothing of the data: without `attach` this is None.
        """
        return with_dataset(self.data)

    @property
    def optim_wrapper(self) -> KerasRunner:
        """Where the learning rates come from."""
        return self

    def get_lr(self) -> dict[str, list[float]]:
        """Return the rates as they are now; a schedule is worked out by Keras."""
        if self._optimizers is not None:
            return {f"{name}.lr": [_rate(optimizer)] for name, optimizer in self._optimizers.items()}
        optimizer = getattr(self.model, "optimizer", None)
        return {} if optimizer is None else {"lr": [_rate(optimizer)]}

    def note_totals(self, epochs: int | None, steps: int | None) -> None:
        """Note how long the training is going to be; `steps` is None for data without a length."""
        self.max_epochs = epochs
        self.max_iters = None if epochs is None or steps is None else epochs * steps


def _rate(optimizer: Any) -> float:
    return float(optimizer.learning_rate)
