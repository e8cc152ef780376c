"""A small framework of its own, which knows nothing of runtimeinfo but its protocol."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

from runtimeinfo import use_hub
from runtimeinfo.authoring import Dispatcher, TextConfig
from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_adapters import MessageHub

__version__ = "1.0"

Step = Callable[[Any], dict[str, Any]]


class SGD:
    """A rate, for the steps to read."""

    def __init__(self, lr: float) -> None:
        self.lr = lr

    def get_lr(self) -> dict[str, list[float]]:
        return {"lr": [self.lr]}


class Trainer:
    """Trains by calling `step` on each batch: a TrainRunner, without inheriting from anything.

    Each scope of a run is a ``with``, so that it closes however it is left, and before the one around it.
    """

    framework_name = "myfw"
    framework_version = __version__

    def __init__(
        self,
        step: Step,
        train_dataloader: Any,
        max_epochs: int,
        val_dataloader: Iterable[Any] | None = None,
        *,
        lr: float = 0.1,
        seed: int | None = None,
        experiment_name: str | None = None,
        hooks: Iterable[object] = (),
    ) -> None:
        self.step, self.train_dataloader, self.val_dataloader = step, train_dataloader, val_dataloader
        self.epoch, self.iter, self.max_epochs = 0, 0, max_epochs
        self.max_iters = max_epochs * len(train_dataloader) if hasattr(train_dataloader, "__len__") else None
        self.optim_wrapper = SGD(lr)
        self.seed, self.experiment_name = seed, experiment_name
        self.cfg = TextConfig({"max_epochs": max_epochs, "lr": lr})
        self.message_hub = MessageHub(experiment_name or "myfw")
        self.dispatcher = Dispatcher(hooks)
        self.announced: BaseException | None = None

    def fit(self) -> None:
        with use_hub(self.message_hub), self.scope("run"), self.scope("train"):  # so that current_hub() answers
            while self.epoch < self.max_epochs:
                with self.scope("train_epoch"):
                    self.train_epoch()
                self.epoch += 1
                if self.val_dataloader is not None:
                    self.validate(self.val_dataloader)

    def train_epoch(self) -> None:
        for index, batch in enumerate(self.train_dataloader):
            with self.scope("train_iter", batch_idx=index, data_batch=batch) as results:
                results["outputs"] = self.step(batch)
            self.iter += 1

    def validate(self, dataloader: Iterable[Any]) -> None:
        with self.scope("val"), self.scope("val_epoch"):
            for index, batch in enumerate(dataloader):
                with self.scope("val_iter", batch_idx=index, data_batch=batch) as results:
                    results["outputs"] = self.step(batch)

    @contextmanager
    def scope(self, name: str, **given: Any) -> Generator[dict[str, Any]]:
        results: dict[str, Any] = {}
        try:
            self.dispatcher.dispatch(f"before_{name}", self, **given)
            yield results
        except BaseException as error:
            if self.announced is None:  # once, also if Python makes another exception of it on its way
                self.announced = error
                self.dispatcher.dispatch("on_exception", self, exception=error)
            self.close(name, **given)
            raise
        self.close(name, **given, **results)

    def close(self, name: str, **given: Any) -> None:
        event = f"after_{name}"
        self.dispatcher.dispatch(event, self, **{each: given.get(each) for each in HOOK_POINTS[event]})
