"""The adapter on Lightning's real Trainer."""

from __future__ import annotations

import copy
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import logging
import operator
import os
import pickle
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.fabric import Fabric
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.tuner import Tuner
from lightning.pytorch.utilities import CombinedLoader
from recorder import Recorder
from torch.utils.data import DataLoader

from runtimeinfo import HookError, RunnerError, StateError, TrainRunner, current_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters import lightning as adapter
from runtimeinfo_adapters._adapter import WrappedMethod
from runtimeinfo_adapters._framework import UntestedVersionWarning
from runtimeinfo_adapters.lightning import LightningRunner, RuntimeInfoCallback, attach, detach
from runtimeinfo_adapters.pytorch import Loop

pytestmark = [
    # Lightning 2.6 on torch 2.13
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Total length of `.*Loader` across ranks is zero:UserWarning"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used to create:UserWarning"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning"),
]

ATTACHED = pytest.mark.parametrize("attached", [True, False])


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.ERROR, "lightning.pytorch")
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)


class Data:
    metainfo = {"classes": ["cat", "dog"]}  # noqa: RUF012


class Unsized:
    def __init__(self, length: int, batches: Any = None) -> None:
        self.batches = [torch.ones(1)] * length if batches is None else batches
        self.dataset = Data()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class Loader(Unsized):
    def __len__(self) -> int:
        return len(self.batches)


class Resumable(Loader):
    """Goes on in mid-epoch, as the state_dict of a loader lets it in Lightning."""

    done = skipped = 0

    def __iter__(self) -> Iterator[Any]:
        self.done, self.skipped = self.skipped, 0
        while self.done < len(self.batches):
            self.done += 1
            yield self.batches[self.done - 1]

    def state_dict(self) -> dict[str, int]:
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.skipped = state["done"]


class Model(LightningModule):
    """Notes what a component sees inside, and calls a function at a place."""

    def __init__(self, **at: Callable[..., Any]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.at = at
        self.seen: list[Any] = []

    def do(self, place: str) -> Any:
        hub = current_hub()
        self.seen.append((place, *(hub.get_info(key) for key in ("loop_stage", "epoch", "iter"))))
        return self.at[place](self) if place in self.at else None

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        extra = self.do("train") or {}
        return {"loss": self.weight.sum() * 0 + batch_idx + 1, **extra}

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.do("val")
        if not self.trainer.sanity_checking:
            self.log("acc", float(dataloader_idx + 1), batch_size=1)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.do("test")
        self.log("acc", 0.25, batch_size=1)

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        self.do("predict")
        return batch

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make(callbacks: Any = (), **changes: Any) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    quiet["enable_checkpointing"] = any(isinstance(each, ModelCheckpoint) for each in callbacks)
    return Trainer(
        **{"accelerator": "cpu", "devices": 1, "max_epochs": 2, **quiet, **changes},  # type: ignore[arg-type]
        callbacks=list(callbacks),
    )


def publishing(attached: bool = True, callbacks: Any = (), hooks: Any = (), **changes: Any) -> Any:
    """Return a trainer that publishes, its callback, and a recorder."""
    recorder = Recorder()
    if attached:
        trainer = make(callbacks, **changes)
        return trainer, attach(trainer, hooks=[recorder, *hooks]), recorder
    callback = RuntimeInfoCallback(hooks=[recorder, *hooks])
    return make([callback, *callbacks], **changes), callback, recorder


def values(callback: RuntimeInfoCallback, key: str) -> list[float]:
    return [float(value) for value in callback.message_hub.get_scalar(key).data[0]]


def infos(callback: RuntimeInfoCallback, *keys: str) -> list[Any]:
    return [callback.message_hub.get_info(key) for key in keys]


def fail(error: BaseException) -> Callable[..., Any]:
    def function(*_: Any, **__: Any) -> None:
        raise error

    return function


# -- events


@ATTACHED
def test_events_follow_the_grammar(attached: bool) -> None:
    trainer, callback, recorder = publishing(attached)
    trainer.fit(Model(), Loader(2), Loader(1))
    val = ["before_val", "before_val_epoch", "before_val_iter", "after_val_iter", "after_val_epoch", "after_val"]
    epoch = ["before_train_epoch", *["before_train_iter", "after_train_iter"] * 2, *val, "after_train_epoch"]
    assert recorder.events == ["before_run", "before_train", *epoch * 2, "after_train", "after_run"]
    assert recorder.is_closed
    assert isinstance(callback.runner, LightningRunner)
    assert isinstance(callback.runner, TrainRunner)
    assert recorder.given("before_train_iter", "batch_idx") == [0, 1, 0, 1]
    assert all(batch is not None for batch in recorder.given("after_train_iter", "data_batch"))


@ATTACHED
def test_components_see_stage_and_counters(attached: bool) -> None:
    outside = resolve_hub()
    trainer, callback, _ = publishing(attached)
    model = Model()
    trainer.fit(model, Loader(1), Loader(1))
    trainer.test(model, Loader(1), verbose=False)
    trainer.predict(model, Loader(1))
    assert model.seen == [
        ("val", None, None, None),  # the sanity check is not a validation
        ("train", "train", 0, 0),
        ("val", "val", 0, 1),
        ("train", "train", 1, 1),
        ("val", "val", 1, 2),
        ("test", "test", 2, 2),
        ("predict", None, 2, 2),
    ]
    assert resolve_hub() is outside
    assert infos(callback, "loop_stage", "epoch", "iter", "max_epochs", "max_iters") == [None, 2, 2, 2, 2]
    assert infos(callback, "dataset_meta", "lightning_version") == [Data.metainfo, lightning.__version__]
    assert values(callback, "val/acc") == [1.0, 1.0]
    assert values(callback, "test/acc") == [0.25]


def test_a_validation_on_its_own() -> None:
    trainer, callback, recorder = publishing()
    trainer.validate(Model(), Loader(2), verbose=False)
    assert recorder.events[:2] == ["before_run", "before_val"]
    assert recorder.is_closed
    assert infos(callback, "epoch", "iter", "loop_stage") == [0, 0, None]


@pytest.mark.parametrize("interval", [2, 0.5])
def test_a_validation_in_the_middle_of_an_epoch(interval: Any) -> None:
    trainer, _, recorder = publishing(max_epochs=1, val_check_interval=interval)
    trainer.fit(Model(), Loader(4), Loader(1))
    at = [index for index, event in enumerate(recorder.events) if event == "before_val"]
    assert [recorder.events[index - 1] for index in at] == ["after_train_iter"] * 2
    assert recorder.events[at[0] : at[1]].count("before_train_iter") == 2
    assert recorder.count("before_train_epoch", "after_train_epoch") == [1, 1]


def test_several_validation_loaders_have_an_epoch_each() -> None:
    class Logging(Model):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            super().validation_step(batch, batch_idx, dataloader_idx)
            self.log(f"f{dataloader_idx}", 5.0, batch_size=1, add_dataloader_idx=False)

        def on_validation_epoch_end(self) -> None:
            self.log("of_all", 6.0)

    trainer, callback, recorder = publishing()
    # Lightning passes over those that are empty.
    trainer.fit(Logging(), Loader(1), [Loader(0), Loader(2), Loader(1)])
    trainer.validate(Logging(), [Loader(2), Loader(0)], verbose=False)
    assert recorder.is_closed
    names = {"before_val": "val", "before_val_epoch": "epoch", "before_val_iter": "iter"}
    visited = [names[event] for event in recorder.events if event in names]
    assert visited == ["val", "epoch", "epoch", "iter", "iter", "epoch", "iter"] * 2 + [
        *("val", "epoch", "iter", "iter", "epoch")
    ]
    assert recorder.given("before_val_iter", "batch_idx") == [0, 1, 0] * 2 + [0, 1]
    metrics = [sorted(metrics) for metrics in recorder.given("after_val_epoch", "metrics")]
    assert metrics == [[], ["acc", "f1"], ["acc", "f2", "of_all"]] * 2 + [["acc", "f0", "of_all"], []]
    assert values(callback, "val/acc") == [2.0, 3.0] * 2 + [1.0]


def test_loaders_that_are_drawn_from_at_once_have_one_epoch() -> None:
    from lightning.pytorch.utilities import CombinedLoader

    trainer, _, recorder = publishing(max_epochs=1)
    trainer.fit(Model(), Loader(1), CombinedLoader([Loader(2), Loader(2)], "min_size"))
    assert recorder.count("before_val_epoch", "before_val_iter") == [1, 2]


@pytest.mark.parametrize("interval", [1.0, 2])
def test_stopping_early(interval: Any) -> None:
    trainer, callback, recorder = publishing(max_epochs=5, val_check_interval=interval)

    def stop(model: Any) -> None:
        model.trainer.should_stop = model.trainer.fit_loop.total_batch_idx == 3

    trainer.fit(Model(train=stop), Loader(3), Loader(1))
    assert recorder.is_closed
    assert recorder.count("after_train_iter", "after_train_epoch", "on_exception") == [4, 2, 0]
    assert infos(callback, "epoch", "iter") == [2, 4]


def test_a_refused_batch_has_begun() -> None:
    class Refusing(Model):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 1 else None

    trainer, callback, recorder = publishing()
    trainer.fit(Refusing(), Loader(3), Loader(1))
    assert recorder.is_closed
    assert recorder.count("before_train_iter", "after_train_iter", "after_train_epoch") == [4, 4, 2]
    assert infos(callback, "epoch", "iter") == [2, 4]
    assert values(callback, "train/loss") == [1.0, 1.0]  # the others have none


@pytest.mark.filterwarnings("ignore:train_dataloader yielded None")
def test_a_batch_that_is_none_is_an_iteration() -> None:
    trainer, callback, recorder = publishing(max_epochs=1)
    trainer.fit(Model(), Loader(0, [torch.ones(1), None, torch.ones(1)]))
    assert recorder.is_closed
    assert recorder.given("before_train_iter", "batch_idx") == [0, 1, 2]
    assert values(callback, "train/loss") == [1.0, 3.0]


def test_epochs_without_a_batch_are_epochs() -> None:
    for loader in (Loader(0), Unsized(0)):
        trainer, callback, recorder = publishing(max_epochs=3)
        trainer.fit(Model(), loader)
        epochs = ["before_train_epoch", "after_train_epoch"] * 3
        assert recorder.events == ["before_run", "before_train", *epochs, "after_train", "after_run"]
        assert infos(callback, "epoch", "max_iters") == [3, 0 if isinstance(loader, Loader) else None]


# -- counters and totals


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_iterations_are_batches_and_the_loss_is_not_divided(accumulation: int) -> None:
    trainer, callback, recorder = publishing(accumulate_grad_batches=accumulation)
    trainer.fit(Model(), Loader(5))
    assert infos(callback, "epoch", "iter", "max_iters") == [2, 10, 10]
    assert trainer.global_step == 2 * -(-5 // accumulation)
    assert values(callback, "train/loss") == pytest.approx([1, 2, 3, 4, 5] * 2)
    assert recorder.given("after_train_iter", "outputs")[0]["loss"].grad_fn is None


def test_the_loss_is_not_divided_where_the_accumulation_changes() -> None:
    trainer, callback, _ = publishing(callbacks=[GradientAccumulationScheduler({0: 1, 1: 2})], max_steps=7)
    trainer.fit(Model(), Loader(4))
    assert values(callback, "train/loss") == pytest.approx([1, 2, 3, 4] * 2)
    assert infos(callback, "max_iters") == [None]


@pytest.mark.parametrize("accumulation", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 3, 4, 7, 100])
@pytest.mark.parametrize("epochs", [2, -1])
def test_max_steps_bounds_the_iterations(accumulation: int, steps: int, epochs: int) -> None:
    if steps == 100 and epochs == -1:
        steps = 11
    trainer, callback, _ = publishing(accumulate_grad_batches=accumulation, max_steps=steps, max_epochs=epochs)
    trainer.fit(Model(), Loader(5))
    assert infos(callback, "max_iters") == infos(callback, "iter")
    assert infos(callback, "max_epochs") == [2 if epochs == 2 else None]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"max_epochs": 2}, [2, None]),
        ({"max_epochs": 2, "max_steps": 3}, [2, None]),  # the first bound to be reached ends it
        ({"max_epochs": -1, "max_steps": 3}, [None, 3]),
        ({"max_epochs": -1, "max_steps": 3, "accumulate_grad_batches": 2}, [None, None]),
        ({"max_epochs": 2, "limit_train_batches": 2}, [2, 4]),
    ],
)
def test_totals_over_a_loader_without_a_length(changes: Any, expected: Any) -> None:
    trainer, callback, recorder = publishing(**changes)
    trainer.fit(Model(), Unsized(3), Loader(1))
    assert infos(callback, "max_epochs", "max_iters") == expected
    assert recorder.is_closed


def test_an_unlimited_training_has_no_totals() -> None:
    trainer, callback, _ = publishing(max_epochs=-1)

    def stop(model: Any) -> None:
        model.trainer.should_stop = model.trainer.current_epoch == 1

    trainer.fit(Model(train=stop), Loader(2))
    assert infos(callback, "max_epochs", "max_iters") == [None, None]


def test_limited_batches() -> None:
    trainer, callback, recorder = publishing(limit_train_batches=0.5, limit_val_batches=1)
    trainer.fit(Model(), Loader(4), Loader(3))
    assert infos(callback, "iter", "max_iters") == [4, 4]
    assert recorder.count("after_val_iter") == [2]


@pytest.mark.parametrize("kind", [list, lambda loaders: dict(enumerate(loaders))])
def test_several_training_loaders(kind: Any) -> None:
    trainer, callback, _ = publishing(max_epochs=1)
    trainer.fit(Model(), kind([Loader(2), Loader(3)]))
    assert infos(callback, "max_iters", "dataset_meta") == [3, Data.metainfo]


# -- learning rates, outputs, metrics


class Scheduled(Model):
    interval = "epoch"

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": self.interval}}


@pytest.mark.parametrize(("interval", "expected"), [("epoch", [1, 1, 0.5, 0.5]), ("step", [1, 0.5, 0.25, 0.125])])
def test_the_learning_rate_is_the_one_before_the_iteration(interval: str, expected: Any) -> None:
    trainer, callback, _ = publishing()
    model = Scheduled()
    model.interval = interval
    trainer.fit(model, Loader(2))
    assert values(callback, "train/lr") == expected


class ByHand(Model):
    def __init__(self, **at: Any) -> None:
        super().__init__(**at)
        self.automatic_optimization = False

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), lr=0.1), torch.optim.SGD(self.parameters(), lr=0.2)]

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)["loss"]
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.step()
        return loss


@pytest.mark.parametrize("names", [(), ("generator", "critic")])
def test_two_optimizers_by_hand(names: Any) -> None:
    trainer = make(max_steps=12)
    callback = attach(trainer, optimizer_names=names)
    trainer.fit(ByHand(), Loader(5))
    first, second = names or ("SGD", "SGD-1")
    assert values(callback, f"train/{first}.lr") == pytest.approx([0.1] * 6)
    assert values(callback, f"train/{second}.lr") == pytest.approx([0.2] * 6)
    assert values(callback, "train/loss") == [1, 2, 3, 4, 5, 1]
    assert trainer.global_step == 12
    assert infos(callback, "iter", "max_iters") == [6, None]  # a module may step by hand at any time


def test_names_must_be_as_many_as_optimizers() -> None:
    trainer = make()
    callback = attach(trainer, optimizer_names=["one", "two"])
    with pytest.raises(RunnerError, match=r"2 names \(one, two\), but there are 1 optimizers"):
        trainer.fit(Model(), Loader(1))
    assert infos(callback, "loop_stage") == [None]


def test_outputs_beside_the_loss_are_published() -> None:
    trainer, callback, recorder = publishing(max_epochs=1)
    graph = Model(train=lambda self: {"aux": self.weight.sum() + 2.0})
    trainer.fit(graph, Loader(1))
    assert values(callback, "train/aux") == [2.0]
    (outputs,) = recorder.given("after_train_iter", "outputs")
    assert outputs["aux"].grad_fn is None


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_a_step_that_is_skipped_has_no_loss() -> None:
    class Skipping(Model):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return None if batch_idx == 0 else super().training_step(batch, batch_idx)

    trainer, callback, recorder = publishing(max_epochs=1)
    trainer.fit(Skipping(), Loader(2))
    assert recorder.given("after_train_iter", "outputs")[0] is None
    assert values(callback, "train/loss") == [2.0]


def test_only_the_metrics_of_this_validation() -> None:
    class Logging(Model):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("train_loss", 7.0, batch_size=1)
            return super().training_step(batch, batch_idx)

        def on_validation_epoch_end(self) -> None:
            if self.trainer.current_epoch == 0:
                self.log("only_first", 3.0)
            self.trainer.callback_metrics["confusion"] = [[1, self.trainer.current_epoch]]  # type: ignore[assignment]

    trainer, callback, recorder = publishing(num_sanity_val_steps=0)
    trainer.fit(Logging(), Loader(2), Loader(1))
    first, second = recorder.given("after_val_epoch", "metrics")
    assert first.keys() == {"acc", "only_first", "confusion"}
    assert second.keys() == {"acc", "confusion"}
    assert trainer.callback_metrics["train_loss"] == 7.0
    assert values(callback, "val/only_first") == [3.0]
    assert infos(callback, "val/confusion") == [[[1, 1]]]


# -- abnormal ends


@ATTACHED
@pytest.mark.parametrize("where", ["train", "val", "before_run", "before_train_iter", "after_val", "after_run"])
def test_an_exception_comes_out_as_it_was(attached: bool, where: str) -> None:
    error = ValueError("user")
    trainer, callback, recorder = publishing(attached, num_sanity_val_steps=0)
    model = Model(**{where: fail(error)}) if where in {"train", "val"} else Model()
    recorder.actions = {where: fail(error)}
    with pytest.raises(ValueError, match="user") as caught:
        trainer.fit(model, Loader(2), Loader(1))
    assert caught.value is error
    assert recorder.is_closed
    assert recorder.given("on_exception", "exception") == ([] if where == "after_run" else [error])
    assert infos(callback, "loop_stage") == [None]
    assert resolve_hub() is not callback.message_hub


def interrupted(trainer: Trainer, model: Any) -> Any:
    """Return how a fit that is interrupted comes out, and what the next Ctrl-C would do."""
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as caught:
            trainer.fit(model, Loader(2))
        after = signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    return type(caught.value), caught.value.code, type(caught.value.__context__), after


@ATTACHED
@pytest.mark.parametrize("where", ["train", "setup"])
def test_an_interrupt_ends_as_it_does_without_us(attached: bool, where: str) -> None:
    interrupt = KeyboardInterrupt()

    class Interrupted(Model):
        def setup(self, stage: str) -> None:
            self.do("setup")

    trainer, callback, recorder = publishing(attached)
    ended = interrupted(trainer, Interrupted(**{where: fail(interrupt)}))
    assert ended == interrupted(make(), Interrupted(**{where: fail(interrupt)}))
    assert ended[:3] == (SystemExit, 1, KeyboardInterrupt)
    assert recorder.is_closed
    assert recorder.given("on_exception", "exception") == [interrupt]
    assert infos(callback, "loop_stage") == [None]
    assert resolve_hub() is not callback.message_hub
    trainer.fit(Model(), Loader(2))
    assert recorder.is_closed
    assert infos(callback, "epoch", "loop_stage") == [2, None]


def test_an_interrupt_of_a_hook_is_announced_once() -> None:
    interrupt = KeyboardInterrupt()
    trainer, _, recorder = publishing()
    recorder.actions = {"before_run": fail(interrupt)}
    assert interrupted(trainer, Model())[1] == 1
    assert recorder.is_closed
    assert recorder.given("on_exception", "exception") == [interrupt]


@ATTACHED
def test_an_exit_of_the_user_is_an_exit(attached: bool) -> None:
    def exit_when_interrupted(_: Any) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(3)

    trainer, _, recorder = publishing(attached)
    with pytest.raises(SystemExit) as caught:
        trainer.fit(Model(train=exit_when_interrupted), Loader(2))
    assert caught.value.code == 3
    assert recorder.given("on_exception", "exception") == [caught.value]


def test_all_scopes_close_if_another_callback_fails_at_the_exception() -> None:
    class Failing(Callback):
        def on_exception(self, *_: Any) -> None:
            raise KeyError("another callback")

    trainer, callback, recorder = publishing()
    trainer.callbacks.insert(0, Failing())
    with pytest.raises(KeyError, match="another callback"):
        trainer.fit(Model(train=fail(ValueError("user"))), Loader(2))
    assert recorder.is_closed
    assert resolve_hub() is not callback.message_hub


def test_a_test_inside_the_fit_closes_all_scopes() -> None:
    trainer, _, recorder = publishing()
    model = Model()
    model.at["train"] = lambda self: trainer.test(self, Loader(1), verbose=False) and None
    with pytest.raises(AssertionError):  # of Lightning's, since the fit finds the state of the test
        trainer.fit(model, Loader(2))
    assert recorder.is_closed
    assert recorder.count("before_run", "on_exception") == [2, 0]


# -- several runs


@ATTACHED
def test_two_fits_of_one_trainer_go_on(attached: bool) -> None:
    trainer, callback, recorder = publishing(attached)
    model = Model()
    trainer.fit(model, Loader(2))
    trainer.fit_loop.max_epochs = 3
    trainer.fit(model, Loader(2))
    assert recorder.is_closed
    assert infos(callback, "epoch", "iter", "max_iters") == [3, 6, 6]
    assert [seen[2:] for seen in model.seen] == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]


def test_one_callback_on_two_trainers_counts_each_and_has_a_hub_for_each() -> None:
    callback = RuntimeInfoCallback()
    hubs = []
    for _ in range(2):
        make([callback]).fit(Model(), Loader(2))
        assert infos(callback, "epoch", "iter") == [2, 4]
        assert len(values(callback, "train/loss")) == 4
        hubs.append(callback.message_hub)
    assert hubs[0] is not hubs[1]
    assert len(hubs[0].get_scalar("train/loss").data[0]) == 4


@pytest.mark.parametrize("error", [None, ValueError("user"), KeyboardInterrupt()])
def test_a_run_after_one_that_ended_in_any_way(error: Any) -> None:
    trainer, _, recorder = publishing()
    if isinstance(error, KeyboardInterrupt):
        interrupted(trainer, Model(train=fail(error)))
    else:
        with nullcontext() if error is None else pytest.raises(type(error)):
            trainer.fit(Model(train=fail(error)) if error else Model(), Loader(2))
    trainer.fit(Model(), Loader(2))
    trainer.test(Model(), Loader(1), verbose=False)
    assert recorder.is_closed


# -- callbacks, metadata and hooks of the user


@ATTACHED
def test_callbacks_loggers_and_checkpoints_go_on_working(attached: bool, tmp_path: Path) -> None:
    seen: list[Any] = []

    class Mine(Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            seen.append(("start", current_hub().get_info("iter")))

        def on_validation_end(self, trainer: Any, *_: Any) -> None:
            if not trainer.sanity_checking:
                seen.append(("val", current_hub().get_info("loop_stage")))

    logger = CSVLogger(tmp_path, name="mine")
    saving = ModelCheckpoint(tmp_path / "saved", monitor="acc", filename="best")
    callbacks = [Mine(), EarlyStopping("acc", patience=1), saving]
    trainer, callback, recorder = publishing(attached, callbacks, max_epochs=9, logger=logger, log_every_n_steps=1)
    trainer.fit(Model(), Loader(1), Loader(1))
    assert seen == [("start", 0), ("val", "train"), ("start", 1), ("val", "train")]
    assert (tmp_path / "saved" / "best.ckpt").exists()
    assert "acc" in Path(logger.log_dir, "metrics.csv").read_text()
    assert infos(callback, "experiment_name", "epoch") == ["mine", 2]
    assert recorder.is_closed
    assert trainer.callbacks[0] is callback


def test_metadata() -> None:
    class Configured(Model):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.save_hyperparameters()

    seed_everything(7, verbose=False)
    trainer, callback, _ = publishing()
    trainer.fit(Configured(width=5), Loader(1))
    assert infos(callback, "seed", "cfg", "experiment_name") == [7, '{\n  "width": 5\n}', None]
    trainer = make()
    callback = attach(trainer, cfg="a = 1", seed=3, experiment_name="mine")
    trainer.fit(Configured(width=5), Loader(1))
    assert infos(callback, "seed", "cfg", "experiment_name") == [3, "a = 1", "mine"]


@ATTACHED
def test_the_hub_of_the_user_and_the_order_of_hooks(attached: bool) -> None:
    hub = MessageHub("mine")
    order: list[Any] = []

    class Say:
        def __init__(self, name: str, priority: str) -> None:
            self.name, self.priority = name, priority

        def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
            order.append((self.name, runner.message_hub.get_info("iter"), runner.message_hub is resolve_hub()))

    hooks = [Say("last", "LOW"), Say("first", "HIGH"), Say("second", "NORMAL"), Say("third", "NORMAL")]
    if attached:
        trainer = make(max_epochs=1)
        attach(trainer, hub=hub, hooks=hooks)
    else:
        trainer = make([RuntimeInfoCallback(hub=hub, hooks=hooks)], max_epochs=1)
    trainer.fit(Model(), Loader(1))
    assert order == [(name, 0, True) for name in ("first", "second", "third", "last")]
    assert hub.get_info("iter") == 1


# -- resume


def save_at(event: str, batch: int, path: Path) -> Callback:
    """Return a callback that saves once, at an event of Lightning's, in the second epoch."""

    class Saving(Callback):
        pass

    def save(_: Any, trainer: Trainer, *args: Any) -> None:
        if trainer.current_epoch == 1 and trainer.fit_loop.batch_idx == batch and not path.exists():
            trainer.save_checkpoint(path)

    setattr(Saving, event, save)
    return Saving()


@ATTACHED
@pytest.mark.parametrize(
    ("event", "batch", "done"),
    [
        ("on_train_epoch_end", 2, (2, 6)),
        ("on_validation_end", 2, (1, 6)),
        ("on_train_batch_end", 0, (1, 4)),
        ("on_train_batch_end", 2, (2, 6)),  # Lightning goes on with the next epoch, and starts none
    ],
)
def test_resuming(tmp_path: Path, attached: bool, event: str, batch: int, done: tuple[int, int]) -> None:
    path = tmp_path / "saved.ckpt"
    kind = Resumable if batch == 0 else Loader
    first, *_ = publishing(attached, [save_at(event, batch, path)], max_epochs=3)
    first.fit(Model(), kind(3), Loader(1))
    counted: list[Any] = []
    trainer, callback, recorder = publishing(attached, max_epochs=4)
    recorder.actions = {"before_train": lambda runner: counted.append((runner.epoch, runner.iter))}
    trainer.fit(Model(), kind(3), Loader(1), ckpt_path=path, weights_only=True)
    assert counted == [done]
    assert recorder.is_closed
    assert infos(callback, "epoch", "iter", "max_iters") == [4, 12, 12]
    assert values(callback, "train/loss") == [1, 2, 3] * 4
    assert len(values(callback, "train/lr")) == 12
    assert recorder.count("before_train_epoch") == [4 - done[0]]


@pytest.mark.parametrize(
    ("event", "batch", "done"), [("on_train_epoch_end", 2, (2, 6)), ("on_train_batch_end", 0, (1, 4))]
)
def test_resuming_from_a_checkpoint_without_the_callback(
    tmp_path: Path, event: str, batch: int, done: tuple[int, int]
) -> None:
    path = tmp_path / "saved.ckpt"
    make([save_at(event, batch, path)]).fit(Model(), Resumable(3))
    counted: list[Any] = []
    trainer, callback, recorder = publishing(max_epochs=3)
    recorder.actions = {"before_train": lambda runner: counted.append((runner.epoch, runner.iter))}
    trainer.fit(Model(), Resumable(3), ckpt_path=path)
    assert counted == [done]
    assert infos(callback, "epoch", "iter") == [3, 9]


def test_resuming_a_training_that_is_bounded_by_steps(tmp_path: Path) -> None:
    path = tmp_path / "saved.ckpt"
    first, *_ = publishing(True, [save_at("on_train_epoch_end", 2, path)], max_epochs=-1, max_steps=7)
    first.fit(Model(), Resumable(3))
    trainer, callback, recorder = publishing(max_epochs=-1, max_steps=9)
    trainer.fit(Model(), Resumable(3), ckpt_path=path)
    assert recorder.is_closed
    assert infos(callback, "iter") == [9]
    assert len(values(callback, "train/loss")) == 9


def test_resuming_keeps_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "saved.ckpt"
    first = make([save_at("on_train_epoch_end", 0, path)])
    attach(first, experiment_name="first", seed=1)
    first.fit(Model(), Loader(1))
    second = make(max_epochs=3)
    callback = attach(second, experiment_name="second", seed=2)
    second.fit(Model(), Loader(1), ckpt_path=path)
    assert infos(callback, "experiment_name", "seed") == ["second", 2]


def test_testing_a_checkpoint_forgets_nothing(tmp_path: Path) -> None:
    checkpoints = ModelCheckpoint(tmp_path, monitor="acc", filename="best", mode="min")
    trainer, callback, _ = publishing(True, [checkpoints], max_epochs=3)
    trainer.fit(Model(), Loader(2), Loader(1))
    trainer.test(dataloaders=Loader(1), ckpt_path="best", verbose=False)
    assert infos(callback, "epoch", "iter") == [3, 6]
    assert len(values(callback, "train/loss")) == 6


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", 2, "version is 2, and this release reads 1"),
        ("iter", -1, "iter must be an int from 0, but is -1"),
        ("epoch", True, "epoch must be an int from 0, but is True"),
        ("message_hub", ..., "message_hub is missing"),
        ("message_hub", {}, "log_scalars"),
    ],
)
def test_a_damaged_state_changes_nothing(field: str, value: Any, message: str) -> None:
    callback = RuntimeInfoCallback()
    callback.message_hub.update_info("kept", 1)
    state = callback.state_dict() | {field: value}
    state = {name: each for name, each in state.items() if each is not ...}
    with pytest.raises(StateError, match=message) as caught:
        callback.load_state_dict(state)
    assert caught.value.field.startswith(field)
    assert infos(callback, "kept", "epoch") == [1, None]
    with pytest.raises(StateError, match="a state must be a mapping"):
        callback.load_state_dict([])  # type: ignore[arg-type]


# -- attach


def test_attaching_twice_publishes_once() -> None:
    trainer = make([RuntimeInfoCallback()])
    attach(trainer)
    last = attach(trainer)
    trainer.fit(Model(), Loader(2))
    assert [each for each in trainer.callbacks if isinstance(each, RuntimeInfoCallback)] == [last]
    assert len(values(last, "train/loss")) == 4
    assert not isinstance(trainer.fit.__wrapped__, WrappedMethod)


def test_attach_refuses_what_is_not_a_trainer() -> None:
    with pytest.raises(RunnerError, match=r"object has no fit\(\), which Lightning's Trainer has"):
        attach(object())
    trainer = make()
    before = list(trainer.callbacks)
    with pytest.raises(HookError, match="object has no hook point"):
        attach(trainer, hooks=[object()])
    assert trainer.callbacks == before
    trainer.callbacks = None  # type: ignore[assignment]
    with pytest.raises(RunnerError, match="Trainer has no list of callbacks, which Lightning's Trainer has"):
        attach(trainer)


def parts_of(trainer: Trainer) -> list[Any]:
    """Return all that an adapter could leave something in."""
    return [dict(vars(trainer)), list(trainer.callbacks), dict(vars(trainer.fit_loop))]


def test_detach_restores_a_fresh_trainer() -> None:
    class Another(RuntimeInfoCallback):
        pass

    trainer = make([EarlyStopping("acc"), RuntimeInfoCallback(), GradientAccumulationScheduler({0: 1}), Another()])
    trainer.test = given = lambda *_, **__: "mine"  # type: ignore[assignment]
    before, callbacks = parts_of(trainer), trainer.callbacks
    attach(trainer)
    attach(trainer)
    assert trainer.test() == "mine"
    detach(trainer)
    assert parts_of(trainer) == before
    assert trainer.callbacks is callbacks
    assert trainer.test is given
    detach(trainer)
    assert parts_of(trainer) == before


@pytest.mark.parametrize("error", [None, ValueError("user"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["train", "before_run"])
def test_detach_leaves_what_a_bare_trainer_has_after_a_run(error: Any, where: str) -> None:
    class Failing(Model):
        def setup(self, stage: str) -> None:
            self.do("before_run")

    def run(trainer: Trainer) -> None:
        before = signal.getsignal(signal.SIGINT)
        try:
            with nullcontext() if error is None else pytest.raises((type(error), SystemExit)):
                trainer.fit(Failing(**{where: fail(error)} if error else {}), Loader(2), Loader(1))
        finally:
            signal.signal(signal.SIGINT, before)

    bare, attached = make(), make()
    attach(attached)
    for trainer in (bare, attached):
        run(trainer)
    detach(attached)
    for ours, without in zip(parts_of(attached), parts_of(bare), strict=True):
        assert list(ours) == list(without) or [type(each) for each in ours] == [type(each) for each in without]
    assert "setup_data" not in vars(attached.fit_loop)
    assert attached.fit.__func__ is Trainer.fit


@pytest.mark.parametrize("shows_it", [True, False])
def test_detach_under_a_wrapper_of_someone_else(shows_it: bool) -> None:
    trainer = make()
    callback = attach(trainer)
    inside = trainer.fit

    def outside(*args: Any, **kwargs: Any) -> Any:
        return inside(*args, **kwargs)

    trainer.fit = wraps(inside)(outside) if shows_it else outside  # type: ignore[method-assign]
    detach(trainer)
    assert trainer.fit is outside
    trainer.fit(Model(), Loader(2))
    assert trainer.global_step == 4
    assert infos(callback, "epoch", "iter") == [None, None]
    before = signal.getsignal(signal.SIGINT)
    trainer.fit_loop.max_epochs = 3
    try:
        with pytest.raises(SystemExit):  # as Lightning does it
            trainer.validate(Model(val=fail(KeyboardInterrupt())), Loader(2))
        with pytest.raises(SystemExit):
            trainer.fit(Model(train=fail(KeyboardInterrupt())), Loader(2))
    finally:
        signal.signal(signal.SIGINT, before)
    again = attach(trainer)
    trainer.fit(Model(), Loader(2))
    assert infos(again, "epoch", "iter") == [3, 6]


def test_detach_during_a_run_leaves_no_hub_behind() -> None:
    trainer, callback, _ = publishing()
    model = Model(train=lambda model: detach(model.trainer))
    trainer.fit(model, Loader(2))
    assert [seen[1] for seen in model.seen] == ["train", None, None, None]
    assert resolve_hub() is not callback.message_hub
    assert trainer.callbacks == make().callbacks


class CountBatches(Callback):
    count = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.count += 1


class DetachAtBatch(CountBatches):
    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        super().on_train_batch_end()
        detach(trainer)


def test_detach_during_a_run_ends_it_for_the_hooks_and_passes_no_callback_over() -> None:
    counting = [DetachAtBatch(), CountBatches(), CountBatches()]
    trainer, callback, recorder = publishing(callbacks=counting)
    trainer.fit(Model(), Loader(2))
    assert recorder.events[-1] == "after_run"
    assert recorder.is_closed
    assert infos(callback, "loop_stage", "iter") == [None, 1]
    assert [each.count for each in counting] == [4, 4, 4]


def test_a_callback_that_is_copied_alone_is_attached_to_no_trainer() -> None:
    trainer = make([RuntimeInfoCallback()])
    alone = copy.deepcopy(attach(trainer))
    other = make([alone])
    before = parts_of(other)
    detach(other)
    assert parts_of(other) == before
    attach(other)
    detach(other)
    assert parts_of(other) == before


def test_an_unknown_keyword_changes_nothing() -> None:
    trainer = make()
    callback = attach(trainer)
    before = parts_of(trainer)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'sed': did you mean 'seed'\?"):
        attach(trainer, sed=1)  # type: ignore[call-arg]
    assert parts_of(trainer) == before
    assert trainer.callbacks[0] is callback


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in adapter._PRIVATE.items() for name in names])
def test_a_missing_private_member_is_named(path: str, name: str) -> None:
    class Without:
        """Stands in for a part of a trainer that has lost a member."""

        def __init__(self, part: Any) -> None:
            self.part = part

        def __getattr__(self, wanted: str) -> Any:
            if wanted == name:
                raise AttributeError(wanted)
            return getattr(self.part, wanted)

    trainer = make()
    parent, _, last = f"trainer.{path}".rpartition(".")
    owner = operator.attrgetter(parent)(SimpleNamespace(trainer=trainer))
    vars(owner)[last] = Without(getattr(owner, last))
    before = list(trainer.callbacks)
    message = f"Without has no {name}, which this adapter relies on"
    with pytest.raises(RunnerError, match=message):
        attach(trainer)
    assert trainer.callbacks == before
    trainer.callbacks = [RuntimeInfoCallback()]
    if name != "epoch_loop":  # without which Lightning does not come as far as to a callback
        with pytest.raises(RunnerError, match=message):
            trainer.fit(Model(), Loader(1))


def test_values_that_are_logged_under_another_key_are_refused() -> None:
    class Other(type(make().fit_loop.epoch_loop._results)):  # type: ignore[misc]
        def update_metrics(self, key: str, value: Any, batch_size: int) -> None:
            raise AssertionError

        def log(self, fx: str, name: str, value: Any, **_: Any) -> None:
            self.update_metrics(f"{name} of {fx}", value, 1)

    trainer = make()
    trainer.fit_loop.epoch_loop._results = Other(training=True)
    with pytest.raises(RunnerError, match=r"Other keeps the 'loss' of a training_step under .'loss of training_step'"):
        attach(trainer)


def test_a_trainer_is_not_held_by_its_callback() -> None:
    # Lightning's trainers are in cycles of their own, which only the collector frees.
    bare = make()
    attached = make()
    callback = attach(attached)
    for trainer in (bare, attached):
        trainer.fit(Model(), Loader(2), Loader(1))
    references = [weakref.ref(each) for each in (bare, attached, bare.lightning_module, attached.lightning_module)]
    gc.disable()
    try:
        del bare, attached, trainer
        assert [reference() is None for reference in references] == [False] * 4
        gc.collect()
        assert [reference() is None for reference in references] == [True] * 4
    finally:
        gc.enable()
    assert infos(callback, "epoch", "iter") == [2, 4]


# -- copies


class Learner(LightningModule):
    """Learns one number, so that its losses and its weight tell how long it was trained."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return (self.weight - batch).square().sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("distance", float((self.weight - batch).abs()), batch_size=1)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def by_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


COPIES = pytest.mark.parametrize("copied", [copy.deepcopy, by_pickle])


def published(trainer: Trainer) -> dict[str, Any]:
    """Return all that a trainer's own hub has, and its counters."""
    (callback,) = [each for each in trainer.callbacks if isinstance(each, RuntimeInfoCallback)]
    scalars = {key: values(callback, key) for key in callback.message_hub.log_scalars}
    return {**scalars, "info": infos(callback, "epoch", "iter", "max_iters"), "counts": counts(callback)}


def weight_of(trainer: Trainer) -> float:
    return float(trainer.lightning_module.weight.detach())


def counts(callback: RuntimeInfoCallback) -> tuple[int, int]:
    return callback.runner.epoch, callback.runner.iter


@ATTACHED
@COPIES
def test_a_copy_of_a_fresh_trainer_trains_itself(attached: bool, copied: Callable[[Any], Any]) -> None:
    trainer = make([] if attached else [RuntimeInfoCallback()])
    if attached:
        attach(trainer)
    twin = copied(trainer)
    twin.fit(Learner(), Loader(2), Loader(1))
    assert (twin.global_step, trainer.global_step) == (4, 0)
    assert published(trainer) == {"info": [None] * 3, "counts": (0, 0)}
    trainer.fit(Learner(), Loader(2), Loader(1))
    assert published(trainer) == published(twin)
    assert len(published(twin)["train/loss"]) == 4
    assert trainer.callbacks[0].message_hub is not twin.callbacks[0].message_hub


@ATTACHED
@COPIES
def test_a_copy_of_a_trained_trainer_goes_on_by_itself(attached: bool, copied: Callable[[Any], Any]) -> None:
    trainer = make([] if attached else [RuntimeInfoCallback()])
    if attached:
        attach(trainer)
    trainer.fit(Learner(), Loader(2), Loader(1))
    twin = copied(trainer)
    before = published(trainer)
    weight = weight_of(trainer)
    for each in (twin, trainer):
        assert published(trainer) == before
        assert weight_of(trainer) == weight
        each.fit_loop.max_epochs = 3
        each.fit(each.lightning_module, Loader(2), Loader(1))
    assert published(twin) == published(trainer)
    assert published(twin)["info"] == [3, 6, 6]
    assert len(published(twin)["train/loss"]) == 6
    assert weight_of(twin) == weight_of(trainer)


@COPIES
@pytest.mark.parametrize("place", ["setup", "training_step", "validation_step"])
def test_a_copy_of_a_running_trainer_trains_itself(copied: Callable[[Any], Any], place: str) -> None:
    twins: list[Any] = []

    def copy_once(module: Any) -> None:
        if not twins and (place == "setup" or module.trainer.fit_loop.total_batch_idx == 1):
            twins.append(copied(module.trainer))

    trainer, bare = make(num_sanity_val_steps=0), make(num_sanity_val_steps=0)
    callback = attach(trainer)
    steps: list[Any] = []
    for each in (trainer, bare):
        twins.clear()
        with pytest.MonkeyPatch.context() as patch:
            original = getattr(Learner, place)

            def copying(module: Any, *args: Any, original: Any = original, **kwargs: Any) -> Any:
                copy_once(module)
                return original(module, *args, **kwargs)

            patch.setattr(Learner, place, copying)
            each.fit(Learner(), Loader(2), Loader(1))
        (twin,) = twins
        twin.fit(Learner(), Loader(2), Loader(1))
        steps.append((each.global_step, each.current_epoch, twin.global_step, twin.current_epoch))
        if each is trainer:
            (other,) = twin.callbacks[:1]
            assert other is not callback
            assert "setup_data" not in vars(twin.fit_loop)
            assert counts(other)[0] == 2
            assert infos(other, "loop_stage", "epoch") == [None, 2]
            assert published(trainer)["info"] == [2, 4, 4]
            assert len(values(callback, "train/loss")) == 4
            assert resolve_hub() not in {callback.message_hub, other.message_hub}
    assert steps[0] == steps[1]


@COPIES
@ATTACHED
def test_a_copy_of_a_callback_in_a_run_is_outside_of_it(attached: bool, copied: Callable[[Any], Any]) -> None:
    class NotCopied:
        def __reduce__(self) -> Any:
            raise AssertionError("the model, or its trainer, was copied")

    taken: list[Any] = []

    def copy_callback(model: Any) -> None:
        taken.append(copied(callback))
        assert resolve_hub() is callback.message_hub

    trainer = make([] if attached else [RuntimeInfoCallback()])
    callback = attach(trainer) if attached else trainer.callbacks[0]
    model = Model(train=copy_callback, val=copy_callback, setup=copy_callback)
    model.setup = lambda stage: model.do("setup")  # type: ignore[assignment,method-assign]
    model.not_copied = NotCopied()
    optimizer = model.configure_optimizers()
    optimizer.param_groups[0]["not_copied"] = NotCopied()
    model.configure_optimizers = lambda: optimizer  # type: ignore[method-assign]
    trainer.fit(model, Loader(2), Loader(1))
    assert [counts(each) for each in taken] == [(0, 0)] * 3 + [(0, 1), (0, 2), (1, 2), (1, 3), (1, 4)]
    for each in taken:
        assert each.runner.trainer is None
        assert each.runner.emitter.stage is None
        assert each.message_hub is not callback.message_hub
    for each in taken[-2:]:
        make([each]).fit(Learner(), Loader(2))
        assert infos(each, "epoch", "iter") == [2, 4]
        assert counts(callback) == (2, 4)


def test_two_spawned_ranks_publish_each_for_itself(tmp_path: Path, aborted_by_torch: Callable[[str], bool]) -> None:
    script = Path(__file__).parent / "several_processes" / "spawn_lightning.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":  # whatever name this machine has
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, script, tmp_path],
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if not aborted_by_torch(ended.stderr):
            break
    assert ended.returncode == 0, ended.stderr
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]
    iteration = ["before_train_iter", "after_train_iter"]
    epoch = ["before_train_epoch", *iteration * 2, "after_train_epoch"]
    for rank in ranks:
        assert rank["seen"] == [["train", 0, 0], ["train", 0, 1], ["train", 1, 2], ["train", 1, 3]]
        assert rank["events"] == ["before_run", "before_train", *epoch * 2, "after_train", "after_run"]
        assert rank["infos"] == {"epoch": 2, "iter": 4, "max_epochs": 2, "max_iters": 4, "seed": 3}
        assert rank["losses"] == rank["batches"]
    for half in (slice(2), slice(2, 4)):
        assert sorted(ranks[0]["losses"][half] + ranks[1]["losses"][half]) == [1, 2, 3, 4]
    assert json.loads(ended.stdout.splitlines()[-1]) == {"seed": None, "epoch": None, "is_current": False}


# -- trials within a fit


def test_a_search_for_a_learning_rate_publishes_nothing(tmp_path: Path) -> None:
    finder = LearningRateFinder(num_training_steps=20, early_stop_threshold=None)
    trainer, _, recorder = publishing(callbacks=[finder], max_epochs=3, default_root_dir=tmp_path)

    class Searched(Model):
        lr = 0.1

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    model = Searched()
    trainer.fit(model, Loader(8))
    trial, fit = model.seen[:20], model.seen[20:]  # the trial goes over the data more than once
    assert [seen[1:] for seen in trial] == [(None, None, None)] * 20
    assert [seen[1:] for seen in fit] == [("train", at // 8, at) for at in range(24)]
    assert recorder.is_closed
    assert recorder.count("before_train", "after_train_iter") == [1, 24]


@pytest.mark.filterwarnings("ignore:`LightningModule.configure_optimizers` returned `None`")
def test_a_module_without_an_optimizer_has_no_learning_rate() -> None:
    class Without(Model):
        def configure_optimizers(self) -> None:
            return None

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            super().training_step(batch, batch_idx)
            return self.weight.sum()

    trainer, callback, _ = publishing(max_epochs=1)
    trainer.fit(Without(), Loader(2))
    assert list(callback.message_hub.log_scalars) == ["train/loss"]
    assert infos(callback, "epoch", "iter") == [1, 2]


def test_the_rates_of_optimizers_that_are_exchanged_in_an_epoch() -> None:
    def exchange(model: Any) -> None:
        if model.trainer.fit_loop.total_batch_idx == 1:
            model.trainer.optimizers = [torch.optim.SGD(model.parameters(), lr=0.5)]

    trainer, callback, _ = publishing(max_epochs=1)
    trainer.fit(Model(train=exchange), Loader(4))
    assert values(callback, "train/lr") == pytest.approx([0.1, 0.1, 0.5, 0.5])


# -- counters and hubs of the trainings of one trainer


class Watch(Callback):
    """Notes what the hub says as a batch begins, beside Lightning's own counters."""

    def __init__(self) -> None:
        self.ours: list[Any] = []
        self.theirs: list[Any] = []

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        hub = current_hub()
        self.ours.append((hub.get_info("epoch"), hub.get_info("iter")))
        self.theirs.append((trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_progress.total.processed))


def fail_at(step: int, error: BaseException | None = None) -> Callable[..., Any]:
    def function(model: Any) -> None:
        if model.trainer.global_step == step:
            raise error or ValueError("user")

    return function


def test_a_fit_after_a_failed_one_goes_on_with_lightnings_counters() -> None:
    watch = Watch()
    trainer, callback, recorder = publishing(callbacks=[watch])
    hub = callback.message_hub
    with pytest.raises(ValueError, match="user"):
        trainer.fit(Model(train=fail_at(3)), Loader(2))
    assert len(values(callback, "train/lr")) == 3  # that of the aborted iteration is taken back
    trainer.fit(Model(), Loader(2))
    trainer.fit_loop.max_epochs = 3
    trainer.fit(Model(), Loader(2))
    assert watch.ours == watch.theirs
    assert len(watch.ours) == 4 + 2 + 2
    assert infos(callback, "epoch", "iter", "max_iters") == [3, 7, 7]
    assert callback.message_hub is hub
    assert len(values(callback, "train/loss")) == 7
    assert recorder.is_closed


def test_a_fit_after_one_that_failed_at_its_start_has_a_new_hub() -> None:
    trainer, callback, _ = publishing()
    with pytest.raises(ValueError, match="user"):
        trainer.fit(Model(train=fail_at(0)), Loader(2))
    failed = callback.message_hub
    trainer.fit(Model(), Loader(2))
    assert callback.message_hub is not failed
    assert infos(callback, "epoch", "iter") == [2, 4]


def test_resuming_at_the_last_batch_ends_at_the_bound(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path, every_n_train_steps=1, filename="last")
    publishing(callbacks=[saving], max_epochs=1)[0].fit(Model(), Loader(2))
    trainer, callback, recorder = publishing(max_epochs=1)
    trainer.fit(Model(), Loader(2), ckpt_path=saving.best_model_path, weights_only=True)
    assert recorder.events == ["before_run", "before_train", "after_train", "after_run"]
    assert infos(callback, "epoch", "iter", "max_epochs", "max_iters") == [1, 2, 1, 2]


def test_a_training_that_resumes_at_its_end_has_lightnings_counters(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path, save_on_train_epoch_end=True)
    publishing(callbacks=[saving])[0].fit(Model(), Loader(2))
    trainer, callback, recorder = publishing()
    trainer.fit(Model(), Loader(2), ckpt_path=saving.best_model_path, weights_only=True)
    assert recorder.events == ["before_run", "after_run"]
    assert infos(callback, "epoch", "iter") == [trainer.current_epoch, trainer.global_step] == [2, 4]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_resume_in_mid_epoch_goes_on_with_the_numbers_and_the_total(tmp_path: Path, accumulation: int) -> None:
    path = tmp_path / "saved.ckpt"
    by = {"accumulate_grad_batches": accumulation}
    first, *_ = publishing(True, [save_at("on_train_batch_end", 1, path)], max_epochs=2, **by)
    first.fit(Model(), Resumable(5))
    for bounds in ({"max_epochs": 3}, {"max_epochs": -1, "max_steps": 13}, {"max_epochs": 3, "max_steps": 13}):
        watch = Watch()
        trainer, callback, recorder = publishing(callbacks=[watch], **by, **bounds)
        totals: list[Any] = []
        recorder.actions = {"before_train_iter": lambda runner, totals=totals: totals.append(runner.max_iters)}
        trainer.fit(Model(), Resumable(5), ckpt_path=path, weights_only=True)
        assert recorder.given("before_train_iter", "batch_idx")[:4] == [2, 3, 4, 0]
        assert watch.ours == watch.theirs
        assert {*totals, *infos(callback, "max_iters", "iter")} == {infos(callback, "iter")[0]}


def test_a_test_after_a_training_is_told_of_in_the_hub_of_the_training() -> None:
    trainer, callback, _ = publishing()
    trainer.validate(Model(), Loader(1), verbose=False)
    validated = callback.message_hub
    trainer.fit(Model(), Loader(2))
    assert callback.message_hub is not validated
    assert "val/acc" not in callback.message_hub.log_scalars
    trained = callback.message_hub
    trainer.test(Model(), Loader(1), verbose=False)
    assert callback.message_hub is trained
    assert values(callback, "test/acc") == [0.25]
    assert len(values(callback, "train/loss")) == 4


def test_a_hub_of_the_user_is_appended_to() -> None:
    hub = MessageHub("mine")
    callback = RuntimeInfoCallback(hub=hub)
    for _ in range(2):
        make([callback]).fit(Model(), Loader(2))
    assert callback.message_hub is hub
    assert len(values(callback, "train/loss")) == 8


@pytest.mark.parametrize("published", [True, False])
def test_a_trainer_that_takes_up_a_checkpoint_after_a_training_has_a_new_hub(tmp_path: Path, published: bool) -> None:
    path = tmp_path / "saved.ckpt"
    saving = save_at("on_train_epoch_end", 1, path)
    if published:
        publishing(callbacks=[saving])[0].fit(Model(), Loader(2))
    else:
        make([saving]).fit(Model(), Loader(2))
    watch = Watch()
    trainer, callback, recorder = publishing(callbacks=[watch], max_epochs=3)
    trainer.fit(Model(), Loader(2))
    before = callback.message_hub
    trainer.fit(Model(), Loader(2), ckpt_path=path, weights_only=True)
    assert callback.message_hub is not before
    assert len(before.get_scalar("train/loss").data[0]) == 6
    assert watch.ours == watch.theirs
    assert watch.ours[6:] == [(2, 4), (2, 5)]
    assert len(values(callback, "train/loss")) == (6 if published else 2)
    assert recorder.is_closed


def test_the_best_and_the_last_checkpoint_of_the_trainer_itself(tmp_path: Path) -> None:
    saving = ModelCheckpoint(tmp_path, monitor="acc", save_last=True)
    watch = Watch()
    trainer, callback, _ = publishing(callbacks=[watch, saving])
    trainer.fit(Model(), Loader(2), Loader(1))
    for path, epochs in (("last", 3), ("best", 4)):
        trainer.fit_loop.max_epochs = epochs
        trainer.fit(Model(), Loader(2), Loader(1), ckpt_path=path, weights_only=True)
        assert watch.ours == watch.theirs
        assert infos(callback, "epoch", "iter") == [epochs, 2 * epochs]
        assert len(values(callback, "train/loss")) == 2 * epochs


def test_a_checkpoint_of_ours_resumes_without_us(tmp_path: Path) -> None:
    path = tmp_path / "saved.ckpt"
    publishing(callbacks=[save_at("on_train_epoch_end", 1, path)])[0].fit(Learner(), Loader(2))
    make([save_at("on_train_epoch_end", 1, tmp_path / "bare.ckpt")]).fit(Learner(), Loader(2))
    weights = []
    for each in (path, tmp_path / "bare.ckpt"):
        trainer = make(max_epochs=4)
        trainer.fit(Learner(), Loader(2), ckpt_path=each, weights_only=True)
        weights.append((weight_of(trainer), trainer.current_epoch, trainer.global_step))
    assert weights[0] == weights[1]


# -- totals of loaders that change


class Growing(Model):
    lengths = (2, 4, 1)

    def train_dataloader(self) -> Any:
        return Loader(self.lengths[self.trainer.current_epoch])


def test_the_total_follows_a_loader_that_is_made_for_each_epoch() -> None:
    trainer, callback, recorder = publishing(max_epochs=3, reload_dataloaders_every_n_epochs=1)
    seen: list[Any] = []

    def note(runner: Any) -> None:
        assert runner.max_iters == current_hub().get_info("max_iters")
        seen.append((runner.iter, runner.max_iters))

    recorder.actions = dict.fromkeys(
        ("before_train_iter", "after_train_epoch", "before_train_epoch", "after_train"), note
    )
    trainer.fit(Growing())
    assert all(done < total for done, total in seen[:-2])
    assert [total for _, total in dict(seen).items()] == [6, 6, 10, 10, 10, 10, 7, 7]
    assert infos(callback, "iter", "max_iters") == [7, 7]


@pytest.mark.parametrize(("said", "trained"), [(5, 3), (2, 2)])
@pytest.mark.parametrize("limit", [1.0, 4])
def test_the_total_over_a_loader_with_a_wrong_length(said: int, trained: int, limit: Any) -> None:
    class Wrong(Unsized):
        def __len__(self) -> int:
            return said

    trainer, callback, recorder = publishing(max_epochs=3, limit_train_batches=limit)
    seen: list[Any] = []
    recorder.actions = {"before_train_iter": lambda runner: seen.append((runner.iter, runner.max_iters))}
    trainer.fit(Model(), Wrong(3))
    length = min(said, limit) if limit != 1.0 else said
    expected = [
        (epoch * trained + at, epoch * trained + length * (3 - epoch)) for epoch in range(3) for at in range(trained)
    ]
    assert seen == expected
    assert infos(callback, "iter", "max_iters") == [3 * trained] * 2


@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_total_by_steps_is_right_in_each_epoch(accumulation: int) -> None:
    trainer, _, recorder = publishing(max_epochs=-1, max_steps=7, accumulate_grad_batches=accumulation)
    seen: list[Any] = []
    recorder.actions = {"before_train_iter": lambda runner: seen.append(runner.max_iters)}
    trainer.fit(Model(), Loader(4))
    assert set(seen) == {len(seen)}


@pytest.mark.parametrize(
    ("event", "length", "done"),
    [("on_train_batch_end", 5, (2, 8)), ("on_before_zero_grad", 2, (2, 7))],
)
def test_a_resume_with_nothing_left_has_no_total_below_what_is_done(
    tmp_path: Path, event: str, length: int, done: Any
) -> None:
    path = tmp_path / "saved.ckpt"
    make([save_at(event, 3, path)]).fit(Model(), Resumable(4))
    totals: list[Any] = []
    trainer, callback, recorder = publishing()
    recorder.actions = {"before_train": lambda runner: totals.append(runner.max_iters)}
    trainer.fit(Model(), Resumable(length), ckpt_path=path, weights_only=True)
    assert (*infos(callback, "epoch", "iter"),) == done
    assert {*totals, *infos(callback, "max_iters")} == {done[1]}


# -- a StopIteration, which Lightning takes for the end of the data


@ATTACHED
@pytest.mark.parametrize("has_iteration", [True, False])
def test_stop_iteration_is_not_counted(attached: bool, has_iteration: bool) -> None:
    stop = fail(StopIteration())
    watch = Watch()
    ends: list[Any] = []

    class Stopping(Learner):
        def on_train_epoch_start(self) -> None:
            if self.trainer.current_epoch == 1 and not has_iteration:
                stop()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if (self.trainer.current_epoch, batch_idx) == (1, 1):
                stop()
            return super().training_step(batch, batch_idx)

        def on_train_end(self) -> None:
            ends.append(infos(callback, "epoch", "iter"))

    trainer, callback, recorder = publishing(attached, [watch], max_epochs=3)
    trainer.fit(Stopping(), Loader(3))
    completed = trainer.fit_loop.epoch_loop.batch_progress.total.processed
    assert watch.ours == watch.theirs
    assert ends == [[trainer.current_epoch, completed]]
    assert infos(callback, "epoch", "iter") == ends[0] == ([3, 7] if has_iteration else [1, 3])
    assert len(values(callback, "train/lr")) == len(values(callback, "train/loss")) == completed
    assert recorder.is_closed


# -- what a training step logs


class Gan(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> None:
        loss = self.weight.sum() + batch_idx
        self.log("generator", loss)
        self.log_dict({"critic": loss + 10, "by_epoch": loss + 20}, on_step=False, on_epoch=True, batch_size=1)
        if batch_idx == 1:
            self.log("only_once", 5)

    def on_train_batch_end(self, *_: Any) -> None:
        self.log("of_another_method", 1.0)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@ATTACHED
def test_values_that_a_training_step_logs_are_outputs_of_its_iteration(attached: bool) -> None:
    trainer, callback, recorder = publishing(attached)
    trainer.fit(Gan(), Loader(3))
    assert values(callback, "train/generator") == [0, 1, 2] * 2
    assert values(callback, "train/critic") == [10, 11, 12] * 2
    assert values(callback, "train/by_epoch") == [20, 21, 22] * 2
    assert values(callback, "train/only_once") == [5, 5]
    assert "train/of_another_method" not in callback.message_hub.log_scalars
    outputs = recorder.given("after_train_iter", "outputs")
    assert [sorted(each) for each in outputs[:2]] == [
        ["by_epoch", "critic", "generator"],
        ["by_epoch", "critic", "generator", "only_once"],
    ]
    assert all(value.grad_fn is None for each in outputs for value in each.values())
    trainer.validate(Model(), Loader(1), verbose=False)
    assert "update_metrics" not in vars(trainer.fit_loop.epoch_loop._results)


def test_a_returned_value_comes_before_a_logged_one() -> None:
    class Logging(Model):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("loss", 77.0)
            self.log("aux", self.weight.sum() + 3, enable_graph=True)
            return super().training_step(batch, batch_idx)

    trainer, callback, recorder = publishing(max_epochs=1, accumulate_grad_batches=2)
    trainer.fit(Logging(), Loader(2))
    assert values(callback, "train/loss") == [1, 2]
    assert values(callback, "train/aux") == [3, 3]
    assert recorder.given("after_train_iter", "outputs")[0]["aux"].grad_fn is None


def test_a_metric_object_is_not_computed_for_us() -> None:
    import torchmetrics

    class Counting(torchmetrics.SumMetric):
        computed = 0

        def compute(self) -> Any:
            type(self).computed += 1
            return super().compute()

    class Logging(Model):
        def __init__(self) -> None:
            super().__init__()
            self.given, self.updated = Counting(), Counting()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.given(float(batch_idx + 1))
            self.updated.update(1.0)
            self.log("given", self.given)
            self.log("updated", self.updated, on_step=False, on_epoch=True)
            return super().training_step(batch, batch_idx)

    computed = []
    for trainer in (make(), publishing()[0]):
        Counting.computed = 0
        trainer.fit(Logging(), Loader(3))
        computed.append(Counting.computed)
    assert computed[0] == computed[1]
    (callback,) = trainer.callbacks[:1]
    assert values(callback, "train/given") == [1, 2, 3] * 2
    assert "train/updated" not in callback.message_hub.log_scalars


# -- the beginning of an iteration


class AsksAtBatch(Callback):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.seen.append(current_hub().get_info("iter"))


@pytest.mark.parametrize("place", [0, 1])
def test_every_handler_of_a_batchs_beginning_sees_its_iteration(place: int) -> None:
    class Asking(Model):
        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            if self.trainer.training:
                self.do("transfer")
            return batch

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            self.do("start")

    asking = AsksAtBatch()
    trainer, _, _ = publishing()
    trainer.callbacks.insert(place, asking)
    model = Asking()
    trainer.fit(model, Loader(2), Loader(1))
    assert asking.seen == [0, 1, 2, 3]
    for where in ("transfer", "start", "train"):
        assert [seen[1:] for seen in model.seen if seen[0] == where] == [("train", at // 2, at) for at in range(4)]


@pytest.mark.parametrize("by_module", [True, False])
def test_a_rate_that_is_set_as_the_batch_begins_is_that_of_the_iteration(by_module: bool) -> None:
    def set_rate(trainer: Any, batch_idx: int) -> None:
        trainer.optimizers[0].param_groups[0]["lr"] = 1.0 + batch_idx

    class Setting(Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            set_rate(trainer, batch_idx)

    class Scheduling(Model):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            set_rate(self.trainer, batch_idx)
            return -1 if batch_idx == 2 else None

    trainer, callback, recorder = publishing(callbacks=[] if by_module else [Setting()], max_epochs=1)
    trainer.fit(Scheduling() if by_module else Model(), Loader(4))
    assert values(callback, "train/lr") == ([1, 2, 3] if by_module else [1, 2, 3, 4])
    assert recorder.is_closed


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.filterwarnings("ignore:Found `dataloader_iter` argument")
@pytest.mark.filterwarnings("ignore:You are using the `dataloader_iter` step flavor")
def test_a_step_that_draws_its_batches_is_numbered(sized: bool) -> None:
    class Drawing(Model):
        def training_step(self, dataloader_iter: Any) -> Any:  # type: ignore[override]
            next(dataloader_iter)
            return super().training_step(None, 0)

    trainer, callback, recorder = publishing()
    trainer.fit(Drawing(), (Loader if sized else Unsized)(3))
    numbers = [0, 1, 2] if sized else [0, 1, 2, 3]  # without a length, it is the draw that finds the end
    assert (
        recorder.given("before_train_iter", "batch_idx")
        == recorder.given("after_train_iter", "batch_idx")
        == numbers * 2
    )
    assert set(recorder.given("before_train_iter", "data_batch")) == {None}
    assert infos(callback, "epoch", "iter") == [2, 6]
    assert len(values(callback, "train/loss")) == 6


# -- errors, wherever they come from

PLACES = [
    "setup",
    "on_fit_start",
    "on_sanity_check_start",
    "on_sanity_check_end",
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_before_backward",
    "on_train_batch_end",
    "on_validation_start",
    "on_validation_end",
    "on_train_epoch_end",
    "on_train_end",
    "on_fit_end",
    "teardown",
]


@ATTACHED
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_an_error_of_a_callback_leaves_nothing_open(attached: bool, first: bool, place: str) -> None:
    error = ValueError(place)

    class Failing(Callback):
        def __getattribute__(self, name: str) -> Any:
            return fail(error) if name == place else super().__getattribute__(name)

    trainer, callback, recorder = publishing(attached)
    trainer.callbacks.insert(0 if first else len(trainer.callbacks), Failing())
    with pytest.raises(ValueError, match=place) as caught:
        trainer.fit(Model(), Loader(2), Loader(1))
    assert caught.value is error
    assert recorder.is_closed
    assert infos(callback, "loop_stage") == [None]
    assert resolve_hub() is not callback.message_hub
    assert not set(vars(trainer.strategy)) & {"on_train_batch_start", "teardown"}
    if recorder.events and recorder.events[-1] != "after_run":
        assert recorder.given("on_exception", "exception")[:1] in ([], [error])


class TakeOut(Callback):
    """Takes the callbacks before it out of the trainer, or puts one in, as a batch begins."""

    def __init__(self, change: Callable[[Any], None]) -> None:
        self.change = change

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == 1:
            self.change(trainer)


@ATTACHED
@pytest.mark.parametrize("error", [None, ValueError("user")])
def test_a_callback_that_is_taken_out_during_a_fit_leaves_nothing_open(attached: bool, error: Any) -> None:
    def take_out(trainer: Any) -> None:
        trainer.callbacks = trainer.callbacks[1:]

    trainer, callback, recorder = publishing(attached, [TakeOut(take_out)])
    model = Model(train=fail_at(2, error)) if error else Model()
    with pytest.raises(ValueError, match="user") if error else nullcontext():
        trainer.fit(model, Loader(2))
    assert recorder.is_closed
    assert recorder.given("on_exception", "exception") == ([error] if error else [])
    assert resolve_hub() is not callback.message_hub
    assert infos(callback, "loop_stage") == [None]


@ATTACHED
def test_a_callback_that_is_added_during_a_fit_waits_for_the_next_one(attached: bool) -> None:
    added: list[Any] = []

    def add(trainer: Any) -> None:
        if attached:
            added.append(attach(trainer))
        else:
            added.append(RuntimeInfoCallback())
            trainer.callbacks.append(added[0])

    counting = CountBatches()
    trainer = make([TakeOut(add), counting])
    trainer.fit(Model(), Loader(2), Loader(1))
    (callback,) = added
    assert counting.count == 4
    assert infos(callback, "iter", "runtimeinfo_version") == [None, None]
    trainer.fit_loop.max_epochs = 3
    trainer.fit(Model(), Loader(2), Loader(1))
    assert infos(callback, "epoch", "iter", "max_iters") == [3, 6, 6]


def test_a_fit_loop_that_was_replaced() -> None:
    trainer, callback, recorder = publishing()
    trainer.fit(Model(), Loader(2))
    trainer.fit_loop = type(trainer.fit_loop)(trainer, max_epochs=1)
    trainer.fit(Model(), Loader(2))
    assert infos(callback, "epoch", "iter", "max_epochs") == [1, 2, 1]
    assert len(values(callback, "train/loss")) == 2
    assert recorder.is_closed


# -- searches


class Searched(Model):
    lr, batch_size = 0.1, 2

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(torch.ones(16, 1), batch_size=self.batch_size)

    def val_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(torch.ones(4, 1), batch_size=self.batch_size)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("logged", 1.0)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


@ATTACHED
@pytest.mark.parametrize("search", ["lr_find", "scale_batch_size"])
def test_a_search_of_the_tuner_leaves_nothing(tmp_path: Path, attached: bool, search: str) -> None:
    trainer, callback, recorder = publishing(attached, max_epochs=1, default_root_dir=tmp_path)
    model = Searched()
    tuner = Tuner(trainer)
    if search == "lr_find":
        tuner.lr_find(model, num_training=5, early_stop_threshold=None)
    else:
        tuner.scale_batch_size(model, max_trials=1, steps_per_trial=2)
    assert recorder.events == ["before_run", "after_run"]
    assert not callback.message_hub.log_scalars
    assert resolve_hub() is not callback.message_hub
    trainer.fit(model)
    batches = 16 // model.batch_size
    assert infos(callback, "epoch", "iter", "max_iters") == [1, batches, batches]
    assert len(values(callback, "train/logged")) == len(values(callback, "train/lr")) == batches
    assert recorder.is_closed


class SearchAtEpoch(LearningRateFinder):
    def on_fit_start(self, *_: Any) -> None:
        return

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            self.lr_find(trainer, pl_module)


@pytest.mark.parametrize("callback", ["batch size", "batch size of a validation", "rate in mid-training"])
def test_a_search_inside_of_a_run_leaves_nothing(tmp_path: Path, callback: str) -> None:
    finder: Callback = BatchSizeFinder(max_trials=1, steps_per_trial=2)
    if callback == "rate in mid-training":
        finder = SearchAtEpoch(num_training_steps=5, early_stop_threshold=None)
    trainer, ours, recorder = publishing(callbacks=[finder], default_root_dir=tmp_path, num_sanity_val_steps=0)
    model = Searched()
    if callback == "batch size of a validation":
        trainer.validate(model, verbose=False)
        assert recorder.count("before_val", "before_val_iter") == [1, 4 // model.batch_size]
    else:
        trainer.fit(model)
        batches = 16 // model.batch_size
        assert infos(ours, "epoch", "iter", "max_iters") == [2, 2 * batches, 2 * batches]
        assert len(values(ours, "train/loss")) == len(values(ours, "train/logged")) == 2 * batches
        trained = [seen[1:] for seen in model.seen if seen[0] == "train"]
        assert trained[-1] == ("train", 1, 2 * batches - 1)
    assert recorder.is_closed
    assert resolve_hub() is not ours.message_hub


@ATTACHED
def test_a_search_that_fails_leaves_nothing_open(tmp_path: Path, attached: bool) -> None:
    finder = LearningRateFinder(num_training_steps=5)
    trainer, callback, recorder = publishing(attached, [finder], default_root_dir=tmp_path)
    model = Searched(train=fail(ValueError("user")))
    with pytest.raises(ValueError, match="user"):
        trainer.fit(model)
    assert recorder.is_closed
    assert resolve_hub() is not callback.message_hub


# -- attached trainers do what bare ones do


class Events(Callback):
    """Notes each call of a hook."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_") or name in {"setup", "teardown"}:
            self.events.append(name)
        return super().__getattribute__(name)


class StopEarly(Callback):
    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= 3


class Logs(Learner):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("step", loss, prog_bar=True)
        self.log("both", loss * 2, on_step=True, on_epoch=True)
        self.log("epoch", batch_idx, on_step=False, on_epoch=True, batch_size=1)
        return loss


def combined(batch: Any) -> Any:
    while not isinstance(batch, torch.Tensor):
        batch = next(iter(batch.values())) if isinstance(batch, dict) else batch[0]
    return batch


class LogsOfSeveral(Logs):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(combined(batch), batch_idx)


def state_of(trainer: Trainer) -> list[Any]:
    names = ("logged_metrics", "callback_metrics", "progress_bar_metrics")
    metrics = [{name: float(value) for name, value in getattr(trainer, each).items()} for each in names]
    loops = trainer.fit_loop.state_dict()
    loops.pop("state_dict")
    parameters = [each.detach().clone().tolist() for each in trainer.lightning_module.parameters()]
    return [*metrics, loops, parameters, trainer.state.status, trainer.should_stop]


@pytest.mark.parametrize(
    ("changes", "callbacks", "loader"),
    [
        ({}, [], Loader),
        ({"overfit_batches": 1}, [], Loader),
        ({"fast_dev_run": 2}, [], Loader),
        ({"val_check_interval": 2}, [], Loader),
        ({"val_check_interval": 0.5}, [], Loader),
        ({"val_check_interval": 3, "check_val_every_n_epoch": None}, [], Loader),
        ({"check_val_every_n_epoch": 2}, [], Loader),
        ({"limit_train_batches": 0}, [], Loader),
        ({"limit_val_batches": 0}, [], Loader),
        ({"max_epochs": 0}, [], Loader),
        ({"max_epochs": -1, "max_steps": 6, "accumulate_grad_batches": 2}, [], Loader),
        ({"max_epochs": -1, "max_time": {"seconds": 0}}, [], Loader),
        ({"min_epochs": 2, "max_epochs": 4}, [StopEarly], Loader),
        ({"min_steps": 7, "max_epochs": 4}, [StopEarly], Loader),
        ({"max_epochs": 4}, [lambda: EarlyStopping("distance", patience=1)], Loader),
        ({"max_epochs": 4}, [lambda: StochasticWeightAveraging(0.1, swa_epoch_start=1)], Loader),
        ({}, [lambda: GradientAccumulationScheduler({0: 1, 1: 3})], Loader),
        ({}, [], lambda length: [Loader(length), Loader(length - 1)]),
        ({}, [], lambda length: CombinedLoader({"a": Loader(length), "b": Loader(length - 1)}, "min_size")),
        ({"barebones": True}, [], Loader),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_attached_trainer_does_what_a_bare_one_does(
    tmp_path: Path, changes: Any, callbacks: Any, loader: Any
) -> None:
    states = []
    for attached in (False, True):
        if "barebones" in changes:
            trainer = Trainer(barebones=True, max_epochs=2, accelerator="cpu", devices=1)
            events = Events()
            trainer.callbacks.append(events)
        else:
            events = Events()
            trainer = make([*(each() for each in callbacks), events], default_root_dir=tmp_path, **changes)
        callback = attach(trainer) if attached else None
        trainer.fit(LogsOfSeveral(), loader(4), Loader(2))
        states.append([*state_of(trainer), events.events])
    assert states[0] == states[1]
    assert callback is not None
    trained = trainer.fit_loop.epoch_loop.batch_progress.total.processed
    assert infos(callback, "epoch", "iter") in ([trainer.current_epoch, trained], [None, None])
    if "barebones" not in changes:
        assert len(values(callback, "train/loss") if trained else []) == trained


def test_weight_averaging_with_one_more_epoch_stays_within_its_bound() -> None:
    class Normalized(Learner):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(self.norm(torch.cat([batch, -batch])[:, None]), batch_idx)

    averaging = StochasticWeightAveraging(0.1, swa_epoch_start=1)
    trainer, callback, recorder = publishing(callbacks=[averaging], max_epochs=3)
    seen: list[Any] = []

    def note(runner: Any) -> None:
        seen.append((runner.epoch, runner.max_epochs, runner.iter, runner.max_iters))

    recorder.actions = {"before_train_iter": note}
    trainer.fit(Normalized(), Loader(2))
    assert [each[0] for each in seen] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all(epoch < bound and done < total for epoch, bound, done, total in seen)
    assert infos(callback, "epoch") == [trainer.current_epoch] == [4]


@pytest.mark.parametrize("place", ["training_step", "on_train_batch_start"])
def test_our_methods_have_readable_names_in_a_traceback(place: str) -> None:
    class Failing(Model):
        pass

    setattr(Failing, place, fail(ValueError("user")))
    trainer, _, _ = publishing()
    with pytest.raises(ValueError, match="user") as caught:
        trainer.fit(Failing(), Loader(1))
    ours = [each.frame.code.raw for each in caught.traceback if str(each.path).endswith("adapters/lightning.py")]
    assert [code.co_qualname for code in ours] == ["RuntimeInfoCallback._guard", "RuntimeInfoCallback._before_batch"]


# -- versions of Lightning


def import_again() -> None:
    spec = importlib.util.spec_from_file_location("imported_again", adapter.__file__)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_without_lightning_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class NotInstalled:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name == "lightning":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] in {"lightning", "pytorch_lightning"}]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled, *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match=r"needs lightning: pip install 'runtimeinfo\[lightning\]'"):
        import_again()


@pytest.mark.parametrize("version", ["2.5.9", "2.7.0"])
def test_an_untried_version_warns(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    with pytest.warns(UntestedVersionWarning, match=f"lightning {version} is installed, .* 2.6 or newer, below 2.7"):
        import_again()


def test_a_loop_of_fabric_publishes_through_the_instrumented_loop() -> None:
    fabric = Fabric(accelerator="cpu")
    model, optimizer = fabric.setup(torch.nn.Linear(1, 1), torch.optim.SGD([torch.zeros(1)], lr=0.1))
    items: Any = [1.0, 2.0, 3.0, 4.0]
    had: list[float] = []

    def train(loop: Loop[Any], seed: int, stop_at: int | None = None) -> Any:
        torch.manual_seed(seed)
        with loop.run():
            for epoch in loop.epochs():
                for batch in loop.train():
                    fabric.backward(model(batch.float()[:, None]).sum())
                    optimizer.step()
                    loop.log(loss=batch.sum())
                    had.extend(batch.tolist())
                    hub = current_hub()
                    assert (hub.get_info("epoch"), hub.get_info("iter")) == (epoch, loop.iter)
                    if loop.iter + 1 == stop_at:
                        return loop.state_dict()
        return None

    def make() -> Loop[Any]:
        return Loop(optimizer, fabric.setup_dataloaders(DataLoader(items, batch_size=1, shuffle=True)), max_epochs=1)

    state = train(make(), seed=1, stop_at=2)
    resumed = make()
    resumed.load_state_dict(state)
    train(resumed, seed=2)
    assert sorted(had) == items
    assert resumed.iter == resumed.max_iters == 4
    assert resumed.message_hub.get_scalar("train/lr").data[0].tolist() == [0.1] * 4
    assert resumed.message_hub.get_scalar("train/loss").data[0].tolist() == had
