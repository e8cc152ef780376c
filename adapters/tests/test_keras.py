"""The adapter on Keras's real models, with the torch backend."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

from runtimeinfo import HookError, LoopError, RunnerError, StateError, TrainRunner, current_hub
from runtimeinfo.authoring import on_any_event
from runtimeinfo.spec import Lifecycle
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.keras import KerasRunner, RuntimeInfoCallback, attach, detach

pytestmark = [
    # Keras 3.15, of data without a length, at the end of each epoch
    pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning"),
    # Keras 3.15 on NumPy 2, where it reads its variables
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

X = np.arange(8, dtype="float32").reshape(8, 1)


@on_any_event(by="note")
class Recorder:
    """Notes each event with the counters, and that it is legal."""

    priority = "LOW"

    def __init__(self) -> None:
        self.notes: list[tuple[str, int, int]] = []
        self.arguments: list[dict[str, Any]] = []
        self.lifecycle = Lifecycle()

    def note(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:
        self.lifecycle.advance(event)
        assert threading.current_thread() is threading.main_thread()
        self.notes.append((event, runner.epoch, runner.iter))
        self.arguments.append(arguments)

    @property
    def events(self) -> list[str]:
        return [event for event, _, _ in self.notes]

    def of(self, event: str) -> list[tuple[int, int]]:
        return [(epoch, iteration) for each, epoch, iteration in self.notes if each == event]

    def given(self, event: str, argument: str) -> list[Any]:
        pairs = zip(self.events, self.arguments, strict=True)
        return [arguments[argument] for each, arguments in pairs if each == event]


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
    assert recorder.of("before_train_iter") == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert recorder.of("before_val") == [(0, 2), (1, 4)]
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
    assert recorder.of("before_train") == [(0, 0), (0, 0)]
    assert recorder.of("after_run") == [(2, 4), (1, 2)]


def test_a_training_can_begin_with_a_later_epoch() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    fit(model, initial_epoch=2, epochs=3)
    fit(model, initial_epoch=3, epochs=4)
    assert recorder.of("before_train") == [(2, 4), (3, 6)]
    assert recorder.of("after_train") == [(3, 6), (4, 8)]


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
    assert recorder.of("after_run") == [(1, 1)]


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
    assert recorder.of("after_run") == [(0, 0 if where == "train" else 2)]
    assert callback.message_hub.get_info("loop_stage") is None
    assert current_hub().get_info("epoch") is None
    model.loss.error = None
    fit(model)
    assert recorder.of("after_run")[-1] == (1, 2)


def test_a_validation_whose_exception_is_handled_leaves_the_training_open() -> None:
    recorder, model = Recorder(), build()
    attach(model, hooks=[recorder])
    model.loss.error, model.loss.where = ValueError("planned"), "val"

    def validate() -> None:
        with pytest.raises(ValueError, match="planned"):
            evaluate(model)

    fit(model, callbacks=[Doing("on_train_batch_end", validate)])
    assert recorder.events.count("on_exception") == 1
    assert recorder.of("after_run") == [(1, 2)]


# -- the callback alone


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
    assert alone.notes == guarded.notes


def test_the_callback_alone_learns_of_an_exception_when_the_next_fit_begins() -> None:
    recorder, model = Recorder(), build()
    callback = RuntimeInfoCallback(hooks=[recorder])
    model.loss.error, model.loss.where = ValueError("planned"), "train"
    with pytest.raises(ValueError, match="planned"):
        fit(model, callbacks=[callback])
    model.loss.error = None
    fit(model, callbacks=[callback])
    assert recorder.events.count("on_exception") == 1
    assert recorder.of("after_run") == [(0, 0), (1, 2)]
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
    assert recorder.of("before_train") == [(1, 2)]
    assert recorder.of("after_run") == [(2, 4)]
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
    assert recorder.of("before_train_epoch") == [(2, 4)]


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
    assert recorder.of("after_run") == [(1, 2)]
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
