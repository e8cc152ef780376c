from __future__ import annotations

import copy
import json
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from runtimeinfo import LoopError, RunnerError, StateError, TrainRunner
from runtimeinfo.authoring import (
    Config,
    LearningRates,
    RunnerView,
    TextConfig,
    check_training_state,
    detached,
    length_of,
    resolve_hub,
    with_dataset,
)
from runtimeinfo.spec import EVENTS
from runtimeinfo_adapters import MessageHub


class View(RunnerView):
    framework_name, framework_version = "plain", "1.0"
    max_epochs: int | None = 2
    max_iters: int | None = None
    train_dataloader = with_dataset([1, 2])
    optim_wrapper = LearningRates(None)


class Recorder:
    """Notes every event with its counters."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []


def _note(event: str) -> Any:
    def note(self: Recorder, runner: Any, **_: Any) -> None:
        self.heard.append((event, runner.epoch, runner.iter))

    note.__name__ = event  # by which it is pickled
    return note


for _event in EVENTS:
    setattr(Recorder, _event, _note(_event))


class BoomError(Exception):
    pass


def test_a_view_with_the_training_members_is_a_train_runner() -> None:
    view = View(MessageHub("view"), cfg={"lr": 0.1}, seed=3, experiment_name="digits")
    assert isinstance(view, TrainRunner)
    assert (view.seed, view.experiment_name, json.loads(view.cfg.pretty_text)) == (3, "digits", {"lr": 0.1})


def test_running_opens_a_run_only_if_none_is_open() -> None:
    recorder = Recorder()
    view = View(MessageHub("view"), hooks=[recorder])
    with view.running():
        assert resolve_hub() is view.message_hub
        with view.running():
            view.emitter.emit("before_train")
        assert view.emitter.is_open("train")
    assert resolve_hub() is not view.message_hub
    assert [event for event, *_ in recorder.heard] == ["before_run", "before_train", "after_train", "after_run"]


def fail_in_an_iteration(view: View) -> None:
    with view.running():
        view.emitter.emit("before_train_iter")
        raise BoomError


def test_an_exception_closes_what_was_opened_inside_the_call_that_it_leaves() -> None:
    recorder = Recorder()
    view = View(MessageHub("view"), hooks=[recorder])
    with view.running():
        view.emitter.emit("before_train")
        with pytest.raises(BoomError):
            fail_in_an_iteration(view)
        assert view.emitter.lifecycle.open_scopes == ("run", "train")
    closes = [event for event, *_ in recorder.heard[4:]]
    assert closes == ["on_exception", "after_train_iter", "after_train_epoch", "after_train", "after_run"]


def test_a_hook_that_fails_at_the_end_of_a_scope_closes_it_all_the_same() -> None:
    class Fail:
        def after_train(self, runner: object) -> None:
            raise BoomError

    view = View(MessageHub("view"), hooks=[Fail()])
    with pytest.raises(BoomError), view.running(), view.emitter.scope("train"):
        pass
    assert view.emitter.lifecycle.open_scopes == ()
    assert view.message_hub.get_info("loop_stage") is None


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda view: pickle.loads(pickle.dumps(view))])
def test_a_copy_in_mid_run_is_outside_of_any_run_and_has_the_counters(clone: Any) -> None:
    view = View(MessageHub("view"), hooks=[Recorder()])
    with view.running():
        view.emitter.emit("before_train_iter", data_batch="batch")
        view.emitter.emit("after_train_iter")
        view.emitter.emit("before_train_iter", data_batch="batch")
        twin = clone(view)
        assert view.emitter.is_open("train_iter")
    assert (twin.epoch, twin.iter, twin.emitter.lifecycle.open_scopes) == (0, 1, ())
    assert twin.emitter.epoch == 0
    heard = len(twin.emitter.dispatcher.hooks[-1].heard)
    with twin.running():
        twin.emitter.emit("before_train_iter")
    assert twin.emitter.dispatcher.hooks[-1].heard[heard:][:2] == [("before_run", 0, 1), ("before_train", 0, 1)]
    assert twin.message_hub is not view.message_hub
    assert len(view.emitter.dispatcher.hooks[-1].heard) == 10


def test_a_state_goes_on_where_it_was_saved() -> None:
    first = View(MessageHub("first"))
    with first.running():
        first.emitter.emit("before_train_iter")
        first.emitter.emit("after_train_iter", outputs={"loss": 0.5})
        first.emitter.emit("after_train_epoch")
        state = first.state_dict()
    second = View(MessageHub("second"))
    second.load_state_dict(state)
    assert (second.epoch, second.iter) == (1, 1)
    assert second.message_hub.get_scalar("train/loss").current() == 0.5
    assert second.message_hub.get_info("loop_stage") is None


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        ({"epoch": -1}, "epoch"),
        ({"iter": True}, "iter"),
        ({"version": 2}, "version"),
        ({"message_hub": 3}, "message_hub"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(damage: dict[str, Any], field: str) -> None:
    view = View(MessageHub("view"))
    with pytest.raises(StateError) as caught:
        view.load_state_dict({**view.state_dict(), **damage})
    assert caught.value.field.startswith(field)
    assert (view.epoch, view.iter) == (0, 0)


def test_a_state_without_an_entry_of_its_hub_is_refused_and_changes_nothing() -> None:
    hub = MessageHub("saved")
    hub.update_info_dict({"a": 1, "b": 2})
    state = View(hub).state_dict()
    lacking = {name: {} if isinstance(value, dict) else value for name, value in state["message_hub"].items()}
    view = View(MessageHub("view"))
    with pytest.raises(StateError, match=r"message_hub has 0 entries, and 4 were saved: load it as a whole") as caught:
        view.load_state_dict({**state, "iter": 3, "message_hub": lacking})
    assert caught.value.field == "message_hub"
    assert (view.iter, dict(view.message_hub.runtime_info)) == (0, {})
    del state["hub_entries"]  # of an earlier release
    view.load_state_dict(state)
    assert dict(view.message_hub.runtime_info) == {"a": 1, "b": 2, "epoch": 0, "iter": 0}


def test_further_counters_of_a_state_are_checked() -> None:
    with pytest.raises(StateError, match="batches must be an int from 0, but is None"):
        check_training_state(View(MessageHub("view")).state_dict(), ("batches",))


class SGD:
    def __init__(self, *rates: float) -> None:
        self.param_groups = [{"lr": rate} for rate in rates]


def test_the_rates_of_a_list_are_named_after_the_classes() -> None:
    assert LearningRates.of_list([SGD(0.1, 0.2)]).get_lr() == {"lr": [0.1, 0.2]}
    assert LearningRates.of_list([SGD(0.1), SGD(0.2)]).get_lr() == {"SGD.lr": [0.1], "SGD-1.lr": [0.2]}
    assert LearningRates.of_list([SGD(0.1), SGD(0.2)], ("a", "b")).get_lr() == {"a.lr": [0.1], "b.lr": [0.2]}
    assert LearningRates.of_list([]).get_lr() == {}


def test_as_many_names_as_optimizers() -> None:
    with pytest.raises(RunnerError, match=r"optimizer_names has 1 names \(a\), but there are 2 optimizers"):
        LearningRates.of_list([SGD(0.1), SGD(0.2)], ("a",))


def test_a_list_is_not_an_optimizer() -> None:
    with pytest.raises(LoopError, match="an optimizer has param_groups, but this is list"):
        LearningRates([SGD(0.1)])


def test_a_value_loses_its_graph_and_keeps_its_memory():
    loss = (torch.ones(2, requires_grad=True) * 3).sum()
    value = detached(loss)
    assert value.grad_fn is None
    assert not value.requires_grad
    assert value.data_ptr() == loss.data_ptr()
    assert loss.grad_fn is not None


@pytest.mark.parametrize("value", [torch.ones(2), 0.5, None, "text"])
def test_value_without_a_graph_is_unchanged(value):
    assert detached(value) is value


def test_text_stays_as_it_is():
    assert TextConfig("lr = 0.1").pretty_text == "lr = 0.1"
    assert TextConfig().pretty_text == ""


def test_a_mapping_becomes_json():
    assert json.loads(TextConfig({"lr": 0.1, "name": "x"}).pretty_text) == {"lr": 0.1, "name": "x"}


def test_values_beyond_json_are_shown_by_their_repr():
    assert json.loads(TextConfig({"optim": complex, "ids": {1}}).pretty_text) == {
        "optim": "<class 'complex'>",
        "ids": "{1}",
    }


def test_a_later_change_of_the_mapping_does_not_show():
    data = {"lr": 0.1}
    cfg = TextConfig(data)
    data["lr"] = 0.2
    assert json.loads(cfg.pretty_text) == {"lr": 0.1}


def test_satisfies_the_protocol():
    assert isinstance(TextConfig(), Config)


class Native(dict):
    pretty_text = "native"


class NotAMapping:
    pretty_text = "other"


@pytest.mark.parametrize(
    ("cfg", "text"),
    [(None, ""), ("text", "text"), ({"a": 1}, '{\n  "a": 1\n}'), (Native(a=1), "native"), (NotAMapping(), "other")],
)
def test_of_takes_whatever_there_is(cfg, text):
    assert TextConfig.of(cfg).pretty_text == text


def test_of_keeps_what_satisfies_the_protocol():
    for cfg in (Native(), NotAMapping(), TextConfig("x")):
        assert TextConfig.of(cfg) is cfg


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


class Refusing:
    def __len__(self):
        raise NotImplementedError


def test_a_loader_with_a_dataset_stays_itself():
    loader = DataLoader([1, 2, 3])
    assert with_dataset(loader) is loader


@pytest.mark.parametrize("loader", [[1, 2], None, SimpleNamespace(name="no dataset")])
def test_loader_without_a_dataset_is_its_own_dataset(loader):
    assert with_dataset(loader).dataset is loader


@pytest.mark.parametrize(
    ("loader", "length"),
    [(DataLoader([1, 2, 3], batch_size=2), 2), (DataLoader(Stream()), None), (Refusing(), None), (None, None)],
)
def test_the_length_is_none_where_there_is_none(loader, length):
    assert length_of(loader) == length


# -- Totals


class Sized(RunnerView):
    """A view of a training whose loader can change its length."""

    framework_name, framework_version = "plain", "1.0"
    train_dataloader = with_dataset([1, 2])
    optim_wrapper = LearningRates(None)
    max_epochs: int | None = 3

    def __init__(self, lengths: list[int | None]) -> None:
        super().__init__(MessageHub("totals"))
        self.lengths = lengths

    @property
    def max_iters(self) -> int | None:
        return self.total_iters(self.max_epochs, self.lengths[min(self.epoch, len(self.lengths) - 1)])


def train(view: Sized, batches: list[int]) -> list[tuple[Any, Any]]:
    """Train, and return the hub's and the runner's total at each batch, and after each epoch."""
    emitter, hub = view.emitter, view.message_hub
    totals: list[tuple[Any, Any]] = []
    with view.running():
        for count in batches:
            emitter.emit("before_train_epoch")
            emitter.epoch_length = view.lengths[view.epoch] or 1_000
            for _ in range(count):
                emitter.emit("before_train_iter")
                totals.append((hub.get_info("max_iters"), view.max_iters))
                emitter.emit("after_train_iter")
            emitter.emit("after_train_epoch")
            emitter.emit("before_val")
            emitter.emit("after_val")
        assert view.max_iters == hub.get_info("max_iters")
    return totals


def test_total_follows_a_loader_that_changes_its_length() -> None:
    assert train(Sized([2, 4, 6]), [2, 4, 6]) == [(6, 6)] * 2 + [(10, 10)] * 4 + [(12, 12)] * 6


def test_total_is_none_from_the_batch_on_that_the_loader_had_not_told() -> None:
    assert train(Sized([2, 2, 2]), [2, 3, 2]) == [(6, 6)] * 4 + [(None, None)] * 3


def test_total_of_shorter_epochs_counts_what_was_done() -> None:
    assert train(Sized([4, 4, 4]), [4, 1, 4]) == [(12, 12)] * 4 + [(12, 12)] + [(9, 9)] * 4


def test_total_of_a_resumed_epoch_counts_its_first_batches_once() -> None:
    view = Sized([4, 4, 4])
    view.emitter.epoch, view.emitter.iter, view.emitter.resumed_at = 1, 6, 2
    assert train(view, [2, 4]) == [(12, 12)] * 6


def test_total_is_none_without_a_length_or_a_number_of_epochs() -> None:
    view = Sized([None])
    assert view.total_iters(3, None) is None
    assert view.total_iters(None, 4) is None
    assert view.total_iters(3, 4) == 12


def test_iter_is_published_ahead_of_the_iteration() -> None:
    view = Sized([2])
    with view.running():
        view.emitter.emit("before_train_epoch")
        view.emitter.emit("before_train_iter")
        view.emitter.emit("after_train_iter")
        assert (view.iter, view.message_hub.get_info("iter")) == (1, 0)
        view.publish_iter()
        assert view.message_hub.get_info("iter") == 1
