"""The adapter on Ignite's real engines."""

from __future__ import annotations

import copy
import functools
import gc
import pickle
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import DeterministicEngine, Engine, Events, State, create_supervised_trainer
from ignite.handlers import (
    BasicTimeProfiler,
    Checkpoint,
    DiskSaver,
    EMAHandler,
    FastaiLRFinder,
    HandlersTimeProfiler,
    LRScheduler,
    ModelCheckpoint,
    PiecewiseLinear,
    TerminateOnNan,
)
from ignite.metrics import Accuracy, RunningAverage
from recorder import Recorder
from torch.utils.data import DataLoader, Dataset

from runtimeinfo import (
    HookError,
    LoopError,
    RunnerError,
    SkippedOutputWarning,
    StateError,
    TrainRunner,
    current_hub,
)
from runtimeinfo.authoring import resolve_hub
from runtimeinfo_adapters import MessageHub, ResumeWarning
from runtimeinfo_adapters import ignite as adapter
from runtimeinfo_adapters.ignite import IgniteRunner, RuntimeInfoCallback, attach, detach


class Named:
    def __init__(self, name: str, order: list[str], priority: str) -> None:
        self.name, self.order, self.priority = name, order, priority

    def before_train(self, runner: Any) -> None:
        self.order.append(self.name)


class Data(Dataset[Any]):
    metainfo = {"classes": ["cat", "dog"]}  # noqa: RUF012

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return torch.full((2,), float(index)), torch.tensor([float(index)])


class Unpausable(Engine):
    """An engine that can be copied while it runs: only one that can be interrupted runs in a generator."""

    interrupt_resume_enabled = False


def stream(length: int) -> Any:
    """Data without a length."""

    class Stream:
        def __iter__(self) -> Any:
            return iter(range(length))

    return Stream()


def loss_of(_engine: Engine, batch: Any) -> float:
    return float(batch)


def validating(metrics: Any = None) -> Engine:
    """An evaluator that has these metrics in its turn."""
    engine = Engine(lambda _, batch: batch)
    turns = iter(metrics or ())

    @engine.on(Events.EPOCH_COMPLETED)
    def _(engine: Engine) -> None:
        engine.state.metrics.update(next(turns, {}))

    return engine


def scalars(hub: Any, key: str) -> list[float]:
    return [float(value) for value in hub.get_scalar(key).data[0]]


# -- the run


def test_a_training_with_a_validation_after_each_epoch() -> None:
    recorder, evaluator = Recorder(), validating([{"acc": 0.5}, {"acc": 0.75}])
    trainer = Engine(loss_of)
    callback = attach(trainer, evaluators={"val": evaluator}, hooks=[recorder])
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([7]))
    trainer.run([1, 2], max_epochs=2)
    iteration = ["before_train_iter", "after_train_iter"]
    validation = ["before_val", "before_val_epoch", "before_val_iter", "after_val_iter", "after_val_epoch", "after_val"]
    epoch = ["before_train_epoch", *iteration * 2, "after_train_epoch", *validation]
    assert recorder.events == ["before_run", "before_train", *epoch * 2, "after_train", "after_run"]
    assert recorder.counters("before_train_iter") == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert recorder.counters("before_val") == [(1, 2), (2, 4)]
    assert scalars(callback.message_hub, "train/loss") == [1, 2, 1, 2]
    assert scalars(callback.message_hub, "val/acc") == [0.5, 0.75]
    assert callback.message_hub.get_info("loop_stage") is None
    assert callback.message_hub.get_info("max_epochs") == 2
    assert callback.message_hub.get_info("max_iters") == 4


def test_the_view_is_a_train_runner() -> None:
    callback = attach(Engine(loss_of), seed=3, experiment_name="named", cfg={"lr": 1})
    runner = callback.runner
    assert isinstance(runner, IgniteRunner)
    assert isinstance(runner, TrainRunner)
    assert (runner.seed, runner.experiment_name, runner.framework_name) == (3, "named", "ignite")
    assert '"lr": 1' in runner.cfg.pretty_text


def test_a_seed_that_ignite_knows_is_published() -> None:
    trainer = Engine(loss_of)
    callback = attach(trainer)
    trainer.state.seed = 11
    trainer.run([1])
    assert callback.message_hub.get_info("seed") == 11


def test_a_seed_that_the_engine_draws_as_it_starts_is_published() -> None:
    trainer = DeterministicEngine(lambda engine, batch: seen.append(current_hub().get_info("seed")))
    seen: list[Any] = []
    attach(trainer)
    trainer.run([1, 2])
    assert seen == [trainer.state.seed] * 2 != [None, None]


def test_a_component_finds_the_hub_in_the_step() -> None:
    seen = []

    def step(_engine: Engine, _batch: Any) -> None:
        hub = current_hub()
        seen.append(tuple(hub.get_info(key) for key in ("loop_stage", "epoch", "iter", "max_iters")))

    trainer = Engine(step)
    attach(trainer)
    trainer.run([1, 2], max_epochs=2)
    assert seen == [("train", 0, 0, 4), ("train", 0, 1, 4), ("train", 1, 2, 4), ("train", 1, 3, 4)]
    assert current_hub().get_info("loop_stage") is None


def test_the_metainfo_of_the_dataset_is_published() -> None:
    trainer = Engine(lambda engine, batch: None)
    callback = attach(trainer)
    trainer.run(DataLoader(Data()))
    assert callback.message_hub.get_info("dataset_meta") == Data.metainfo


def test_each_of_two_runs_counts_from_zero() -> None:
    recorder = Recorder()
    trainer = Engine(loss_of)
    attach(trainer, hooks=[recorder])
    trainer.run([1, 2], max_epochs=2)
    trainer.run([1, 2], max_epochs=2)
    trainer.state.max_epochs = None  # how Ignite wants it
    trainer.run([1, 2], max_epochs=1)
    assert recorder.counters("before_train") == [(0, 0), (0, 0), (0, 0)]
    assert recorder.counters("after_run") == [(2, 4), (2, 4), (1, 2)]


def test_a_run_that_is_prolonged_goes_on() -> None:
    recorder = Recorder()
    trainer = Engine(loss_of)
    callback = attach(trainer, hooks=[recorder])
    trainer.run([1, 2], max_epochs=1)
    trainer.run([1, 2], max_epochs=3)
    assert recorder.counters("before_train") == [(0, 0), (1, 2)]
    assert callback.message_hub.get_info("max_epochs") == 3


# -- where the handlers stand


def test_handlers_find_what_their_event_publishes() -> None:
    seen = []
    trainer = Engine(loss_of)

    @trainer.on(Events.STARTED | Events.EPOCH_STARTED | Events.COMPLETED)
    def _(engine: Engine) -> None:
        seen.append(
            (engine.last_event_name.name, current_hub().get_info("loop_stage"), current_hub().get_info("epoch"))
        )

    @trainer.on(Events.ITERATION_COMPLETED)
    def _() -> None:
        seen.append(scalars(current_hub(), "train/loss"))

    attach(trainer)  # after the handlers of the user
    trainer.run([5])
    assert seen == [("STARTED", "train", 0), ("EPOCH_STARTED", "train", 0), [5.0], ("COMPLETED", None, 1)]


def test_the_users_handlers_go_on_in_their_order() -> None:
    order: list[str] = []
    trainer = Engine(loss_of)
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: order.append("first"))
    attach(trainer)
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: order.append("second"))
    RunningAverage(output_transform=lambda output: output).attach(trainer, "average")
    trainer.run([2, 2], max_epochs=1)
    assert order == ["first", "second"] * 2
    assert trainer.state.metrics == {"average": 2}


def test_the_rate_is_that_of_the_iteration_with_ignites_schedulers() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.0)
    used = []
    trainer = Engine(lambda engine, batch: used.append(optimizer.param_groups[0]["lr"]))
    callback = attach(trainer, optimizer=optimizer)
    schedule = PiecewiseLinear(optimizer, "lr", milestones_values=[(0, 1.0), (4, 0.0)])
    trainer.add_event_handler(Events.ITERATION_STARTED, schedule)
    trainer.run(range(4))
    assert scalars(callback.message_hub, "train/lr") == used == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("event", [Events.ITERATION_STARTED, Events.ITERATION_COMPLETED])
def test_the_rate_is_that_of_the_iteration_with_torchs_schedulers(event: Any) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    used = []

    def step(_engine: Engine, _batch: Any) -> None:
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()

    trainer = Engine(step)
    callback = attach(trainer, optimizer={"main": optimizer})
    trainer.add_event_handler(event, LRScheduler(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)))
    trainer.run(range(3))
    assert scalars(callback.message_hub, "train/main.lr") == used


BATCH_BEGIN = [Events.GET_BATCH_STARTED, Events.GET_BATCH_COMPLETED, Events.ITERATION_STARTED]


@pytest.mark.parametrize("when", ["before attach", "after attach", "in a handler"])
@pytest.mark.parametrize("event", BATCH_BEGIN)
def test_iter_is_that_of_the_batch_for_all_handlers_of_its_begin(event: Any, when: str) -> None:
    trainer, seen = Engine(loss_of), []

    def register() -> None:
        trainer.add_event_handler(event, lambda: seen.append(current_hub().get_info("iter")))

    if when == "before attach":
        register()
    attach(trainer)
    if when == "after attach":
        register()
    if when == "in a handler":
        trainer.add_event_handler(Events.STARTED, register)
    trainer.run([1, 2], max_epochs=3)
    assert seen == [0, 1, 2, 3, 4, 5]


def test_iter_is_that_of_the_batch_without_data_and_while_it_is_fetched() -> None:
    trainer, seen = Engine(lambda engine, batch: 1.0), []
    attach(trainer)
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: seen.append(current_hub().get_info("iter")))
    trainer.run(epoch_length=2, max_epochs=2)
    assert seen == [0, 1, 2, 3]

    def fetched() -> Any:
        for _ in range(4):
            yield current_hub().get_info("iter")

    seen = []
    trainer = Engine(lambda engine, batch: seen.append(batch))
    attach(trainer)
    trainer.run(fetched(), max_epochs=2, epoch_length=2)
    assert seen == [0, 1, 2, 3]


def test_the_rate_is_that_of_the_iteration_with_a_scheduler_that_a_handler_registers() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=9.0)
    schedule = PiecewiseLinear(optimizer, "lr", milestones_values=[(0, 1.0), (4, 0.0)])
    trainer = Engine(lambda engine, batch: None)
    callback = attach(trainer, optimizer=optimizer)
    trainer.add_event_handler(
        Events.STARTED, lambda: trainer.add_event_handler(Events.ITERATION_STARTED, schedule) and None
    )
    trainer.run(range(4))
    assert scalars(callback.message_hub, "train/lr") == [1.0, 0.75, 0.5, 0.25]


def test_the_batch_is_the_one_that_the_handlers_have_prepared() -> None:
    recorder, trainer = Recorder(), Engine(loss_of)
    attach(trainer, hooks=[recorder])

    @trainer.on(Events.ITERATION_STARTED)
    def _(engine: Engine) -> None:
        engine.state.batch *= 10

    trainer.run([1, 2])
    assert recorder.given("before_train_iter", "data_batch") == [10, 20]
    assert recorder.given("before_train_iter", "batch_idx") == [0, 1]


def test_hooks_run_by_priority() -> None:
    order: list[str] = []
    trainer = Engine(loss_of)
    attach(trainer, hooks=[Named("late", order, "LOW"), Named("early", order, "HIGH"), Named("too", order, "LOW")])
    trainer.run([1])
    assert order == ["early", "late", "too"]


# -- where a validation sits


@pytest.mark.parametrize(
    ("event", "inside", "counters"),
    [
        (Events.STARTED, "before_train", (0, 0)),
        (Events.EPOCH_STARTED, "before_train_epoch", (0, 0)),
        (Events.ITERATION_COMPLETED(once=1), "after_train_iter", (0, 1)),
        (Events.EPOCH_COMPLETED, "after_train_epoch", (1, 2)),
        (Events.COMPLETED, "after_train", (1, 2)),
    ],
)
def test_a_validation_in_a_handler_lies_behind_the_event(event: Any, inside: str, counters: tuple[int, int]) -> None:
    recorder, evaluator = Recorder(), validating()
    trainer = Engine(loss_of)
    attach(trainer, evaluators={"val": evaluator}, hooks=[recorder])
    trainer.add_event_handler(event, lambda: evaluator.run([7]))
    trainer.run([1, 2])
    index = recorder.events.index("before_val")
    assert recorder.events[index - 1] == inside
    assert recorder.counters("before_val") == [counters]


def test_a_validation_in_the_step_lies_inside_the_iteration() -> None:
    recorder, evaluator = Recorder(), validating()
    trainer = Engine(lambda engine, batch: evaluator.run([7]) and None)
    attach(trainer, evaluators={"val": evaluator}, hooks=[recorder])
    trainer.run([1])
    assert recorder.events[3:5] == ["before_train_iter", "before_val"]
    assert recorder.counters("after_run") == [(1, 1)]


def test_a_lone_evaluator_is_a_run_of_its_own() -> None:
    recorder, evaluator = Recorder(), validating([{"acc": 1.0}])
    callback = attach(Engine(loss_of), evaluators={"test": evaluator}, hooks=[recorder])
    evaluator.run([1, 2])
    assert recorder.events[:3] == ["before_run", "before_test", "before_test_epoch"]
    assert recorder.events[-2:] == ["after_test", "after_run"]
    assert scalars(callback.message_hub, "test/acc") == [1.0]


def test_one_engine_of_both_roles_validates_inside_and_tests_alone() -> None:
    recorder, evaluator = Recorder(), validating()
    trainer = Engine(loss_of)
    attach(trainer, evaluators={"val": evaluator, "test": evaluator}, hooks=[recorder])
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([7]))
    trainer.run([1])
    evaluator.run([8])
    assert recorder.events.count("before_val") == recorder.events.count("before_test") == 1
    assert recorder.events.index("before_val") < recorder.events.index("before_test")


def test_several_evaluators_of_one_role() -> None:
    first, second = validating([{"a": 1.0}]), validating([{"b": 2.0}])
    trainer = Engine(loss_of)
    callback = attach(trainer, evaluators={"val": [first, second]})
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: (first.run([1]), second.run([1])))
    trainer.run([1])
    assert (scalars(callback.message_hub, "val/a"), scalars(callback.message_hub, "val/b")) == ([1.0], [2.0])


def test_an_evaluator_inside_another_one_is_not_heard() -> None:
    recorder, inner, outer = Recorder(), validating([{"b": 1.0}]), validating([{"a": 1.0}])
    callback = attach(Engine(loss_of), evaluators={"val": outer, "test": inner}, hooks=[recorder])
    outer.add_event_handler(Events.ITERATION_COMPLETED, lambda: inner.run([1]))
    outer.run([1, 2])
    assert recorder.events.count("after_val_iter") == 2
    assert "before_test" not in recorder.events
    assert scalars(callback.message_hub, "val/a") == [1.0]


def test_an_engine_that_is_not_named_is_not_heard() -> None:
    recorder, other = Recorder(), validating()
    trainer = Engine(loss_of)
    attach(trainer, hooks=[recorder])
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: other.run([7]))
    trainer.run([1])
    assert not [event for event in recorder.events if "val" in event]


# -- outputs and metrics


@pytest.mark.parametrize(
    ("output", "transform", "expected"),
    [
        (0.5, None, {"loss": 0.5}),
        (torch.tensor(0.5), None, {"loss": 0.5}),
        ({"a": 1.0, "b": 2}, None, {"a": 1.0, "b": 2}),
        (None, None, None),
        (("x", 0.5), lambda output: output[1], {"loss": 0.5}),
        (("x", 0.5), lambda output: {"second": output[1]}, {"second": 0.5}),
        (0.5, lambda output: None, None),
    ],
)
def test_outputs_are_published_by_name(output: Any, transform: Any, expected: Any) -> None:
    recorder, trainer = Recorder(), Engine(lambda engine, batch: output)
    attach(trainer, output_transform=transform, hooks=[recorder])
    trainer.run([1])
    assert recorder.given("after_train_iter", "outputs") == [expected]


@pytest.mark.parametrize("output", [("x", 0.5), [0.5, {"loss": 0.5}], []])
def test_an_output_that_is_left_out_is_named_once(output: Any) -> None:
    recorder, trainer = Recorder(), Engine(lambda engine, batch: output)
    attach(trainer, hooks=[recorder])
    with pytest.warns(
        SkippedOutputWarning, match="neither a mapping nor a scalar. Give attach.. an output_transform"
    ) as said:
        trainer.run([1, 2, 3])
    assert len(said) == 1
    assert recorder.given("after_train_iter", "outputs") == [None] * 3


class EpochInWorker(Dataset[float]):
    """Has the epoch that a worker sees as its items."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> float:
        return float(current_hub().get_info("epoch", -1))


def test_an_iterator_that_goes_on_over_epochs_lags_by_what_its_worker_fetches_ahead() -> None:
    seen: list[tuple[int, int, float]] = []

    def step(engine: Engine, batch: Any) -> None:
        index = (engine.state.iteration - 1) % 4
        seen.append((index, engine.state.epoch - 1, float(batch[0])))

    trainer = Engine(step)
    attach(trainer)
    trainer.run(DataLoader(EpochInWorker(), num_workers=1, prefetch_factor=2), max_epochs=3, epoch_length=4)
    assert len(seen) == 12
    assert all(found in {epoch, epoch - 1} for _, epoch, found in seen)
    assert all(found == epoch for index, epoch, found in seen if index >= 2 or epoch == 0)


NAN = float("nan")


# MONAI's trainers decollate their output: a list with a mapping for each sample, and the loss of the batch in each.
@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([{"loss": 0.5}, {"loss": 0.5}], {"loss": 0.5}),
        (({"loss": 0.5, "image": torch.ones(2)},), {"loss": 0.5}),
        ([{"loss": torch.tensor(0.5), "label": 1}, {"loss": torch.tensor([0.5]), "label": 2}], {"loss": 0.5}),
        ([{"loss": 0.5}, {"loss": 0.5, "other": 1.0}], {"loss": 0.5}),
        ([{"loss": 0.5, "other": 1.0}, {"loss": 0.5, "other": "text"}], {"loss": 0.5}),
        ([{"loss": 0.5, "text": "a"}, {"loss": 0.5, "text": "a"}], {"loss": 0.5}),
        (
            [{"loss": float("nan")}, {"loss": torch.tensor(float("nan"))}],
            {"loss": pytest.approx(float("nan"), nan_ok=True)},
        ),
        ([{"loss": 0.5}, {"loss": NAN}], {}),
        ([{}, {}], {}),
    ],
)
@pytest.mark.parametrize("by_transform", [False, True])
@pytest.mark.filterwarnings("ignore::runtimeinfo.SkippedOutputWarning")
def test_values_common_to_all_samples_are_published(samples: Any, expected: Any, by_transform: bool) -> None:
    recorder, trainer = Recorder(), Engine(lambda engine, batch: None if by_transform else samples)
    attach(trainer, output_transform=(lambda _: samples) if by_transform else None, hooks=[recorder])
    trainer.run([1])
    assert recorder.given("after_train_iter", "outputs") == [expected]


def test_a_name_in_which_samples_differ_is_said_once_and_never_published() -> None:
    batches = [[{"loss": 0.5, "label": label, "image": "x"} for label in labels] for labels in ([1, 2], [3, 3], [4])]
    trainer = Engine(lambda engine, batch: batch)
    callback = attach(trainer)
    with pytest.warns(SkippedOutputWarning, match=r"^'label', 'image' of the trainer's output: not published") as said:
        trainer.run(batches)
    assert len(said) == 1
    assert scalars(callback.message_hub, "train/loss") == [0.5] * 3
    assert set(callback.message_hub.log_scalars) == {"train/loss"}


def test_values_of_samples_hold_no_graph() -> None:
    recorder, loss = Recorder(), torch.ones((), requires_grad=True)
    trainer = Engine(lambda engine, batch: [{"loss": loss * batch}] * 2)
    attach(trainer, hooks=[recorder])
    trainer.run([2.0])
    assert not recorder.given("after_train_iter", "outputs")[0]["loss"].requires_grad


def test_a_transform_that_returns_nonsense_is_named() -> None:
    trainer = Engine(loss_of)
    attach(trainer, output_transform=lambda output: [output])
    with pytest.raises(RunnerError, match=r"output_transform must return .* but returned list: return .*\[SCALAR-04\]"):
        trainer.run([1])


def test_outputs_hold_no_graph() -> None:
    recorder, weight = Recorder(), torch.ones((), requires_grad=True)
    trainer = Engine(lambda engine, batch: {"loss": weight * batch})
    attach(trainer, hooks=[recorder])
    trainer.run([2.0])
    assert not recorder.given("after_train_iter", "outputs")[0]["loss"].requires_grad
    assert trainer.state.output["loss"].requires_grad  # the user's own is left alone


def test_the_loss_is_undivided_and_iterations_are_batches_under_accumulation() -> None:
    model = torch.nn.Linear(2, 1)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    trainer = create_supervised_trainer(model, optimizer, torch.nn.functional.mse_loss, gradient_accumulation_steps=2)
    callback = attach(trainer, optimizer=optimizer)
    trainer.run(DataLoader(Data()))
    assert scalars(callback.message_hub, "train/loss") == [0.0, 1.0, 4.0, 9.0]
    assert callback.message_hub.get_info("iter") == 4


def test_metrics_are_those_of_this_validation_alone() -> None:
    recorder = Recorder()
    evaluator = validating([{"a": 1, "b": True}, {"a": 1}, {}])
    attach(Engine(loss_of), evaluators={"val": evaluator}, hooks=[recorder])
    for _ in range(3):
        evaluator.run([1])
    # Equal, and even the same object, but computed again: it is published again.
    assert recorder.given("after_val_epoch", "metrics") == [{"a": 1, "b": True}, {"a": 1}, {}]
    assert evaluator.state.metrics == {"a": 1, "b": True}  # what the user finds is left as it was


def test_metrics_of_ignite_are_complete() -> None:
    evaluator = Engine(lambda engine, batch: batch)
    callback = attach(Engine(loss_of), evaluators={"val": evaluator})
    Accuracy().attach(evaluator, "accuracy")  # registered after ours
    evaluator.run([(torch.tensor([0, 1]), torch.tensor([0, 0]))])
    assert scalars(callback.message_hub, "val/accuracy") == [0.5]


def test_metrics_that_the_user_replaces_are_all_of_this_validation() -> None:
    recorder, evaluator = Recorder(), Engine(lambda engine, batch: batch)
    attach(Engine(loss_of), evaluators={"val": evaluator}, hooks=[recorder])

    @evaluator.on(Events.EPOCH_COMPLETED)
    def _(engine: Engine) -> None:
        engine.state.metrics = {"own": 1.0}

    evaluator.run([1])
    assert recorder.given("after_val_epoch", "metrics") == [{"own": 1.0}]


def test_the_metrics_are_a_dict_like_any_other() -> None:
    evaluator = validating([{"a": 1.0}])
    attach(Engine(loss_of), evaluators={"val": evaluator})
    metrics: Any = evaluator.run([1]).metrics
    assert metrics == copy.deepcopy(metrics) == pickle.loads(pickle.dumps(metrics)) == {"a": 1.0}
    metrics |= {"b": 2.0}
    assert metrics.setdefault("c", 3.0) == 3.0
    assert metrics.setdefault("a", 9.0) == 1.0
    assert dict(metrics) == {"a": 1.0, "b": 2.0, "c": 3.0}


# -- how long it is


def test_a_stream_has_no_length_until_its_first_epoch_has_ended() -> None:
    recorder, trainer = Recorder(), Engine(loss_of)
    callback = attach(trainer, hooks=[recorder])
    seen = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: seen.append(current_hub().get_info("max_iters", "nothing")))
    trainer.run(stream(3), max_epochs=2)
    assert callback.message_hub.get_info("max_epochs") == 2
    assert seen == [None, 6]  # the first epoch has shown it
    assert recorder.counters("after_run") == [(2, 6)]


def totals_by_epoch(trainer: Engine) -> list[Any]:
    """Note max_epochs and max_iters of the hub as each epoch begins, which are those of the runner."""
    seen: list[Any] = []

    def note() -> None:
        runner = callback_of(trainer).runner
        totals = [current_hub().get_info(name, "none") for name in ("max_epochs", "max_iters")]
        assert totals == [runner.max_epochs, runner.max_iters]
        seen.append(tuple(totals))

    trainer.add_event_handler(Events.EPOCH_STARTED, note)
    trainer.add_event_handler(Events.COMPLETED, note)
    return seen


def test_totals_follow_a_handler_that_changes_them() -> None:
    trainer: Any = Engine(loss_of)
    attach(trainer)
    seen = totals_by_epoch(trainer)

    @trainer.on(Events.EPOCH_COMPLETED(once=1))
    def _() -> None:
        trainer.state.max_epochs = 4

    @trainer.on(Events.EPOCH_STARTED(once=3))
    def _() -> None:
        trainer.state.epoch_length = 5

    trainer.run([1, 2, 3], max_epochs=2)
    assert seen == [(2, 6), (4, 12), (4, 12), (4, 16), (4, 16)]
    assert trainer.state.iteration == 16


def test_an_epoch_that_a_handler_makes_longer_in_its_middle_has_a_new_total() -> None:
    trainer: Any = Engine(loss_of)
    attach(trainer)
    seen = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(current_hub().get_info("max_iters")))

    @trainer.on(Events.ITERATION_COMPLETED(once=2))
    def _() -> None:
        trainer.state.epoch_length = 4

    trainer.run([1, 2, 3], max_epochs=2)
    assert seen == [6, 6, 6, 8, 8, 8, 8, 8]


def test_the_total_is_withdrawn_if_data_are_longer_than_they_say() -> None:
    class Longer:
        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Any:
            return iter(range(3))

    trainer: Any = Engine(loss_of)
    attach(trainer)
    trainer.set_data(Longer())  # where Ignite does not look at the length
    seen = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(current_hub().get_info("max_iters")))
    trainer.run(iter([]), max_epochs=2)
    assert seen == [4, 4, None, 6, 6, 6]  # Ignite has counted the first epoch


@pytest.mark.parametrize("event", [Events.STARTED, Events.EPOCH_STARTED, Events.ITERATION_COMPLETED(once=2)])
def test_data_that_are_set_during_the_run_change_no_counter(event: Any) -> None:
    following = Following()
    trainer = following.trainer
    trainer.add_event_handler(event, lambda: trainer.set_data([7] * 5))
    trainer.run([1, 2, 3], max_epochs=2)
    assert following.seen == [(i // 3, i) for i in range(6)]
    assert following.callback.message_hub.get_info("max_iters") == 6


def test_max_iters_that_end_in_mid_epoch_close_it() -> None:
    recorder, trainer = Recorder(), Engine(loss_of)
    callback = attach(trainer, hooks=[recorder])
    trainer.run([1, 2, 3], max_iters=5)
    assert recorder.events[-4:] == ["after_train_iter", "after_train_epoch", "after_train", "after_run"]
    assert recorder.counters("after_run") == [(2, 5)]
    assert callback.message_hub.get_info("max_epochs", "nothing") is None
    assert callback.message_hub.get_info("max_iters") == 5


def test_a_training_without_data() -> None:
    trainer = Engine(lambda engine, batch: 1.0)
    callback = attach(trainer)
    trainer.run(epoch_length=2, max_epochs=2)
    assert callback.message_hub.get_info("max_iters") == 4
    assert scalars(callback.message_hub, "train/loss") == [1.0] * 4


# -- early ends


@pytest.mark.parametrize("skip_completed", [False, True])
def test_a_terminated_training_closes_all_scopes(skip_completed: bool) -> None:
    recorder, trainer = Recorder(), Engine(loss_of)
    attach(trainer, hooks=[recorder])
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), lambda: trainer.terminate(skip_completed))
    trainer.run([1, 2], max_epochs=5)
    assert recorder.events[-4:] == ["after_train_iter", "after_train_epoch", "after_train", "after_run"]
    assert "on_exception" not in recorder.events
    assert recorder.counters("after_run") == [(2, 3)]


def test_an_iteration_that_is_terminated_as_it_begins_does_not_count() -> None:
    recorder, trainer = Recorder(), Engine(loss_of)
    attach(trainer, hooks=[recorder])
    trainer.add_event_handler(Events.ITERATION_STARTED(once=2), lambda: trainer.terminate())
    trainer.run([1, 2, 3])
    assert recorder.events.count("before_train_iter") == recorder.events.count("after_train_iter") == 1
    assert recorder.counters("after_run") == [(1, 1)]


@pytest.mark.parametrize("skip_epoch_completed", [False, True])
def test_a_terminated_epoch_is_followed_by_the_next_one(skip_epoch_completed: bool) -> None:
    recorder, trainer = Recorder(), Engine(loss_of)
    attach(trainer, hooks=[recorder])
    end_epoch = Events.ITERATION_COMPLETED(once=1)
    trainer.add_event_handler(end_epoch, lambda: trainer.terminate_epoch(skip_epoch_completed))
    trainer.run([1, 2], max_epochs=2)
    assert recorder.counters("before_train_epoch") == [(0, 0), (1, 1)]
    assert recorder.counters("before_train_iter") == [(0, 0), (1, 1), (1, 2)]


def test_a_terminated_validation_has_no_metrics() -> None:
    recorder, evaluator = Recorder(), validating([{"a": 1.0}])
    trainer = Engine(loss_of)
    attach(trainer, evaluators={"val": evaluator}, hooks=[recorder])
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda: evaluator.terminate())
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), lambda: evaluator.run([1, 2]))
    trainer.run([1, 2])
    assert recorder.given("after_val_epoch", "metrics") == [None]
    assert recorder.counters("after_run") == [(1, 2)]


@pytest.mark.parametrize("event", [Events.ITERATION_STARTED, Events.ITERATION_COMPLETED, Events.GET_BATCH_COMPLETED])
@pytest.mark.parametrize("at", [2, 3, 4])
def test_an_interrupted_run_pauses_and_goes_on_in_the_same_epoch(event: Any, at: int) -> None:
    recorder, trainer = Recorder(), Engine(loss_of)
    callback = attach(trainer, hooks=[recorder])
    if event is Events.GET_BATCH_COMPLETED:
        at -= 1  # which counts the iterations before
    trainer.add_event_handler(event(event_filter=lambda engine, n: n == at), lambda: trainer.interrupt())
    trainer.run([1, 2, 3], max_epochs=2)
    assert recorder.events[-1] == "after_run"
    assert callback.message_hub.get_info("loop_stage") is None
    trainer.run([1, 2, 3], max_epochs=2)
    assert recorder.counters("after_run")[-1] == (2, 6)
    outputs = recorder.given("after_train_iter", "outputs")
    assert [output["loss"] for output in outputs if output is not None] == [1, 2, 3, 1, 2, 3]
    assert not [epoch for epoch, iteration in recorder.counters("before_train_iter") if epoch != iteration // 3]


class Following:
    """Compares the hub with the trainer's state in each step, and counts what was completed."""

    def __init__(self, **options: Any) -> None:
        self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        self.trainer: Any = Engine(self.step)
        self.recorder = Recorder()
        self.callback = attach(self.trainer, optimizer=self.optimizer, hooks=[self.recorder], **options)
        self.seen: list[tuple[int, int]] = []
        self.in_step: Callable[[], Any] = lambda: None

    def step(self, engine: Engine, _batch: Any) -> float:
        hub, state = current_hub(), engine.state
        assert (hub.get_info("epoch"), hub.get_info("iter")) == (state.epoch - 1, state.iteration - 1)
        self.seen.append((state.epoch - 1, state.iteration - 1))
        self.in_step()
        return float(state.iteration)

    def assert_one_value_an_iteration(self, completed: int) -> None:
        hub = self.callback.message_hub
        assert len(scalars(hub, "train/lr")) == len(scalars(hub, "train/loss")) == completed


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("event", [*BATCH_BEGIN, "step", Events.ITERATION_COMPLETED])
def test_counters_follow_ignite_when_an_epoch_is_terminated(event: Any, skip: bool) -> None:
    following = Following()
    trainer = following.trainer

    def end_epoch() -> None:
        if trainer.state.epoch == 1 and trainer.state.iteration == 2:
            trainer.terminate_epoch(skip)

    if event == "step":
        following.in_step = end_epoch
    else:
        trainer.add_event_handler(event, end_epoch)
    trainer.run([1, 2, 3, 4], max_epochs=3)
    is_begun = event is Events.ITERATION_STARTED  # Ignite counts it, and does not run it
    done = 1 if is_begun else 2
    first = 2
    assert following.seen == [(0, i) for i in range(done)] + [(1 + i // 4, first + i) for i in range(8)]
    assert following.recorder.counters("before_train_iter") == following.seen
    assert following.recorder.counters("after_run") == [(3, 10)]
    assert following.callback.message_hub.get_info("max_iters") == 10
    following.assert_one_value_an_iteration(done + 8)


def test_an_exception_that_the_user_swallows_leaves_no_rate_behind() -> None:
    following = Following()
    trainer = following.trainer
    following.in_step = lambda: 1 / (trainer.state.iteration - 2)
    trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda error: None)
    trainer.run([1, 2, 3], max_epochs=2)
    assert following.seen == [(0, 0), (0, 1), (1, 2), (1, 3), (1, 4)]
    following.assert_one_value_an_iteration(4)
    assert [type(error) for error in following.recorder.given("on_exception", "exception")] == [ZeroDivisionError]


# -- exceptions


@pytest.mark.parametrize("error", [ValueError("planned"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("where", ["step", "handler", "validation"])
def test_an_exception_comes_out_as_it_is_and_closes_all_scopes(error: BaseException, where: str) -> None:
    def fail(*_: Any) -> None:
        raise error

    recorder = Recorder()
    evaluator = Engine(fail if where == "validation" else loss_of)
    trainer = Engine(fail if where == "step" else loss_of)
    callback = attach(trainer, evaluators={"val": evaluator}, hooks=[recorder])
    if where == "handler":
        trainer.add_event_handler(Events.ITERATION_STARTED, fail)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: evaluator.run([1]))
    with pytest.raises(type(error)) as caught:
        trainer.run([1, 2])
    assert caught.value is error
    assert recorder.events.count("on_exception") == 1
    assert recorder.given("on_exception", "exception") == [error]
    assert recorder.events[-3:] == ["after_train_epoch", "after_train", "after_run"]
    assert recorder.counters("after_run") == [(0, 1 if where == "validation" else 0)]
    assert callback.message_hub.get_info("loop_stage") is None
    assert current_hub().get_info("epoch") is None


def test_a_validation_whose_exception_is_handled_leaves_the_training_open() -> None:
    recorder = Recorder()
    evaluator, trainer = Engine(lambda engine, batch: 1 / 0), Engine(loss_of)
    attach(trainer, evaluators={"val": evaluator}, hooks=[recorder])

    @trainer.on(Events.ITERATION_COMPLETED(once=1))
    def _() -> None:
        with pytest.raises(ZeroDivisionError):
            evaluator.run([1])

    trainer.run([1, 2])
    assert recorder.events.count("on_exception") == 1
    assert recorder.counters("after_run") == [(1, 2)]


def test_no_handler_swallows_exceptions() -> None:
    trainer, evaluator = Engine(loss_of), Engine(loss_of)
    attach(trainer, evaluators={"val": evaluator})
    for engine in (trainer, evaluator):
        assert Events.EXCEPTION_RAISED not in engine._event_handlers


def test_an_iteration_whose_exception_the_user_swallows_does_not_count() -> None:
    recorder, seen = Recorder(), []
    trainer = Engine(lambda engine, batch: 1 / (batch - 2))
    attach(trainer, hooks=[recorder])
    trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: seen.append(error))
    trainer.run([1, 2, 3])
    assert [type(error) for error in seen] == [ZeroDivisionError]
    assert recorder.counters("after_run") == [(1, 1)]


def test_a_hook_that_fails_ends_the_run() -> None:
    class Failing:
        priority = "LOW"

        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            raise OSError("disk full")

    recorder, trainer = Recorder(), Engine(loss_of)
    attach(trainer, hooks=[recorder, Failing()])
    with pytest.raises(OSError, match="disk full"):
        trainer.run([1])
    assert recorder.events[-1] == "after_run"
    assert recorder.counters("after_run") == [(0, 0)]


def test_after_an_exception_the_training_goes_on_where_ignite_does() -> None:
    recorder, failing = Recorder(), [True]

    def step(engine: Engine, batch: Any) -> float:
        if engine.state.iteration == 2 and failing.pop():
            raise ValueError("planned")
        return float(batch)

    trainer = Engine(step)
    attach(trainer, hooks=[recorder])
    with pytest.raises(ValueError, match="planned"):
        trainer.run([1, 2, 3], max_epochs=2)
    trainer.run([1, 2, 3], max_epochs=2)  # Ignite 0.5.5 does nothing at all in this one
    trainer.run([1, 2, 3], max_epochs=2)
    assert recorder.counters("before_train") == [(0, 0), (1, 2)]  # it counts what was aborted


# -- whose hub


@pytest.mark.parametrize("ending", ["interrupt", "terminate", "exception", "max_epochs"])
def test_a_training_that_goes_on_keeps_its_hub(ending: str) -> None:
    following = Following()
    trainer, callback = following.trainer, following.callback

    def stop() -> None:
        if ending == "exception":
            raise ValueError("planned")
        if ending != "max_epochs":
            getattr(trainer, ending)()

    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), stop)
    with suppress(ValueError):
        trainer.run([1, 2, 3], max_epochs=1 if ending == "max_epochs" else 3)
    hub = callback.message_hub
    if ending == "exception":
        trainer.run([1, 2, 3], max_epochs=3)  # Ignite 0.5.5 does nothing at all in this one
    trainer.run([1, 2, 3], max_epochs=3)
    assert callback.message_hub is hub
    following.assert_one_value_an_iteration(len(following.seen))
    assert trainer.state.epoch == 3
    assert hub.get_info("max_iters") == trainer.state.iteration


@pytest.mark.parametrize("ending", [None, "terminate", "interrupt"])
def test_a_training_that_begins_from_its_start_has_a_new_hub(ending: str | None) -> None:
    following = Following()
    trainer, callback = following.trainer, following.callback
    early = callback.message_hub
    if ending is not None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), getattr(trainer, ending))
    trainer.run([1, 2])
    assert callback.message_hub is early  # a hub that is not in use yet stays
    trainer.state.max_epochs = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.run([1, 2])
    late = callback.message_hub
    assert late is not early
    assert len(scalars(early, "train/loss")) == (2 if ending is None else 1)
    assert early.get_info("loop_stage") is late.get_info("loop_stage") is None


def test_a_hub_that_was_given_is_appended_to() -> None:
    hub, trainer = MessageHub("test-ignite-given"), Engine(loss_of)
    callback = attach(trainer, hub=hub)
    trainer.run([1, 2])
    trainer.run([1, 2])
    assert callback.message_hub is hub
    assert scalars(hub, "train/loss") == [1, 2, 1, 2]


def test_a_callback_for_another_trainer_has_a_new_hub_also_if_that_was_resumed() -> None:
    first, second = Engine(loss_of), Engine(loss_of)
    callback = attach(first)
    first.run([1, 2])
    early = callback.message_hub
    callback.detach()
    callback.attach(first)
    assert callback.message_hub is early
    callback.detach()
    second.load_state_dict({"iteration": 2, "max_epochs": 2, "epoch_length": 2})
    callback.attach(second)
    second.run([1, 2])
    assert callback.message_hub is not early
    assert callback.message_hub.get_info("iter") == 4
    assert len(scalars(early, "train/loss")) == len(scalars(callback.message_hub, "train/loss")) == 2


def test_a_lone_evaluation_publishes_into_the_hub_that_there_is() -> None:
    trainer, evaluator = Engine(loss_of), validating([{"a": 1.0}] * 3)
    callback = attach(trainer, evaluators={"val": evaluator})
    evaluator.run([1])
    before = callback.message_hub
    trainer.run([1])
    training = callback.message_hub
    evaluator.run([1])
    assert callback.message_hub is training is not before
    assert set(before.log_scalars) == {"val/a"}
    assert set(training.log_scalars) == {"train/loss", "val/a"}


def test_a_run_that_fails_before_it_begins_publishes_nothing() -> None:
    recorder, trainer = Recorder(), Engine(loss_of)
    callback = attach(trainer, hooks=[recorder])
    with pytest.raises(ValueError, match="zero size"):
        trainer.run([])
    assert recorder.events == []
    assert resolve_hub() is not callback.message_hub
    trainer.run([1])
    assert recorder.counters("after_run") == [(1, 1)]


def test_the_trials_of_a_finder_are_not_in_the_training_after_it() -> None:
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step(_engine: Engine, _batch: Any) -> float:
        optimizer.zero_grad()
        loss = (model(torch.ones(1, 1)) - 1).square().mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    trainer: Any = Engine(step)
    callback, finder = attach(trainer, optimizer=optimizer), FastaiLRFinder()
    parts = {"model": model, "optimizer": optimizer}
    with (
        pytest.warns(UserWarning, match="without loss diverging"),
        finder.attach(trainer, to_save=parts, num_iter=6, end_lr=0.1) as trial,
    ):
        trial.run(range(4))
    trainer.run(range(4), max_epochs=2)
    hub = callback.message_hub
    assert len(scalars(hub, "train/loss")) == len(scalars(hub, "train/lr")) == 8
    assert set(scalars(hub, "train/lr")) == {1e-3}
    assert [hub.get_info(key) for key in ("epoch", "iter", "max_epochs", "max_iters")] == [2, 8, 2, 8]


# -- resume


@pytest.mark.parametrize("loads_the_callback", [False, True])
def test_a_checkpoint_that_a_handler_of_started_loads_is_gone_on_from(loads_the_callback: bool) -> None:
    first = Following(seed=1)
    states: list[Any] = []
    first.trainer.add_event_handler(
        Events.ITERATION_COMPLETED(once=4),
        lambda: states.extend([first.trainer.state_dict(), first.callback.state_dict()]),
    )
    first.trainer.run([1, 2, 3], max_epochs=3)
    following = Following(seed=2)
    trainer, callback = following.trainer, following.callback

    def load() -> None:
        trainer.load_state_dict(states[0])
        if loads_the_callback:
            callback.load_state_dict(states[1])

    trainer.add_event_handler(Events.STARTED, load)
    trainer.add_event_handler(Events.STARTED, lambda: stages.append(current_hub().get_info("loop_stage")))
    stages: list[Any] = []
    trainer.run([1, 2, 3], max_epochs=3)
    assert following.seen == [(1, 4), (1, 5), (2, 6), (2, 7), (2, 8)]
    assert following.recorder.given("before_train_iter", "batch_idx") == [1, 2, 0, 1, 2]
    assert following.recorder.counters("after_run") == [(3, 9)]
    assert stages == ["train"]
    hub = callback.message_hub
    assert (hub.get_info("seed"), hub.get_info("max_iters")) == (2, 9)
    following.assert_one_value_an_iteration(9 if loads_the_callback else 5)


def test_batches_of_an_epoch_without_a_length_go_on_counting() -> None:
    states: list[Any] = []
    first, data = Engine(loss_of), stream(3)
    saved = attach(first)
    first.add_event_handler(Events.ITERATION_COMPLETED(once=5), lambda: states.append(saved.state_dict()))

    @first.on(Events.EPOCH_COMPLETED)
    def _() -> None:
        first.state.epoch_length = None
        first.set_data(data)

    first.run(data, max_epochs=2)
    recorder, trainer = Recorder(), Engine(loss_of)
    callback = attach(trainer, hooks=[recorder])
    callback.load_state_dict(states[0])
    trainer.state.epoch, trainer.state.iteration, trainer.state.max_epochs = 1, 5, 2
    trainer.run(stream(1))
    assert recorder.given("before_train_iter", "batch_idx") == [2]


def test_a_finished_training_that_is_loaded_begins_again_with_a_warning() -> None:
    following = Following()
    following.trainer.run([1, 2], max_epochs=2)
    states = following.trainer.state_dict(), following.callback.state_dict()
    again = Following()
    again.trainer.load_state_dict(states[0])
    again.callback.load_state_dict(states[1])
    with pytest.warns(ResumeWarning, match="had come to its end, and Ignite begins a new one"):
        again.trainer.run([1, 2], max_epochs=2)
    assert again.seen == [(0, 0), (0, 1), (1, 2), (1, 3)]
    again.assert_one_value_an_iteration(4)


@pytest.mark.parametrize("kind", [Engine, DeterministicEngine])
def test_data_that_begin_again_in_mid_epoch_are_named(kind: type[Engine]) -> None:
    trainer = kind(lambda engine, batch: None)
    attach(trainer)
    trainer.load_state_dict({"iteration": 6, "max_epochs": 3, "epoch_length": 4, "rng_states": None})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trainer.run(DataLoader(Data()))
    said = [each for each in said if each.category is ResumeWarning]
    assert len(said) == (kind is Engine)
    assert all(
        "inside epoch 2, but begins with the first batch of its DataLoader" in str(each.message) for each in said
    )


def test_a_checkpoint_of_ignite_holds_hub_and_counters(tmp_path: Path) -> None:
    def build() -> tuple[Engine, RuntimeInfoCallback, Recorder]:
        recorder, trainer = Recorder(), Engine(loss_of)
        return trainer, attach(trainer, hooks=[recorder]), recorder

    trainer, callback, _ = build()
    parts = {"trainer": trainer, "runtimeinfo": callback}
    saver = Checkpoint(parts, DiskSaver(str(tmp_path)), filename_pattern="{global_step}.pt", n_saved=None)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, saver)
    trainer.run([1, 2, 3], max_epochs=2)
    for step in (3, 4):  # at the end of an epoch, and in the middle of one
        trainer, callback, recorder = build()
        Checkpoint.load_objects({"trainer": trainer, "runtimeinfo": callback}, str(tmp_path / f"{step}.pt"))
        assert callback.message_hub.get_info("loop_stage") is None
        assert scalars(callback.message_hub, "train/loss") == [1, 2, 3, 1][:step]
        trainer.run([1, 2, 3] if step == 3 else [2, 3], max_epochs=2, epoch_length=3)
        assert recorder.counters("before_train") == [(1, step)]
        assert recorder.counters("after_run") == [(2, 6)]
        assert recorder.given("before_train_iter", "batch_idx") == [0, 1, 2][step - 3 :]


def test_a_state_alone_brings_its_counters() -> None:
    first, second = Engine(loss_of), Engine(loss_of)
    saved = attach(first)
    first.run([1, 2])
    recorder = Recorder()
    attach(second, hooks=[recorder]).load_state_dict(saved.state_dict())
    second.run([1, 2])
    assert recorder.counters("before_train") == [(1, 2)]


def test_the_trainer_alone_brings_its_counters() -> None:
    recorder, trainer = Recorder(), Engine(loss_of)
    attach(trainer, hooks=[recorder])
    trainer.load_state_dict({"iteration": 4, "max_epochs": 3, "epoch_length": 2})
    trainer.run([1, 2])
    assert recorder.counters("before_train") == [(2, 4)]


def test_an_iteration_that_is_saved_from_inside_counts_as_done() -> None:
    states = []
    trainer = Engine(lambda engine, batch: states.append(callback.state_dict()))
    callback = attach(trainer)
    trainer.run([1, 2])
    assert [state["iter"] for state in states] == [1, 2]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"iter": -1}, "iter"),
        ({"epoch": True}, "epoch"),
        ({"version": 9}, "version"),
        ({"message_hub": {"version": 0}}, "message_hub"),
    ],
)
def test_a_damaged_state_changes_nothing(change: dict[str, Any], field: str) -> None:
    callback = attach(Engine(loss_of))
    before = callback.state_dict()
    with pytest.raises(StateError) as caught:
        callback.load_state_dict({**before, **change})
    assert caught.value.field.startswith(field)
    assert callback.state_dict() == before


@pytest.mark.parametrize(("state", "match"), [(None, "must be a mapping"), ({}, "version must be an int")])
def test_a_state_of_the_wrong_form_is_refused(state: Any, match: str) -> None:
    with pytest.raises(StateError, match=match):
        RuntimeInfoCallback().load_state_dict(state)


def test_a_state_without_its_hub_is_refused() -> None:
    with pytest.raises(StateError, match="message_hub is missing"):
        RuntimeInfoCallback().load_state_dict({"version": 1, "epoch": 0, "iter": 0})


def test_loading_inside_the_training_is_refused() -> None:
    trainer = Engine(lambda engine, batch: callback.load_state_dict(callback.state_dict()))
    callback = attach(trainer)
    with pytest.raises(LoopError, match=r"call load_state_dict\(\) before trainer\.run"):
        trainer.run([1])


# -- to attach, and to detach


def test_a_hub_of_the_user_is_published_to() -> None:
    hub = MessageHub("test-ignite-own")
    trainer = Engine(loss_of)
    assert attach(trainer, hub=hub).message_hub is hub
    trainer.run([1])
    assert scalars(hub, "train/loss") == [1.0]


def test_a_trainer_attached_twice_publishes_once() -> None:
    trainer, evaluator = Engine(loss_of), validating([{"a": 1.0}] * 2)
    old = attach(trainer, evaluators={"val": evaluator})
    new = attach(trainer, evaluators={"val": evaluator})
    trainer.run([1])
    evaluator.run([1])
    assert scalars(new.message_hub, "train/loss") == scalars(new.message_hub, "val/a") == [1.0]
    assert dict(old.message_hub.log_scalars) == {}
    old.detach()  # which it is already
    trainer.run([1])
    assert scalars(new.message_hub, "train/loss") == [1.0]


def test_detached_engines_are_as_they_were() -> None:
    trainer, evaluator = Engine(loss_of), Engine(loss_of)
    before = [(dict(vars(engine)), engine.run) for engine in (trainer, evaluator)]
    callback = attach(trainer, evaluators={"val": evaluator})
    callback.detach()
    for engine, (attributes, run) in zip((trainer, evaluator), before, strict=True):
        assert set(vars(engine)) == set(attributes)
        assert engine.run == run
        assert not any(engine._event_handlers.values())
    assert callback.attach(trainer).runner is not None


def test_a_run_that_other_code_has_wrapped_stays_wrapped() -> None:
    trainer, calls = Engine(loss_of), []
    callback = attach(trainer)
    ours = trainer.run

    def theirs(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return ours(*args, **kwargs)

    trainer.run = theirs  # type: ignore[method-assign]
    callback.detach()
    trainer.run([1])
    assert calls == [([1],)]
    assert dict(callback.message_hub.log_scalars) == {}


def test_a_callback_has_one_trainer() -> None:
    callback = RuntimeInfoCallback().attach(Engine(loss_of))
    with pytest.raises(RunnerError, match="attached already: detach"):
        callback.attach(Engine(loss_of))


@pytest.mark.parametrize(
    ("trainer", "evaluators", "match"),
    [
        ("engine", None, r"attach\(\) takes an engine of Ignite, but got .*str"),
        (Engine(loss_of), [Engine(loss_of)], "evaluators must map 'val' and 'test'"),
        (
            Engine(loss_of),
            {"val": 3},
            r"evaluators\['val'\] must be an engine other than the trainer, or several, but is .*int",
        ),
        (Engine(loss_of), {"eval": Engine(loss_of)}, "has the role 'eval'; the roles are 'val' and 'test'"),
    ],
)
def test_a_wrong_target_is_named(trainer: Any, evaluators: Any, match: str) -> None:
    with pytest.raises(RunnerError, match=match):
        attach(trainer, evaluators=evaluators)


def test_the_trainer_as_an_evaluator_is_refused() -> None:
    trainer = Engine(loss_of)
    with pytest.raises(RunnerError, match="is the trainer itself"):
        attach(trainer, evaluators={"val": trainer})


def test_a_wrong_hook_or_optimizer_changes_nothing() -> None:
    trainer = Engine(loss_of)
    with pytest.raises(HookError):
        attach(trainer, hooks=[object()])
    with pytest.raises(LoopError, match="an optimizer has param_groups"):
        attach(trainer, optimizer=3)
    assert "run" not in vars(trainer)


def test_nothing_holds_the_engines_once_they_are_gone() -> None:
    trainer = Engine(loss_of)
    attach(trainer)
    trainer.run([1])
    gone = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert gone() is None


def attributes_of(*engines: Engine) -> list[dict[str, Any]]:
    """Return all that an adapter could leave something in."""
    parts: list[dict[str, Any]] = []
    for engine in engines:
        handlers = {event: list(entries) for event, entries in engine._event_handlers.items() if entries}
        parts += [{**vars(engine), "_event_handlers": handlers}, dict(vars(engine.state))]
    return parts


def test_detach_restores_fresh_engines() -> None:
    trainer, evaluator = Engine(loss_of), validating()
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: None)
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda engine: None)
    evaluator.run = given = lambda *_, **__: "mine"  # type: ignore[assignment,method-assign]
    before = attributes_of(trainer, evaluator)
    attach(trainer, evaluators={"val": evaluator})
    attach(trainer, evaluators={"test": evaluator})
    assert evaluator.run([1]) == "mine"
    detach(trainer)
    assert attributes_of(trainer, evaluator) == before
    assert evaluator.run is given
    detach(trainer)
    detach(Engine(loss_of))
    assert attributes_of(trainer, evaluator) == before


def test_detach_from_an_evaluator_leaves_the_others() -> None:
    trainer, first, second = Engine(loss_of), validating([{"a": 1.0}]), validating([{"b": 1.0}])
    callback = attach(trainer, evaluators={"val": [first, second]})
    detach(first)
    for engine in (trainer, first, second):
        engine.run([1])
    assert set(callback.message_hub.log_scalars) == {"train/loss", "val/b"}
    assert "run" not in vars(first)


def comparable(*engines: Engine) -> list[dict[str, Any]]:
    """Return what two pairs of engines that did the same have in common."""
    parts = attributes_of(*engines)
    for part in parts:
        part.pop("times", None)
        part.update({event: len(entries) for event, entries in part.pop("_event_handlers", {}).items()})
        part.update({name: type(value) for name, value in part.items() if not isinstance(value, int | str | dict)})
    return parts


@pytest.mark.parametrize("error", [None, ValueError("user"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", [Events.STARTED, Events.ITERATION_STARTED, Events.EPOCH_COMPLETED])
def test_detach_leaves_what_bare_engines_have_after_a_run(error: Any, where: Any) -> None:
    def fail() -> None:
        if error is not None:
            raise error

    def build() -> tuple[Engine, Engine]:
        trainer, evaluator = Engine(loss_of), validating([{"a": 1.0}] * 9)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([1]))
        for engine in (trainer, evaluator):
            engine.add_event_handler(where, fail)
        return trainer, evaluator

    left: list[Any] = []
    for is_attached in (False, True):
        trainer, evaluator = build()
        metrics = evaluator.state.metrics
        if is_attached:
            attach(trainer, evaluators={"val": evaluator})
        for engine in (trainer, evaluator):
            with suppress(ValueError, KeyboardInterrupt):  # a failed engine of Ignite 0.5.5 does nothing the next time
                engine.run([1, 2])
        detach(trainer)
        assert evaluator.state.metrics is metrics
        left.append(comparable(trainer, evaluator))
    assert left[0] == left[1]


@pytest.mark.parametrize("shows_it", [True, False])
def test_detach_under_a_wrapper_of_other_code(shows_it: bool) -> None:
    trainer = Engine(loss_of)
    callback = attach(trainer)
    ours = trainer.run

    def theirs(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    outside = trainer.run = functools.wraps(ours)(theirs) if shows_it else theirs  # type: ignore[method-assign]
    callback.detach()
    detach(trainer)
    assert trainer.run is outside
    assert trainer.run([1]).iteration == 1
    assert dict(callback.message_hub.log_scalars) == {}
    again = attach(trainer)
    trainer.run([1])
    assert scalars(again.message_hub, "train/loss") == [1.0]


@pytest.mark.parametrize("event", [Events.STARTED, Events.ITERATION_STARTED, Events.ITERATION_COMPLETED])
def test_detach_during_a_run_closes_it_when_the_engine_ends(event: Any) -> None:
    recorder, trainer, evaluator = Recorder(), Engine(loss_of), validating()
    callback = attach(trainer, evaluators={"val": evaluator}, hooks=[recorder])
    trainer.add_event_handler(event(once=1) if event is not Events.STARTED else event, lambda: detach(trainer))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([1]))
    trainer.run([1, 2])
    assert recorder.events[-1] == "after_run"
    assert "before_val" not in recorder.events
    assert recorder.events.count("before_train_iter") == (event is Events.ITERATION_COMPLETED)
    assert resolve_hub() is not callback.message_hub
    assert "run" not in vars(trainer)
    assert [event for event, entries in trainer._event_handlers.items() if len(entries) > 1] == []


def test_an_unknown_keyword_changes_nothing() -> None:
    trainer = Engine(loss_of)
    callback = attach(trainer)
    before = attributes_of(trainer)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'sed': did you mean 'seed'\?"):
        attach(trainer, sed=1)  # type: ignore[call-arg]
    assert attributes_of(trainer) == before
    trainer.run([1])
    assert scalars(callback.message_hub, "train/loss") == [1.0]


@pytest.mark.parametrize("role", ["trainer", "evaluator"])
@pytest.mark.parametrize("member", adapter._PRIVATE)
def test_a_missing_private_member_is_named(role: str, member: str) -> None:
    engines = {"trainer": Engine(loss_of), "evaluator": Engine(loss_of)}
    delattr(engines[role], member)
    with pytest.raises(RunnerError, match=f"Engine has no {member}, which this adapter relies on"):
        attach(engines["trainer"], evaluators={"val": engines["evaluator"]})
    assert "run" not in vars(engines["trainer"])


def test_an_event_that_is_fired_outside_of_a_run_is_not_published() -> None:
    recorder, trainer, evaluator = Recorder(), Engine(loss_of), validating()
    attach(trainer, evaluators={"val": evaluator}, hooks=[recorder])
    for engine in (trainer, evaluator):
        for event in (Events.STARTED, Events.EPOCH_STARTED, Events.ITERATION_STARTED, Events.COMPLETED):
            engine.fire_event(event)
    assert recorder.events == []
    trainer.run([1])
    assert recorder.counters("before_run") == [(0, 0)]


CORE = [
    event
    for event in Events
    if event not in {Events.EXCEPTION_RAISED, Events.TERMINATE_SINGLE_EPOCH}  # which need an argument
]


@pytest.mark.parametrize("kind", [Engine, Unpausable])
@pytest.mark.parametrize("event", CORE)
@pytest.mark.parametrize("place", ["step", Events.STARTED, Events.EPOCH_COMPLETED, Events.COMPLETED])
def test_an_event_that_is_fired_by_hand_in_a_run_is_not_published(event: Any, place: Any, kind: type[Engine]) -> None:
    def run(fires: bool) -> tuple[list[Any], int]:
        recorder = Recorder()
        trainer: Any = kind(lambda engine, batch: fire() if place == "step" else None)
        fired: list[int] = []

        def fire() -> None:
            if fires and not fired:
                fired.append(1)
                trainer.fire_event(event)

        attach(trainer, hooks=[recorder])
        if place != "step":
            trainer.add_event_handler(place, fire)
        trainer.run([1, 2], max_epochs=2)
        assert "fire_event" not in vars(trainer)
        return recorder.summary, trainer.state.iteration

    assert run(fires=True) == run(fires=False)


def test_a_custom_event_that_a_step_fires_is_the_users() -> None:
    seen: list[Any] = []
    recorder, evaluator = Recorder(), validating([{"a": 1.0}])
    trainer: Any = Engine(lambda engine, batch: engine.fire_event("done"))
    trainer.register_events("done")
    attach(trainer, evaluators={"val": evaluator}, hooks=[recorder])

    @trainer.on("done", "argument", name="named")
    def _(engine: Engine, argument: str, name: str) -> None:
        evaluator.run([1])
        seen.append((engine is trainer, argument, name, current_hub().get_info("iter")))

    trainer.run([1, 2])
    assert seen == [(True, "argument", "named", 0), (True, "argument", "named", 1)]
    assert recorder.counters("before_val") == [(0, 0), (0, 1)]


@pytest.mark.parametrize(
    "place", [Events.STARTED, Events.ITERATION_STARTED, Events.EPOCH_COMPLETED, Events.COMPLETED, "step"]
)
@pytest.mark.parametrize("kind", [Engine, Unpausable])
def test_a_run_of_an_engine_inside_itself_ends_as_on_a_bare_one(place: Any, kind: type[Engine]) -> None:
    def play(is_attached: bool) -> Any:
        nested: list[Any] = []

        def run_again() -> None:
            if not nested:
                nested.append(1)
                trainer.run([5])

        trainer: Any = kind(lambda engine, batch: run_again() if place == "step" else None)
        recorder = Recorder()
        callback = attach(trainer, hooks=[recorder]) if is_attached else None
        if place != "step":
            trainer.add_event_handler(place, run_again)
        try:
            trainer.run([1, 2], max_epochs=2)
        except (TypeError, ValueError) as error:  # a bare engine cannot do it everywhere
            return str(error)
        finally:
            if callback is not None:
                assert recorder.events.count("before_run") == recorder.events.count("after_run") == 1
                assert recorder.events.count("before_train") == 1
                assert recorder.lifecycle.open_scopes == ()
                assert resolve_hub() is not callback.message_hub
        return trainer.state.epoch, trainer.state.iteration

    assert play(is_attached=True) == play(is_attached=False)


def test_a_state_that_the_user_replaces_is_followed() -> None:
    recorder, evaluator = Recorder(), validating([{"a": 1.0}] * 4)
    trainer: Any = Engine(loss_of)
    callback = attach(trainer, evaluators={"val": evaluator}, hooks=[recorder])
    trainer.run([1, 2])
    trainer.state, evaluator.state = State(), State()
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([1]))
    trainer.run([1, 2, 3])
    assert recorder.counters("before_train") == [(0, 0), (0, 0)]
    assert callback.message_hub.get_info("max_iters") == 3
    assert scalars(callback.message_hub, "val/a") == [1.0]


@pytest.mark.parametrize("attaches_first", [False, True])
@pytest.mark.parametrize("kind", [HandlersTimeProfiler, BasicTimeProfiler])
def test_ignites_profilers_name_our_handlers(kind: Any, attaches_first: bool) -> None:
    trainer, profiler = Engine(loss_of), kind()
    if not attaches_first:
        profiler.attach(trainer)
    callback = attach(trainer)
    if attaches_first:
        profiler.attach(trainer)
    for _ in range(2):
        trainer.run([1, 2], max_epochs=2)
        assert scalars(callback.message_hub, "train/loss") == [1, 2, 1, 2]
        assert not [
            each for entries in trainer._event_handlers.values() for each in entries if "runtimeinfo" in repr(each)
        ]
    names = {name for each in profiler.event_handlers_names.values() for name in each}
    assert {name for name in names if "untime" in name.lower() and "Profiler" not in name} == {
        f"runtimeinfo_adapters.ignite.{name}"
        for name in (
            "started",
            "after_started",
            "epoch_started",
            "after_epoch_started",
            "get_batch_started",
            "iteration_started",
            "epoch_completed",
            "completed",
        )
    }
    assert profiler.get_results()


def test_a_profiler_that_was_cut_short_leaves_none_of_our_handlers() -> None:
    trainer, profiler = Engine(loss_of), HandlersTimeProfiler()
    callback = attach(trainer)
    profiler.attach(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), lambda: trainer.terminate(True))
    trainer.run([1, 2], max_epochs=2)
    assert not [each for entries in trainer._event_handlers.values() for each in entries if "runtimeinfo" in repr(each)]
    trainer.run([1, 2], max_epochs=2)
    assert scalars(callback.message_hub, "train/loss") == [1, 1, 2]


def test_handlers_are_found_removed_and_filtered_as_on_a_bare_engine() -> None:
    def play(is_attached: bool) -> list[Any]:
        seen: list[Any] = []
        trainer: Any = Engine(loss_of)

        def every_other() -> None:
            seen.append(("every", trainer.state.iteration))

        def removed() -> None:
            seen.append("removed")

        if is_attached:
            attach(trainer)
        trainer.add_event_handler(Events.ITERATION_STARTED(every=2), every_other)
        trainer.add_event_handler(Events.ITERATION_COMPLETED(before=3, after=1), every_other)
        handle = trainer.add_event_handler(Events.ITERATION_STARTED, removed)
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED(once=2),
            lambda: seen.append((trainer.has_event_handler(removed, Events.ITERATION_STARTED), handle.remove())),
        )
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append(trainer.has_event_handler(removed)))
        returned = trainer.run([1, 2, 3, 4])
        with pytest.raises(ValueError, match=r"not found|does not exist"):
            trainer.remove_event_handler(removed, Events.ITERATION_STARTED)
        return [*seen, returned is trainer.state, sorted(returned.times)]

    assert play(is_attached=True) == play(is_attached=False)


def test_handlers_of_ignite_do_the_same_as_on_a_bare_engine(tmp_path: Path) -> None:
    def play(is_attached: bool) -> list[Any]:
        torch.manual_seed(0)
        model = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer = create_supervised_trainer(model, optimizer, torch.nn.functional.mse_loss)
        trainer.state_dict_user_keys.append("own")
        trainer.state.own = 3  # type: ignore[attr-defined]
        if is_attached:
            attach(trainer, optimizer=optimizer)
        ema = EMAHandler(model, momentum=0.5)
        ema.attach(trainer)
        RunningAverage(output_transform=lambda loss: loss).attach(trainer, "average")
        saver: Any = ModelCheckpoint(str(tmp_path / str(is_attached)), "m", n_saved=None)
        trainer.add_event_handler(Events.ITERATION_COMPLETED(every=2), saver, {"model": model})
        trainer.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan())
        data = [(torch.full((1, 1), value), torch.zeros(1, 1)) for value in (1.0, 2.0, 3.0, float("nan"), 5.0)]
        trainer.run(data, max_epochs=3)
        weights = [repr(each) for each in ema.ema_model.parameters()]
        names = sorted(path.name for path in (tmp_path / str(is_attached)).iterdir())
        return [weights, names, trainer.state.iteration, dict(trainer.state_dict()), sorted(trainer.state.metrics)]

    assert play(is_attached=True) == play(is_attached=False)


@pytest.mark.parametrize("ending", ["fresh", "run", "failed", "detached", "detached after a run", "detached by hand"])
def test_engines_are_freed_when_bare_ones_are(ending: str) -> None:
    def freed(is_attached: bool) -> list[bool]:
        trainer, evaluator = Engine(loss_of), validating([{"a": 1.0}])
        callback = attach(trainer, evaluators={"val": evaluator}) if is_attached else RuntimeInfoCallback()
        if ending in {"run", "detached after a run"}:
            trainer.run([1])
            evaluator.run([1])
        elif ending == "failed":
            with pytest.raises(TypeError):
                trainer.run([None])
        if ending == "detached by hand":
            callback.detach()
        elif "detached" in ending:
            detach(trainer)
        references = [weakref.ref(trainer), weakref.ref(evaluator)]
        del trainer, evaluator
        return [reference() is None for reference in references]

    gc.disable()
    try:
        # By reference counting; but an exception that Ignite has handled is in a cycle with its frames.
        assert freed(is_attached=False) == freed(is_attached=True) == [ending != "failed", True]
    finally:
        gc.enable()


# -- copies


class Acting:
    """Does in each step what a test wants, which is not a part of a copy."""

    def __init__(self) -> None:
        self.in_step: list[Callable[[], None]] = []

    def act(self) -> None:
        for act in self.in_step:
            act()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "in_step": []}


class Learner(Acting):
    """Learns one number, so that its losses and its weight tell how long it was trained."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.optimizer = torch.optim.SGD([self.weight], lr=0.1)

    def __call__(self, _engine: Engine, batch: Any) -> Any:
        self.act()
        self.optimizer.zero_grad()
        loss = (self.weight - batch).square()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}


class Validation(Acting):
    """Validates after each epoch of the engine that it is a handler of."""

    def __init__(self, learner: Learner, kind: type[Engine] = Engine) -> None:
        super().__init__()
        self.learner = learner
        self.evaluator = kind(self.step)
        self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self.compute)

    def run(self) -> None:
        self.evaluator.run([1.0])

    def step(self, _engine: Engine, batch: Any) -> float:
        self.act()
        return float((self.learner.weight.detach() - batch).abs())

    def compute(self) -> None:
        self.evaluator.state.metrics["distance"] = self.evaluator.state.output


class Copying:
    """Copies a trainer once, in its second iteration or the validation after it."""

    def __init__(self, trainer: Engine, copied: Callable[[Any], Any]) -> None:
        self.trainer, self.copied = trainer, copied
        self.twin: Any = None

    def __call__(self) -> None:
        if self.twin is None and self.trainer.state.iteration == 2:
            self.twin = self.copied(self.trainer)


class NotCopied:
    def __reduce__(self) -> Any:
        raise AssertionError("an engine was copied")


def by_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


COPIES = pytest.mark.parametrize("copied", [copy.deepcopy, by_pickle])


def learning(kind: type[Engine] = Engine) -> Engine:
    """Return an attached trainer that validates after each epoch."""
    learner = Learner()
    trainer, validation = kind(learner), Validation(learner, kind)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, validation.run)
    attach(trainer, evaluators={"val": validation.evaluator}, optimizer=learner.optimizer)
    return trainer


def validation_of(trainer: Engine) -> Any:
    owners = [getattr(handler, "__self__", None) for handler, *_ in trainer._event_handlers[Events.EPOCH_COMPLETED]]
    return next(owner for owner in owners if isinstance(owner, Validation))


def callback_of(engine: Any) -> RuntimeInfoCallback:
    callback: RuntimeInfoCallback = engine.run.adapter.callback
    return callback


def published(trainer: Engine) -> dict[str, Any]:
    """Return all that a trainer's own hub has, and its counters."""
    callback = callback_of(trainer)
    hub, runner = callback.message_hub, callback.runner
    infos = {key: hub.get_info(key) for key in ("epoch", "iter", "max_iters", "loop_stage")}
    return infos | {key: scalars(hub, key) for key in hub.log_scalars} | {"counts": (runner.epoch, runner.iter)}


def weight_of(trainer: Any) -> float:
    return float(trainer._process_function.weight.detach())


@COPIES
def test_a_copy_of_a_fresh_trainer_trains_itself(copied: Callable[[Any], Any]) -> None:
    trainer = learning()
    twin = copied(trainer)
    twin.run([1.0, 2.0], max_epochs=2)
    assert (twin.state.iteration, trainer.state.iteration, weight_of(trainer)) == (4, 0, 0.0)
    assert published(trainer)["counts"] == (0, 0)
    assert "train/loss" not in published(trainer)
    trainer.run([1.0, 2.0], max_epochs=2)
    assert published(trainer) == published(twin)
    assert weight_of(trainer) == weight_of(twin) > 0
    assert [len(published(twin)[key]) for key in ("train/loss", "train/lr", "val/distance")] == [4, 4, 2]
    assert callback_of(trainer).message_hub is not callback_of(twin).message_hub
    assert callback_of(trainer).runner.trainer is trainer
    assert callback_of(twin).runner.trainer is twin


@COPIES
def test_a_copy_of_a_trained_trainer_goes_on_by_itself(copied: Callable[[Any], Any]) -> None:
    trainer = learning()
    trainer.run([1.0, 2.0], max_epochs=1)
    twin = copied(trainer)
    before, weight = published(trainer), weight_of(trainer)
    assert published(twin) == before
    twin.run([1.0, 2.0], max_epochs=2)
    assert (published(trainer), weight_of(trainer)) == (before, weight)
    trainer.run([1.0, 2.0], max_epochs=2)
    assert published(twin) == published(trainer)
    assert published(twin)["counts"] == (2, 4)
    assert len(published(twin)["train/loss"]) == 4
    assert weight_of(twin) == weight_of(trainer) != weight


@COPIES
@pytest.mark.parametrize("place", ["step", "validation"])
def test_a_copy_of_a_running_trainer_trains_itself(copied: Callable[[Any], Any], place: str) -> None:
    results: list[Any] = []
    for is_attached in (False, True):
        trainer: Any = learning(Unpausable)
        if not is_attached:
            detach(trainer)
        copying = Copying(trainer, copied)
        (trainer._process_function if place == "step" else validation_of(trainer)).in_step.append(copying)
        trainer.run([1.0, 2.0], max_epochs=2)
        twin = copying.twin
        twin.fire_event(Events.ITERATION_COMPLETED)  # with our handler, outside of a run
        twin.run([1.0, 2.0], max_epochs=2)
        results.append([(each.state.epoch, each.state.iteration, weight_of(each)) for each in (trainer, twin)])
        if is_attached:
            ours, theirs = published(trainer), published(twin)
            assert ours["counts"] == (2, 4)
            assert len(ours["train/loss"]) == 4
            assert len(ours["val/distance"]) == 2
            assert theirs["counts"] == (twin.state.epoch, twin.state.iteration)
            assert theirs["loop_stage"] is None
            assert resolve_hub() not in {callback_of(trainer).message_hub, callback_of(twin).message_hub}
            for each in (trainer, twin):
                detach(each)
                assert all(event is Events.EPOCH_COMPLETED for event, all_ in each._event_handlers.items() if all_)
                assert type(validation_of(each).evaluator.state.metrics) is dict
    assert results[0] == results[1]


@COPIES
def test_a_copy_of_a_callback_in_a_run_is_outside_of_it(copied: Callable[[Any], Any]) -> None:
    trainer: Any = learning()
    callback, taken = callback_of(trainer), []
    trainer.not_copied = validation_of(trainer).evaluator.not_copied = NotCopied()
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: taken.append(copied(callback)))
    trainer.run([1.0, 2.0])
    assert [(each.runner.epoch, each.runner.iter) for each in taken] == [(0, 1), (0, 2)]
    for each in taken:
        assert each.runner.trainer is None
        assert each.runner.emitter.stage is None
        assert each.message_hub is not callback.message_hub
    each = taken[-1]
    each.detach()  # from nothing: it belongs to no engine
    other = Engine(loss_of)
    each.attach(other)
    other.run([5.0])
    assert scalars(each.message_hub, "train/loss")[-1] == 5.0
    assert len(scalars(callback.message_hub, "train/loss")) == 2


@COPIES
def test_engines_that_are_copied_together_publish_together(copied: Callable[[Any], Any]) -> None:
    trainer = Engine(Learner())
    evaluator = Validation(Learner()).evaluator
    callback = attach(trainer, evaluators={"test": evaluator})
    callback_twin, trainer_twin, evaluator_twin = copied((callback, trainer, evaluator))
    assert callback_of(trainer_twin) is callback_of(evaluator_twin) is callback_twin
    evaluator_twin.run([1.0])  # before the trainer: after pickling, the callback does not know this one yet
    assert set(callback_twin.message_hub.log_scalars) == {"test/distance"}
    trainer_twin.run([1.0])
    evaluator_twin.run([1.0])
    assert set(callback_twin.message_hub.log_scalars) == {"test/distance", "train/loss"}
    assert dict(callback.message_hub.log_scalars) == {}
    detach(trainer_twin)
    assert "run" not in vars(trainer_twin)
    assert "run" not in vars(evaluator_twin)


def test_an_evaluator_whose_unpickled_trainer_was_detached_is_not_listened_to() -> None:
    trainer = Engine(Learner())
    evaluator = Validation(Learner()).evaluator
    attach(trainer, evaluators={"test": evaluator})
    trainer_twin, evaluator_twin = by_pickle((trainer, evaluator))
    callback = callback_of(trainer_twin)
    detach(trainer_twin)  # which does not know this evaluator
    evaluator_twin.run([1.0])
    assert dict(callback.message_hub.log_scalars) == {}
    detach(evaluator_twin)
    assert "run" not in vars(evaluator_twin)


@COPIES
def test_a_trainer_copies_where_a_bare_one_does(copied: Callable[[Any], Any]) -> None:
    failures: list[Any] = []
    for is_attached in (False, True):
        trainer: Any = learning()
        if not is_attached:
            detach(trainer)
        trainer._process_function.in_step.append(Copying(trainer, copied))
        with pytest.raises(TypeError, match="generator") as caught:  # Ignite runs in one
            trainer.run([1.0, 2.0])
        failures.append(str(caught.value))
    assert failures[0] == failures[1]


def test_without_ignite_the_extra_is_named() -> None:
    code = "import sys; sys.modules['ignite'] = None; import runtimeinfo_adapters.ignite"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'runtimeinfo[ignite]'" in done.stderr


def test_without_torch_the_extra_is_named() -> None:
    code = "import sys; sys.modules['torch'] = None; import runtimeinfo_adapters.ignite"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs torch: pip install 'runtimeinfo[ignite]'" in done.stderr


def test_an_untried_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import importlib.metadata as metadata; real = metadata.version\n"
        "metadata.version = lambda name: '0.9.0' if name == 'pytorch-ignite' else real(name)\n"
        "import runtimeinfo_adapters.ignite"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pytorch-ignite 0.9.0 is installed" in done.stderr
    assert "below 0.6" in done.stderr


def test_detach_under_a_wrapper_that_hides_ours() -> None:
    trainer = Engine(lambda engine, batch: {"loss": 1.0})
    callback = attach(trainer)
    attached = trainer.run
    trainer.run = lambda *args, **kwargs: attached(*args, **kwargs)
    detach(trainer)
    second = attach(trainer)
    trainer.run([1, 2], max_epochs=1)
    assert dict(callback.message_hub.log_scalars) == {}
    assert len(second.message_hub.get_scalar("train/loss").data[0]) == 2
