"""The adapter on Keras's real models, with the torch backend."""

from __future__ import annotations

import ast
import copy
import functools
import gc
import inspect
import os
import pickle
import shutil
import signal
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from recorder import Recorder

from runtimeinfo import HookError, LoopError, RunnerError, StateError, TrainRunner, current_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo_adapters import MessageHub, ResumeWarning, _keras_values
from runtimeinfo_adapters import keras as adapter
from runtimeinfo_adapters.keras import KerasRunner, RuntimeInfoCallback, attach, detach

pytestmark = [
    # Keras 3.15, of data without a length, at the end of each epoch
    pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning"),
    # Keras 3.15 on NumPy 2, where it reads its variables
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

X = np.arange(8, dtype="float32").reshape(8, 1)


class Doing(keras.callbacks.Callback):
    """Calls a function at an event of Keras, once."""

    def __init__(self, event: str, function: Any) -> None:
        super().__init__()
        self.left = [function]

        def at(*_args: Any, **_kwargs: Any) -> None:
            if self.left:
                self.left.pop()()

        setattr(self, event, at)


class InTurns(keras.callbacks.Callback):
    """Calls one of its callbacks at each event, the first one first."""

    def __init__(self, event: str, callbacks: list[Any]) -> None:
        super().__init__()
        left = iter(callbacks)
        setattr(self, event, lambda *_args, **_kwargs: getattr(next(left, None), event, lambda: None)())


class Named:
    def __init__(self, name: str, order: list[str], priority: str) -> None:
        self.name, self.order, self.priority = name, order, priority

    def before_train(self, runner: Any) -> None:
        self.order.append(self.name)


class Stream(IterableDataset[Any]):
    metainfo = {"classes": ["cat", "dog"]}  # noqa: RUF012

    def __iter__(self) -> Any:
        return ((torch.tensor(x), torch.tensor(x)) for x in X)


class Scaling(keras.layers.Layer):
    """A layer with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        return inputs * self.weight


class Loss(keras.losses.MeanSquaredError):
    """Notes what a component sees, and raises where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.error: BaseException | None = None
        self.where = ""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        hub = current_hub()
        stage = hub.get_info("loop_stage")
        if stage is not None:
            self.seen.append((stage, hub.get_info("epoch"), hub.get_info("iter")))
        if self.error is not None and stage == self.where:
            raise self.error
        return super().call(y_true, y_pred)


def build(rate: Any = 0.0, metrics: Any = None, **compiled: Any) -> Any:
    model = keras.Sequential([Scaling()])
    model.compile(optimizer=keras.optimizers.SGD(rate, **compiled), loss=Loss(), metrics=metrics)
    return model


def compile_again(model: Any, rate: float = 0.0, metrics: Any = None) -> None:
    model.compile(keras.optimizers.SGD(rate), Loss(), metrics=metrics)
    model.make_train_function()  # within fit, Keras does not


def fit(model: Any, **changes: Any) -> Any:
    given = {"x": X, "y": X, "batch_size": 4, "shuffle": False, "verbose": 0} | changes
    return model.fit(**given)


def evaluate(model: Any, **changes: Any) -> Any:
    return model.evaluate(X, X, batch_size=4, verbose=0, **changes)


def scalars(hub: Any, key: str) -> list[float]:
    return [float(value) for value in hub.get_scalar(key).data[0]]


def build_for_copies() -> Any:
    """Return a model that Keras can save, which is how it copies models."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse", metrics=["mae"])
    return model


def weights(model: Any) -> list[Any]:
    return [np.array(each) for each in model.get_weights()]


def through_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


class Means:
    """Works out the values of each batch from all means of the model, without remembering any of them.

    A hook: it hears of a batch right after the adapter has looked at the means.
    """

    priority = "LOW"

    def __init__(self, model: Any) -> None:
        self.model = model
        self.before: dict[str, tuple[float, float]] = {}
        self.expected: list[dict[str, float]] = []
        self.published: list[dict[str, float]] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.before = dict(self.sums(self.model.metrics))

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.published.append(outputs)
        values = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        for name, (total, count) in self.sums(self.model.metrics):
            total_before, count_before = self.before.get(name, (0.0, 0.0))
            if name in values and count > count_before:
                values[name] = (total - total_before) / (count - count_before)
        self.expected.append(values)

    def sums(self, metrics: Any) -> Iterator[tuple[str, tuple[float, float]]]:
        for metric in metrics:
            if isinstance(metric, keras.metrics.Mean):
                yield metric.name, (float(metric.total), float(metric.count))
            yield from self.sums(getattr(metric, "metrics", ()))


# -- the run


def test_a_training_with_a_validation_in_each_epoch() -> None:
    recorder, model = Recorder(), build()
    callback = attach(model, hooks=[recorder])
    fit(model, epochs=2, validation_data=(X, X), validation_batch_size=8)
    iteration = ["before_train_iter", "after_train_iter"]
    validation = ["before_val", "before_val_epoch", "before_val_iter", "after_val_iter", "after_val_epoch", "after_val"]
    epoch = ["before_train_epoch", *iteration * 2, *validation, "after_train_epoch"]
    assert recorder.events == ["before_run", "before_train", *epoch * 2, "after_train", "after_run"]
    assert recorder.counters("before_train_iter") == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert recorder.counters("before_val") == [(0, 2), (1, 4)]
    assert recorder.given("before_train_iter", "batch_idx") == [0, 1, 0, 1]
    assert scalars(callback.message_hub, "val/loss") == [17.5, 17.5]
    keys = ("loop_stage", "max_epochs", "max_iters")
    assert [callback.message_hub.get_info(key) for key in keys] == [None, 2, 4]


def test_the_view_is_a_train_runner() -> None:
    runner = attach(build(), seed=3, experiment_name="named", cfg={"lr": 1}).runner
    assert isinstance(runner, KerasRunner)
    assert isinstance(runner, TrainRunner)
    assert (runner.seed, runner.experiment_name, runner.framework_name) == (3, "named", "keras")
    assert '"lr": 1' in runner.cfg.pretty_text


def test_a_component_finds_the_hub() -> None:
    model = build()
    attach(model)
    fit(model, validation_data=(X, X), validation_batch_size=8)
    evaluate(model)
    seen = [each for index, each in enumerate(model.loss.seen) if each not in model.loss.seen[:index]]
    assert seen == [("train", 0, 0), ("train", 0, 1), ("val", 0, 2), ("test", 1, 2)]
    assert current_hub().get_info("epoch") is None


def test_a_second_fit_counts_from_zero() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    fit(model, epochs=2)
    fit(model)
    assert recorder.counters("before_train") == [(0, 0), (0, 0)]
    assert recorder.counters("after_run") == [(2, 4), (1, 2)]


def test_a_training_can_begin_with_a_later_epoch() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    fit(model, initial_epoch=2, epochs=3)
    fit(model, initial_epoch=3, epochs=4)
    assert recorder.counters("before_train") == [(2, 4), (3, 6)]
    assert recorder.counters("after_train") == [(3, 6), (4, 8)]


def test_the_metainfo_of_the_dataset_is_published_and_a_stream_has_no_length() -> None:
    model = build()
    callback = attach(model)
    model.fit(DataLoader(Stream(), batch_size=4), epochs=2, shuffle=False, verbose=0)
    assert callback.message_hub.get_info("dataset_meta") == Stream.metainfo
    assert callback.message_hub.get_info("max_epochs") == 2
    assert callback.message_hub.get_info("max_iters", "nothing") is None
    assert callback.runner.iter == 4


def test_the_users_callbacks_and_history_go_on(tmp_path: Path) -> None:
    model, events = build(), []
    callback = attach(model)
    users = [Doing("on_train_batch_end", lambda: events.append(scalars(callback.message_hub, "train/loss")))]
    saved = keras.callbacks.ModelCheckpoint(tmp_path / "weights.weights.h5", save_weights_only=True)
    history = fit(model, callbacks=[users, saved], validation_data=(X, X))
    assert events == [[3.5]]  # what the event publishes is there
    assert set(history.history) == {"loss", "val_loss"}
    assert (tmp_path / "weights.weights.h5").exists()


def test_hooks_run_by_priority() -> None:
    order: list[str] = []
    model = build()
    attach(model, hooks=[Named("late", order, "LOW"), Named("early", order, "HIGH"), Named("too", order, "LOW")])
    fit(model)
    assert order == ["early", "late", "too"]


# -- values


def test_the_loss_is_this_batchs_and_not_the_running_mean() -> None:
    model = build(metrics=["mae"])
    callback = attach(model)
    fit(model, epochs=2)
    assert scalars(callback.message_hub, "train/loss") == [3.5, 31.5, 3.5, 31.5]
    assert scalars(callback.message_hub, "train/mae") == [1.5, 5.5, 1.5, 5.5]


def test_the_loss_is_undivided_and_iterations_are_batches_under_accumulation() -> None:
    model = build(gradient_accumulation_steps=2)
    callback = attach(model)
    fit(model)
    assert scalars(callback.message_hub, "train/loss") == [3.5, 31.5]
    assert callback.runner.iter == 2


def test_a_validation_in_mid_epoch_does_not_spoil_the_loss() -> None:
    model = build()
    callback = attach(model)
    fit(model, callbacks=[Doing("on_train_batch_end", lambda: evaluate(model))])
    assert scalars(callback.message_hub, "train/loss") == [3.5, 31.5]


def test_outputs_of_a_users_train_step_stay_as_they_are() -> None:
    class Own(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            return {"loss": torch.tensor(7.0), "text": "seven"}

    recorder, model = Recorder(), Own([Scaling()])
    model.compile(optimizer="sgd", loss="mse")
    attach(model, hooks=[recorder])
    with pytest.warns(UserWarning, match="output 'text' is not published"):
        fit(model, batch_size=8)
    assert recorder.given("after_train_iter", "outputs") == [{"loss": 7.0, "text": "seven"}]


class Measured(Scaling):
    """Makes a metric when it is built, which is when `fit` begins."""

    def build(self, input_shape: Any) -> None:
        self.size = keras.metrics.Mean(name="size")

    def call(self, inputs: Any) -> Any:
        self.size.update_state(inputs)
        return super().call(inputs)


class Growing(keras.Sequential):
    """Has more metrics from some time on."""

    extra: Any = None

    @property
    def metrics(self) -> Any:
        return [*super().metrics, *([] if self.extra is None else self.extra)]

    def train_step(self, data: Any) -> Any:
        for metric in self.extra or ():
            metric.update_state(data[0])
        super().train_step(data)
        return self.get_metrics_result()

    def grow(self) -> None:
        # Not as an attribute: Keras takes no more metrics when the model is built.
        object.__setattr__(self, "extra", (keras.metrics.Mean(name="added"),))


@pytest.mark.parametrize(
    ("event", "change"),
    [
        ("on_train_begin", lambda model: None),
        ("on_train_batch_begin", lambda model: model.reset_metrics()),
        ("on_train_batch_end", lambda model: model.reset_metrics()),
        ("on_train_batch_end", lambda model: evaluate(model, callbacks=[])),
        ("on_train_batch_end", lambda model: model.train_on_batch(X[:2], X[:2])),
        ("on_train_batch_end", lambda model: model._loss_tracker.total.assign(9.0)),
        ("on_train_batch_end", lambda model: model.grow()),
        ("on_train_batch_end", lambda model: compile_again(model, metrics=["mae"])),
        ("on_train_batch_end", lambda model: compile_again(model, metrics=["mape"])),
        ("on_epoch_end", lambda model: model.grow()),
        ("on_epoch_end", lambda model: compile_again(model, metrics=["mae"])),
    ],
)
@pytest.mark.parametrize("is_attached", [True, False])
def test_a_change_of_the_metrics_within_fit_does_not_spoil_the_values(
    event: str, change: Callable[[Any], Any], is_attached: bool
) -> None:
    model = Growing([Measured()])
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=Loss(), metrics=["mae"])
    means = Means(model)
    at_last = Doing(event, lambda: change(model))
    if is_attached:
        attach(model, hooks=[means])
        callbacks: list[Any] = [at_last]
    else:
        callbacks = [RuntimeInfoCallback(hooks=[means]), at_last]
    fit(model, epochs=3, batch_size=2, callbacks=callbacks)
    assert len(means.published) == 12
    assert means.published == means.expected
    assert {"loss", "size"} <= set(means.published[0])


def test_the_rate_is_that_of_the_iteration() -> None:
    schedule = keras.optimizers.schedules.ExponentialDecay(1.0, decay_steps=1, decay_rate=0.5)
    model = build(schedule)
    callback = attach(model)
    fit(model, epochs=2)
    assert scalars(callback.message_hub, "train/lr") == [1.0, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("event", ["on_train_batch_begin", "on_epoch_begin"])
def test_the_rate_is_the_one_that_callbacks_have_set(event: str) -> None:
    model = build(1.0)
    callback = attach(model)
    fit(model, callbacks=[Doing(event, lambda: setattr(model.optimizer, "learning_rate", 0.25))])
    assert scalars(callback.message_hub, "train/lr") == [0.25, 0.25]


def test_several_optimizers_have_names() -> None:
    model = build()
    optimizers = {"a": keras.optimizers.SGD(0.5), "b": keras.optimizers.SGD(0.25)}
    callback = attach(model, optimizers=optimizers)
    fit(model, batch_size=8)
    assert (scalars(callback.message_hub, "train/a.lr"), scalars(callback.message_hub, "train/b.lr")) == ([0.5], [0.25])


# -- evaluations


@pytest.mark.parametrize(
    ("event", "inside"),
    [
        ("on_train_begin", "before_train"),
        ("on_epoch_begin", "before_train_epoch"),
        ("on_train_batch_end", "after_train_iter"),
        ("on_epoch_end", "after_train_epoch"),
        ("on_train_end", "after_train"),
    ],
)
def test_an_evaluation_in_a_callback_is_a_validation(event: str, inside: str) -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    fit(model, callbacks=[Doing(event, lambda: evaluate(model))])
    assert recorder.events[recorder.events.index("before_val") - 1] == inside
    assert recorder.events[-1] == "after_run"


@pytest.mark.parametrize("stage", ["test", "val"])
def test_an_evaluation_on_its_own_is_of_the_stage_that_was_given(stage: Any) -> None:
    recorder, model = Recorder(), build()
    callback = attach(model, standalone_stage=stage, hooks=[recorder])
    assert evaluate(model) == 17.5
    assert recorder.events[:3] == ["before_run", f"before_{stage}", f"before_{stage}_epoch"]
    assert recorder.events[-2:] == [f"after_{stage}", "after_run"]
    assert scalars(callback.message_hub, f"{stage}/loss") == [17.5]


def test_an_evaluation_inside_another_one_is_not_heard() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    evaluate(model, callbacks=[Doing("on_test_batch_begin", lambda: evaluate(model))])
    assert recorder.events.count("before_test") == 1
    assert recorder.events.count("after_test_iter") == 2


def test_a_prediction_is_not_heard() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    model.predict(X, verbose=0)
    assert recorder.events == []


# -- ends


def test_a_training_that_is_stopped_early_closes_all_scopes() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    fit(model, epochs=5, callbacks=[Doing("on_train_batch_end", lambda: setattr(model, "stop_training", True))])
    assert recorder.events[-4:] == ["after_train_iter", "after_train_epoch", "after_train", "after_run"]
    assert recorder.counters("after_run") == [(1, 1)]


@pytest.mark.parametrize("error", [ValueError("planned"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("where", ["train", "val"])
def test_an_exception_comes_out_as_it_is_and_closes_all_scopes(error: BaseException, where: str) -> None:
    recorder, model = Recorder(), build()
    callback = attach(model, hooks=[recorder])
    model.loss.error, model.loss.where = error, where
    with pytest.raises(type(error)) as caught:
        fit(model, validation_data=(X, X))
    assert caught.value is error
    assert recorder.given("on_exception", "exception") == [error]
    assert recorder.events[-3:] == ["after_train_epoch", "after_train", "after_run"]
    assert recorder.counters("after_run") == [(0, 0 if where == "train" else 2)]
    assert callback.message_hub.get_info("loop_stage") is None
    assert current_hub().get_info("epoch") is None
    model.loss.error = None
    fit(model)
    assert recorder.counters("after_run")[-1] == (1, 2)


def test_a_validation_whose_exception_is_handled_leaves_the_training_open() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    model.loss.error, model.loss.where = ValueError("planned"), "val"

    def validate() -> None:
        with pytest.raises(ValueError, match="planned"):
            evaluate(model)

    fit(model, callbacks=[Doing("on_train_batch_end", validate)])
    assert recorder.events.count("on_exception") == 1
    assert recorder.counters("after_run") == [(1, 2)]


# -- the callback alone


@pytest.mark.parametrize("is_attached", [True, False])
def test_several_steps_per_execution_are_refused_before_the_training_begins(is_attached: bool) -> None:
    model = build()
    callback = attach(model) if is_attached else RuntimeInfoCallback()
    change = Doing("on_train_begin", lambda: setattr(model, "steps_per_execution", 2))
    if is_attached:
        change.on_train_begin()
    # With the torch backend Keras itself refuses it, as a training begins.
    with pytest.raises(RunnerError, match=r"steps_per_execution=2: .* cannot be published.*=1, or detach") as refused:
        fit(model, callbacks=[] if is_attached else [change, callback])
    assert refused.value.requirement == "COUNT-10"
    assert callback.message_hub.runtime_info == {}
    model.steps_per_execution = 1
    fit(model, callbacks=[] if is_attached else [callback])
    assert callback.runner.iter == 2


def test_the_callback_alone_publishes_the_same() -> None:
    guarded, alone = Recorder(), Recorder()
    model = build()
    callback = RuntimeInfoCallback(hooks=[alone])
    fit(model, epochs=2, validation_data=(X, X), callbacks=[callback])
    evaluate(model, callbacks=[callback])
    assert current_hub().get_info("epoch") is None
    model = build()
    attach(model, hooks=[guarded])
    fit(model, epochs=2, validation_data=(X, X))
    evaluate(model)
    assert alone.summary == guarded.summary


def test_the_callback_alone_learns_of_an_exception_when_the_next_fit_begins() -> None:
    recorder, model = Recorder(), build()
    callback = RuntimeInfoCallback(hooks=[recorder])
    model.loss.error, model.loss.where = ValueError("planned"), "train"
    with pytest.raises(ValueError, match="planned"):
        fit(model, callbacks=[callback])
    model.loss.error = None
    fit(model, callbacks=[callback])
    assert recorder.events.count("on_exception") == 1
    assert recorder.counters("after_run") == [(0, 0), (1, 2)]
    assert current_hub().get_info("epoch") is None


# -- resume


def test_a_state_brings_counters_and_histories(tmp_path: Path) -> None:
    model = build()
    first = attach(model)
    path = tmp_path / "state.pt"
    fit(model, callbacks=[Doing("on_epoch_end", lambda: torch.save(first.state_dict(), path))])
    recorder, model = Recorder(), build()
    callback = attach(model, hooks=[recorder])
    callback.load_state_dict(torch.load(path, weights_only=True))
    assert callback.message_hub.get_info("loop_stage") is None
    fit(model, initial_epoch=callback.runner.epoch, epochs=2)
    assert recorder.counters("before_train") == [(1, 2)]
    assert recorder.counters("after_run") == [(2, 4)]
    assert scalars(callback.message_hub, "train/loss") == [3.5, 31.5, 3.5, 31.5]


def test_epochs_that_backup_and_restore_brings_back_are_counted(tmp_path: Path) -> None:
    def backup() -> Any:
        return keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)

    model = build()
    fit(model, epochs=2, callbacks=[backup()])
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    model.build((None, 1))
    fit(model, epochs=3, callbacks=[backup()])
    assert recorder.counters("before_train_epoch") == [(2, 4)]


@pytest.mark.parametrize(
    ("change", "field"),
    [({"iter": -1}, "iter"), ({"epoch": True}, "epoch"), ({"version": 9}, "version"), ({"message_hub": {}}, "message")],
)
def test_a_damaged_state_changes_nothing(change: dict[str, Any], field: str) -> None:
    callback = RuntimeInfoCallback()
    before = callback.state_dict()
    with pytest.raises(StateError) as caught:
        callback.load_state_dict({**before, **change})
    assert caught.value.field.startswith(field)
    assert callback.state_dict() == before


def test_loading_inside_the_training_is_refused() -> None:
    model = build()
    callback = attach(model)
    with pytest.raises(LoopError, match=r"call load_state_dict\(\) before model\.fit"):
        fit(model, callbacks=[Doing("on_epoch_begin", lambda: callback.load_state_dict(callback.state_dict()))])


# -- attach and detach


@pytest.mark.parametrize("event", ["on_train_batch_begin", "on_train_batch_end"])
def test_rates_that_callbacks_set_again_and_again_are_published(event: str) -> None:
    def set_rate() -> None:
        rates.append(rates[-1] / 2)
        model.optimizer.learning_rate = rates[-1]

    def replace_optimizer() -> None:
        rates.append(8.0)
        compile_again(model, 8.0)

    rates, model = [1.0], build(1.0)
    callback = attach(model)
    steps = [Doing(event, do) for do in (set_rate, replace_optimizer, set_rate)]
    fit(model, batch_size=2, callbacks=[InTurns(event, steps)])
    assert rates == [1.0, 0.5, 8.0, 4.0]
    expected = [*rates[1:], 4.0] if event == "on_train_batch_begin" else rates
    assert scalars(callback.message_hub, "train/lr") == expected


def test_the_hub_can_be_the_users() -> None:
    hub, model = MessageHub("test-keras-own"), build()
    assert attach(model, hub=hub).message_hub is hub
    fit(model)
    assert scalars(hub, "train/loss") == [3.5, 31.5]


def test_attached_twice_or_handed_over_as_well_it_publishes_once() -> None:
    model = build()
    old, new = attach(model), attach(model)
    fit(model, callbacks=[new])
    assert scalars(new.message_hub, "train/loss") == [3.5, 31.5]
    assert dict(old.message_hub.log_scalars) == {}


def test_a_model_can_be_saved_all_the_same(tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    attach(model)
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.allclose(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def run_of(model: Any) -> None:
    fit(model, validation_data=(X, X))
    evaluate(model)


def failing_run_of(model: Any) -> None:
    fit(model)  # what Keras itself leaves in a model is there in any case
    model.loss.error, model.loss.where = ValueError("planned"), "train"
    with pytest.raises(ValueError, match="planned"):
        fit(model)


def detached_in_mid_run(model: Any) -> None:
    fit(model, callbacks=[Doing("on_train_batch_end", lambda: detach(model))])


@pytest.mark.parametrize("use", [lambda model: None, run_of, failing_run_of, detached_in_mid_run])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_detach_leaves_the_model_as_it_was(use: Callable[[Any], Any], is_replaced: bool) -> None:
    model = build()
    fit(model)
    if is_replaced:
        model.fit = functools.partial(keras.Sequential.fit, model)
    before = dict(vars(model))
    changes = {
        "_eval_epoch_iterator",
        "history",
        "train_function",
        "test_function",
        "stop_training",
        "stop_evaluating",
        "training",
    }
    attach(model)
    use(model)
    detach(model)
    after = dict(vars(model))
    assert [name for name in after if name not in before.keys() | changes] == []
    assert [name for name in before if before[name] is not after.get(name) and name not in changes] == []
    assert ("fit" in after) is is_replaced
    assert "evaluate" not in after


def test_a_detached_model_publishes_nothing() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    detach(model)
    detach(model)  # which does nothing
    fit(model)
    assert recorder.events == []
    detach("no model")  # which cannot be attached either


def test_detached_within_a_run_the_run_is_published_to_its_end() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    detached_in_mid_run(model)
    assert recorder.events[-3:] == ["after_train_epoch", "after_train", "after_run"]
    assert recorder.counters("after_run") == [(1, 2)]
    fit(model)
    assert recorder.events.count("before_run") == 1


def test_a_wrapper_of_the_users_outlives_the_attachment() -> None:
    calls: list[str] = []
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    attached = model.fit

    @functools.wraps(attached)
    def logged(*args: Any, **kwargs: Any) -> Any:
        calls.append("fit")
        return attached(*args, **kwargs)

    model.fit = logged
    detach(model)
    fit(model)
    assert (calls, recorder.events) == (["fit"], [])
    attach(model, hooks=[recorder])
    fit(model)
    assert calls == ["fit", "fit"]
    assert recorder.events.count("before_train") == 1


def test_a_wrapped_method_shows_the_signature_of_the_model() -> None:
    model = build()
    bare = inspect.signature(model.fit)
    attach(model)
    assert inspect.signature(model.fit) == bare
    assert model.fit.__name__ == "fit"


def test_keras_takes_the_attachment_for_no_part_of_the_model(tmp_path: Path) -> None:
    def parts(model: Any) -> list[Any]:
        model.save_weights(tmp_path / "parts.weights.h5")
        saved = (tmp_path / "parts.weights.h5").stat().st_size
        tracked = {name: len(ids) for name, ids in model._tracker.stored_ids.items()}
        return [
            model.get_config(),
            model.get_compile_config(),
            [id(each) for each in (*model.layers, *model.metrics, *model.variables)],
            list(model.state_dict()),
            [name for name, _ in model.named_modules()],
            tracked,
            saved,
        ]

    model = build_for_copies()
    fit(model)
    bare = parts(model)
    attach(model)
    assert parts(model) == bare


def test_the_model_is_freed_while_its_callback_is_kept() -> None:
    def make(is_attached: bool) -> tuple[Any, Any]:
        model = build()
        callback = attach(model) if is_attached else None
        fit(model)
        return model, callback

    # A bare model is freed by the collector only: Keras's own objects refer to each other in circles.
    model, _ = make(is_attached=False)
    reference = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert reference() is not None, "bare models are freed at once: then attached ones must be, too"
    finally:
        gc.enable()
    model, callback = make(is_attached=True)
    reference = weakref.ref(model)
    assert callback.model is callback.runner.model is model
    del model
    gc.collect()
    assert reference() is None
    assert callback.model is None
    assert scalars(callback.message_hub, "train/loss") == [3.5, 31.5]


# -- copies


COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    through_pickle,
    keras.models.clone_model,
    lambda model: copy.deepcopy([model.fit, model])[1],
]


@pytest.mark.parametrize("make_copy", COPIES)
@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_copy_of_an_attached_model_trains_itself_and_is_not_attached(
    make_copy: Callable[[Any], Any], when: str
) -> None:
    model, copies = build_for_copies(), []
    callback = attach(model)
    hub = callback.message_hub

    def take() -> None:
        copies.append(make_copy(model))

    if when == "before":
        take()
    fit(model, callbacks=[Doing("on_train_batch_end", take)] if when == "during" else None)
    if when == "after":
        take()
    history, own_weights, iteration = scalars(callback.message_hub, "train/loss"), weights(model), callback.runner.iter
    [other] = copies
    assert not {"fit", "evaluate"} & vars(other).keys()
    other.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")  # clone_model leaves it out
    weights_before = weights(other)
    fit(other)
    evaluate(other)
    assert any(not np.array_equal(*pair) for pair in zip(weights_before, weights(other), strict=True))
    assert all(np.array_equal(*pair) for pair in zip(own_weights, weights(model), strict=True))
    assert scalars(callback.message_hub, "train/loss") == history
    assert (callback.runner.iter, callback.runner.model) == (iteration, model)

    others_callback = attach(other)
    fit(other, epochs=2)
    fit(model)
    assert others_callback.message_hub is not callback.message_hub
    assert (others_callback.runner.iter, callback.runner.iter) == (4, 2)
    assert len(scalars(others_callback.message_hub, "train/loss")) == 4
    assert scalars(hub, "train/loss") == history
    assert callback.message_hub is not hub
    assert len(scalars(callback.message_hub, "train/loss")) == 2


@pytest.mark.parametrize("make_copy", [copy.deepcopy, through_pickle])
def test_a_copied_method_belongs_to_a_copied_model(make_copy: Callable[[Any], Any]) -> None:
    recorder, model = Recorder(), build_for_copies()
    attach(model, hooks=[recorder])
    own_weights = weights(model)
    method = make_copy(model.fit)
    method(x=X, y=X, verbose=0)
    assert method.__self__ is not model
    assert all(np.array_equal(*pair) for pair in zip(own_weights, weights(model), strict=True))
    assert recorder.events == []


@pytest.mark.parametrize("make_copy", [copy.deepcopy, through_pickle])
@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("is_attached", [True, False])
def test_a_copy_of_the_callback_is_outside_of_any_run_and_copies_no_model(
    make_copy: Callable[[Any], Any], when: str, is_attached: bool
) -> None:
    data = ((X[n : n + 4], X[n : n + 4]) for n in (0, 4))  # which can be neither copied nor pickled
    model, copies = build(), []
    callback = attach(model) if is_attached else RuntimeInfoCallback()

    def take() -> None:
        copies.append(make_copy(callback))

    if when == "before":
        take()
    callbacks: list[Any] = [] if is_attached else [callback]
    if when == "during":
        callbacks.append(Doing("on_train_batch_end", take))
    model.fit(data, callbacks=callbacks, shuffle=False, verbose=0)
    if when == "after":
        take()
    [other] = copies
    losses = scalars(callback.message_hub, "train/loss")
    assert other.model is None
    assert other.runner.emitter.lifecycle.open_scopes == ()
    assert other.message_hub is not callback.message_hub
    assert other.runner.emitter is not callback.runner.emitter

    second = build()
    taken = {"before": {}, "during": {"train/loss": [3.5]}, "after": {"train/loss": [3.5, 31.5]}}[when]
    assert {key: scalars(other.message_hub, key) for key in other.message_hub.log_scalars if key != "train/lr"} == taken
    fit(second, callbacks=[other])
    assert scalars(other.message_hub, "train/loss") == [3.5, 31.5]
    assert (other.runner.model, callback.runner.model) == (second, model)
    assert (other.runner.iter, callback.runner.iter) == (2, 2)
    assert other.message_hub.get_info("loop_stage") is None
    assert scalars(callback.message_hub, "train/loss") == losses == [3.5, 31.5]


def test_a_model_and_its_callback_that_are_copied_together_belong_together() -> None:
    model = build_for_copies()
    callback = attach(model)
    other, others_callback = copy.deepcopy([model, callback])
    assert others_callback.runner.model is other
    fit(other, callbacks=[others_callback])
    assert (others_callback.runner.iter, callback.runner.iter) == (2, 0)


def test_a_wrong_argument_of_attach_is_named() -> None:
    with pytest.raises(RunnerError, match=r"attach\(\) takes a model of Keras, but got .*str"):
        attach("model")
    with pytest.raises(RunnerError, match="standalone_stage must be 'val' or 'test', but is 'train'"):
        attach(build(), standalone_stage="train")  # type: ignore[arg-type]
    with pytest.raises(HookError):
        attach(build(), hooks=[object()])
    with pytest.raises(TypeError, match="unexpected keyword argument 'hook': did you mean 'hooks'"):
        attach(build(), hook=[object()])  # type: ignore[call-arg]


def test_a_refused_argument_leaves_the_attachment_as_it_was() -> None:
    model = build()
    callback = attach(model)
    with pytest.raises(HookError):
        attach(model, hooks=[object()])
    fit(model)
    assert scalars(callback.message_hub, "train/loss") == [3.5, 31.5]


def test_a_private_member_that_is_missing_is_named() -> None:
    model = build()
    del model._loss_tracker
    with pytest.raises(RunnerError, match="Sequential has no _loss_tracker, which this adapter relies on"):
        attach(model)
    assert "fit" not in vars(model)


def test_attaching_takes_no_name_that_keras_gives() -> None:
    model = build()
    before = keras.Variable(0.0).name
    attach(model)
    number = int(before.rpartition("_")[2]) if "_" in before else 0
    assert keras.Variable(0.0).name == f"variable_{number + 1}"


def test_without_keras_the_extra_is_named() -> None:
    code = "import sys; sys.modules['keras'] = None; import runtimeinfo_adapters.keras"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'runtimeinfo[keras]'" in done.stderr


def test_without_torch_the_extra_is_named() -> None:
    code = (
        "import sys\n"
        "class Nowhere:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            raise ModuleNotFoundError('No module named torch', name='torch')\n"
        "sys.meta_path.insert(0, Nowhere())\n"
        "import runtimeinfo_adapters.keras"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs torch: pip install 'runtimeinfo[keras]'" in done.stderr


def test_an_untried_version_is_named() -> None:
    code = (
        "import importlib.metadata as metadata; real = metadata.version\n"
        "metadata.version = lambda name: '3.99.0' if name == 'keras' else real(name)\n"
        "import runtimeinfo_adapters.keras"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "keras 3.99.0 is installed" in done.stderr


# -- iter as a batch begins


class Asking(keras.callbacks.Callback):
    """Asks the hub when a batch begins, and sets the learning rate by `iter`."""

    def __init__(self, *, sets_rate: bool = False) -> None:
        super().__init__()
        self.seen: list[tuple[Any, Any, Any]] = []
        self.batches = 0
        self.epoch = 0
        self.sets_rate = sets_rate

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        iteration = current_hub().get_info("iter")
        self.seen.append((self.epoch, batch, iteration))
        if self.sets_rate:
            self.model.optimizer.learning_rate = 1.0 / (1 + iteration)


def iters(asking: Asking) -> list[Any]:
    return [iteration for _, _, iteration in asking.seen]


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_iter_is_right_for_every_callback_as_a_batch_begins(place: int) -> None:
    model, others = build(), [Asking(sets_rate=each == 1) for each in range(3)]
    callback = attach(model)
    callbacks: list[Any] = [*others[:place], callback, *others[place:]]
    fit(model, epochs=2, callbacks=callbacks)
    assert [iters(each) for each in others] == [[0, 1, 2, 3]] * 3
    assert scalars(callback.message_hub, "train/lr") == pytest.approx([1.0, 0.5, 1 / 3, 0.25])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_alone_iter_is_right_for_the_callbacks_after_it(place: int) -> None:
    model, others = build(0.5), [Asking() for _ in range(2)]
    callback = RuntimeInfoCallback()
    fit(model, epochs=2, callbacks=[*others[:place], callback, *others[place:]])
    assert [iters(each) for each in others[place:]] == [[0, 1, 2, 3]] * (2 - place)
    assert scalars(callback.message_hub, "train/lr") == [0.5] * 4


def test_alone_the_rate_is_that_of_the_callbacks_before_it() -> None:
    model = build()
    callback = RuntimeInfoCallback()
    fit(
        model,
        callbacks=[Doing("on_train_batch_begin", lambda: setattr(model.optimizer, "learning_rate", 0.25)), callback],
    )
    assert scalars(callback.message_hub, "train/lr") == [0.25, 0.25]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 1.0 / (epoch + 1)), [1.0, 1.0, 0.5, 0.5]),
        (
            lambda: keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=100.0),
            [8.0, 8.0, 8.0, 8.0, 4.0, 4.0],
        ),
    ],
)
@pytest.mark.parametrize("is_attached", [True, False])
def test_the_rates_of_the_schedules_of_keras_are_published(
    make: Callable[[], Any], expected: list[float], is_attached: bool
) -> None:
    model = build(8.0)
    callback = attach(model) if is_attached else RuntimeInfoCallback()
    fit(model, epochs=len(expected) // 2, callbacks=[make()] if is_attached else [make(), callback])
    assert scalars(callback.message_hub, "train/lr") == expected


def test_a_single_callback_alone_is_refused_because_keras_calls_it_from_another_thread() -> None:
    model, callback = build(), RuntimeInfoCallback()
    with pytest.raises(RunnerError, match=r"call fit\(callbacks=\[callback\]\)"):
        fit(model, callbacks=callback)
    with pytest.raises(RunnerError, match=r"call evaluate\(callbacks=\[callback\]\)"):
        evaluate(model, callbacks=callback)
    fit(model, callbacks=[callback])
    assert scalars(callback.message_hub, "train/loss") == [3.5, 31.5]


# -- hubs


def losses(hub: Any) -> list[float]:
    return scalars(hub, "train/loss") if "train/loss" in hub.log_scalars else []


def publishing(model: Any, is_attached: bool, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return a callback, and what `fit` must be given for it."""
    if is_attached:
        return attach(model, **options), {}
    callback = RuntimeInfoCallback(**options)
    return callback, {"callbacks": [callback]}


@pytest.mark.parametrize("is_attached", [True, False])
def test_each_training_has_its_own_hub(is_attached: bool) -> None:
    model = build()
    callback, given = publishing(model, is_attached)
    hubs, seen = [callback.message_hub], []
    for epochs in (2, 1, 1):
        seen.clear()
        callbacks = [*given.get("callbacks", []), Doing("on_train_batch_begin", lambda: seen.append(resolve_hub()))]
        fit(model, epochs=epochs, validation_data=(X, X), callbacks=callbacks)
        hubs.append(callback.message_hub)
        assert callback.message_hub is callback.runner.message_hub
        assert len(losses(callback.message_hub)) == 2 * epochs
        assert len(scalars(callback.message_hub, "val/loss")) == epochs
        assert callback.message_hub.get_info("iter") == 2 * epochs
        assert seen == [callback.message_hub]
    assert hubs[0] is hubs[1]  # no run had published to it
    assert len({id(hub) for hub in hubs}) == 3
    assert len(losses(hubs[1])) == 4  # the hub of the first training is as it was


@pytest.mark.parametrize("is_attached", [True, False])
def test_values_in_the_first_hub_stay(is_attached: bool) -> None:
    model = build()
    callback, given = publishing(model, is_attached)
    callback.message_hub.update_info("mine", 1)
    fit(model, **given)
    assert callback.message_hub.get_info("mine") == 1


@pytest.mark.parametrize("is_attached", [True, False])
def test_a_training_that_goes_on_keeps_its_hub(is_attached: bool) -> None:
    model = build()
    callback, given = publishing(model, is_attached)
    fit(model, epochs=2, **given)
    hub = callback.message_hub
    evaluate(model, **given)
    recorder = Asking()
    fit(model, initial_epoch=2, epochs=3, callbacks=[*given.get("callbacks", []), recorder])
    assert callback.message_hub is hub
    assert recorder.seen == [(2, 0, 4), (2, 1, 5)]
    assert len(losses(hub)) == 6
    assert len(scalars(hub, "test/loss")) == 1
    assert [hub.get_info(key) for key in ("epoch", "iter", "max_epochs", "max_iters")] == [3, 6, 3, 6]


@pytest.mark.parametrize("is_attached", [True, False])
@pytest.mark.parametrize("initial_epoch", [1, 3])
def test_a_training_that_begins_elsewhere_has_its_own_hub(is_attached: bool, initial_epoch: int) -> None:
    model = build()
    callback, given = publishing(model, is_attached)
    fit(model, epochs=2, **given)
    hub = callback.message_hub
    recorder = Asking()
    fit(model, initial_epoch=initial_epoch, epochs=4, callbacks=[*given.get("callbacks", []), recorder])
    assert recorder.seen[0] == (initial_epoch, 0, 2 * initial_epoch)
    assert callback.runner.iter == 8
    if is_attached:
        assert callback.message_hub is not hub
        assert len(losses(callback.message_hub)) == 2 * (4 - initial_epoch)


@pytest.mark.parametrize("is_attached", [True, False])
def test_a_hub_of_the_users_is_appended_to(is_attached: bool) -> None:
    model, hub = build(), MessageHub("test-keras-appended")
    callback, given = publishing(model, is_attached, hub=hub)
    for _ in range(3):
        fit(model, **given)
    assert callback.message_hub is hub
    assert losses(hub) == [3.5, 31.5] * 3
    assert hub.get_info("iter") == 2


@pytest.mark.parametrize("initial_epoch", [0, 1])
def test_folds_with_one_callback_have_a_hub_each(initial_epoch: int) -> None:
    callback, hubs = RuntimeInfoCallback(), []
    for fold in range(3):
        model = build()
        fit(model, initial_epoch=initial_epoch, epochs=initial_epoch + 1, callbacks=[callback])
        evaluate(model, callbacks=[callback])
        hubs.append(callback.message_hub)
        assert losses(hubs[-1]) == [3.5, 31.5], fold
        assert scalars(hubs[-1], "test/loss") == [17.5]
        assert callback.runner.iter == 2 * (initial_epoch + 1)
    assert len({id(hub) for hub in hubs}) == 3


def test_an_evaluation_of_another_model_has_its_own_hub() -> None:
    callback, model = RuntimeInfoCallback(), build()
    fit(model, callbacks=[callback])
    hub = callback.message_hub
    evaluate(build(), callbacks=[callback])
    assert callback.message_hub is not hub
    assert (losses(callback.message_hub), losses(hub)) == ([], [3.5, 31.5])
    assert [callback.message_hub.get_info(key) for key in ("epoch", "iter")] == [0, 0]


@pytest.mark.parametrize("is_attached", [True, False])
def test_a_training_after_a_lone_evaluation_has_its_own_hub(is_attached: bool) -> None:
    model = build()
    callback, given = publishing(model, is_attached)
    evaluate(model, **given)
    hub = callback.message_hub
    fit(model, **given)
    assert callback.message_hub is not hub
    assert set(callback.message_hub.log_scalars) == {"train/loss", "train/lr"}
    evaluate(model, **given)  # is one of that training
    assert set(callback.message_hub.log_scalars) == {"train/loss", "train/lr", "test/loss"}


@pytest.mark.parametrize("is_attached", [True, False])
def test_a_training_that_raised_and_is_run_again_has_its_own_hub(is_attached: bool) -> None:
    model = build()
    callback, given = publishing(model, is_attached)
    model.loss.error, model.loss.where = ValueError("planned"), "train"
    with pytest.raises(ValueError, match="planned"):
        fit(model, **given)
    model.loss.error = None
    fit(model, **given)
    assert losses(callback.message_hub) == [3.5, 31.5]
    assert len(scalars(callback.message_hub, "train/lr")) == 2
    assert current_hub().get_info("iter") is None


@pytest.mark.parametrize("is_attached", [True, False])
def test_a_loaded_state_does_not_change_the_hub_of_the_last_training(is_attached: bool) -> None:
    model = build()
    callback, given = publishing(model, is_attached)
    fit(model, **given)
    state, hub = callback.state_dict(), callback.message_hub
    fit(model, epochs=3, **given)
    last = callback.message_hub
    callback.load_state_dict(state)
    fit(model, initial_epoch=1, epochs=2, **given)
    assert callback.message_hub not in (hub, last)
    assert [len(losses(each)) for each in (hub, last, callback.message_hub)] == [2, 6, 4]
    with pytest.raises(StateError):
        callback.load_state_dict({})
    assert len(losses(callback.message_hub)) == 4


def test_alone_a_second_training_is_open_for_what_is_asked_before_its_first_epoch() -> None:
    recorder, model = Recorder(), build()
    callback = RuntimeInfoCallback(hooks=[recorder])
    fit(model, callbacks=[callback])
    fit(model, epochs=2, callbacks=[callback, Doing("on_train_begin", lambda: evaluate(model, callbacks=[callback]))])
    fit(model, epochs=2, initial_epoch=2, callbacks=[callback])  # which has no epoch
    assert recorder.counters("after_run") == [(1, 2), (2, 4), (0, 0)]
    assert recorder.events.count("before_val") == 1


# -- totals


class TotalsRecorder(Recorder):
    """Also check that the hub has the runner's total, and that it is not exceeded."""

    def check(self, event: str, runner: Any) -> None:
        super().check(event, runner)
        if event != "before_run":
            assert runner.message_hub.get_info("max_iters") == runner.max_iters, event
        if runner.max_iters is not None and runner.emitter.is_open("train"):
            assert runner.iter <= runner.max_iters, event


class Varying(keras.utils.PyDataset):
    """Data whose length changes at the end of each epoch, or at its beginning."""

    def __init__(self, lengths: list[int], *, at_begin: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.lengths, self.at_begin = list(lengths), at_begin

    def __len__(self) -> int:
        return self.lengths[0]

    def __getitem__(self, index: int) -> Any:
        if index >= len(self):
            raise IndexError(index)
        return X[:2], X[:2]

    def change(self) -> None:
        if len(self.lengths) > 1:
            self.lengths.pop(0)

    def on_epoch_begin(self) -> None:
        if self.at_begin:
            self.change()

    def on_epoch_end(self) -> None:
        if not self.at_begin:
            self.change()


@pytest.mark.parametrize(("workers", "at_begin"), [(1, False), (1, True), (2, False)])
def test_totals_follow_data_that_change_their_length(workers: int, at_begin: bool) -> None:
    recorder, model, asking = TotalsRecorder(), build(), Asking()
    callback = attach(model, hooks=[recorder])
    # Keras cuts the epochs off at the length that it saw first, and calls these methods before the first epoch, too.
    model.fit(
        Varying([5, 5, *[5] * at_begin, 3, 4, 2], at_begin=at_begin, workers=workers),
        epochs=4,
        verbose=0,
        callbacks=[asking],
    )
    done = [sum(epoch == each for epoch, _, _ in asking.seen) for each in range(4)]
    assert done == [5, 3, 4, 2]
    assert iters(asking) == list(range(14))
    expected = [5 * 4, 5 + 3 * 3, 8 + 4 * 2, 12 + 2]
    assert recorder.totals("after_train_epoch") == expected
    assert callback.runner.max_iters == callback.message_hub.get_info("max_iters") == callback.runner.iter == 14


def test_alone_the_total_is_withdrawn_when_data_end_early() -> None:
    recorder, model = TotalsRecorder(), build()
    callback = RuntimeInfoCallback(hooks=[recorder])
    model.fit(Varying([5, 5, 3, 4]), epochs=3, verbose=0, callbacks=[callback])
    assert recorder.totals("before_train_epoch") == [15, 15, None]
    assert (callback.runner.iter, callback.runner.max_iters) == (12, None)


class Lying(torch.utils.data.IterableDataset[Any]):
    """A stream whose length is wrong."""

    def __init__(self, told: int, true: int) -> None:
        self.told, self.true = told, true

    def __len__(self) -> int:
        return self.told

    def __iter__(self) -> Any:
        return ((torch.tensor([1.0]), torch.tensor([1.0])) for _ in range(self.true))


@pytest.mark.parametrize("is_attached", [True, False])
@pytest.mark.parametrize(
    ("told", "true", "expected", "done"), [(3, 5, [9, 9, 9], 9), (5, 3, [15, None, None], 9), (4, 4, [12, 12, 12], 12)]
)
def test_totals_of_a_stream_whose_length_is_wrong(
    is_attached: bool, told: int, true: int, expected: list[Any], done: int
) -> None:
    recorder, model = TotalsRecorder(), build()
    callback, given = publishing(model, is_attached, hooks=[recorder])
    model.fit(DataLoader(Lying(told, true), batch_size=1), epochs=3, shuffle=False, verbose=0, **given)
    assert recorder.totals("before_train_epoch") == expected
    assert callback.runner.iter == done


def generator(batches: int) -> Iterator[Any]:
    return ((X[:2], X[:2]) for _ in range(batches))


@pytest.mark.parametrize("is_attached", [True, False])
@pytest.mark.parametrize(
    ("make", "steps", "expected", "done"),
    [
        (lambda: {"x": generator(4)}, None, [None, None], 6),  # Keras gives two again, which it took to build the model
        (lambda: {"x": generator(9)}, 3, [6, 6], 6),
        (lambda: {"x": generator(4)}, 3, [6, 6], 4),
        (lambda: {"x": generator(2)}, 3, [6, None], 4),
        (lambda: {"x": X, "y": X, "batch_size": 2}, 4, [8, 8], 8),
        (lambda: {"x": X, "y": X, "batch_size": 2}, 3, [6, 6], 4),
        (lambda: {"x": X, "y": X, "batch_size": 2, "validation_split": 0.5}, None, [4, 4], 4),
    ],
)
def test_totals_of_generators_and_of_steps_per_epoch(
    make: Callable[[], dict[str, Any]], steps: int | None, expected: list[Any], done: int, is_attached: bool
) -> None:
    recorder, model, asking = TotalsRecorder(), build(), Asking()
    callback, given = publishing(model, is_attached, hooks=[recorder])
    callbacks = [*given.get("callbacks", []), asking]
    model.fit(**make(), steps_per_epoch=steps, epochs=2, verbose=0, shuffle=False, callbacks=callbacks)
    assert recorder.totals("before_train_epoch") == expected
    assert callback.runner.iter == len(asking.seen) == done


@pytest.mark.parametrize("event", ["on_train_batch_begin", "on_train_batch_end", "on_epoch_end"])
def test_a_training_that_was_stopped_keeps_its_total(event: str) -> None:
    recorder, model = TotalsRecorder(), build()
    callback = attach(model, hooks=[recorder])
    fit(model, batch_size=1, epochs=3, callbacks=[Doing(event, lambda: setattr(model, "stop_training", True))])
    assert set(recorder.totals("after_train_iter")) == {24}
    assert callback.message_hub.get_info("max_iters") == 24
    fit(model, batch_size=1, epochs=3)
    assert set(recorder.totals("after_train_iter")) == {24}
    assert callback.runner.iter == 24


@pytest.mark.parametrize("event", ["on_train_begin", "on_epoch_begin", "on_train_batch_end", "on_epoch_end"])
@pytest.mark.parametrize("is_attached", [True, False])
def test_an_evaluation_in_a_callback_does_not_spoil_the_totals(event: str, is_attached: bool) -> None:
    recorder, model = TotalsRecorder(), build()
    callback, given = publishing(model, is_attached, hooks=[recorder])
    for epochs in (2, 3):  # the second training could go on with the first one
        fit(
            model,
            epochs=epochs,
            callbacks=[*given.get("callbacks", []), Doing(event, lambda: evaluate(model, **given))],
        )
        assert recorder.totals("after_train_epoch")[-epochs:] == [2 * epochs] * epochs
        assert (callback.runner.epoch, callback.runner.iter) == (epochs, 2 * epochs)
        assert [callback.message_hub.get_info(key) for key in ("max_epochs", "max_iters")] == [epochs, 2 * epochs]


# -- methods that others have replaced


def without_wraps(method: Any) -> Any:
    def logged(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return logged


@pytest.mark.parametrize("name", ["fit", "evaluate"])
def test_a_method_that_hides_its_callbacks_is_refused(name: str) -> None:
    model = build()
    setattr(model, name, without_wraps(getattr(model, name)))
    before = dict(vars(model))
    with pytest.raises(
        RunnerError, match=rf"Sequential\.{name}\(\*args.*\) takes no callbacks.*functools\.wraps"
    ) as caught:
        attach(model)
    assert "attach first and wrap then" in str(caught.value)
    assert {key: vars(model).get(key) for key in before} == before
    fit(model)


def test_a_method_that_hides_its_callbacks_is_refused_and_the_attachment_stays() -> None:
    model = build()
    callback = attach(model)
    model.fit = without_wraps(model.fit)
    with pytest.raises(RunnerError, match="takes no callbacks"):
        attach(model)
    fit(model)
    assert losses(callback.message_hub) == [3.5, 31.5]
    detach(model)
    fit(model)
    assert losses(callback.message_hub) == [3.5, 31.5]


def test_a_method_that_is_wrapped_with_wraps_publishes() -> None:
    model = build()
    model.fit = functools.wraps(model.fit)(without_wraps(model.fit))
    callback = attach(model)
    fit(model)
    assert losses(callback.message_hub) == [3.5, 31.5]


@pytest.mark.parametrize("name", ["fit", "evaluate"])
def test_a_method_that_is_wrapped_after_attach_publishes(name: str) -> None:
    model = build()
    callback = attach(model)
    setattr(model, name, without_wraps(getattr(model, name)))
    asking = Asking()
    fit(model, validation_data=(X, X), callbacks=[asking])
    evaluate(model)
    assert iters(asking) == [0, 1]
    assert losses(callback.message_hub) == [3.5, 31.5]
    assert len(scalars(callback.message_hub, "val/loss")) == 1
    assert len(scalars(callback.message_hub, "test/loss")) == 1


class OwnFit(keras.Sequential):
    """Has a `fit` and an `evaluate` that hand on what they are given."""

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        return super().fit(*args, **kwargs)

    def evaluate(self, x: Any, y: Any = None, **options: Any) -> Any:
        return super().evaluate(x, y, **options)


class LoopOfTheUsers(keras.Sequential):
    """Trains without any callback."""

    def fit(self, x: Any, y: Any) -> Any:
        return [self.train_on_batch(x, y)]


def test_a_class_with_its_own_fit_publishes() -> None:
    model, asking = OwnFit([Scaling()]), Asking()
    model.compile(keras.optimizers.SGD(0.0), Loss())
    callback = attach(model)
    history = model.fit(X, X, batch_size=4, shuffle=False, verbose=0, validation_data=(X, X), callbacks=[asking])
    model.fit(X, X, 4, 1, 0)
    model.evaluate(X, X, verbose=0)
    assert iters(asking) == [0, 1]
    assert set(history.history) == {"loss", "val_loss"}
    assert len(losses(callback.message_hub)) == 2
    assert len(scalars(callback.message_hub, "test/loss")) == 1
    model = LoopOfTheUsers([Scaling()])
    model.compile("sgd", "mse")
    with pytest.raises(RunnerError, match=r"LoopOfTheUsers\.fit\(x.*\) takes no callbacks"):
        attach(model)


# -- every stop, and what comes after


def raising(error: BaseException) -> Callable[[], None]:
    def do() -> None:
        raise error

    return do


class FailingData(keras.utils.PyDataset):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        self.left -= 1
        if self.left == 0:
            raise ValueError("planned")
        return X[:2], X[:2]


class Counting(keras.callbacks.Callback):
    """Counts by itself what Keras has done, and keeps where it was as each batch began."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[tuple[int, int]] = []
        self.ours: list[tuple[Any, Any]] = []
        self.epoch = self.done = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        hub = current_hub()
        self.at.append((self.epoch, int(self.model.optimizer.iterations)))
        self.ours.append((hub.get_info("epoch"), hub.get_info("iter")))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.done += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch + 1


EVENTS = [
    "on_train_begin",
    "on_epoch_begin",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_epoch_end",
    "on_train_end",
]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("is_attached", [True, False])
def test_counters_after_stop_training(event: str, is_attached: bool) -> None:
    recorder, model, counting = Recorder(), build(), Counting()
    callback, given = publishing(model, is_attached, hooks=[recorder])
    stop = Doing(event, lambda: setattr(model, "stop_training", True))
    fit(model, batch_size=2, epochs=3, validation_data=(X, X), callbacks=[*given.get("callbacks", []), stop, counting])
    assert counting.at == counting.ours
    assert recorder.counters("after_run") == [(counting.epoch, counting.done)]
    assert callback.message_hub.get_info("loop_stage") is None
    assert current_hub().get_info("iter") is None
    epoch = callback.runner.epoch
    again = Counting()
    fit(model, batch_size=2, initial_epoch=epoch, epochs=epoch + 1, callbacks=[*given.get("callbacks", []), again])
    assert again.at == again.ours
    assert len(again.at) == 4


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("error", [ValueError("planned"), KeyboardInterrupt()])
def test_counters_after_an_exception_in_a_callback(event: str, error: BaseException) -> None:
    recorder, model, counting = Recorder(), build(), Counting()
    callback = attach(model, hooks=[recorder])
    stop = Doing(event, raising(error))
    if event not in ("on_train_begin", "on_train_end"):  # at the second one
        stop = InTurns(event, [Doing(event, lambda: None), stop])
    with pytest.raises(type(error)) as caught:
        fit(model, batch_size=2, epochs=3, callbacks=[counting, stop])
    assert caught.value is error
    assert counting.at == counting.ours
    assert recorder.counters("after_run") == [(counting.epoch if event != "on_train_end" else 3, counting.done)]
    assert callback.message_hub.get_info("loop_stage") is None
    assert current_hub().get_info("iter") is None
    again, epoch = Counting(), callback.runner.epoch
    fit(model, batch_size=2, initial_epoch=epoch, epochs=epoch + 1, callbacks=[again])
    begins_at = counting.done if epoch else 0  # with epoch 0, another training begins
    assert again.ours == [(epoch, begins_at + batch) for batch in range(4)]


@pytest.mark.parametrize("where", ["data", "train_step", "loss"])
def test_counters_after_an_exception_in_the_training(where: str) -> None:
    recorder, model, counting = Recorder(), build(), Counting()
    attach(model, hooks=[recorder])
    if where == "train_step":
        step = model.train_step
        model.train_step = lambda data: step(data) if counting.done < 5 else raising(ValueError("planned"))()
    elif where == "loss":
        call = model.loss.call
        model.loss.call = lambda *args: call(*args) if counting.done < 5 else raising(ValueError("planned"))()
    data = FailingData(7 if where == "data" else 99)  # one batch more, to build the model
    with pytest.raises(ValueError, match="planned"):
        model.fit(data, epochs=3, verbose=0, shuffle=False, callbacks=[counting])
    assert counting.at == counting.ours
    assert counting.done == 5
    assert recorder.counters("after_run") == [(1, 5)]


def test_an_iteration_that_was_aborted_leaves_no_learning_rate() -> None:
    model, counting = build(0.5), Counting()
    callback = attach(model)
    step = model.train_step
    model.train_step = lambda data: step(data) if counting.done < 3 else raising(ValueError("planned"))()
    with pytest.raises(ValueError, match="planned"):
        fit(model, epochs=2, callbacks=[counting])
    assert counting.done == 3
    assert scalars(callback.message_hub, "train/lr") == [0.5] * 3
    assert len(losses(callback.message_hub)) == 3
    model.train_step = step
    fit(model, initial_epoch=1, epochs=2)  # goes on
    assert len(scalars(callback.message_hub, "train/lr")) == len(losses(callback.message_hub)) == 5


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_counters_after_a_signal(name: str) -> None:
    number, recorder, model, counting = getattr(signal, name), Recorder(), build(), Counting()
    callback = attach(model, hooks=[recorder])

    def on_signal(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(number, on_signal)
    kill = InTurns(
        "on_train_batch_end",
        [Doing("on_train_batch_end", lambda: None)] * 2
        + [Doing("on_train_batch_end", lambda: os.kill(os.getpid(), number))],
    )
    try:
        with pytest.raises(SystemExit) as caught:
            fit(model, epochs=3, callbacks=[counting, kill])
    finally:
        signal.signal(number, before)
    assert caught.value.code == 128 + number
    assert counting.at == counting.ours
    assert recorder.counters("after_run") == [(1, 3)]
    assert callback.message_hub.get_info("loop_stage") is None


def test_counters_after_the_stops_of_keras() -> None:
    model, counting = build(), Counting()
    callback = attach(model)
    fit(model, epochs=5, callbacks=[counting, keras.callbacks.EarlyStopping("loss", patience=1)])
    assert counting.at == counting.ours
    assert (callback.runner.epoch, callback.runner.iter) == (counting.epoch, counting.done) == (2, 4)
    counting = Counting()
    fit(model, x=np.full_like(X, np.nan), epochs=5, callbacks=[counting, keras.callbacks.TerminateOnNaN()])
    assert (callback.runner.epoch, callback.runner.iter) == (counting.epoch, counting.done) == (1, 1)


# -- every resume


def backup_in(folder: Path, save_freq: Any = "epoch") -> Any:
    return keras.callbacks.BackupAndRestore(folder, save_freq=save_freq, delete_checkpoint=False)


def failing_after(batches: int) -> Any:
    callbacks = [Doing("on_train_batch_end", lambda: None) for _ in range(batches - 1)]
    return InTurns("on_train_batch_end", [*callbacks, Doing("on_train_batch_end", raising(ValueError("planned")))])


@pytest.mark.parametrize("save_freq", ["epoch", 1, 2, 3])
@pytest.mark.parametrize("stops_after", [1, 4, 6])
@pytest.mark.parametrize("where", ["new", "same", "same, after another"])
def test_backup_and_restore_counts_like_the_optimizer(
    save_freq: Any, stops_after: int, where: str, tmp_path: Path
) -> None:
    # Keras begins the epoch, which has 4 batches, again with the weights that it saved in the middle.
    model, counting = build_for_copies(), Counting()
    callback = attach(model)
    with pytest.raises(ValueError, match="planned"):
        fit(
            model,
            batch_size=2,
            epochs=3,
            callbacks=[counting, backup_in(tmp_path, save_freq), failing_after(stops_after)],
        )
    assert counting.at == counting.ours
    hub, was_at = callback.message_hub, (callback.runner.epoch, callback.runner.iter)
    is_saved = (tmp_path / "training_metadata.json").exists()
    if where == "new":
        model = build_for_copies()
        callback = attach(model)
    elif where == "same, after another":
        fit(model, epochs=0)
    recorder, counting = Recorder(), Counting()
    callback.runner.emitter.dispatcher.register(recorder)
    fit(model, batch_size=2, epochs=3, callbacks=[counting, backup_in(tmp_path, save_freq)])
    # Without a backup another training begins, with the weights that there are.
    before = 0 if is_saved or where == "new" else stops_after
    assert counting.ours == [(epoch, iterations - before) for epoch, iterations in counting.at]
    assert recorder.counters("before_train") == counting.ours[:1]
    assert (callback.runner.epoch, callback.runner.iter) == (3, int(model.optimizer.iterations) - before)
    assert callback.runner.max_iters == callback.runner.iter
    assert (callback.message_hub is hub) == (where == "same" and is_saved and counting.ours[0] == was_at)


@pytest.mark.parametrize("save_freq", ["epoch", 3])
def test_alone_what_backup_and_restore_brings_back_is_counted_in_whole_epochs(save_freq: Any, tmp_path: Path) -> None:
    model, callback = build_for_copies(), RuntimeInfoCallback()
    with pytest.raises(ValueError, match="planned"):
        fit(model, batch_size=2, epochs=3, callbacks=[callback, backup_in(tmp_path, save_freq), failing_after(7)])
    saved = shutil.copytree(tmp_path, tmp_path / "saved")
    for again, trained in ((RuntimeInfoCallback(), build_for_copies()), (callback, model)):
        shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
        asking = Asking()
        fit(trained, batch_size=2, epochs=3, callbacks=[again, asking, backup_in(tmp_path, save_freq)])
        # The model that was stopped has seen 7 batches, as far as its callback knows.
        assert asking.seen[0] == (1, 0, 7 if again is callback else 4)
        assert again.runner.epoch == 3
        assert again.runner.iter == again.runner.max_iters


@pytest.mark.parametrize("is_attached", [True, False])
@pytest.mark.parametrize("saved_at", ["on_epoch_end", "on_train_batch_end"])
@pytest.mark.parametrize("place", [1, 2, 4, 8])
def test_a_loaded_state_counts_on(is_attached: bool, saved_at: str, place: int) -> None:
    model, states, counting = build_for_copies(), [], Counting()
    callback, given = publishing(model, is_attached)

    def save() -> None:
        states.append((callback.state_dict(), model.get_weights(), counting.epoch, counting.done))

    if saved_at == "on_epoch_end":
        place = min(place, 2)
    saving = InTurns(saved_at, [*[Doing(saved_at, lambda: None)] * (place - 1), Doing(saved_at, save)])
    fit(model, batch_size=2, epochs=2, callbacks=[*given.get("callbacks", []), counting, saving])
    [(state, trained, epoch, done)] = states
    model, counting = build_for_copies(), Counting()
    model.set_weights(trained)
    callback, given = publishing(model, is_attached)
    callback.load_state_dict(state)
    hub = callback.message_hub
    assert (callback.runner.epoch, callback.runner.iter) == (epoch, done)
    fit(model, batch_size=2, initial_epoch=epoch, epochs=3, callbacks=[*given.get("callbacks", []), counting])
    assert counting.ours == [(each, done + iterations) for each, iterations in counting.at]
    assert callback.message_hub is hub
    assert callback.runner.epoch == 3
    assert callback.runner.iter == callback.runner.max_iters == done + counting.done
    assert len(losses(hub)) == callback.runner.iter


@pytest.mark.parametrize("is_attached", [True, False])
def test_a_loaded_state_that_fit_does_not_go_on_with_is_named(is_attached: bool) -> None:
    model = build()
    callback, given = publishing(model, is_attached)
    fit(model, epochs=2, **given)
    callback.load_state_dict(callback.state_dict())
    counting = Counting()
    with pytest.warns(
        ResumeWarning, match=r"begins with epoch 0, but 2 epochs are completed .* call fit\(initial_epoch=2\)"
    ):
        fit(model, epochs=2, callbacks=[*given.get("callbacks", []), counting])
    assert [epoch for epoch, _ in counting.ours] == [0, 0, 1, 1]
    assert [iteration for _, iteration in counting.ours] == [4, 5, 6, 7]
    assert callback.runner.max_iters == 8


def test_an_iteration_that_cannot_be_known_is_named() -> None:
    model = build()
    callback = attach(model)
    with pytest.warns(ResumeWarning, match=r"data without a length do not tell .* Load what state_dict\(\)"):
        model.fit(generator(4), initial_epoch=1, epochs=2, shuffle=False, verbose=0)
    assert callback.runner.epoch == 2
    assert callback.message_hub.get_info("max_iters") is None


# -- fits inside of others, and what is no fit


@pytest.mark.parametrize("event", ["on_train_begin", "on_train_batch_begin", "on_epoch_end", "on_train_end"])
def test_a_fit_inside_a_fit_of_the_same_model_is_not_heard(event: str) -> None:
    def train() -> None:
        fit(model, epochs=2, validation_data=(X, X), callbacks=[Doing("on_train_batch_end", lambda: evaluate(model))])

    recorder, model, asking = Recorder(), build(), Asking()
    callback = attach(model, hooks=[recorder])
    fit(model, epochs=2, callbacks=[Doing(event, train), asking])
    assert iters(asking) == [0, 1, 2, 3]
    assert recorder.counters("after_run") == [(2, 4)]
    assert "before_val" not in recorder.events
    assert len(losses(callback.message_hub)) == 4


@pytest.mark.parametrize("are_attached", [True, False])
def test_a_fit_inside_a_fit_of_another_model_has_its_own_counters(are_attached: bool) -> None:
    outer, inner, recorder, inner_recorder = build(), build(), Recorder(), Recorder()
    callback, given = publishing(outer, are_attached, hooks=[recorder])
    inner_callback, inner_given = publishing(inner, are_attached, hooks=[inner_recorder])
    asking, inner_asking = Asking(), Asking()

    def train() -> None:
        fit(inner, epochs=3, callbacks=[*inner_given.get("callbacks", []), inner_asking])
        seen.append(resolve_hub())

    seen: list[Any] = []
    fit(outer, epochs=2, callbacks=[*given.get("callbacks", []), Doing("on_train_batch_end", train), asking])
    assert (iters(asking), iters(inner_asking)) == ([0, 1, 2, 3], [0, 1, 2, 3, 4, 5])
    assert (recorder.counters("after_run"), inner_recorder.counters("after_run")) == ([(2, 4)], [(3, 6)])
    assert seen == [callback.message_hub]
    assert len(losses(inner_callback.message_hub)) == 6
    assert current_hub().get_info("iter") is None


def test_alone_a_fit_inside_a_fit_with_the_same_callback_breaks_nothing() -> None:
    model, callback = build(), RuntimeInfoCallback()
    fit(model, epochs=2, callbacks=[callback, Doing("on_epoch_end", lambda: fit(model, callbacks=[callback]))])
    assert callback.runner.emitter.lifecycle.open_scopes == ()
    assert current_hub().get_info("iter") is None
    fit(model, callbacks=[callback])
    assert (callback.runner.epoch, callback.runner.iter) == (1, 2)


def test_alone_an_evaluation_that_raised_is_closed_by_the_next_one() -> None:
    recorder, model = Recorder(), build()
    callback = RuntimeInfoCallback(hooks=[recorder])
    model.loss.error, model.loss.where = ValueError("planned"), "test"
    with pytest.raises(ValueError, match="planned"):
        evaluate(model, callbacks=[callback])
    model.loss.error = None
    evaluate(model, callbacks=[callback])
    assert recorder.events.count("after_run") == 2
    model.loss.error, model.loss.where = ValueError("planned"), "val"

    def validate() -> None:
        with suppress(ValueError):
            evaluate(model, callbacks=[callback])
        model.loss.error = None

    fit(
        model,
        epochs=2,
        callbacks=[
            callback,
            Doing("on_train_batch_end", validate),
            Doing("on_epoch_end", lambda: evaluate(model, callbacks=[callback])),
        ],
    )
    assert recorder.events[-1] == "after_run"
    assert recorder.events.count("after_run") == 3
    assert (callback.runner.epoch, callback.runner.iter) == (2, 4)
    assert current_hub().get_info("iter") is None


def test_batches_by_hand_open_nothing() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    model.train_on_batch(X, X)
    model.test_on_batch(X, X)
    model.predict(X, verbose=0)
    model.predict_on_batch(X)
    assert recorder.events == []
    assert current_hub().get_info("iter") is None


class Adversarial(keras.Model):
    """Trains with two optimizers, and is compiled without one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = keras.layers.Dense(1)
        self.first, self.second = keras.optimizers.SGD(0.5), keras.optimizers.Adam(0.25)

    def call(self, inputs: Any) -> Any:
        return self.layer(inputs)

    def train_step(self, data: Any) -> Any:
        for optimizer in (self.first, self.second):
            self.zero_grad()
            self(data[0]).sum().backward()
            with torch.no_grad():
                optimizer.apply([each.value.grad for each in self.trainable_weights], self.trainable_weights)
        return {"first": 1.0, "second": 2.0}


@pytest.mark.parametrize("are_named", [True, False])
def test_a_train_step_with_its_own_optimizers(are_named: bool) -> None:
    model = Adversarial()
    model.compile(optimizer=None)
    callback = attach(model, optimizers={"first": model.first, "second": model.second} if are_named else None)
    fit(model, epochs=2)
    rates = {key: scalars(callback.message_hub, key) for key in callback.message_hub.log_scalars if key.endswith("lr")}
    assert rates == ({"train/first.lr": [0.5] * 4, "train/second.lr": [0.25] * 4} if are_named else {})
    assert scalars(callback.message_hub, "train/second") == [2.0] * 4


# -- a list of callbacks that the user has made


@pytest.mark.parametrize("names", [(), ("epochs", "steps")])
def test_a_list_of_callbacks_of_the_users_is_heard(names: tuple[str, ...]) -> None:
    model, asking = build(), Asking()
    callback = attach(model)
    history = keras.callbacks.History()
    params = dict.fromkeys(names, 2)
    given = keras.callbacks.CallbackList([asking, history], model=model, **params)
    before = list(given.callbacks)
    fit(model, epochs=2, validation_data=(X, X), callbacks=given)
    assert given.callbacks == before
    assert iters(asking) == [0, 1, 2, 3]
    assert set(history.history) == {"loss", "val_loss"}
    assert len(losses(callback.message_hub)) == 4
    assert [callback.message_hub.get_info(key) for key in ("max_epochs", "max_iters")] == (
        [2, 4] if names else [None] * 2
    )
    evaluate(model, callbacks=keras.callbacks.CallbackList([], model=model))
    assert len(scalars(callback.message_hub, "test/loss")) == 1
    assert len(scalars(callback.message_hub, "val/loss")) == 2


# -- members that Keras does not promise


@pytest.mark.parametrize(
    ("owner", "member"),
    [
        ("model", "_initial_epoch"),
        ("model", "_loss_tracker"),
        ("callback", "_model"),
        ("backup", "_training_metadata_path"),
        ("optimizer", "_learning_rate"),
        ("optimizer", "_iterations"),
        ("variable", "_value"),
        ("tensor", "_version"),
    ],
)
@pytest.mark.parametrize("is_attached", [True, False])
def test_a_member_that_keras_lacks_is_named_attached_or_alone(
    owner: str, member: str, is_attached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert member in adapter._PRIVATE[owner]
    model = build()
    # As if Keras had renamed it: the adapter asks for a name that is not there.
    monkeypatch.setitem(adapter._PRIVATE, owner, (f"{member}_of_old",))
    with pytest.raises(RunnerError, match=rf"has no {member}_of_old, which this adapter relies on"):
        attach(model) if is_attached else fit(model, callbacks=[RuntimeInfoCallback()])


def test_no_other_private_member_of_keras_is_used() -> None:
    nodes = [
        node
        for module in (adapter, _keras_values)
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8")))
    ]
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    }
    own = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    listed = {member for members in adapter._PRIVATE.values() for member in members}
    assert used - own - {node.name for node in nodes if isinstance(node, ast.FunctionDef)} <= listed
    assert listed <= used | {"_model"}


def test_tracebacks_and_profilers_show_readable_names() -> None:
    model = build()
    attach(model)
    names: set[str] = set()

    def look(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and "runtimeinfo_adapters" in frame.f_code.co_filename:
            names.add(f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}")

    sys.setprofile(look)
    try:
        fit(model, validation_data=(X, X))
    finally:
        sys.setprofile(None)
    ours = {name for name in names if name.startswith("runtimeinfo_adapters.keras.")}
    assert "runtimeinfo_adapters.keras.RuntimeInfoCallback.guard" in ours
    assert "runtimeinfo_adapters.keras._IterationBegin.on_train_batch_begin" in ours
    assert [name for name in ours if "<lambda>" in name or ("<locals>.<" not in name and "<locals>" in name)] == []


# -- the same as without us


class Order(keras.callbacks.Callback):
    """Notes every event of Keras, with what it is given."""

    def __init__(self, notes: list[Any], name: str) -> None:
        super().__init__()
        for event in (*EVENTS, "on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end"):
            setattr(self, event, functools.partial(self.note, notes, name, event))

    def note(self, notes: list[Any], name: str, event: str, *arguments: Any, logs: Any = None) -> None:
        notes.append((name, event, arguments, logs))


class TwoOutputs(keras.Model):
    """A subclass that is built when it is called, with two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = keras.layers.Dense(1, name="one"), keras.layers.Dense(1, name="two")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return {"one": self.one(inputs), "two": self.two(inputs)}


def make_model(kind: str, run_eagerly: bool) -> Any:
    keras.utils.set_random_seed(0)
    if kind == "two outputs":
        model: Any = TwoOutputs()
        model.compile("sgd", {"one": "mse", "two": "mae"}, metrics={"one": ["mae"]}, run_eagerly=run_eagerly)
        return model
    layers = [keras.layers.Dense(1)]
    if kind == "functional":
        inputs = keras.Input((1,))
        model = keras.Model(inputs, layers[0](inputs))
    else:
        model = (OwnFit if kind == "own fit" else keras.Sequential)(layers)
    model.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"], weighted_metrics=["mse"], run_eagerly=run_eagerly)
    return model


options = st.fixed_dictionaries(
    {
        "epochs": st.integers(0, 3),
        "batch_size": st.sampled_from([None, 1, 3, 8]),
        "initial_epoch": st.integers(0, 2),
        "shuffle": st.booleans(),
        "verbose": st.sampled_from([0, 2]),
    },
    optional={
        "steps_per_epoch": st.integers(1, 4),
        "validation_freq": st.sampled_from([1, 2, [1, 3]]),
        "validation_batch_size": st.sampled_from([None, 5]),
        "class_weight": st.just({0: 1.0, 1: 2.0}),
        "sample_weight": st.just(np.linspace(0.5, 2.0, 8, dtype="float32")),
    },
)


# Not shrunk: each example trains two models.
@settings(
    max_examples=20, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(
    kind=st.sampled_from(["sequential", "functional", "two outputs", "own fit"]),
    given_options=options,
    validation=st.sampled_from(["none", "data", "split"]),
    shape=st.sampled_from(["list", "tuple", "none"]),
    stop_at=st.sampled_from([None, 1, 4]),
    run_eagerly=st.booleans(),
    positional=st.booleans(),
)
def test_a_training_is_the_same_as_without_us(
    kind: str,
    given_options: dict[str, Any],
    validation: str,
    shape: str,
    stop_at: int | None,
    run_eagerly: bool,
    positional: bool,
) -> None:
    def train(is_attached: bool) -> Any:
        model, notes = make_model(kind, run_eagerly), []
        recorder = Recorder()
        if is_attached:
            attach(model, hooks=[recorder])
        users: list[Any] = [Order(notes, "first"), Order(notes, "second")]
        if stop_at is not None:
            left = [Doing("on_train_batch_end", lambda: None) for _ in range(stop_at - 1)]
            stop = Doing("on_train_batch_end", lambda: setattr(model, "stop_training", True))
            users.append(InTurns("on_train_batch_end", [*left, stop]))
        callbacks = {"list": users, "tuple": tuple(users), "none": None}[shape]
        y: Any = (X[:, 0] > 3).astype("float32")[:, None]
        changes = dict(given_options)
        if kind == "two outputs":
            y = {"one": y, "two": y}
            changes.pop("class_weight", None)
            changes.pop("sample_weight", None)
        if "class_weight" in changes:
            changes.pop("sample_weight", None)
        if validation == "data":
            changes["validation_data"] = (X, y)
        elif validation == "split" and kind != "two outputs":
            changes["validation_split"] = 0.25
        keras.utils.set_random_seed(1)
        try:
            if positional and kind != "own fit":
                batch_size, epochs, verbose = (changes.pop(each) for each in ("batch_size", "epochs", "verbose"))
                history = model.fit(X, y, batch_size, epochs, verbose, callbacks, **changes)
            else:
                history = model.fit(x=X, y=y, callbacks=callbacks, **changes)
            result: Any = (history.history, history.epoch, history.params, history is model.history)
        except (ValueError, TypeError, AttributeError, UnboundLocalError) as error:
            result = (type(error), str(error))
        if model.built:
            result = (result, [each.tolist() for each in weights(model)])
            evaluated = model.evaluate(X, y, return_dict=True, verbose=0)
            result = (result, evaluated, model.evaluate(X, y, batch_size=4, verbose=0))
        assert recorder.lifecycle.open_scopes == ()
        return result, notes, (recorder.counters("after_run") if is_attached else None)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        *bare, _ = train(is_attached=False)
        *attached, counted = train(is_attached=True)
    assert repr(attached) == repr(bare)
    done = [note for note in bare[1] if note[:2] == ("first", "on_train_batch_end")]
    if shape != "none" and counted and isinstance(bare[0][0][0], tuple):
        begins_at = given_options["initial_epoch"]
        epochs = [note[2][0] for note in bare[1] if note[:2] == ("first", "on_epoch_end")]
        assert counted[0][0] == (epochs[-1] + 1 if epochs else begins_at)
        assert counted[0][1] >= len(done)


@pytest.mark.parametrize("compiled", [{"run_eagerly": True}, {"jit_compile": False}, {"steps_per_execution": 1}])
def test_callbacks_are_taken_in_every_form_that_keras_takes(compiled: dict[str, Any], tmp_path: Path) -> None:
    model = build_for_copies()
    model.compile("sgd", "mse", **compiled)
    callback = attach(model)
    asked = [Asking() for _ in range(4)]
    fit(model, callbacks=asked[0])
    fit(model, callbacks=(asked[1],))
    fit(model, callbacks=[[asked[2]], (asked[3],)])
    assert [iters(each) for each in asked] == [[0, 1]] * 4
    model.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    other = type(model).from_config(model.get_config())
    other.set_weights(model.get_weights())
    assert np.array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))
    assert callback.runner.model is model


def test_wrong_arguments_are_named_as_without_us() -> None:
    def errors(model: Any) -> list[str]:
        found = []
        for call in (
            lambda: model.fit(X, X, wrong=1),
            lambda: model.evaluate(X, X, wrong=1),
            lambda: model.fit(X, X, 4, batch_size=4),
        ):
            with pytest.raises((TypeError, ValueError)) as caught:
                call()
            assert caught.value.__context__ is None
            found.append(f"{type(caught.value)}: {caught.value}")
        return found

    model = build()
    bare = errors(model)
    callback = attach(model)
    assert errors(model) == bare
    assert callback.runner.emitter.lifecycle.open_scopes == ()
    assert current_hub().get_info("iter") is None


# -- callbacks that others copy


def test_trials_that_copy_the_callback_have_a_hub_each() -> None:
    """As a tuner does: the callbacks are copied for each trial, also while another fit runs."""
    callback, hubs = RuntimeInfoCallback(experiment_name="search"), []

    def trial() -> None:
        mine = copy.deepcopy([callback, keras.callbacks.History()])
        model = build()
        fit(model, epochs=2, callbacks=mine)
        hubs.append(mine[0].message_hub)

    trial()
    model = build()
    fit(model, callbacks=[callback, Doing("on_train_batch_end", trial)])
    trial()
    assert [losses(hub) for hub in hubs] == [[3.5, 31.5] * 2] * 3
    assert losses(callback.message_hub) == [3.5, 31.5]
    assert len({id(hub) for hub in (*hubs, callback.message_hub)}) == 4
    assert current_hub().get_info("iter") is None


@pytest.mark.parametrize("is_attached", [True, False])
def test_the_callback_and_its_hubs_are_freed_where_the_model_is(is_attached: bool) -> None:
    model = build()
    callback, given = publishing(model, is_attached)
    fit(model, **given)
    first = weakref.ref(callback.message_hub)
    fit(model, **given)
    gc.collect()
    assert first() is None
