"""Iterations, what they hand out, iterators that are used at the wrong time, and resuming."""

# ruff: noqa: PT012, PT031  # what raises here is a whole training
from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Sampler, TensorDataset

from runtimeinfo import LoopError, SkippedOutputWarning, current_hub
from runtimeinfo_adapters.pytorch import FinishedLoopWarning, Loop

# -- log


def test_log_may_be_called_several_times(make: Any) -> None:
    loop = make(2, max_epochs=1)
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                loop.log(loss=1)
                loop.log({"acc": 2, "per class/cat": 3})
                loop.log()
                loop.log({})
    assert loop.told.given("after_train_iter", "outputs") == [{"loss": 1, "acc": 2, "per class/cat": 3}] * 2
    assert loop.message_hub.get_scalar("train/per class/cat").data[0].tolist() == [3, 3]


def test_logs_are_published_when_the_iteration_ends(make: Any) -> None:
    loop = make(2)
    with loop.run():
        for batch in loop.train():
            loop.log(loss=1)
            assert ("train/loss" in loop.message_hub.log_scalars) == (batch == "b")


def test_an_output_that_is_no_scalar_is_skipped_with_a_warning(make: Any) -> None:
    loop = make(2)
    with pytest.warns(SkippedOutputWarning, match="'boxes' is not published") as warned, loop.run():
        for _ in loop.train():
            loop.log(loss=1, boxes=torch.zeros(4))
            loop.state_dict()
    assert len(warned) == 1
    assert sorted(loop.message_hub.log_scalars) == ["train/loss", "train/lr"]


def test_nothing_is_handed_out_if_nothing_was_logged(make: Any) -> None:
    loop = make(1)
    with loop.run():
        list(loop.train())
    assert loop.told.given("after_train_iter", "outputs") == [None]


def test_log_outside_of_an_iteration(make: Any) -> None:
    loop = make(2, max_epochs=1)
    message = r"log\(\) belongs inside an iteration: inside `for batch in loop.train\(\)`"
    with loop.run():
        with pytest.raises(LoopError, match=message):
            loop.log(loss=1)
        for _ in loop.epochs():
            with pytest.raises(LoopError, match=message):
                loop.log(loss=1)
            for _ in loop.train():
                break
            with pytest.raises(LoopError, match=message):
                loop.log(loss=1)
    assert "train/loss" not in loop.message_hub.log_scalars


def test_the_same_name_twice(make: Any) -> None:
    loop = make(2)
    with loop.run():
        for _ in loop.train():
            loop.log(loss=1)
            with pytest.raises(LoopError, match="'loss' was logged already in this iteration"):
                loop.log(acc=1, loss=2)
            with pytest.raises(LoopError, match="'acc' was given twice to log\\(\\)"):
                loop.log({"acc": 1}, acc=2)
    assert loop.told.given("after_train_iter", "outputs") == [{"loss": 1}] * 2


@pytest.mark.parametrize("values", [torch.tensor(0.0), 0.5, 0, [], [("loss", 1)]])
def test_log_without_names(make: Any, values: Any) -> None:
    loop = make(1)
    with loop.run():
        for _ in loop.train():
            with pytest.raises(LoopError, match="log\\(\\) takes values by name, as in log\\(name=value\\), but got"):
                loop.log(values)
    assert loop.told.given("after_train_iter", "outputs") == [None]


def test_logs_of_an_aborted_iteration_are_dropped(make: Any) -> None:
    loop = make(1, max_epochs=1)
    with pytest.raises(make.Boom), loop.run():
        for _ in loop.train():
            loop.log(loss=1)
            raise make.Boom
    with loop.run():
        for _ in loop.train():
            loop.log(loss=2)
    assert loop.message_hub.get_scalar("train/loss").data[0].tolist() == [2]


# -- iterators


def test_epochs_twice_at_once(make: Any) -> None:
    loop = make(1, max_epochs=3)
    message = r"epochs\(\) is running already; leave the first for statement before you start another"
    with loop.run():
        for _ in loop.epochs():
            with pytest.raises(LoopError, match=message):
                loop.epochs()
            break
        assert list(loop.epochs()) == [1, 2]
    assert loop.told.story == "run(train(epoch())train(epoch()epoch()))"


def test_epochs_that_are_made_and_not_used(make: Any) -> None:
    loop = make(1, max_epochs=1)
    with loop.run():
        loop.epochs()
        assert list(loop.epochs()) == [0]
    assert loop.told.story == "run(train()train(epoch()))"


def test_a_stale_iterator_over_epochs(make: Any) -> None:
    loop = make(1, max_epochs=3)
    with loop.run():
        epochs = loop.epochs()
        assert next(epochs) == 0
    with pytest.raises(LoopError, match="this iteration over the epochs is over: its run has ended"):
        next(epochs)
    with loop.run(), pytest.raises(LoopError, match="this iteration over the epochs is over"):
        next(epochs)
    assert loop.told.story == "run(train(epoch()))run()"


def test_an_iterator_that_has_ended_stays_at_its_end(make: Any) -> None:
    loop = make(1, max_epochs=1)
    with loop.run():
        epochs = loop.epochs()
        assert next(epochs) == 0
        batches = iter(loop.train())
        assert list(batches) == ["a"]
        assert list(batches) == []
        assert list(epochs) == []
        assert list(epochs) == []
    assert list(batches) == list(epochs) == []
    assert loop.told.story == "run(train(epoch(iter())))"


def test_a_stale_iterator_over_batches(make: Any) -> None:
    message = "this pass over the loader is over: its epoch has ended, or another train\\(\\) has begun. Call train"
    loop = make(3, max_epochs=2)
    stale = []
    with loop.run():
        for _ in loop.epochs():
            for batches in stale:
                with pytest.raises(LoopError, match=message):
                    next(batches)
            stale = [iter(loop.train()), iter(loop.train())]
            assert next(stale[1]) == "a"
            with pytest.raises(LoopError, match=message):
                next(stale[0])
    with pytest.raises(LoopError, match=message):
        next(stale[1])
    assert loop.told.story == "run(train(epoch(iter())epoch(iter())))"


def test_a_pass_that_is_iterated_over_elsewhere(make: Any) -> None:
    loop = make(1)
    with loop.run():
        batches = loop.train()
        with loop.val(), pytest.raises(LoopError, match="train\\(\\) cannot be used inside a val"):
            iter(batches)
    with pytest.raises(LoopError, match=r"train\(\) belongs inside `with loop.run\(\):`"):
        iter(batches)
    assert loop.told.story == "run(val(epoch()))"


def test_the_loader_may_fail_at_a_batch_and_go_on(make: Any) -> None:
    class Batches:
        def __iter__(self) -> Any:
            return self

        def __init__(self) -> None:
            self.left = [make.Boom(), "b", make.Boom(), "d"]

        def __next__(self) -> Any:
            if not self.left:
                raise StopIteration
            batch = self.left.pop(0)
            if isinstance(batch, Exception):
                raise batch
            return batch

    loop = make(Batches())
    got = []
    with loop.run():
        batches = iter(loop.train())
        while True:
            try:
                got.append(next(batches))
            except make.Boom:
                got.append(None)
            except StopIteration:
                break
    assert got == [None, "b", None, "d"]
    assert loop.told.story == "run(train(epoch(iter()iter())))"


# -- resuming a real training


class ShuffledByEpoch(Sampler[int]):
    """Reads the epoch where every component does."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __iter__(self) -> Any:
        generator = torch.Generator().manual_seed(100 + current_hub().get_info("epoch"))
        return iter(torch.randperm(self.length, generator=generator).tolist())

    def __len__(self) -> int:
        return self.length


EPOCHS, BATCHES = 2, 3


class Experiment:
    """A small training, with all that has to be saved."""

    def __init__(self, make: Any, *, seed: int = 0, save: Any = None) -> None:
        torch.manual_seed(seed)
        self.model = torch.nn.Linear(2, 1)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, gamma=0.9)
        data = TensorDataset(torch.arange(12.0).reshape(6, 2) / 10, torch.arange(6.0).reshape(6, 1))
        loader = DataLoader(data, batch_size=2, sampler=ShuffledByEpoch(6))
        hooks = () if save is None else (SaveAt(self, save),)
        self.save = save
        self.loop = make(loader, optimizer=self.optimizer, max_epochs=EPOCHS, seed=1, hooks=hooks)
        self.checkpoint: bytes | None = None

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler, "loop": self.loop}

    def state(self) -> bytes:
        file = io.BytesIO()
        torch.save({name: part.state_dict() for name, part in self.parts().items()}, file)
        return file.getvalue()

    def load(self, checkpoint: bytes, **how: Any) -> None:
        states = torch.load(io.BytesIO(checkpoint), weights_only=True)
        for name, part in self.parts().items():
            part.load_state_dict(states[name], **(how if name == "loop" else {}))

    def crash_at(self, place: str) -> None:
        """Save and crash, if that is what was asked for."""
        if self.save == (place, self.loop.iter) and self.checkpoint is None:
            self.checkpoint = self.state()
            raise KeyboardInterrupt

    def run(self) -> None:
        with self.loop.run():
            for _ in self.loop.epochs():
                for inputs, targets in self.loop.train():
                    loss = ((self.model(inputs) - targets) ** 2).mean()
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                    self.scheduler.step()
                    self.loop.log(loss=loss, weight=self.model.weight[0, 0])
                    self.crash_at("iteration")
                self.crash_at("epoch")

    def result(self) -> dict[str, Any]:
        hub = self.loop.message_hub
        return {
            "weights": [parameter.tolist() for parameter in self.model.parameters()],
            "lr": self.scheduler.get_last_lr(),
            "counters": (self.loop.epoch, self.loop.iter),
            "histories": {key: history.data[0].tolist() for key, history in hub.log_scalars.items()},
            "infos": dict(hub.runtime_info),
        }


class SaveAt:
    """A hook which saves, as the checkpoint hooks of frameworks do, and crashes at the next event."""

    priority = "LOW"

    def __init__(self, experiment: Experiment, save: tuple[str, int]) -> None:
        self.experiment, self.event, self.iter = experiment, *save
        if self.event in {"after_train_iter", "after_train_epoch", "before_train_epoch", "before_train_iter"}:
            setattr(self, self.event, self.hear)

    def before_run(self, runner: Any) -> None:
        pass

    def hear(self, runner: Any, **arguments: Any) -> None:
        if runner.iter == self.iter and self.experiment.checkpoint is None:
            self.experiment.checkpoint = self.experiment.state()
            raise KeyboardInterrupt


PLACES = [
    *(("iteration", done) for done in range(EPOCHS * BATCHES)),
    *(("after_train_iter", done) for done in range(EPOCHS * BATCHES)),
    *((place, BATCHES * epoch) for epoch in range(1, EPOCHS + 1) for place in ("epoch", "after_train_epoch")),
    *(("before_train_epoch", BATCHES * epoch) for epoch in range(EPOCHS)),
]


@pytest.mark.parametrize(("place", "iteration"), PLACES)
def test_a_resumed_training_ends_as_if_it_had_not_been_interrupted(make: Any, place: str, iteration: int) -> None:
    straight = Experiment(make)
    straight.run()
    assert straight.result()["counters"] == (2, 6)
    interrupted = Experiment(make, save=(place, iteration))
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    assert interrupted.checkpoint is not None
    resumed = Experiment(make, seed=5)
    resumed.load(interrupted.checkpoint)
    is_complete = place in {"epoch", "after_train_epoch"} and iteration == EPOCHS * BATCHES
    with pytest.warns(FinishedLoopWarning) if is_complete else contextlib.nullcontext():
        resumed.run()
    assert resumed.result() == straight.result()


@pytest.mark.parametrize(
    ("save", "position"),
    [
        (("iteration", 0), (0, 1, 1)),
        (("iteration", 2), (0, 3, 3)),
        (("epoch", 3), (1, 3, 0)),
        (("after_train_iter", 4), (1, 5, 2)),
        (("after_train_epoch", 3), (1, 3, 0)),
        (("before_train_epoch", 3), (1, 3, 0)),
        (("before_train_iter", 4), (1, 5, 2)),
    ],
)
def test_state_contents(make: Any, save: tuple[str, int], position: tuple[int, int, int]) -> None:
    experiment = Experiment(make, save=save)
    with pytest.raises(KeyboardInterrupt):
        experiment.run()
    state = torch.load(io.BytesIO(experiment.checkpoint or b""), weights_only=True)["loop"]
    assert (state["epoch"], state["iter"], state["batches"]) == position
    assert sorted(state["outputs"]) == (["loss", "weight"] if save[0] == "iteration" else [])


def test_a_state_before_and_after_the_training(make: Any) -> None:
    loop = make(2, max_epochs=1)
    assert [loop.state_dict()[key] for key in ("version", "epoch", "iter", "batches", "outputs")] == [1, 0, 0, 0, {}]
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
    assert [loop.state_dict()[key] for key in ("version", "epoch", "iter", "batches", "outputs")] == [1, 1, 2, 0, {}]


def test_a_state_that_is_saved_again_before_the_training_goes_on(make: Any) -> None:
    saved = make(3, max_epochs=2)
    with saved.run():
        for _ in saved.epochs():
            for batch in saved.train():
                saved.log(loss=1)
                if batch == "b":
                    state = saved.state_dict()
            break
    again = make(3, max_epochs=2)
    again.load_state_dict(state)
    assert repr(again.state_dict() | {"outputs": {}}) != repr(state)
    assert (again.state_dict()["epoch"], again.state_dict()["iter"], again.state_dict()["batches"]) == (0, 2, 2)
    third = make(3, max_epochs=2)
    third.load_state_dict(again.state_dict())
    with third.run():
        for _ in third.epochs():
            for _ in third.train():
                third.log(loss=2)
    assert third.told.given("before_train_iter", "data_batch") == ["c", "a", "b", "c"]
    assert third.told.given("before_train_iter", "batch_idx") == [2, 0, 1, 2]
    assert third.message_hub.get_scalar("train/loss").data[0].tolist() == [1, 1, 2, 2, 2, 2]


def resumable(make: Any, at: str, **more: Any) -> dict[str, Any]:
    loop = make(3, **more)
    with loop.run():
        for _ in loop.epochs():
            for batch in loop.train():
                if batch == at:
                    state = loop.state_dict()
            break
    return state


def test_a_loader_that_resumes_by_itself(make: Any) -> None:
    loop = make(["c"], max_epochs=1)
    loop.load_state_dict(resumable(make, "b", max_epochs=1), skip_batches=False)
    with loop.run():
        assert [batch for _ in loop.epochs() for batch in loop.train()] == ["c"]
    assert (loop.epoch, loop.iter) == (1, 3)


def test_a_loader_that_has_become_shorter(make: Any) -> None:
    loop = make(1, max_epochs=2)
    loop.load_state_dict(resumable(make, "b", max_epochs=2))
    with loop.run():
        assert [batch for _ in loop.epochs() for batch in loop.train()] == ["a"]
    assert (loop.epoch, loop.iter) == (2, 3)
    assert loop.told.story == "run(train(epoch()epoch(iter())))"


def test_resuming_in_the_second_pass_of_an_epoch(make: Any) -> None:
    saved = make(2, max_epochs=1)
    with saved.run():
        for _ in saved.epochs():
            for part in range(2):
                for batch in saved.train():
                    if (part, batch) == (1, "a"):
                        state = saved.state_dict()
    assert state["batches"] == 3
    loop = make(2, max_epochs=1)
    loop.load_state_dict(state)
    with loop.run():
        for _ in loop.epochs():
            assert [list(loop.train()) for _ in range(2)] == [[], ["b"]]
    assert loop.iter == 4


def test_resuming_without_epochs(make: Any) -> None:
    saved: Loop[str] = make(3, max_iters=5)
    with saved.run():
        for batch in saved.train():
            if batch == "b":
                state = saved.state_dict()
    loop = make(3, max_iters=5)
    loop.load_state_dict(state)
    with loop.run():
        assert [list(loop.train()) for _ in range(3)] == [["c"], ["a", "b"], []]
    assert loop.iter == 5


def test_a_state_that_is_saved_inside_a_validation(make: Any) -> None:
    loop = make(3, max_epochs=1)
    with loop.run():
        for _ in loop.epochs():
            batches = iter(loop.train())
            assert next(batches) == "a"
            loop.log(loss=1)
            with loop.val() as val:
                del batches  # left, but nothing may close while the validation is open
                state = loop.state_dict()
                val.log_metrics(acc=1)
    assert (state["epoch"], state["iter"], state["batches"], state["outputs"]) == (0, 1, 1, {"loss": 1})
    assert loop.told.story == "run(train(epoch(iter(val(epoch())))))"
    assert loop.told.given("after_val_epoch", "metrics") == [{"acc": 1}]


def test_a_hook_that_saves_when_what_was_left_is_closed(make: Any) -> None:
    states = []

    class Save:
        priority = "LOW"

        def after_train_iter(self, runner: Any, **arguments: Any) -> None:
            states.append(runner.state_dict())

        def after_train_epoch(self, runner: Any) -> None:
            states.append(runner.state_dict())

    loop = make(3, hooks=(Save(),))
    with loop.run():
        for _ in loop.train():
            break
        with loop.val():
            pass
    assert loop.told.story == "run(train(epoch(iter())val(epoch())))"
    assert [(state["epoch"], state["iter"], state["batches"]) for state in states] == [(0, 1, 1), (1, 1, 0)]


def test_a_hook_that_saves_while_the_run_is_ending_abnormally(make: Any) -> None:
    states = []

    class Save:
        priority = "LOW"

        def after_train_iter(self, runner: Any, **arguments: Any) -> None:
            states.append(runner.state_dict())

    loop = make(3, hooks=(Save(),))
    with pytest.raises(make.Boom), loop.run():
        for batch in loop.train():
            if batch == "b":
                raise make.Boom
    assert [(state["epoch"], state["iter"], state["batches"]) for state in states] == [(0, 1, 1), (0, 1, 1)]
