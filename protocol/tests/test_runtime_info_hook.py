from __future__ import annotations

import warnings
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from runtimeinfo import HookError, RunnerError, RuntimeInfoHook, SkippedOutputWarning, __version__
from runtimeinfo.authoring import Dispatcher, describe
from runtimeinfo.spec import Lifecycle
from runtimeinfo_adapters import MessageHub


@pytest.fixture
def hook() -> RuntimeInfoHook:
    return RuntimeInfoHook()


@pytest.fixture(params=["ours", "mmengine's"])
def either_hub(request: pytest.FixtureRequest) -> Any:
    if request.param == "ours":
        return MessageHub("tests")
    return pytest.importorskip("mmengine.logging").MessageHub("tests")


def values(hub: Any, key: str) -> list[float]:
    return list(hub.get_scalar(key).data[0])


def counters(hub: Any) -> tuple[object, object]:
    return hub.get_info("epoch"), hub.get_info("iter")


def stage(hub: Any) -> object:
    return hub.get_info("loop_stage", "none")


# -- The table of what is published, row by row


def test_before_run_publishes_what_identifies_the_run(hook: RuntimeInfoHook, runner: Any, hub: MessageHub) -> None:
    hook.before_run(runner)
    assert hub.runtime_info == {
        "cfg": "lr = 0.1",
        "seed": 7,
        "experiment_name": "tests",
        "plain_version": "1.2.3",
        "runtimeinfo_version": __version__,
    }
    assert not hub.log_scalars


def test_before_train_publishes_the_stage_the_counters_and_the_totals(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    hook.before_run(runner)
    metadata = dict(hub.runtime_info)
    runner.epoch, runner.iter = 1, 10
    hook.before_train(runner)
    assert hub.runtime_info == metadata | {
        "loop_stage": "train",
        "epoch": 1,
        "iter": 10,
        "max_epochs": 3,
        "max_iters": 30,
    }


def test_before_train_publishes_totals_that_are_not_known_as_none(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    runner.max_epochs = runner.max_iters = None
    hook.before_train(runner)
    assert hub.get_info("max_epochs", "unset") is None
    assert hub.get_info("max_iters", "unset") is None


@pytest.mark.parametrize("metainfo", [{"classes": ("cat", "dog")}, {}, None], ids=repr)
def test_before_train_publishes_the_datasets_metainfo(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub, metainfo: object
) -> None:
    runner.train_dataloader.dataset = SimpleNamespace(metainfo=metainfo)
    hook.before_train(runner)
    assert hub.get_info("dataset_meta", "unset") is metainfo


def test_a_dataset_without_metainfo_publishes_none(hook: RuntimeInfoHook, runner: Any, hub: MessageHub) -> None:
    hook.before_train(runner)
    assert "dataset_meta" not in hub.runtime_info


def test_before_train_publishes_this_runs_metadata_over_a_checkpoints(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    hook.before_run(runner)
    hub.update_info_dict({"cfg": "old", "seed": 1, "experiment_name": "old", "loop_stage": "val", "plain_version": "0"})
    hook.before_train(runner)
    assert (hub.get_info("cfg"), hub.get_info("seed"), hub.get_info("experiment_name")) == ("lr = 0.1", 7, "tests")
    assert hub.get_info("plain_version") == "1.2.3"
    assert stage(hub) == "train"
    hook.after_train(runner)
    assert stage(hub) == "none"


@pytest.mark.parametrize("event", ["before_train_epoch", "after_train_epoch", "after_train", "after_run"])
def test_the_counters_follow_the_runner(hook: RuntimeInfoHook, runner: Any, hub: MessageHub, event: str) -> None:
    hook.before_run(runner)
    hook.before_train(runner)
    runner.epoch, runner.iter = 2, 17
    getattr(hook, event)(runner)
    assert counters(hub) == (2, 17)


def test_before_train_iter_publishes_the_iteration_and_the_first_of_each_rate(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    for step in range(3):
        runner.iter = step
        runner.rates = {"lr": [0.1 / (step + 1), 99.0], "generator.lr": (step,), "momentum": np.array([0.5, 0.9])}
        hook.before_train_iter(runner, batch_idx=step, data_batch=None)
        assert hub.get_info("iter") == step
    assert values(hub, "train/lr") == [0.1, 0.05, 0.1 / 3]
    assert values(hub, "train/generator.lr") == [0, 1, 2]
    assert values(hub, "train/momentum") == [0.5] * 3
    assert len(hub.log_scalars) == 3


def test_after_train_iter_publishes_each_output_that_is_a_scalar(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    for loss in (2.0, 1.0):
        outputs = {"loss": loss, "count": 3, "right": True, "array": np.array([loss]), "tensor": torch.tensor(loss)}
        hook.after_train_iter(runner, batch_idx=0, data_batch=None, outputs=outputs)
    assert {key: values(hub, key) for key in hub.log_scalars} == {
        "train/loss": [2.0, 1.0],
        "train/count": [3, 3],
        "train/right": [1, 1],
        "train/array": [2.0, 1.0],
        "train/tensor": [2.0, 1.0],
    }
    assert not hub.runtime_info


@pytest.mark.parametrize(
    "one",
    [1, 1.0, True, np.bool_(True), np.int8(1), np.ones((1, 1)), Fraction(1), torch.ones(1), torch.tensor(True)],
    ids=describe,
)
def test_every_kind_of_scalar_arrives_in_either_hub(
    hook: RuntimeInfoHook, runner: Any, either_hub: Any, one: object
) -> None:
    runner.message_hub = either_hub
    hook.after_train_iter(runner, 0, None, {"one": one})
    hook.after_val_epoch(runner, {"one": one})
    assert values(either_hub, "train/one") == values(either_hub, "val/one") == [1]


@pytest.mark.parametrize("nothing", [None, {}])
def test_an_iteration_without_outputs_publishes_nothing(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub, nothing: Any
) -> None:
    hook.after_train_iter(runner, 0, None, nothing)
    assert not hub.log_scalars


@pytest.mark.parametrize("name", ["val", "test"])
@pytest.mark.parametrize("outer", ["none", "train"])
def test_a_validation_or_test_restores_the_stage(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub, name: str, outer: str
) -> None:
    hook.before_run(runner)
    if outer == "train":
        hook.before_train(runner)
    runner.epoch, runner.iter = 1, 5
    getattr(hook, f"before_{name}")(runner)
    assert (stage(hub), counters(hub)) == (name, (1, 5))
    runner.epoch, runner.iter = 2, 6
    getattr(hook, f"after_{name}")(runner)
    assert (stage(hub), counters(hub)) == (outer, (2, 6))
    assert ("loop_stage" in hub.runtime_info) is (outer == "train")


@pytest.mark.parametrize("name", ["val", "test"])
def test_a_metric_becomes_a_scalar_if_it_is_one_and_an_info_otherwise(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub, name: str
) -> None:
    confusion = np.zeros((2, 2))
    for accuracy in (0.5, 0.75):
        metrics = {"accuracy": accuracy, "confusion": confusion, "note": "fine"}
        getattr(hook, f"after_{name}_epoch")(runner, metrics=metrics)
    assert list(hub.log_scalars) == [f"{name}/accuracy"]
    assert values(hub, f"{name}/accuracy") == [0.5, 0.75]
    assert hub.runtime_info == {f"{name}/confusion": confusion, f"{name}/note": "fine"}


@pytest.mark.parametrize("name", ["val", "test"])
def test_without_metrics_nothing_is_published(hook: RuntimeInfoHook, runner: Any, hub: MessageHub, name: str) -> None:
    getattr(hook, f"after_{name}_epoch")(runner, metrics=None)
    getattr(hook, f"after_{name}_epoch")(runner)
    assert not hub.log_scalars
    assert not hub.runtime_info


@pytest.mark.parametrize("event", ["after_train", "after_run"])
def test_the_stage_is_removed_at_the_outermost_end(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub, event: str
) -> None:
    hook.before_run(runner)
    hook.before_train(runner)
    getattr(hook, event)(runner)
    assert "loop_stage" not in hub.runtime_info


def test_at_on_exception_the_stage_stays_and_the_counters_are_published(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    hook.before_run(runner)
    hook.before_train(runner)
    runner.iter = 4
    hook.on_exception(runner, RuntimeError())
    assert (stage(hub), counters(hub)) == ("train", (0, 4))


# -- Stages within stages


def test_stages_are_restored_to_depth_three(hook: RuntimeInfoHook, runner: Any, hub: MessageHub) -> None:
    stages = []
    events = ("before_run", "before_train", "before_val", "before_test", "before_val")
    for event in (*events, "after_val", "after_test", "after_val", "after_train", "after_run"):
        getattr(hook, event)(runner)
        stages.append(stage(hub))
    assert stages == ["none", "train", "val", "test", "val", "test", "val", "train", "none", "none"]


def test_two_validations_in_a_row_leave_no_trace(hook: RuntimeInfoHook, runner: Any, hub: MessageHub) -> None:
    hook.before_train(runner)
    for _ in range(2):
        hook.before_val(runner)
        hook.after_val(runner)
        assert stage(hub) == "train"


def test_a_hook_registered_inside_a_scope_removes_the_stage(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    hub.update_info("loop_stage", "val")
    hook.after_val(runner)
    assert "loop_stage" not in hub.runtime_info


# -- Crashes


@pytest.mark.parametrize("nested", [(), ("before_val",), ("before_train_epoch", "before_train_iter", "before_test")])
def test_the_closes_after_a_crash_take_the_stage_back(runner: Any, hub: MessageHub, nested: tuple[str, ...]) -> None:
    dispatcher, lifecycle = Dispatcher([RuntimeInfoHook()]), Lifecycle()
    arguments: dict[str, dict[str, Any]] = {
        "before_train_iter": {"batch_idx": 0, "data_batch": None},
        "after_train_iter": {"batch_idx": 0, "data_batch": None, "outputs": None},
        "on_exception": {"exception": KeyboardInterrupt()},
    }
    for event in ("before_run", "before_train", *nested, "on_exception"):
        for step in lifecycle.feed(event):
            dispatcher.dispatch(step.event, runner, **arguments.get(step.event, {}))
            assert stage(hub) == (lifecycle.stage or "none") or event == "on_exception"
    assert "loop_stage" not in hub.runtime_info


def test_a_run_after_a_crash_without_closes_starts_clean(hook: RuntimeInfoHook, runner: Any, hub: MessageHub) -> None:
    for event in ("before_run", "before_train", "before_val"):
        getattr(hook, event)(runner)
    hook.on_exception(runner, RuntimeError())

    hook.before_run(runner)
    assert "loop_stage" not in hub.runtime_info
    hook.before_val(runner)
    hook.after_val(runner)
    assert "loop_stage" not in hub.runtime_info
    hook.before_train(runner)
    hook.before_val(runner)
    hook.after_val(runner)
    assert stage(hub) == "train"
    hook.after_train(runner)
    assert "loop_stage" not in hub.runtime_info


@pytest.mark.parametrize("events", [("before_run",), ("after_run",), ("before_train", "after_train")], ids="-".join)
def test_a_stage_that_a_crash_left_behind_never_comes_back(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub, events: tuple[str, ...]
) -> None:
    for event in ("before_train", "before_val", *events, "after_val"):
        getattr(hook, event)(runner)
    assert "loop_stage" not in hub.runtime_info


def test_one_hook_serves_several_runs_with_a_hub_each(hook: RuntimeInfoHook, runner: Any) -> None:
    hook.before_run(runner)
    hook.before_train(runner)
    runner.message_hub = MessageHub("another")
    hook.before_run(runner)
    hook.before_val(runner)
    hook.after_val(runner)
    assert stage(runner.message_hub) == "none"


# -- Values that are no scalars


NO_SCALARS = {
    "image": np.zeros((2, 2)),
    "boxes": torch.zeros(3),
    "text": "fine",
    "nothing": None,
    "nested": {"loss": 1.0},
    "type": np.ndarray,
    "shape": SimpleNamespace(shape=3),
}


@pytest.mark.parametrize("key", NO_SCALARS)
def test_an_output_that_is_no_scalar_is_skipped(hook: RuntimeInfoHook, runner: Any, hub: MessageHub, key: str) -> None:
    with pytest.warns(SkippedOutputWarning, match=rf"^output '{key}' is not published: .*\[SCALAR-05\]$"):
        hook.after_train_iter(runner, 0, None, {key: NO_SCALARS[key], "loss": 0.5})
    assert list(hub.log_scalars) == ["train/loss"]
    assert not hub.runtime_info


def test_each_key_warns_once(hook: RuntimeInfoHook, runner: Any, hub: MessageHub) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            hook.after_train_iter(runner, 0, None, NO_SCALARS)
    assert [str(warning.message).split("'")[1] for warning in caught] == list(NO_SCALARS)


def test_an_output_that_becomes_a_scalar_is_published_again(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    with pytest.warns(SkippedOutputWarning):
        hook.after_train_iter(runner, 0, None, {"loss": [1.0]})
    hook.after_train_iter(runner, 1, None, {"loss": 0.5})
    assert values(hub, "train/loss") == [0.5]


@pytest.mark.parametrize("name", ["val", "test"])
def test_a_metric_that_changes_kind_is_found_only_where_it_was_published_last(
    hook: RuntimeInfoHook, runner: Any, either_hub: Any, name: str
) -> None:
    runner.message_hub = either_hub
    publish, key = getattr(hook, f"after_{name}_epoch"), f"{name}/iou"
    for _ in range(2):
        publish(runner, {"iou": 0.5, "other": 1.0})
        assert values(either_hub, key) == [0.5]
        assert key not in either_hub.runtime_info
        publish(runner, {"iou": [0.25, 0.75]})
        assert either_hub.get_info(key) == [0.25, 0.75]
        assert key not in either_hub.log_scalars
    assert list(either_hub.log_scalars) == [f"{name}/other"]


def test_a_hub_that_cannot_forget_a_scalar_still_gets_the_info(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    names = ("update_info", "pop_info", "update_scalar", "log_scalars")
    runner.message_hub = SimpleNamespace(**{name: getattr(hub, name) for name in names})
    hook.after_val_epoch(runner, {"iou": [0.5]})
    assert hub.get_info("val/iou") == [0.5]


# -- Runners


def test_a_runner_without_train_state_validates_and_tests(hook: RuntimeInfoHook, runner: Any, hub: MessageHub) -> None:
    runner.without_train_state()
    for event in ("before_run", "before_val", "after_val_epoch", "after_val", "before_test", "after_test_epoch"):
        arguments = ({"accuracy": 1.0},) if event.endswith("_epoch") else ()
        getattr(hook, event)(runner, *arguments)
    assert stage(hub) == "test"
    hook.on_exception(runner, RuntimeError())
    hook.after_test(runner)
    hook.after_run(runner)
    assert sorted(hub.log_scalars) == ["test/accuracy", "val/accuracy"]
    assert not {"loop_stage", "epoch", "iter"} & set(hub.runtime_info)


def test_a_runner_that_lacks_things_gets_one_error_with_everything(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    del runner.seed, runner.cfg
    runner.framework_name = None
    with pytest.raises(RunnerError, match=r"(?s)cfg: missing.*seed: missing.*framework_name: must.*\[META-06\]$"):
        hook.before_run(runner)
    assert not hub.runtime_info


def test_a_runner_that_cannot_train_gets_one_error_with_everything(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    hook.before_run(runner)
    before = dict(hub.runtime_info)
    runner.without_train_state()
    with pytest.raises(RunnerError, match=r"\[COUNT-09\]$") as caught:
        hook.before_train(runner)
    assert len(caught.value.problems) == 6
    assert hub.runtime_info == before


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        (None, "must return a mapping .* returned NoneType"),
        ([0.1], "must return a mapping .* returned list"),
        (0.1, "must return a mapping .* returned float"),
        ({"lr": 0.1}, r"get_lr\(\)\['lr'\] must be a sequence whose first entry is a number, but is 0\.1"),
        ({"lr": []}, r"get_lr\(\)\['lr'\] must be a sequence .* but is \[\]"),
        ({"lr": None}, r"\['lr'\] must be a sequence .* but is None"),
        ({"lr": [None]}, r"\['lr'\] must be a sequence .* but is \[None\]"),
        ({"lr": ["0.1"]}, r"\['lr'\] must be a sequence"),
        ({"lr": "0.1"}, r"\['lr'\] must be a sequence"),
        ({"lr": {"weights": 0.1}}, r"\['lr'\] must be a sequence"),
        ({"lr": [[0.1]]}, r"\['lr'\] must be a sequence"),
        ({"first": [0.1], "second": [np.zeros(2)]}, r"\['second'\] must be a sequence"),
    ],
)
def test_broken_learning_rates_are_the_runners_fault(
    hook: RuntimeInfoHook, runner: Any, either_hub: Any, rates: object, words: str
) -> None:
    runner.rates, runner.message_hub = rates, either_hub
    with pytest.raises(RunnerError, match=rf"optim_wrapper.*{words}.*\[SCALAR-02\]$"):
        hook.before_train_iter(runner, 0)


def test_an_error_of_get_lr_comes_out_unchanged(hook: RuntimeInfoHook, runner: Any) -> None:
    runner.optim_wrapper.get_lr = lambda: {}["lr"]
    with pytest.raises(KeyError, match=r"^'lr'$"):
        hook.before_train_iter(runner, 0)


def test_an_error_of_the_hub_is_not_blamed_on_the_learning_rates(hook: RuntimeInfoHook, runner: Any) -> None:
    def full(key: str, value: object) -> None:
        raise TypeError("the disk is full")

    runner.message_hub.update_scalar = full
    with pytest.raises(TypeError, match="the disk is full"):
        hook.before_train_iter(runner, 0)


@pytest.mark.parametrize(
    ("event", "argument", "requirement"),
    [
        ("after_train_iter", "outputs", "SCALAR-04"),
        ("after_val_epoch", "metrics", "SCALAR-06"),
        ("after_test_epoch", "metrics", "SCALAR-09"),
    ],
)
@pytest.mark.parametrize("value", [0.5, [("loss", 0.5)], torch.tensor(0.5)], ids=["float", "list", "tensor"])
def test_outputs_and_metrics_that_are_no_mapping_are_the_runners_fault(
    hook: RuntimeInfoHook, runner: Any, event: str, argument: str, requirement: str, value: object
) -> None:
    arguments = {"batch_idx": 0} if event == "after_train_iter" else {}
    message = rf"^{event} must be given {argument} as a mapping .* got {type(value).__name__}.*\[{requirement}\]$"
    with pytest.raises(RunnerError, match=message):
        getattr(hook, event)(runner, **arguments, **{argument: value})


def test_the_hook_runs_very_early_and_can_be_registered(hook: RuntimeInfoHook) -> None:
    class Listener:
        priority = 11

        def before_val(self, runner: Any) -> None:
            assert runner.message_hub.get_info("loop_stage") == "val"

    dispatcher = Dispatcher([Listener(), hook])
    dispatcher.dispatch("before_val", SimpleNamespace(message_hub=MessageHub("tests")))
    assert dispatcher.hooks[0] is hook
    with pytest.raises(HookError):
        dispatcher.register(RuntimeInfoHook)


def test_a_hook_that_fails_before_ours_does_not_cost_the_outer_stage(hub, runner):
    # Of a validation that a hook of a higher priority broke at its opening, ours hears the close alone.
    hook = RuntimeInfoHook()
    hook.before_run(runner)
    hook.before_train(runner)
    hook.after_val(runner)
    assert hub.get_info("loop_stage") == "train"


# -- An iteration that was aborted


def step(hook: RuntimeInfoHook, runner: Any) -> None:
    hook.before_train_iter(runner, batch_idx=0)
    hook.after_train_iter(runner, batch_idx=0, outputs={"loss": 1.0})
    runner.iter += 1


def begin(hook: RuntimeInfoHook, runner: Any) -> None:
    for event in ("before_run", "before_train", "before_train_epoch"):
        getattr(hook, event)(runner)


def abort_in_iteration(hook: RuntimeInfoHook, runner: Any) -> None:
    hook.before_train_iter(runner, batch_idx=0)
    hook.on_exception(runner, ValueError())
    hook.after_train_iter(runner, batch_idx=0)
    for event in ("after_train_epoch", "after_train", "after_run"):
        getattr(hook, event)(runner)


def test_an_aborted_iteration_leaves_no_learning_rate(hook: RuntimeInfoHook, runner: Any, either_hub: Any) -> None:
    runner.message_hub = either_hub
    runner.rates = {"lr": [0.1], "b.lr": [0.2]}
    begin(hook, runner)
    step(hook, runner)
    abort_in_iteration(hook, runner)
    assert values(either_hub, "train/lr") == [0.1]
    assert values(either_hub, "train/b.lr") == [0.2]
    begin(hook, runner)
    step(hook, runner)
    assert values(either_hub, "train/lr") == [0.1, 0.1]
    assert values(either_hub, "train/loss") == [1.0, 1.0]


def test_an_exception_that_leaves_the_iteration_open_takes_no_learning_rate(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    begin(hook, runner)
    hook.before_train_iter(runner, batch_idx=0)
    hook.before_val(runner)
    hook.on_exception(runner, ValueError())  # handled by the user, around the validation
    hook.after_val(runner)
    hook.after_train_iter(runner, batch_idx=0)
    runner.iter += 1
    step(hook, runner)
    hook.after_train_epoch(runner)
    assert values(hub, "train/lr") == [0.1, 0.1]


def test_an_exception_between_iterations_takes_no_learning_rate(
    hook: RuntimeInfoHook, runner: Any, hub: MessageHub
) -> None:
    begin(hook, runner)
    step(hook, runner)
    hook.on_exception(runner, ValueError())
    for event in ("after_train_epoch", "after_train", "after_run"):
        getattr(hook, event)(runner)
    assert values(hub, "train/lr") == [0.1]


def test_an_epoch_publishes_totals_that_have_changed(hook: RuntimeInfoHook, runner: Any, hub: MessageHub) -> None:
    begin(hook, runner)
    runner.max_iters = 40
    hook.before_train_epoch(runner)
    assert hub.get_info("max_iters") == 40
    runner.max_epochs, runner.max_iters = None, None
    hook.before_train_epoch(runner)
    assert (hub.get_info("max_epochs", 0), hub.get_info("max_iters", 0)) == (None, None)
