"""The adapter on the real Trainer of Transformers, with a model of one layer."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import importlib.metadata
import json
import os
import pickle
import runpy
import signal
import sys
import tempfile
import time
import traceback
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from accelerate.state import GradientState
from hypothesis import strategies as st
from recorder import Recorder
from torch.utils.data import Dataset, IterableDataset
from transformers import DefaultFlowCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ExportableState
from transformers.trainer_jit_checkpoint import JITCheckpointCallback

from runtimeinfo import RunnerError, StateError, TrainRunner, current_hub
from runtimeinfo.authoring import on_any_event, resolve_hub
from runtimeinfo_adapters import MessageHub, ResumeWarning
from runtimeinfo_adapters import transformers as adapter
from runtimeinfo_adapters._framework import UntestedVersionWarning
from runtimeinfo_adapters.transformers import RuntimeInfoCallback, TransformersRunner, attach, detach


@pytest.fixture(scope="module", autouse=True)
def fast_collections() -> Iterator[None]:
    """Let the Trainer collect its own garbage only: it does so twice a training, which takes longer than that."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Data(Dataset[Any]):
    metainfo = {"classes": ["cat", "dog"]}  # noqa: RUF012

    def __init__(self, length: int = 10) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": torch.full((2,), float(index)), "labels": torch.tensor([float(index % 3)])}


class Stream(IterableDataset[Any]):
    def __init__(self, length: int = 100) -> None:
        self.length = length

    def __iter__(self) -> Iterator[Any]:
        return (Data()[index] for index in range(self.length))


class Model(torch.nn.Module):
    """Notes what a component sees inside, and raises where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        torch.nn.init.constant_(self.layer.weight, 0.01)
        torch.nn.init.zeros_(self.layer.bias)
        self.seen: list[Any] = []
        self.losses: list[float] = []
        self.raises: dict[int, BaseException] = {}  # by the number of the call, from 1

    def forward(self, x: Any, labels: Any = None) -> dict[str, Any]:
        hub = current_hub()
        self.seen.append(tuple(hub.get_info(key) for key in ("loop_stage", "epoch", "iter")))
        if len(self.seen) in self.raises:
            raise self.raises[len(self.seen)]
        logits = self.layer(x)
        loss = ((logits - labels) ** 2).mean()
        self.losses.append(loss.item())
        return {"loss": loss, "logits": logits, "aux": logits.abs().max(), "hidden_states": (logits,)}


def build(folder: Path, *, trainer: Any = Trainer, model: Any = None, data: Any = None, **more: Any) -> Any:
    """Return a Trainer: 10 items in 5 batches, 2 epochs, 2 validation batches."""
    rest = {name: more.pop(name) for name in ("eval_dataset", "callbacks", "compute_metrics") if name in more}
    given = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 2,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "logging_strategy": "no",
        "learning_rate": 0.001,
        "optim": "sgd",
        "seed": 3,
        "run_name": "adapter",
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "report_to": [],
        "disable_tqdm": True,
        "log_level": "error",
    } | more
    arguments = TrainingArguments(str(folder), **given)
    rest = {"eval_dataset": Data(4)} | rest
    return trainer(model or Model(), arguments, train_dataset=Data() if data is None else data, **rest)


def attached(folder: Path, **more: Any) -> tuple[Any, Any, Recorder]:
    recorder = Recorder()
    trainer = build(folder, **more)
    return trainer, attach(trainer, hooks=[recorder]), recorder


def values(hub: Any, key: str) -> list[float]:
    return [float(value) for value in hub.get_scalar(key).data[0]]


ITERATION = ["before_train_iter", "after_train_iter"]
EPOCH = ["before_train_epoch", *ITERATION * 5, "after_train_epoch"]
VAL_EPOCH = ["before_val_epoch", *["before_val_iter", "after_val_iter"] * 2, "after_val_epoch"]
VAL = ["before_val", *VAL_EPOCH, "after_val"]


# -- training


def test_a_training_with_validation(tmp_path: Path) -> None:
    trainer, callback, recorder = attached(tmp_path, eval_strategy="epoch")
    trainer.train()
    recorder.judge()
    assert recorder.events == ["before_run", "before_train", *(EPOCH + VAL) * 2, "after_train", "after_run"]
    assert recorder.counters("before_train_iter") == [(index // 5, index) for index in range(10)]
    assert recorder.counters("before_val") == [(1, 5), (2, 10)]
    hub = callback.message_hub
    assert len(values(hub, "train/loss")) == len(values(hub, "train/lr")) == len(values(hub, "train/aux")) == 10
    assert len(values(hub, "val/loss")) == 2
    keys = ("epoch", "iter", "max_epochs", "max_iters", "seed", "experiment_name", "loop_stage", "dataset_meta")
    assert [hub.get_info(key) for key in keys] == [2, 10, 2, 10, 3, "adapter", None, Data.metainfo]
    assert json.loads(hub.get_info("cfg"))["learning_rate"] == 0.001
    assert hub.get_info("transformers_version") == importlib.metadata.version("transformers")
    assert isinstance(callback.runner, TrainRunner)
    assert isinstance(callback.runner, TransformersRunner)


def test_a_component_sees_stage_and_counters(tmp_path: Path) -> None:
    model = Model()
    trainer, _, _ = attached(tmp_path, model=model, eval_strategy="epoch", num_train_epochs=1)
    hub_outside = resolve_hub()
    trainer.train()
    trainer.predict(Data(4))
    assert model.seen == [
        *(("train", 0, index) for index in range(5)),
        *[("val", 1, 5)] * 2,
        *[("test", 1, 5)] * 2,
    ]
    assert resolve_hub() is hub_outside


def test_the_batch_comes_along(tmp_path: Path) -> None:
    trainer, _, recorder = attached(tmp_path, num_train_epochs=1, eval_strategy="epoch")
    trainer.train()
    assert [batch["x"][0, 0].item() for batch in recorder.given("before_train_iter", "data_batch")] == [0, 2, 4, 6, 8]
    assert [batch["x"][0, 0].item() for batch in recorder.given("before_val_iter", "data_batch")] == [0, 2]
    assert recorder.given("after_train_iter", "batch_idx") == [0, 1, 2, 3, 4]


# Seen in a run: "HF at accumulation 2: 6 steps for 10 batches"; "HF training_step: divided by accumulation"
def test_with_accumulation_batches_are_counted_and_the_loss_is_whole(tmp_path: Path) -> None:
    model = Model()
    trainer, callback, recorder = attached(tmp_path, model=model, gradient_accumulation_steps=2)
    trainer.train()
    recorder.judge()
    assert trainer.state.global_step == 6
    assert recorder.events.count("before_train_iter") == recorder.events.count("after_train_iter") == 10
    assert recorder.counters("before_train_iter") == [(index // 5, index) for index in range(10)]
    assert callback.message_hub.get_info("max_iters") == 10
    assert values(callback.message_hub, "train/loss") == pytest.approx(model.losses)


class LanguageModel(Model):
    """Divides by the number of items of the whole accumulation, as models of language do."""

    def forward(self, x: Any, labels: Any = None, num_items_in_batch: Any = None, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        out = super().forward(x, labels)
        if num_items_in_batch is not None:
            out["loss"] = ((out["logits"] - labels) ** 2).sum() / num_items_in_batch
        return out


def test_a_loss_that_is_shared_by_items_is_whole_too(tmp_path: Path) -> None:
    model = LanguageModel()
    trainer, callback, _ = attached(tmp_path, model=model, gradient_accumulation_steps=5, num_train_epochs=1)
    assert trainer.model_accepts_loss_kwargs
    trainer.train()
    assert values(callback.message_hub, "train/loss") == pytest.approx(model.losses)


# Seen in a run: "after it HF (always) shows the next value"
def test_the_learning_rate_is_the_one_in_force(tmp_path: Path) -> None:
    trainer, callback, _ = attached(tmp_path, num_train_epochs=1)
    trainer.train()
    assert values(callback.message_hub, "train/lr") == pytest.approx([0.001 * (5 - done) / 5 for done in range(5)])


def test_outputs_hold_no_graph_and_no_predictions(tmp_path: Path) -> None:
    trainer, callback, recorder = attached(tmp_path, num_train_epochs=1, per_device_train_batch_size=1)
    trainer.train()
    assert all(set(outputs) == {"loss", "aux"} for outputs in recorder.given("after_train_iter", "outputs"))
    handed_out = [each for outputs in recorder.given("after_train_iter", "outputs") for each in outputs.values()]
    assert not any(value.requires_grad for value in handed_out)
    assert "train/logits" not in callback.message_hub.log_scalars


class OwnLoss(Trainer):
    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        outputs = model(**inputs)
        loss = outputs["loss"] * 10
        return (loss, outputs) if return_outputs else loss


def test_the_loss_is_the_one_that_is_trained_on(tmp_path: Path) -> None:
    model = Model()
    trainer, callback, _ = attached(tmp_path, trainer=OwnLoss, model=model, num_train_epochs=1)
    trainer.train()
    assert values(callback.message_hub, "train/loss") == pytest.approx([10 * loss for loss in model.losses])


# -- totals


# Seen in a run: "HF iterable with max_steps=7: num_train_epochs is 9223372036854775807"
@pytest.mark.parametrize(
    ("given", "epochs", "iterations"),
    [
        ({"data": Stream(), "max_steps": 7}, None, 7),
        ({"data": Stream(), "max_steps": 3, "gradient_accumulation_steps": 2}, None, None),
        ({"max_steps": 7}, None, 7),
        ({"max_steps": 4, "gradient_accumulation_steps": 2}, None, 7),
        ({"num_train_epochs": 1.5}, 2, 8),
        ({"num_train_epochs": 1, "dataloader_drop_last": True, "data": Data(11)}, 1, 5),
    ],
)
def test_how_long_it_will_be(tmp_path: Path, given: Any, epochs: int | None, iterations: int | None) -> None:
    trainer, callback, recorder = attached(tmp_path, **given)
    trainer.train()
    recorder.judge()
    hub = callback.message_hub
    assert (hub.get_info("max_epochs", 0), hub.get_info("max_iters", 0)) == (epochs, iterations)
    if iterations is not None:
        assert recorder.events.count("after_train_iter") == iterations


def test_data_without_a_length_and_steps_is_the_trainers_own_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_steps"):
        attached(tmp_path, data=Stream())


# -- evaluation


# Seen in a run: "After before_train, before any epoch: HF eval_on_start"
def test_an_evaluation_at_the_start(tmp_path: Path) -> None:
    trainer, _, recorder = attached(tmp_path, eval_on_start=True, num_train_epochs=1)
    trainer.train()
    recorder.judge()
    assert recorder.events == ["before_run", "before_train", *VAL, *EPOCH, "after_train", "after_run"]


def test_an_evaluation_inside_the_epoch(tmp_path: Path) -> None:
    trainer, _, recorder = attached(tmp_path, eval_strategy="steps", eval_steps=3, max_steps=5)
    trainer.train()
    recorder.judge()
    assert recorder.events[3:-2] == [*ITERATION * 3, *VAL, *ITERATION * 2, *VAL, "after_train_epoch"]


# Seen in a run: "Two val loaders: HF fires on_evaluate twice"
def test_several_data_sets_are_several_epochs_of_one_validation(tmp_path: Path) -> None:
    data = {"a": Data(2), "b": Data(4)}
    trainer, callback, recorder = attached(tmp_path, eval_dataset=data, eval_strategy="epoch", num_train_epochs=1)
    trainer.train()
    recorder.judge()
    first = ["before_val_epoch", "before_val_iter", "after_val_iter", "after_val_epoch"]
    assert recorder.events[-11 - 3 : -2] == ["before_val", *first, *VAL_EPOCH, "after_val"]
    assert len(values(callback.message_hub, "val/a_loss")) == len(values(callback.message_hub, "val/b_loss")) == 1


def test_metrics_are_those_of_the_model_alone(tmp_path: Path) -> None:
    turns = iter([{"acc": 0.25, "confusion": [1, 2], "f_runtime": 7.0}, {"acc": 0.5}, {"acc": 0.75}])
    trainer, callback, recorder = attached(
        tmp_path, eval_strategy="epoch", compute_metrics=lambda _: next(turns), num_train_epochs=1
    )
    trainer.train()
    trainer.predict(Data(4))
    trainer.evaluate(Data(4), metric_key_prefix="final")
    hub = callback.message_hub
    first, second = recorder.given("after_val_epoch", "metrics")
    assert set(first) == {"acc", "confusion", "f_runtime", "loss"}
    assert set(second) == {"final_acc", "final_loss"}
    assert set(recorder.given("after_test_epoch", "metrics")[0]) == {"acc", "loss"}
    assert values(hub, "val/acc") == [0.25]
    assert hub.get_info("val/confusion") == [1, 2]
    assert values(hub, "test/acc") == [0.5]
    assert values(hub, "val/final_acc") == [0.75]


# Seen in a run: "test: on_predict only"
def test_evaluate_and_predict_alone_are_runs_of_their_own(tmp_path: Path) -> None:
    trainer, callback, recorder = attached(tmp_path)
    trainer.evaluate()
    trainer.predict(Data(2))
    recorder.judge()
    test = ["before_test_epoch", "before_test_iter", "after_test_iter", "after_test_epoch"]
    assert recorder.events == [
        *["before_run", *VAL, "after_run"],
        *["before_run", "before_test", *test, "after_test", "after_run"],
    ]
    assert callback.message_hub.get_info("experiment_name") == "adapter"
    assert callback.message_hub.get_info("loop_stage") is None


def test_a_prediction_that_is_part_of_a_validation_has_no_events(tmp_path: Path) -> None:
    trainer, callback, recorder = attached(tmp_path, compute_metrics=lambda _: predicted())

    def predicted() -> dict[str, float]:
        trainer.compute_metrics = None
        return {"more": trainer.predict(Data(2)).metrics["test_loss"]}

    trainer.evaluate()
    recorder.judge()
    assert recorder.events == ["before_run", *VAL, "after_run"]
    assert len(values(callback.message_hub, "val/more")) == 1


# -- abnormal ends


# Seen in a run: "Exception and KeyboardInterrupt: no event at all in HF"
@pytest.mark.parametrize("error", [ValueError("the loss is NaN"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize(("call", "inside"), [(3, "train_iter"), (6, "val_iter")])
def test_an_exception_closes_all_scopes(tmp_path: Path, error: BaseException, call: int, inside: str) -> None:
    model = Model()
    model.raises[call] = error
    trainer, callback, recorder = attached(tmp_path, model=model, eval_strategy="epoch")
    hub_outside = resolve_hub()
    with pytest.raises(type(error)) as raised:
        trainer.train()
    assert raised.value is error
    recorder.judge()
    end = recorder.events.index("on_exception")
    assert recorder.given("on_exception", "exception") == [error]
    assert recorder.events[end + 1] == f"after_{inside}"
    assert recorder.events[-1] == "after_run"
    hub = callback.message_hub
    assert hub.get_info("loop_stage") is None
    assert hub.get_info("iter") == min(call - 1, 5)
    assert resolve_hub() is hub_outside


@pytest.mark.parametrize("event", ["before_run", "before_train", "after_train_iter", "after_val_epoch", "after_run"])
def test_an_error_of_a_hook_comes_out(tmp_path: Path, event: str) -> None:
    trainer, callback, recorder = attached(tmp_path, eval_strategy="epoch")
    recorder.raises[event] = error = RuntimeError(event)
    with pytest.raises(RuntimeError) as raised:
        trainer.train()
    assert raised.value is error
    assert callback.runner.emitter.lifecycle.open_scopes == ()


def test_an_evaluation_whose_error_is_handled_closes_alone(tmp_path: Path) -> None:
    class Evaluates(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 1:
                with pytest.raises(ValueError, match="mine"):
                    trainer.evaluate()

    model = Model()
    model.raises[2] = ValueError("mine")
    trainer, _, recorder = attached(tmp_path, model=model, callbacks=[Evaluates()], num_train_epochs=1)
    trainer.train()
    recorder.judge()
    closes = ["on_exception", "after_val_iter", "after_val_epoch", "after_val"]
    start = recorder.events.index("on_exception")
    assert recorder.events[start : start + 5] == [*closes, "before_train_iter"]
    assert recorder.events.count("after_train_iter") == 5


# Seen in a run: "HF auto_find_batch_size: train_begin, epoch_begin, train_begin with no end between"
@pytest.mark.parametrize("has_own_loop", [True, False])
def test_a_training_that_restarts_with_smaller_batches(tmp_path: Path, has_own_loop: bool) -> None:
    model = Model()
    model.raises[2] = error = torch.OutOfMemoryError("CUDA out of memory.")
    trainer, callback, recorder = attached(
        tmp_path, model=model, auto_find_batch_size=True, per_device_train_batch_size=4, num_train_epochs=1
    )
    if not has_own_loop:  # as in a version that calls it otherwise
        trainer._inner_training_loop = trainer._inner_training_loop.__wrapped__
    trainer.train()
    recorder.judge()
    assert recorder.events.count("before_run") == recorder.events.count("after_run") == 1
    assert recorder.events.count("before_train") == recorder.events.count("after_train") == 2
    assert recorder.given("on_exception", "exception") == ([error] if has_own_loop else [])
    assert recorder.counters("before_train") == [(0, 0), (0, 0)]
    assert recorder.counters("before_train_iter") == [(0, 0), (0, 1), (0, 0), (0, 1), (0, 2), (0, 3)]
    assert callback.message_hub.get_info("max_iters") == 4
    assert values(callback.message_hub, "train/loss") == pytest.approx(model.losses[-4:])
    assert len(values(callback.message_hub, "train/lr")) == 4


def mmengine_hub() -> Any:
    return pytest.importorskip("mmengine.logging").MessageHub("mine")


@pytest.mark.parametrize("make", [functools.partial(MessageHub, "mine"), mmengine_hub])
@pytest.mark.parametrize("is_attached", [True, False])
def test_attempts_that_were_given_up_leave_nothing_in_a_given_hub(tmp_path: Path, make: Any, is_attached: bool) -> None:
    class Publishes(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            hub.update_scalar("mine/step", float(state.train_batch_size))
            hub.update_info(f"batch size {state.train_batch_size}", True)
            hub.update_info("best", state.train_batch_size)

    hub = make()
    hub.update_scalar("train/lr", 7.0)
    hub.update_info("best", None)
    for attempt in (0, 10):
        model = Model()
        errors = [torch.OutOfMemoryError("CUDA out of memory.") for _ in range(2)]
        model.raises.update({2: errors[0], 4: errors[1]})
        given = {"auto_find_batch_size": True, "per_device_train_batch_size": 4, "num_train_epochs": 1}
        options: Any = {"hub": hub}
        callback = RuntimeInfoCallback(**options)
        trainer = build(
            tmp_path, model=model, data=Data(9), callbacks=[Publishes(), *[callback][is_attached:]], **given
        )
        callback = attach(trainer, **options) if is_attached else callback
        trainer.train()
        assert callback.message_hub is hub
        size = trainer._train_batch_size
        assert size == 2
        batches = -(-9 // size)
        assert len(values(hub, "train/lr")) == 1 + batches * (1 + attempt // 10)
        assert len(values(hub, "mine/step")) == batches * (1 + attempt // 10)
        assert {key for key in hub.runtime_info if key.startswith("batch size")} == {f"batch size {size}"}
        assert [hub.get_info(key) for key in ("best", "iter", "max_iters", "epoch")] == [size, batches, batches, 1]
        if is_attached:
            assert len(values(hub, "train/loss")) == batches * (1 + attempt // 10)


def test_a_training_that_failed_in_a_given_hub_stays_there_also_with_the_batch_size_finder(tmp_path: Path) -> None:
    hub = MessageHub("mine")
    trainer = build(tmp_path, auto_find_batch_size=True, num_train_epochs=1)
    attach(trainer, hub=hub)
    trainer.model.raises[3] = ValueError("mine")
    with pytest.raises(ValueError, match="mine"):
        trainer.train()
    trainer.train()
    assert len(values(hub, "train/loss")) == 2 + 5


# -- each training has its own hub


class NotesHubs(TrainerCallback):
    """Notes the current hub, and how much its histories hold, at each event of a kind."""

    def __init__(self, event: str, key: str) -> None:
        self.hubs: list[Any] = []
        self.lengths: list[int] = []
        self.key = key
        setattr(self, event, self.note)

    def note(self, *_: Any, **__: Any) -> None:
        hub = resolve_hub()
        self.hubs.append(hub)
        self.lengths.append(len(hub.get_scalar(self.key).data[0]))


def test_trials_of_a_search_have_their_own_hubs(tmp_path: Path) -> None:
    notes = NotesHubs("on_evaluate", "val/loss")
    trainer = build(tmp_path, eval_strategy="epoch", num_train_epochs=1, callbacks=[notes])
    trainer.model_init = Model
    callback = attach(trainer)
    hubs = []
    for _ in range(3):
        trainer.train()
        hubs.append(callback.message_hub)
    assert notes.lengths == [1, 1, 1]
    assert notes.hubs == hubs
    assert len(set(map(id, hubs))) == 3
    assert [len(values(hub, "train/loss")) for hub in hubs] == [5, 5, 5]


def test_one_callback_for_the_trainers_of_all_folds(tmp_path: Path) -> None:
    callback, notes = RuntimeInfoCallback(), NotesHubs("on_evaluate", "val/loss")
    for _ in range(2):
        build(tmp_path, eval_strategy="epoch", num_train_epochs=1, callbacks=[callback, notes]).train()
        assert len(values(callback.message_hub, "train/lr")) == 5
    assert notes.lengths == [1, 1]
    assert notes.hubs[0] is not notes.hubs[1]


@pytest.mark.parametrize("is_attached", [True, False])
def test_a_lone_evaluation_publishes_into_the_hub_that_is_there(tmp_path: Path, is_attached: bool) -> None:
    callback = RuntimeInfoCallback()
    trainer = build(tmp_path, num_train_epochs=1, callbacks=[] if is_attached else [callback])
    callback = attach(trainer) if is_attached else callback
    callback.message_hub.update_info("mine", 1)
    trainer.evaluate()
    before = callback.message_hub
    assert before.get_info("mine") == 1
    trainer.train()
    trained = callback.message_hub
    assert trained is not before
    assert "val/loss" not in trained.log_scalars
    trainer.evaluate()
    trainer.predict(Data(2))
    assert callback.message_hub is trained
    assert (len(values(trained, "val/loss")), len(values(trained, "test/loss"))) == (1, 1)
    assert len(values(before, "val/loss")) == 1


def test_a_hub_that_no_run_has_used_keeps_what_was_put_there(tmp_path: Path) -> None:
    trainer = build(tmp_path, num_train_epochs=1)
    hub = attach(trainer).message_hub
    hub.update_info("mine", 1)
    trainer.train()
    assert callback_of(trainer).message_hub is hub
    assert hub.get_info("mine") == 1


def test_a_training_inside_a_callback_of_another_has_its_own_hub(tmp_path: Path) -> None:
    inner, inner_callback, inner_recorder = attached(tmp_path / "inner", num_train_epochs=1)

    class Trains(TrainerCallback):
        def on_evaluate(self, *_: Any, **__: Any) -> None:
            inner.train()
            hubs.append((resolve_hub(), inner_callback.message_hub))

    hubs: list[Any] = []
    outer, callback, recorder = attached(tmp_path / "outer", eval_strategy="epoch", callbacks=[Trains()])
    outer.train()
    recorder.judge()
    inner_recorder.judge()
    assert recorder.events == ["before_run", "before_train", *(EPOCH + VAL) * 2, "after_train", "after_run"]
    assert len(values(callback.message_hub, "train/loss")) == 10
    assert [outside is callback.message_hub for outside, _ in hubs] == [True, True]
    assert hubs[0][1] is not hubs[1][1]
    assert [len(values(inside, "train/loss")) for _, inside in hubs] == [5, 5]


# -- the user's own


def test_callbacks_of_the_user_work_and_find_the_information(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Mine(TrainerCallback):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            hub = current_hub()
            seen.append(("epoch", hub.get_info("epoch"), hub.get_info("loop_stage")))

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            hub = current_hub()
            seen.append(("step", hub.get_info("iter"), len(hub.get_scalar("train/loss").data[0])))
            control.should_training_stop = state.global_step == 2

    trainer, callback, recorder = attached(tmp_path, callbacks=[Mine()])
    trainer.train()
    recorder.judge()
    assert seen == [("epoch", 0, "train"), ("step", 0, 1), ("step", 1, 2)]
    assert recorder.events[-3:] == ["after_train_epoch", "after_train", "after_run"]
    assert callback.message_hub.get_info("epoch") == 1


@pytest.mark.parametrize("is_given", [False, True])
def test_two_trainings_one_after_the_other(tmp_path: Path, is_given: bool) -> None:
    given: Any = {"hub": MessageHub("mine")} if is_given else {}
    recorder = Recorder()
    trainer = build(tmp_path, num_train_epochs=1)
    callback = attach(trainer, hooks=[recorder], **given)
    trainer.train()
    first = callback.message_hub
    trainer.train()
    recorder.judge()
    assert recorder.counters("before_train") == [(0, 0), (0, 0)]
    assert recorder.counters("before_train_iter") == [(0, index) for index in range(5)] * 2
    assert (callback.message_hub is first) is is_given
    assert len(values(first, "train/loss")) == (10 if is_given else 5)
    assert len(values(callback.message_hub, "train/loss")) == (10 if is_given else 5)


def test_a_training_after_one_that_failed(tmp_path: Path) -> None:
    model = Model()
    model.raises[8] = ValueError("no more")
    trainer, _, recorder = attached(tmp_path, model=model)
    with pytest.raises(ValueError, match="no more"):
        trainer.train()
    trainer.train()
    recorder.judge()
    assert recorder.given("before_train_iter", "batch_idx")[-10:] == [0, 1, 2, 3, 4] * 2
    assert recorder.counters("before_train") == [(0, 0), (0, 0)]


def test_the_hub_and_the_hooks_are_the_users(tmp_path: Path) -> None:
    called: list[Any] = []

    class Say:
        def __init__(self, priority: str) -> None:
            self.priority = priority

        def before_train(self, runner: Any) -> None:
            called.append((self.priority, current_hub().get_info("loop_stage")))

    hub = MessageHub("mine")
    trainer = build(tmp_path, num_train_epochs=1)
    callback = attach(trainer, hub=hub, hooks=[Say("LOW"), Say("HIGH")])
    trainer.train()
    assert callback.message_hub is hub
    assert hub.get_info("iter") == 5
    assert called == [("HIGH", "train"), ("LOW", "train")]


def test_attached_twice_it_publishes_once(tmp_path: Path) -> None:
    trainer = build(tmp_path, num_train_epochs=1, callbacks=[RuntimeInfoCallback()])
    first = attach(trainer)
    second = attach(trainer)
    trainer.train()
    assert [each for each in trainer.callback_handler.callbacks if isinstance(each, RuntimeInfoCallback)] == [second]
    assert len(values(second.message_hub, "train/loss")) == 5
    assert first.message_hub.get_info("iter") is None


def test_given_options_win_over_the_arguments(tmp_path: Path) -> None:
    options: Any = {"cfg": {"lr": 1}, "seed": 0, "experiment_name": "mine"}
    trainer = build(tmp_path, max_steps=1)
    hub = attach(trainer, **options).message_hub
    trainer.train()
    assert [hub.get_info(key) for key in ("cfg", "seed", "experiment_name")] == ['{\n  "lr": 1\n}', 0, "mine"]
    alone = RuntimeInfoCallback(**options)
    build(tmp_path, max_steps=1, callbacks=[alone]).train()
    assert [alone.message_hub.get_info(key) for key in ("seed", "experiment_name")] == [0, "mine"]
    assert json.loads(alone.message_hub.get_info("cfg")) == {"lr": 1}


@pytest.mark.parametrize("make", [RuntimeInfoCallback, TransformersRunner])
def test_an_unknown_option_is_a_type_error(tmp_path: Path, make: Any) -> None:
    with pytest.raises(TypeError, match="'sed': did you mean 'seed'"):
        make(sed=0)
    trainer = build(tmp_path)
    before = state_of(trainer)
    with pytest.raises(TypeError, match="'hoks': did you mean 'hooks'"):
        attach(trainer, hoks=[])  # type: ignore[call-arg]
    assert state_of(trainer) == before


class OwnStep(Trainer):
    """Has its own step, as many trainers do. The loss that it trains on is the model's, ten times."""

    uses_compute_loss = True

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        loss = self.compute_loss(model, inputs) if self.uses_compute_loss else model(**inputs)["loss"]
        loss = loss * 10 / self.current_gradient_accumulation_steps  # type: ignore[attr-defined]
        self.accelerator.backward(loss)
        return loss.detach()


class OtherStep(OwnStep):
    uses_compute_loss = False


@pytest.mark.parametrize(("kind", "factor"), [(OwnStep, 10), (OtherStep, 1)])
def test_the_loss_of_an_own_step(tmp_path: Path, kind: Any, factor: int) -> None:
    model = Model()
    trainer, callback, _ = attached(tmp_path, trainer=kind, model=model, gradient_accumulation_steps=2)
    trainer.train()
    assert values(callback.message_hub, "train/loss") == pytest.approx([factor * loss for loss in model.losses])


class Copies(TrainerCallback):
    """Copies the model at each event of a step, as an average of weights does."""

    def __init__(self) -> None:
        self.copies: list[Model] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.copies.append(copy.deepcopy(model))

    on_pre_optimizer_step = on_step_end = on_step_begin


def test_no_hook_stays_in_the_model_or_in_a_copy_of_it(tmp_path: Path) -> None:
    model, copies = Model(), Copies()
    own = model.register_forward_hook(lambda module, inputs, outputs: None)
    model.raises[4] = ValueError("mine")
    trainer, callback, _ = attached(tmp_path, model=model, callbacks=[copies])
    with pytest.raises(ValueError, match="mine"):
        trainer.train()
    assert len(copies.copies) == 10
    assert all(list(each._forward_hooks) == [own.id] for each in (model, *copies.copies))
    assert len(values(callback.message_hub, "train/aux")) == 3


def test_a_copy_that_the_forward_makes_notes_nothing(tmp_path: Path) -> None:
    class Shadowed(Model):
        def forward(self, x: Any, labels: Any = None) -> dict[str, Any]:
            if not hasattr(self, "shadow"):
                self.shadow = [copy.deepcopy(self)]
                self.shadow[0].shadow = []
            elif self.shadow:
                self.shadow[0](x, labels)["loss"].backward()
            return super().forward(x, labels)

    model = Shadowed()
    trainer, callback, _ = attached(tmp_path, model=model, max_steps=3)
    trainer.train()
    assert len(values(callback.message_hub, "train/aux")) == 3
    assert values(callback.message_hub, "train/loss") == pytest.approx(model.losses)


# Dynamo looks for gradients in whatever it compiles, and warns of itself.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_model_that_is_compiled_in_place_has_its_outputs_published(tmp_path: Path) -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x: Any) -> dict[str, Any]:
            return {"loss": self.layer(x).square().mean(), "aux": x.sum()}

    model = Plain()
    model.compile(backend="eager", fullgraph=True)
    trainer, callback, _ = attached(tmp_path, model=model, max_steps=3)
    trainer.train()
    assert values(callback.message_hub, "train/aux") == [2.0, 10.0, 18.0]
    assert len(values(callback.message_hub, "train/loss")) == 3


# -- detach


def state_of(trainer: Any) -> tuple[dict[str, Any], list[Any]]:
    """Return what attaching could change: the attributes, and the callbacks in their order."""
    return dict(vars(trainer)), list(trainer.callback_handler.callbacks)


def test_detach_restores_a_trainer(tmp_path: Path) -> None:
    trainer = build(tmp_path, callbacks=[Copies(), RuntimeInfoCallback()])
    mine = trainer.compute_loss = functools.partial(Trainer.compute_loss, trainer)
    before = state_of(trainer)
    detach(trainer)
    assert state_of(trainer) == before
    callback = attach(trainer)
    assert attach(trainer) is not callback
    assert trainer.compute_loss == mine
    assert state_of(trainer) != before
    detach(trainer)
    detach(trainer)
    assert state_of(trainer) == before


def test_detach_restores_a_method_that_the_user_has_replaced(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    steps: list[Any] = []

    def step(model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        steps.append(inputs)
        return Trainer.training_step(trainer, model, inputs, num_items_in_batch)

    trainer.training_step = step
    before = state_of(trainer)
    callback = attach(trainer)
    trainer.train()
    assert len(steps) == len(values(callback.message_hub, "train/loss")) == 10
    detach(trainer)
    assert vars(trainer)["training_step"] is step
    assert set(vars(trainer)) - set(before[0]) == new_attributes_of_a_run(tmp_path)


def new_attributes_of_a_run(folder: Path, *, fails: bool = False) -> set[str]:
    """Return which attributes a bare Trainer gets when it trains."""
    bare = build(folder)
    before = set(vars(bare))
    if fails:
        bare.model.raises[3] = ValueError("mine")
        with pytest.raises(ValueError, match="mine"):
            bare.train()
    else:
        bare.train()
    return set(vars(bare)) - before


@pytest.mark.parametrize("fails", [False, True])
def test_detach_restores_a_trainer_after_a_run(tmp_path: Path, fails: bool) -> None:
    trainer = build(tmp_path)
    before = state_of(trainer)
    callback = attach(trainer)
    if fails:
        trainer.model.raises[3] = ValueError("mine")
        with pytest.raises(ValueError, match="mine"):
            trainer.train()
    else:
        trainer.train()
    detach(trainer)
    attributes, callbacks = state_of(trainer)
    assert callbacks == before[1]
    assert set(attributes) - set(before[0]) == new_attributes_of_a_run(tmp_path, fails=fails)
    done = len(values(callback.message_hub, "train/loss"))
    trainer.train()
    trainer.evaluate()
    assert len(values(callback.message_hub, "train/loss")) == done
    assert current_hub().get_info("iter") is None


@pytest.mark.parametrize("is_marked", [True, False])
def test_detach_under_the_wrapper_of_another(tmp_path: Path, is_marked: bool) -> None:
    trainer = build(tmp_path, num_train_epochs=1)
    callback = attach(trainer)
    calls: list[str] = []

    def wrap(name: str) -> Any:
        inside = getattr(trainer, name)

        def outside(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return inside(*args, **kwargs)

        return functools.wraps(inside)(outside) if is_marked else outside

    wrapped = {name: wrap(name) for name in ("train", "training_step", "evaluate", "prediction_step")}
    vars(trainer).update(wrapped)
    detach(trainer)
    assert {name: vars(trainer)[name] for name in wrapped} == wrapped
    trainer.train()
    trainer.evaluate()
    assert calls == ["train", *["training_step"] * 5, "evaluate", *["prediction_step"] * 2]
    assert callback.message_hub.get_info("iter") is None


class CountSteps(TrainerCallback):
    def __init__(self, trainer: Any = None) -> None:
        self.trainer, self.count = trainer, 0

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.count += 1
        detach(self.trainer)


def test_detach_during_a_training_passes_no_callback_over(tmp_path: Path) -> None:
    trainer, callback, recorder = attached(tmp_path)
    first, second = CountSteps(trainer), CountSteps()
    trainer.callback_handler.callbacks[1:1] = [first, second]
    trainer.train()
    assert recorder.events[-1] == "after_run"
    assert callback.message_hub.get_info("loop_stage") is None
    assert first.count == second.count == 10


def test_detach_of_something_else_does_nothing() -> None:
    detach(object())


@pytest.mark.parametrize("private", ["_PRIVATE", "_PRIVATE_OF_MODULES", "_PRIVATE_IN_TRAINING"])
def test_a_missing_private_member_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: str) -> None:
    trainer = build(tmp_path)
    renamed = "_renamed_since" if private == "_PRIVATE_IN_TRAINING" else ("_renamed_since",)
    monkeypatch.setattr(adapter, private, renamed)
    with pytest.raises(RunnerError, match=r"_renamed_since.*use a version of the framework"):
        attach(trainer)


# -- copies


@pytest.mark.parametrize("how", ["never", "train", "evaluate", "failed", "detached"])
def test_a_trainer_is_freed_without_the_garbage_collector(tmp_path: Path, how: str) -> None:
    trainer = build(tmp_path, num_train_epochs=1)
    callback = attach(trainer)
    if how == "failed":
        trainer.model.raises[3] = ValueError("mine")
        with contextlib.suppress(ValueError):
            trainer.train()
        trainer.model.raises.clear()  # the traceback in it has the trainer
    elif how == "detached":
        trainer.train()
        detach(trainer)
    elif how != "never":
        getattr(trainer, how)()
    held = [weakref.ref(each) for each in (trainer, trainer.model, trainer.model.layer.weight)]
    gc.collect()
    gc.disable()
    try:
        del trainer
        assert [each() for each in held] == [None] * 3
    finally:
        gc.enable()
    assert callback.is_attached is False


def weights(trainer: Any) -> list[float]:
    return [value for parameter in trainer.model.parameters() for value in parameter.detach().flatten().tolist()]


def callback_of(trainer: Any) -> RuntimeInfoCallback:
    (callback,) = (each for each in trainer.callback_handler.callbacks if isinstance(each, RuntimeInfoCallback))
    return callback


def pickled(trainer: Any) -> Any:
    return pickle.loads(pickle.dumps(trainer))


@pytest.fixture
def no_loaders_left() -> None:
    """Let Accelerate forget the loaders of failed trainings: it would pickle them with the Trainer."""
    GradientState._reset_state()


@pytest.mark.usefixtures("no_loaders_left")
@pytest.mark.parametrize("clone", [copy.deepcopy, pickled])
def test_a_copy_trains_itself(tmp_path: Path, clone: Any) -> None:
    trainer = build(tmp_path, eval_strategy="epoch")
    callback = attach(trainer)
    before = weights(trainer)
    twin = clone(trainer)
    other = callback_of(twin)
    assert other.message_hub is not callback.message_hub
    assert other.runner.emitter is not callback.runner.emitter
    twin.train()
    assert weights(trainer) == before != weights(twin)
    assert (twin.state.global_step, trainer.state.global_step) == (other.runner.iter, callback.runner.iter) == (10, 0)
    assert list(callback.message_hub.log_scalars) == []
    assert callback.message_hub.get_info("iter") is None
    trainer.train()
    assert weights(trainer) == pytest.approx(weights(twin))
    for key in ("train/loss", "train/lr", "train/aux", "val/loss"):
        assert values(other.message_hub, key) == pytest.approx(values(callback.message_hub, key))
    detach(twin)
    assert not any(name in vars(twin) for name in ("train", "evaluate", "training_step"))
    assert callback_of(trainer).is_attached
    assert "train" in vars(trainer)


# One that has trained cannot be pickled, bare either; and the optimizer of its copy makes no step, bare either.
def test_a_copy_of_a_trainer_that_has_trained_publishes_to_its_own_hub(tmp_path: Path) -> None:
    trainer = build(tmp_path, eval_strategy="epoch")
    callback = attach(trainer)
    trainer.train()
    before = weights(trainer)
    twin = copy.deepcopy(trainer)
    hub = callback_of(twin).message_hub
    assert values(hub, "train/loss") == pytest.approx(values(callback.message_hub, "train/loss"))
    twin.train()
    assert len(twin.model.seen) == len(trainer.model.seen) * 2
    new_hub = callback_of(twin).message_hub
    assert new_hub is not hub
    assert (len(values(hub, "train/loss")), len(values(new_hub, "train/loss"))) == (10, 10)
    assert len(values(callback.message_hub, "train/loss")) == 10
    assert weights(trainer) == before
    trainer.train()
    assert weights(trainer) != before
    assert len(values(callback.message_hub, "train/loss")) == 10
    assert len(values(new_hub, "val/loss")) == len(values(callback.message_hub, "val/loss")) == 2


class CopiesItself(TrainerCallback):
    """Copies something once, in the middle of a training."""

    def __init__(self, source: Any = None) -> None:
        self.source = source
        self.clone: Any = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 3 and self.source is not None:
            source, self.source = self.source, None
            self.clone = copy.deepcopy(source)


def test_a_copy_of_a_trainer_that_trains_is_outside_of_any_run(tmp_path: Path) -> None:
    trainer, callback, recorder = attached(tmp_path)
    copies = CopiesItself(trainer)
    trainer.add_callback(copies)
    trainer.train()
    recorder.judge()
    assert recorder.events == ["before_run", "before_train", *EPOCH * 2, "after_train", "after_run"]
    twin, after = copies.clone, weights(trainer)
    other = callback_of(twin)
    assert other.runner.emitter.lifecycle.open_scopes == ()
    assert len(values(other.message_hub, "train/loss")) == other.runner.iter == 3
    assert values(callback.message_hub, "train/loss")[:3] == pytest.approx(values(other.message_hub, "train/loss")[:3])
    twin.train()
    assert (twin.state.global_step, len(values(other.message_hub, "train/loss"))) == (10, 10)
    assert other.message_hub.get_info("iter") == 10
    assert weights(trainer) == after
    assert len(values(callback.message_hub, "train/loss")) == 10


@pytest.mark.parametrize("is_attached", [True, False])
def test_a_copied_callback_leaves_the_trainer_and_works_alone(tmp_path: Path, is_attached: bool) -> None:
    class NotCopied(Model):
        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError("the model is copied")

    callback = RuntimeInfoCallback()
    trainer = build(tmp_path, model=NotCopied(), callbacks=[] if is_attached else [callback])
    callback = attach(trainer) if is_attached else callback
    copies = CopiesItself(callback)
    trainer.add_callback(copies)
    hub_outside = resolve_hub()
    trainer.train()
    clone = copies.clone
    assert resolve_hub() is hub_outside
    assert not clone.is_attached
    assert clone.runner.optim_wrapper.get_lr() == {}
    assert clone.runner.emitter.lifecycle.open_scopes == ()
    assert len(values(callback.message_hub, "train/lr")) == 10
    assert len(values(clone.message_hub, "train/lr")) == 3
    build(tmp_path, callbacks=[clone]).train()
    assert len(values(clone.message_hub, "train/lr")) == clone.runner.iter == 10
    assert callback.runner.iter == 10


def test_a_step_that_is_called_by_hand_publishes_nothing(tmp_path: Path) -> None:
    trainer, _, recorder = attached(tmp_path)
    trainer.optimizer = None
    trainer.current_gradient_accumulation_steps = 1
    item = Data()[1]
    trainer.training_step(trainer.model, {name: value[None] for name, value in item.items()})
    assert recorder.events == []


def test_only_a_trainer_can_be_attached_to() -> None:
    with pytest.raises(RunnerError, match=r"takes a transformers\.Trainer, but got"):
        attach(object())


# -- resume


@pytest.mark.parametrize(
    ("saving", "step", "position"),
    [
        ({"save_strategy": "epoch"}, 5, (1, 5)),
        ({"save_strategy": "steps", "save_steps": 1}, 5, (1, 5)),  # in the epoch's last step, yet it is over
        ({"save_strategy": "steps", "save_steps": 1}, 7, (1, 7)),
        ({"save_strategy": "steps", "save_steps": 1, "gradient_accumulation_steps": 2}, 3, (1, 5)),
        ({"save_strategy": "steps", "save_steps": 1, "gradient_accumulation_steps": 2}, 4, (1, 7)),
    ],
)
def test_a_resumed_training_goes_on(tmp_path: Path, saving: Any, step: int, position: tuple[int, int]) -> None:
    whole, uncut, _ = attached(tmp_path, **saving)
    whole.train()
    trainer, callback, recorder = attached(tmp_path, **saving, run_name="resumed")
    trainer.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
    recorder.judge()
    done = position[1]
    assert recorder.counters("before_train") == [position]
    assert recorder.counters("before_train_iter") == [(index // 5, index) for index in range(done, 10)]
    assert recorder.given("before_train_iter", "batch_idx") == [index % 5 for index in range(done, 10)]
    hub = callback.message_hub
    for key in ("train/loss", "train/lr"):
        assert values(hub, key) == pytest.approx(values(uncut.message_hub, key))
    assert hub.get_info("experiment_name") == "resumed"
    assert (hub.get_info("epoch"), hub.get_info("iter"), hub.get_info("loop_stage")) == (2, 10, None)


def test_the_last_checkpoint_is_found(tmp_path: Path) -> None:
    whole, _, _ = attached(tmp_path, save_strategy="epoch", num_train_epochs=1)
    whole.train()
    trainer, callback, recorder = attached(tmp_path)
    trainer.train(resume_from_checkpoint=True)
    assert recorder.counters("before_train") == [(1, 5)]
    assert len(values(callback.message_hub, "train/loss")) == 10


def test_data_that_is_not_skipped_is_numbered_from_its_first_batch(tmp_path: Path) -> None:
    whole, _, _ = attached(tmp_path, save_strategy="steps", save_steps=2, num_train_epochs=1)
    whole.train()
    trainer, _, recorder = attached(tmp_path, ignore_data_skip=True, num_train_epochs=1)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert recorder.counters("before_train") == [(0, 2)]
    assert recorder.given("before_train_iter", "batch_idx")[0] == 0


def test_a_checkpoint_from_before_this_adapter(tmp_path: Path) -> None:
    build(tmp_path, save_strategy="epoch").train()
    trainer, callback, recorder = attached(tmp_path)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert recorder.counters("before_train") == [(1, 5)]
    assert len(values(callback.message_hub, "train/loss")) == 5


def test_a_damaged_state_is_refused_by_name(tmp_path: Path) -> None:
    whole, _, _ = attached(tmp_path, save_strategy="epoch", num_train_epochs=1)
    whole.train()
    path = tmp_path / "checkpoint-5" / "runtimeinfo.pt"
    saved = torch.load(path, weights_only=True)
    for field, damage in (("iter", {"iter": -1}), ("message_hub.runtime_info", {"message_hub": {}})):
        torch.save({**saved, **damage}, path)
        trainer, callback, _ = attached(tmp_path)
        with pytest.raises(StateError) as raised:
            trainer.train(resume_from_checkpoint=True)
        assert raised.value.field.startswith(field.partition(".")[0])
        assert callback.message_hub.get_info("loop_stage") is None


# -- the callback alone


def test_the_callback_alone_tells_of_the_training(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.is_hub_current = False
    callback = RuntimeInfoCallback(hooks=[recorder])
    model = Model()
    trainer = build(tmp_path, model=model, callbacks=[callback], eval_strategy="epoch", gradient_accumulation_steps=2)
    hub_outside = resolve_hub()
    trainer.train()
    recorder.judge()
    empty = ["before_val", "before_val_epoch", "after_val_epoch", "after_val"]
    assert recorder.events == ["before_run", "before_train", *(EPOCH + empty) * 2, "after_train", "after_run"]
    assert recorder.counters("before_train_iter") == [(index // 5, index) for index in range(10)]
    hub = callback.message_hub
    # Of 5 batches an epoch in steps of 2: one rate a step.
    rates = [0.001 * (6 - step) / 6 for step in (0, 0, 1, 1, 2, 3, 3, 4, 4, 5)]
    assert values(hub, "train/lr") == pytest.approx(rates)
    assert len(values(hub, "val/loss")) == 2
    assert "train/loss" not in hub.log_scalars
    assert model.seen[0] == ("train", 0, 0)
    assert resolve_hub() is hub_outside
    trainer.evaluate()
    trainer.predict(Data(2))
    recorder.judge()
    assert len(values(hub, "test/loss")) == 1


def test_the_callback_alone_closes_what_an_exception_left_at_the_next_training(tmp_path: Path) -> None:
    recorder = Recorder()
    model = Model()
    model.raises[3] = ValueError("mine")
    trainer = build(tmp_path, model=model, callbacks=[RuntimeInfoCallback(hooks=[recorder])], num_train_epochs=1)
    hub_outside = resolve_hub()
    with pytest.raises(ValueError, match="mine"):
        trainer.train()
    trainer.train()
    recorder.judge()
    assert recorder.counters("before_train") == [(0, 0), (0, 0)]
    assert recorder.counters("before_train_iter")[-5:] == [(0, index) for index in range(5)]
    assert resolve_hub() is hub_outside


# -- what callbacks find


STEP_EVENTS = ("on_step_begin", "on_pre_optimizer_step", "on_optimizer_step", "on_substep_end", "on_step_end")


class SeesIter(TrainerCallback):
    """Notes `iter` at each event of a step, beside its own count of the batches that are completed."""

    def __init__(self) -> None:
        self.completed = 0
        self.seen: list[tuple[str, Any]] = []
        self.counted: list[tuple[str, int]] = []
        for event in STEP_EVENTS:
            setattr(self, event, functools.partial(self.note, event))

    def note(self, event: str, *_: Any, **__: Any) -> None:
        self.seen.append((event, current_hub().get_info("iter")))
        self.counted.append((event, self.completed))
        self.completed += event in {"on_substep_end", "on_step_end"}


def places(trainer: Any, callback: Any) -> dict[str, SeesIter]:
    """Register a callback in each place."""
    seeing = {name: SeesIter() for name in ("added", "in front", "behind ours")}
    trainer.add_callback(seeing["added"])
    trainer.callback_handler.callbacks.insert(0, seeing["in front"])
    trainer.callback_handler.callbacks.insert(
        trainer.callback_handler.callbacks.index(callback) + 1, seeing["behind ours"]
    )
    return seeing


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_iter_is_that_of_the_batch_at_each_event_of_a_step(tmp_path: Path, accumulation: int) -> None:
    first = SeesIter()
    trainer, callback, _ = attached(tmp_path, callbacks=[first], gradient_accumulation_steps=accumulation)
    seeing = {"from the beginning": first, **places(trainer, callback)}
    trainer.train()
    for place, each in seeing.items():
        assert each.completed == 10
        assert each.seen == each.counted, place
    assert trainer.callback_handler.callbacks[0] is callback


@pytest.mark.parametrize("accumulation", [1, 3])
def test_iter_is_that_of_the_batch_for_the_callbacks_after_one_that_is_alone(tmp_path: Path, accumulation: int) -> None:
    callback = RuntimeInfoCallback()
    trainer = build(tmp_path, callbacks=[callback], gradient_accumulation_steps=accumulation)
    seeing = places(trainer, callback)
    trainer.train()
    for place in ("added", "behind ours"):
        assert seeing[place].completed == 10
        assert seeing[place].seen == seeing[place].counted, place


def test_the_learning_rate_is_the_one_that_a_callback_sets_as_the_step_begins(tmp_path: Path) -> None:
    class Schedule(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
            optimizer.param_groups[0]["lr"] = 0.001 * current_hub().get_info("iter")

    trainer, callback, _ = attached(tmp_path, callbacks=[Schedule()])
    trainer.train()
    assert values(callback.message_hub, "train/lr") == pytest.approx([0.001 * index for index in range(10)])


def test_a_trainer_whose_callback_was_removed_publishes_nothing(tmp_path: Path) -> None:
    trainer, callback, recorder = attached(tmp_path, num_train_epochs=1)
    assert trainer.pop_callback(RuntimeInfoCallback) is callback
    trainer.train()
    trainer.evaluate()
    trainer.predict(Data(2))
    assert recorder.events == []
    trainer.add_callback(callback)
    trainer.train()
    recorder.judge()
    assert recorder.events == ["before_run", "before_train", *EPOCH, "after_train", "after_run"]


# -- totals that change


class Resized(Data):
    """Has another length in each epoch, as data does that is told the epoch."""

    def __init__(self, *lengths: int) -> None:
        super().__init__(lengths[0])
        self.lengths = lengths

    def set_epoch(self, epoch: int) -> None:
        self.length = self.lengths[min(epoch, len(self.lengths) - 1)]


class Told(Stream):
    """A stream that says how long it is, right or wrong."""

    def __init__(self, length: int, told: int) -> None:
        super().__init__(length)
        self.told = told

    def __len__(self) -> int:
        return self.told


@on_any_event(by="note")
class Totals:
    """Notes the totals whenever an iteration begins, and demands that the runner says what the hub says."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.is_training = False

    def note(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:
        hub = runner.message_hub
        self.is_training = event != "after_run" and (self.is_training or event == "before_train")
        if self.is_training:
            assert (runner.max_epochs, runner.max_iters) == (hub.get_info("max_epochs"), hub.get_info("max_iters")), (
                event
            )
        if event == "before_train_iter":
            assert runner.max_iters is None or runner.iter < runner.max_iters
            if not self.seen or self.seen[-1] != runner.max_iters:
                self.seen.append(runner.max_iters)


# The data loader says by itself that it was told a wrong length.
@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
@pytest.mark.parametrize(
    ("given", "totals", "done"),
    [
        ({"data": Resized(10, 6, 8), "num_train_epochs": 3}, [15, 11, 12], 12),
        ({"data": Resized(6, 10, 10), "num_train_epochs": 3}, [9], 9),  # the Trainer makes no longer epochs
        ({"data": Resized(10, 6, 6), "num_train_epochs": 3, "gradient_accumulation_steps": 2}, [15, 11], 11),
        ({"data": Resized(10, 6, 6), "max_steps": 8, "gradient_accumulation_steps": 2}, [14, 11], 11),
        ({"data": Resized(10, 6, 6, 6), "max_steps": 5, "gradient_accumulation_steps": 2}, [9, 8], 8),
        ({"data": Told(10, 6)}, [6], 6),
        ({"data": Told(6, 10)}, [10, None], 6),
        ({"data": Told(6, 10), "gradient_accumulation_steps": 2}, [10, None], 6),
        ({"data": Told(6, 10), "max_steps": 10}, [10, None], 6),
        ({"data": Told(0, 6), "accelerator_config": {"dispatch_batches": False}}, [], 0),
        ({"data": Stream(0), "max_steps": 7, "accelerator_config": {"dispatch_batches": False}}, [], 0),
        ({"data": Stream(10), "max_steps": 7}, [7], 7),
        ({"data": Data(10), "gradient_accumulation_steps": 3}, [10], 10),
    ],
)
def test_totals_follow_the_data(tmp_path: Path, given: Any, totals: list[Any], done: int) -> None:
    hook = Totals()
    trainer = build(tmp_path, **given)
    hub = attach(trainer, hooks=[hook]).message_hub
    trainer.train()
    assert hook.seen == totals
    assert hub.get_info("iter") == done
    assert hub.get_info("max_iters") in {done, None}


def test_totals_without_the_callback_that_ends_a_training(tmp_path: Path) -> None:
    hook = Totals()
    trainer = build(tmp_path, num_train_epochs=1.5)
    trainer.remove_callback(DefaultFlowCallback)
    attach(trainer, hooks=[hook])
    trainer.train()
    assert trainer.state.global_step == 10
    assert hook.seen == [8, None]


@pytest.mark.parametrize(
    ("saved", "resumed", "warns", "totals"),
    [
        ({"max_steps": 3}, {"per_device_train_batch_size": 1}, None, [20]),
        ({"max_steps": 4}, {"per_device_train_batch_size": 4}, "after 1 batches of epoch 1", [6]),
        ({"max_steps": 7, "data": Stream(10)}, {"max_steps": 9, "data": Stream(10)}, "after 7 batches of epoch 0", [9]),
        ({"max_steps": 3, "data": Stream(10)}, {"max_steps": 9, "data": Stream(10)}, None, [9]),
        ({"max_steps": 4}, {}, None, [10]),
        ({"num_train_epochs": 1.6}, {"num_train_epochs": 1.6}, None, [9]),  # it makes one step more than before
        ({"num_train_epochs": 2}, {"num_train_epochs": 2}, None, []),
        ({"num_train_epochs": 1}, {"num_train_epochs": 2}, None, [10]),
    ],
)
def test_totals_of_a_resumed_training(tmp_path: Path, saved: Any, resumed: Any, warns: str | None, totals: Any) -> None:
    build_and_train(tmp_path, save_strategy="steps", save_steps=1, **saved)
    hook = Totals()
    trainer = build(tmp_path, **resumed)
    hub = attach(trainer, hooks=[hook]).message_hub
    with pytest.warns(ResumeWarning, match=warns) if warns else contextlib.nullcontext():
        trainer.train(resume_from_checkpoint=True)
    assert hook.seen == totals
    assert hub.get_info("iter") == len(values(hub, "train/loss"))
    assert hub.get_info("max_iters") == (hub.get_info("iter") if totals else 10)


def build_and_train(folder: Path, **more: Any) -> tuple[Any, RuntimeInfoCallback]:
    trainer = build(folder, **more)
    callback = attach(trainer)
    trainer.train()
    return trainer, callback


# -- every stop, and what is saved then


class Counts(Trainer):
    """Counts the batches that it trains on, and after which of them each optimizer step was."""

    batches = 0

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().training_step(*args, **kwargs)
        self.batches += 1
        return loss


class Stops(TrainerCallback):
    """Sets a switch at each event of a kind, from the first step on."""

    def __init__(self, event: str, switch: str) -> None:
        self.switch = switch
        setattr(self, event, self.stop)

    def stop(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step:
            setattr(control, self.switch, True)


class NotesSteps(TrainerCallback):
    def __init__(self) -> None:
        self.trainer: Any = None
        self.batches_at: dict[int, int] = {0: 0}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.batches_at[state.global_step] = self.trainer.batches


STOP_EVENTS = (
    *STEP_EVENTS,
    *("on_train_begin", "on_epoch_begin", "on_epoch_end", "on_evaluate", "on_save", "on_log", "on_prediction_step"),
)


@pytest.mark.filterwarnings("ignore::runtimeinfo_adapters.ResumeWarning")  # where an epoch was cut short
@pytest.mark.parametrize("switch", ["should_training_stop", "should_epoch_stop"])
@pytest.mark.parametrize("event", STOP_EVENTS)
@pytest.mark.parametrize(("accumulation", "saves"), [(1, "steps"), (2, "epoch")])
def test_a_training_that_a_callback_stops_goes_on(
    tmp_path: Path, event: str, switch: str, accumulation: int, saves: str
) -> None:
    common: dict[str, Any] = {"gradient_accumulation_steps": accumulation, "num_train_epochs": 2, "save_steps": 1}
    common |= {"save_strategy": saves, "eval_strategy": "steps", "eval_steps": 2, "logging_strategy": "steps"}
    common |= {"logging_steps": 1, "trainer": Counts}
    notes = NotesSteps()
    stopped, callback, recorder = attached(tmp_path, callbacks=[Stops(event, switch), notes], **common)
    notes.trainer = stopped
    stopped.train()
    recorder.judge()
    assert recorder.events.count("before_train_iter") == stopped.batches == callback.runner.iter
    assert len(values(callback.message_hub, "train/lr")) == stopped.batches
    for checkpoint in tmp_path.glob("checkpoint-*"):
        step = int(checkpoint.name.partition("-")[2])
        trainer, resumed, recorder = attached(tmp_path, **common | {"save_strategy": "no"})
        trainer.train(resume_from_checkpoint=str(checkpoint))
        recorder.judge()
        done = notes.batches_at[step]
        iterations = recorder.counters("before_train_iter")
        assert [iteration for _, iteration in iterations] == list(range(done, done + trainer.batches))
        hub = resumed.message_hub
        assert hub.get_info("iter") == len(values(hub, "train/loss")) == len(values(hub, "train/lr"))
        assert values(hub, "train/loss")[:done] == values(callback.message_hub, "train/loss")[:done]
        assert hub.get_info("epoch") == int(trainer.state.epoch) == 2


class Terminates(TrainerCallback):
    """Sends this process SIGTERM in the middle of a training, and waits for what Transformers does then."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.manager: Any = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.manager.kill_wait = 0
            os.kill(os.getpid(), signal.SIGTERM)
            while not self.manager.is_checkpoint_requested:
                time.sleep(0.001)


@pytest.mark.parametrize(("accumulation", "step"), [(1, 3), (1, 5), (2, 1), (2, 2), (2, 3)])
def test_a_checkpoint_that_is_made_on_a_signal_has_the_state_of_its_last_step(
    tmp_path: Path, accumulation: int, step: int
) -> None:
    given: Any = {"gradient_accumulation_steps": accumulation}
    _, whole = build_and_train(tmp_path / "whole", **given)
    stops = Terminates(step)
    trainer, _, recorder = attached(tmp_path, callbacks=[stops], enable_jit_checkpoint=True, **given)
    (jit,) = (each for each in trainer.callback_handler.callbacks if isinstance(each, JITCheckpointCallback))
    stops.manager = jit.jit_manager
    before = signal.getsignal(signal.SIGTERM)
    trainer.train()
    assert signal.getsignal(signal.SIGTERM) != before
    recorder.judge()
    assert trainer.state.global_step == step + 1
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert checkpoint.name == f"checkpoint-{step}"
    trainer, resumed, recorder = attached(tmp_path, **given)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    recorder.judge()
    for key in ("train/loss", "train/lr", "train/aux"):
        assert values(resumed.message_hub, key) == pytest.approx(values(whole.message_hub, key))
    assert resumed.message_hub.get_info("iter") == 10


def test_a_checkpoint_of_a_search_gets_the_state(tmp_path: Path) -> None:
    class Searches(Trainer):
        def _get_output_dir(self, trial: Any) -> str:
            return str(tmp_path / "run-3")

    trainer, _, _ = attached(tmp_path, trainer=Searches, save_strategy="epoch", num_train_epochs=1)
    trainer.train()
    assert torch.load(tmp_path / "run-3" / "checkpoint-5" / "runtimeinfo.pt", weights_only=True)["iter"] == 5


def test_a_training_loop_that_hides_the_checkpoint_is_said(tmp_path: Path) -> None:
    class Hides(Trainer):
        def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
            vars(self).pop("_inner_training_loop")
            return super().train(resume_from_checkpoint, **kwargs)

    build_and_train(tmp_path, save_strategy="epoch", num_train_epochs=1)
    trainer, callback, _ = attached(tmp_path, trainer=Hides)
    with pytest.warns(ResumeWarning, match="was not given resume_from_checkpoint"):
        trainer.train(resume_from_checkpoint=True)
    assert callback.message_hub.get_info("iter") == 10


@pytest.mark.parametrize("where", ["loss", "callback", "data"])
def test_an_aborted_iteration_leaves_no_learning_rate(tmp_path: Path, where: str) -> None:
    class Fails(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                raise ValueError("mine")

    class Broken(Data):
        def __getitem__(self, index: int) -> dict[str, Any]:
            if index == 8:  # the loader is one batch ahead
                raise ValueError("mine")
            return super().__getitem__(index)

    given: Any = {"callbacks": [Fails()]} if where == "callback" else {"data": Broken()} if where == "data" else {}
    trainer, callback, recorder = attached(tmp_path, **given)
    if where == "loss":
        trainer.model.raises[4] = ValueError("mine")
    with pytest.raises(ValueError, match="mine"):
        trainer.train()
    recorder.judge()
    hub = callback.message_hub
    assert len(values(hub, "train/lr")) == len(values(hub, "train/loss")) == hub.get_info("iter") == 3


# -- what the Trainer's own tests would see


def test_metrics_of_another_prefix_are_published(tmp_path: Path) -> None:
    """As those of the evaluator of sentence-transformers, which come among the metrics of the first data set."""

    class Evaluates(Trainer):
        def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
            output: Any = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
            if metric_key_prefix.startswith("eval_a"):
                output.metrics.update({"eval_quality": 0.75, "own": 2.0})
            return output

    trainer, callback, recorder = attached(
        tmp_path,
        trainer=Evaluates,
        eval_dataset={"a": Data(2), "b": Data(4)},
        include_num_input_tokens_seen="all",
        num_train_epochs=1,
    )
    trainer.train()
    trainer.evaluate()
    recorder.judge()
    first, second = recorder.given("after_val_epoch", "metrics")
    assert first == {"a_loss": pytest.approx(first["a_loss"]), "quality": 0.75, "own": 2.0}
    assert set(second) == {"b_loss"}
    assert values(callback.message_hub, "val/quality") == [0.75]


def test_the_names_in_a_traceback_say_whose_they_are(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    attach(trainer)
    trainer.model.raises[2] = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as raised:
        trainer.train()
    frames = [frame.f_code for frame, _ in traceback.walk_tb(raised.value.__traceback__)]
    ours = [code for code in frames if code.co_filename == adapter.__file__]
    assert {code.co_qualname for code in ours} >= {"RuntimeInfoCallback._around_train"}
    assert not [code.co_qualname for code in ours if "<locals>" in code.co_qualname]


class Order(TrainerCallback, ExportableState):
    """Notes the events in their order, and the losses that are logged; its state goes into checkpoints."""

    def __init__(self, events: int = 0) -> None:
        self.events: list[str] = []
        self.count = events

    def state(self) -> dict[str, Any]:
        return {"args": {"events": len(self.events)}, "attributes": {}}


def note_event(event: str) -> Any:
    def note(self: Order, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.events.append(f"{event} {state.global_step} {control.should_save}{control.should_evaluate}")

    return note


for _event in [name for name in dir(TrainerCallback) if name.startswith("on_")]:
    setattr(Order, _event, note_event(_event))


def without_speeds(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    speeds = ("_runtime", "_per_second", "_time")
    return [{key: value for key, value in each.items() if not key.endswith(speeds)} for each in history]


def outcome(folder: Path, *, is_attached: bool, again: bool = False, **given: Any) -> Any:
    """Return all that a user can see of a training."""
    order = Order()
    trainer = build(folder, callbacks=[order], **given)
    if is_attached:
        attach(trainer)
    result = trainer.train()
    if again:
        trainer.train(resume_from_checkpoint=True)
    metrics = trainer.evaluate()
    predictions = trainer.predict(Data(3)).predictions
    files = {file.name for path in folder.glob("checkpoint-*") for file in path.iterdir()} - {"runtimeinfo.pt"}
    return {
        "events": order.events,
        "history": without_speeds(trainer.state.log_history),
        "steps": result.global_step,
        "loss": result.training_loss,
        "weights": weights(trainer),
        "metrics": without_speeds([metrics]),
        "predictions": np.asarray(predictions[0] if isinstance(predictions, tuple) else predictions).tolist(),
        "best": (trainer.state.best_metric, trainer.state.best_global_step),
        "stateful": trainer.state.stateful_callbacks,
        "files": files,
    }


def accuracy(prediction: Any) -> dict[str, float]:
    return {"size": float(len(prediction.label_ids))}


OPTIONS = st.fixed_dictionaries(
    {
        "data": st.one_of(
            st.builds(Data, st.integers(3, 9)),  # the Trainer refuses a loader without a batch
            st.builds(Told, st.integers(1, 9), st.integers(3, 9)),
            st.just(Resized(8, 3, 6)),
        ),
        "gradient_accumulation_steps": st.integers(1, 3),
        "per_device_train_batch_size": st.integers(1, 3),
        "num_train_epochs": st.sampled_from([1, 2, 2.5, 3]),
        "max_steps": st.sampled_from([-1, -1, 2, 5]),
        "train_sampling_strategy": st.sampled_from(["random", "sequential"]),
        "logging_strategy": st.sampled_from(["no", "steps", "epoch"]),
        "logging_steps": st.integers(1, 3),
        "logging_first_step": st.booleans(),
        "eval_strategy": st.sampled_from(["no", "steps", "epoch"]),
        "eval_steps": st.integers(1, 3),
        "eval_on_start": st.booleans(),
        "save_strategy": st.sampled_from(["no", "steps", "epoch"]),
        "save_steps": st.integers(1, 3),
        "save_total_limit": st.sampled_from([None, 1]),
        "dataloader_drop_last": st.booleans(),
        "lr_scheduler_type": st.sampled_from(["linear", "cosine", "constant"]),
        "optim": st.sampled_from(["sgd", "adamw_torch"]),
        "compute_metrics": st.sampled_from([None, accuracy]),
        "trainer": st.sampled_from([Trainer, OwnLoss, OwnStep]),
        "eval_dataset": st.sampled_from([Data(3), {"a": Data(2), "b": Data(3)}]),
    }
)


@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
@hypothesis.settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(options=OPTIONS)
def test_an_attached_trainer_trains_like_a_bare_one(options: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as bare, tempfile.TemporaryDirectory() as ours:
        # The same Trainer twice: what the data was told in the first training must not be there in the second.
        expected = outcome(Path(bare), is_attached=False, **copy.deepcopy(options))
        assert outcome(Path(ours), is_attached=True, **copy.deepcopy(options)) == expected


@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
@hypothesis.settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(options=OPTIONS)
def test_totals_are_never_passed_and_are_reached(options: dict[str, Any]) -> None:
    totals = Totals()
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(Path(folder), **copy.deepcopy(options))
        hub = attach(trainer, hooks=[totals]).message_hub
        trainer.train()
    assert hub.get_info("max_iters") in {hub.get_info("iter"), None}
    assert hub.get_info("iter") == len(values(hub, "train/lr"))


@pytest.mark.parametrize(
    "given",
    [
        {
            "load_best_model_at_end": True,
            "save_strategy": "epoch",
            "eval_strategy": "epoch",
            "metric_for_best_model": "loss",
        },
        {"save_strategy": "steps", "save_steps": 2, "again": True, "restore_callback_states_from_checkpoint": True},
        {"save_strategy": "best", "eval_strategy": "epoch", "metric_for_best_model": "loss"},
        {"data": Stream(9), "max_steps": 6, "accelerator_config": {"dispatch_batches": True}},
        {"max_grad_norm": 0.01, "optim": "adamw_torch", "weight_decay": 0.1, "warmup_steps": 2},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch", "metric_for_best_model": "loss"},
        {"dataloader_num_workers": 1, "dataloader_persistent_workers": True, "max_steps": 3},
        {"batch_eval_metrics": True, "compute_metrics": lambda prediction, compute_result: {"one": 1.0}},
        {"skip_memory_metrics": False, "eval_strategy": "epoch"},
        {"neftune_noise_alpha": None, "torch_empty_cache_steps": 1, "logging_nan_inf_filter": False},
    ],
)
def test_an_attached_trainer_does_what_a_bare_one_does(tmp_path: Path, given: Any) -> None:
    expected = outcome(tmp_path / "bare", is_attached=False, **copy.deepcopy(given))
    found = outcome(tmp_path / "ours", is_attached=True, **copy.deepcopy(given))
    for memory in ("mem_cpu", "mem_gpu"):
        for each in (expected, found):
            each["history"] = [{k: v for k, v in line.items() if memory not in k} for line in each["history"]]
            each["metrics"] = [{k: v for k, v in line.items() if memory not in k} for line in each["metrics"]]
    assert found == expected


# -- the framework


def test_without_transformers_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'runtimeinfo\[transformers\]'"):
        runpy.run_path(str(adapter.__file__))


def test_a_version_that_was_not_tried_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "4.57.0")
    with pytest.warns(UntestedVersionWarning, match=r"transformers 4\.57\.0 is installed"):
        runpy.run_path(str(adapter.__file__))
