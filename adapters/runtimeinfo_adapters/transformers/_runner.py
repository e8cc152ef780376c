"""The runner view of a Trainer."""

from __future__ import annotations

from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo.authoring import Config, TrainDataLoader
from runtimeinfo_adapters._counters import Counters
from runtimeinfo_adapters._framework import import_framework
from runtimeinfo_adapters._text_config import TextConfig
from runtimeinfo_adapters._train_loader import length_of, with_dataset
from runtimeinfo_adapters.pytorch import LearningRates

transformers: Any = import_framework(
    "transformers", distribution="transformers", extra="transformers", at_least="5.4", below="6"
)


class TransformersRunner:
    """Satisfies `runtimeinfo.TrainRunner` with what a Trainer tells its callbacks.

    Args:
        hub: The hub to publish to.

    Source: META-04, COUNT-01 to COUNT-10.
    """

    framework_name: str = "transformers"

    def __init__(self, hub: MessageHub) -> None:
        self.message_hub: MessageHub = hub
        self.framework_version: str = str(transformers.__version__)
        self.cfg: Config = TextConfig()
        self.seed: int | None = None
        self.experiment_name: str | None = None
        self.max_epochs: int | None = None
        self.max_iters: int | None = None
        self.train_dataloader: TrainDataLoader = with_dataset(None)
        self.optim_wrapper: LearningRates = LearningRates(None)
        # The Trainer's own count optimizer steps, and fractions of epochs.
        self.counters: Counters = Counters()
        self.batches_done: int = 0  # of this epoch

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self.counters.epoch

    @property
    def iter(self) -> int:
        """Completed iterations: batches, however many of them make an optimizer step."""
        return self.counters.iter

    def identify(self, args: Any) -> None:
        """Take what identifies the run from the Trainer's arguments."""
        self.cfg = TextConfig(args.to_dict())
        self.seed = args.seed
        self.experiment_name = args.run_name

    def begin(self, args: Any, state: Any, loader: Any, optimizer: Any) -> None:
        """Take a training that begins, or goes on, from what the Trainer tells at its beginning."""
        self.optim_wrapper = LearningRates(optimizer)
        self.train_dataloader = with_dataset(loader)
        accumulation = args.gradient_accumulation_steps
        length = length_of(loader)
        # Asked for a number of steps, the Trainer makes up one of epochs: sys.maxsize where the data has no length.
        self.max_epochs = state.num_train_epochs if args.max_steps <= 0 else None
        if length is None:
            # At the end of the data, wherever that is, an optimizer step may be made for fewer batches.
            self.max_iters = state.max_steps if accumulation == 1 else None
            self.counters.epoch, self.batches_done = 0, state.global_step * accumulation
            self.counters.iter = self.batches_done
        else:
            steps_an_epoch = max(-(-length // accumulation), 1)
            self.max_iters = _batches(state.max_steps, steps_an_epoch, length, accumulation)
            self.counters.iter = _batches(state.global_step, steps_an_epoch, length, accumulation)
            self.counters.epoch, steps = divmod(state.global_step, steps_an_epoch)
            self.batches_done = steps * accumulation
        if args.ignore_data_skip:
            self.batches_done = 0


def _batches(steps: int, steps_an_epoch: int, length: int, accumulation: int) -> int:
    """Return how many batches so many optimizer steps are made for; the last one of an epoch may have fewer."""
    epochs, rest = divmod(steps, steps_an_epoch)
    return epochs * length + rest * accumulation
