"""The adapter over what a real Accelerator has prepared."""

from __future__ import annotations

import copy
import importlib.metadata
import pickle
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import GradientState
from accelerate.utils import find_executable_batch_size
from recorder import Recorder
from torch.utils.data import DataLoader, Dataset

import runtimeinfo_adapters.accelerate
from runtimeinfo import LoopError, RunnerError, StateError, TrainRunner, current_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo_adapters import MessageHub, ResumeWarning
from runtimeinfo_adapters._framework import UntestedVersionWarning
from runtimeinfo_adapters.accelerate import AccelerateRunner, attach, detach
from runtimeinfo_adapters.pytorch import Loop


class Data(Dataset[Any]):
    metainfo = {"classes": ["cat", "dog"]}  # noqa: RUF012

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([float(index)])


@pytest.fixture(autouse=True)
def nothing_is_left_active() -> Iterator[None]:
    """Demand of each test that no loader is left in the gradient state, which all Accelerators share."""
    GradientState._reset_state()  # a test of Transformers, which uses it too, may have left one
    yield
    left = GradientState().in_dataloader
    GradientState._reset_state()
    assert not left


class Script:
    """A training of 5 batches an epoch, as a user writes it."""

    def __init__(self, *, accumulation: int = 1, shuffle: bool = False, **options: Any) -> None:
        config = DataLoaderConfiguration(use_seedable_sampler=True)
        self.accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulation, dataloader_config=config)
        torch.manual_seed(0)
        model = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        generator = torch.Generator().manual_seed(5)
        loaders = DataLoader(Data(), batch_size=2, shuffle=shuffle, generator=generator), DataLoader(Data(), 5)
        self.model, self.optimizer, self.scheduler, self.train_loader, self.val_loader = self.accelerator.prepare(
            model, optimizer, scheduler, *loaders
        )
        self.recorder = Recorder()
        options = {"max_epochs": 2, "hooks": [self.recorder]} | options
        self.loop: AccelerateRunner[Any] = attach(self.accelerator, self.optimizer, self.train_loader, **options)
        self.steps = 0
        self.batches: list[list[float]] = []

    def run(
        self, *, save_at: int | None = None, folder: Path | None = None, error: BaseException | None = None
    ) -> None:
        with self.loop.run():
            for _ in self.loop.epochs():
                for batch in self.loop.train():
                    self.step(batch)
                    if self.loop.iter + 1 == save_at:
                        self.accelerator.save_state(str(folder))
                    if error is not None and self.loop.iter == 2:
                        raise error

    def step(self, batch: torch.Tensor) -> None:
        self.batches.append(batch.flatten().tolist())
        with self.accelerator.accumulate(self.model):
            loss = self.model(batch).square().mean()
            self.accelerator.backward(loss)
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad()
            self.steps += self.accelerator.sync_gradients
        self.loop.log(loss=loss)


def values(hub: Any, key: str) -> list[float]:
    return [float(value) for value in hub.get_scalar(key).data[0]]


def test_a_training() -> None:
    script = Script(seed=3, experiment_name="digits", cfg={"lr": 0.01})
    script.run()
    assert isinstance(script.loop, TrainRunner)
    assert script.recorder.counters("before_train_iter") == [(index // 5, index) for index in range(10)]
    hub = script.loop.message_hub
    keys = ("epoch", "iter", "max_epochs", "max_iters", "seed", "experiment_name", "loop_stage", "dataset_meta")
    assert [hub.get_info(key) for key in keys] == [2, 10, 2, 10, 3, "digits", None, Data.metainfo]
    assert hub.get_info("accelerate_version") == importlib.metadata.version("accelerate")
    assert values(hub, "train/lr") == pytest.approx([0.01 * 0.5**done for done in range(10)])
    assert len(values(hub, "train/loss")) == 10


# Seen in a run: "Accelerate: none; acc.step resets each epoch"
def test_with_accumulation_batches_are_counted() -> None:
    script = Script(accumulation=2)
    script.run()
    assert script.steps == 6
    assert script.recorder.counters("before_train_iter") == [(index // 5, index) for index in range(10)]
    assert script.loop.max_iters == 10


# -- resume


@pytest.mark.parametrize("done", [5, 7])
@pytest.mark.parametrize("shuffle", [False, True])
def test_save_state_and_load_state_carry_it(tmp_path: Path, done: int, shuffle: bool) -> None:
    whole = Script(shuffle=shuffle)
    whole.run(save_at=done, folder=tmp_path)
    script = Script(shuffle=shuffle, experiment_name="resumed")
    script.accelerator.load_state(str(tmp_path))
    script.run()
    hub = script.loop.message_hub
    assert script.recorder.counters("before_train")[0][1] == done
    assert script.recorder.counters("before_train_iter")[-3:] == [(1, 7), (1, 8), (1, 9)]
    assert len(script.batches) == 10 - done
    # In the order in which the training that was not interrupted had them.
    assert script.batches == whole.batches[done:]
    for key in ("train/loss", "train/lr"):
        assert values(hub, key) == pytest.approx(values(whole.loop.message_hub, key))
    assert hub.get_info("experiment_name") == "resumed"


def test_without_skipping_the_batches_come_again(tmp_path: Path) -> None:
    whole = Script()
    whole.run(save_at=7, folder=tmp_path)
    script = Script()
    script.loop.load_state_dict(torch.load(tmp_path / "custom_checkpoint_0.pkl", weights_only=True), skip_batches=False)
    script.run()
    assert script.batches == whole.batches[5:]


def test_a_damaged_state_is_refused_by_name(tmp_path: Path) -> None:
    script = Script()
    script.run(save_at=7, folder=tmp_path)
    path = tmp_path / "custom_checkpoint_0.pkl"
    torch.save({**torch.load(path, weights_only=True), "iter": -1}, path)
    other = Script()
    with pytest.raises(StateError, match="iter must be an int from 0"):
        other.accelerator.load_state(str(tmp_path))
    assert other.loop.iter == 0


# -- what is left in the middle


# Seen in a run: "Accelerate: break or an exception leaves GradientState.in_dataloader=True"
def test_a_break_leaves_no_loader_active() -> None:
    script = Script(accumulation=4, shuffle=True)
    orders = []
    with script.loop.run():
        for _ in script.loop.epochs():
            for batch in script.loop.train():
                script.step(batch)
                break
            orders.append(script.batches[-1])
        # Also before the run ends: the next loader would find itself inside of that one.
        assert not script.accelerator.gradient_state.in_dataloader
    # The loader counts only the passes that it has come to the end of, and would shuffle in the same way again.
    assert orders[0] != orders[1]


def test_a_validation_that_is_left_gives_the_training_loader_back() -> None:
    script = Script(accumulation=2, max_epochs=1)
    with script.loop.run():
        for _ in script.loop.epochs():
            for batch in script.loop.train():
                script.step(batch)
                with script.loop.val() as val:
                    for _ in val.batches(script.val_loader):
                        break
                assert script.accelerator.gradient_state.active_dataloader is script.train_loader
    assert script.steps == 3  # the last one for a single batch, since the loader is known to be at its end


@pytest.mark.parametrize("error", [ValueError("the loss is NaN"), KeyboardInterrupt()])
def test_an_exception_comes_out_and_leaves_no_loader_active(error: BaseException) -> None:
    script = Script()
    outside = resolve_hub()
    with pytest.raises(type(error)) as raised:
        script.run(error=error)
    assert raised.value is error
    assert script.recorder.events[-5:] == [
        "on_exception",
        *["after_train_iter", "after_train_epoch", "after_train", "after_run"],
    ]
    assert not script.accelerator.gradient_state.in_dataloader
    assert script.loop.message_hub.get_info("loop_stage") is None
    assert resolve_hub() is outside


def test_a_loader_that_is_active_outside_stays_so() -> None:
    script = Script(max_epochs=1)
    for _ in script.val_loader:
        script.run()
        assert script.accelerator.gradient_state.active_dataloader is script.val_loader
        break
    script.val_loader.end()


def test_a_hook_that_fails_as_a_scope_opens() -> None:
    script = Script()
    script.recorder.raises["before_train_epoch"] = error = RuntimeError("no")
    with pytest.raises(RuntimeError) as raised:
        script.run()
    assert raised.value is error


# -- arguments


def test_the_hub_and_the_hooks_are_the_users() -> None:
    called: list[Any] = []

    class Say:
        def __init__(self, priority: str) -> None:
            self.priority = priority

        def before_train(self, runner: Any) -> None:
            called.append((self.priority, current_hub().get_info("loop_stage")))

    hub = MessageHub("mine")
    script = Script(hub=hub, hooks=[Say("LOW"), Say("HIGH")])
    script.run()
    assert hub.get_info("iter") == 10
    assert called == [("HIGH", "train"), ("LOW", "train")]


def test_two_trainings_one_after_the_other() -> None:
    for _ in range(2):
        script = Script(max_epochs=1)
        script.run()
        assert script.recorder.counters("before_train_iter") == [(0, index) for index in range(5)]


def test_only_an_accelerator_can_be_attached_to() -> None:
    with pytest.raises(RunnerError, match=r"attach\(\) takes an accelerate\.Accelerator, but got object"):
        attach(object())


def test_failed_construction_registers_nothing() -> None:
    accelerator = Accelerator(cpu=True)
    with pytest.raises(LoopError, match="max_epochs"):
        attach(accelerator, max_epochs=-1)
    assert accelerator._custom_objects == []


# -- the framework


def test_without_accelerate_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'runtimeinfo\[accelerate\]'"):
        runpy.run_path(str(runtimeinfo_adapters.accelerate.__file__))


def test_a_version_that_was_not_tried_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.34.2")
    with pytest.warns(UntestedVersionWarning, match=r"accelerate 0\.34\.2 is installed"):
        runpy.run_path(str(runtimeinfo_adapters.accelerate.__file__))


def test_detach_leaves_the_accelerator_as_it_was() -> None:
    accelerator = Accelerator(cpu=True)
    other = torch.nn.Linear(1, 1)
    accelerator.register_for_checkpointing(other)
    before = dict(vars(accelerator), _custom_objects=list(accelerator._custom_objects))
    loop = attach(accelerator, None, [1, 2], max_epochs=1)
    assert accelerator._custom_objects == [other, loop]
    detach(accelerator)
    detach(accelerator)
    assert vars(accelerator) == before
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
    assert (loop.epoch, loop.iter) == (1, 2)


def test_an_accelerator_has_one_loop() -> None:
    accelerator = Accelerator(cpu=True)
    attach(accelerator)
    second = attach(accelerator)
    assert accelerator._custom_objects == [second]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda loop: pickle.loads(pickle.dumps(loop))])
def test_a_copy_of_a_loop_trains_itself(clone: Callable[[Any], Any]) -> None:
    loop = attach(Accelerator(cpu=True), None, [1.0, 2.0], max_epochs=2)
    with loop.run():
        for _ in loop.epochs():
            for value in loop.train():
                loop.log(loss=value)
            twin = clone(loop)
            break
        assert (twin.epoch, twin.iter) == (loop.epoch, loop.iter)
    assert twin.message_hub is not loop.message_hub
    with twin.run():
        for _ in twin.epochs():
            for value in twin.train():
                twin.log(loss=10 * value)
    assert (twin.epoch, twin.iter) == (2, 4)
    assert loop.message_hub.get_scalar("train/loss").data[0].tolist() == [1.0, 2.0]
    assert twin.message_hub.get_scalar("train/loss").data[0].tolist()[-2:] == [10.0, 20.0]


def test_a_member_that_accelerate_has_given_up_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = Accelerator(cpu=True)
    monkeypatch.delattr(accelerator, "_custom_objects")
    with pytest.raises(RunnerError, match="Accelerator has no _custom_objects, which this adapter relies on"):
        attach(accelerator)


def test_a_misspelt_keyword_is_pointed_out() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'sed': did you mean 'seed'"):
        attach(Accelerator(cpu=True), sed=3)


# -- the items of a resumed epoch


class Items:
    """A training that notes its items, seeded as a process is."""

    def __init__(self, seed: int, *, skip: int = 0, workers: int = 0, accumulation: int = 1, **config: Any) -> None:
        torch.manual_seed(seed)
        GradientState._reset_state()
        self.accelerator = Accelerator(
            cpu=True, gradient_accumulation_steps=accumulation, dataloader_config=DataLoaderConfiguration(**config)
        )
        model = torch.nn.Linear(1, 1)
        loader = DataLoader(Data(), batch_size=2, shuffle=True, num_workers=workers)
        self.model, loader = self.accelerator.prepare(model, loader)
        if skip:
            loader = self.accelerator.skip_first_batches(loader, skip)
        self.loop: AccelerateRunner[Any] = attach(self.accelerator, None, loader, max_epochs=2)
        self.had: list[tuple[int, int]] = []

    def run(self, *, save_at: int | None = None, folder: Path | None = None, epochs: int = 2) -> None:
        with self.loop.run():
            for epoch in self.loop.epochs():
                for batch in self.loop.train():
                    with self.accelerator.accumulate(self.model):
                        self.had += [(epoch, int(item)) for item in batch]
                        torch.rand(3)
                    if self.loop.iter + 1 == save_at:
                        self.accelerator.save_state(str(folder))
                        return
                if epoch + 1 == epochs:
                    return

    def go_on(self, folder: Path) -> list[tuple[int, int]]:
        self.accelerator.load_state(str(folder))
        self.run()
        return self.had


TWICE_EACH = sorted((epoch, item) for epoch in range(2) for item in range(10))
CONFIGS: list[dict[str, Any]] = [
    {},
    {"use_seedable_sampler": True},
    {"split_batches": True},
    {"dispatch_batches": True},
    {"dispatch_batches": True, "split_batches": True, "use_seedable_sampler": True},
    {"accumulation": 4},
    {"workers": 1},
    {"workers": 1, "dispatch_batches": True, "use_seedable_sampler": True},
]


@pytest.mark.parametrize("done", [1, 3, 5, 7, 10])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_each_item_comes_once_over_a_resume(tmp_path: Path, config: dict[str, Any], done: int) -> None:
    first = Items(1, **config)
    first.run(save_at=done, folder=tmp_path)
    other = Items(2, **config)
    assert sorted(first.had + other.go_on(tmp_path)) == TWICE_EACH
    assert (other.loop.epoch, other.loop.iter, other.loop.max_iters) == (2, 10, 10)


@pytest.mark.parametrize("config", [{}, {"use_seedable_sampler": True}, {"dispatch_batches": True}], ids=str)
def test_batches_that_accelerate_skips_are_not_skipped_again(tmp_path: Path, config: dict[str, Any]) -> None:
    first = Items(1, **config)
    first.run(save_at=3, folder=tmp_path)
    other = Items(2, skip=3, **config)
    other.accelerator.load_state(str(tmp_path))
    other.run(epochs=1)
    assert sorted(first.had + other.had) == TWICE_EACH[:10]
    assert other.loop.iter == 5


def test_another_number_of_skipped_batches_is_said(tmp_path: Path) -> None:
    Items(1).run(save_at=3, folder=tmp_path)
    other = Items(2, skip=2)
    other.accelerator.load_state(str(tmp_path))
    with pytest.warns(ResumeWarning, match="it skips 2 by itself, but 3 were had"):
        other.run(epochs=1)


def test_plain_loop_over_a_prepared_loader(tmp_path: Path) -> None:
    states = []
    for seed in (1, 2):
        made = Items(seed, use_seedable_sampler=True)
        loop: Loop[Any] = Loop(None, made.accelerator._dataloaders[0], max_epochs=1)
        if states:
            loop.load_state_dict(states.pop())
        with loop.run():
            for _ in loop.epochs():
                for batch in loop.train():
                    made.had += [(0, int(item)) for item in batch]
                    if seed == 1 and loop.iter == 2:
                        states.append(loop.state_dict())
                        had = list(made.had)
                        break
    assert sorted(had + made.had) == TWICE_EACH[:10]


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # by torchdata 0.11 on torch 2.13
@pytest.mark.parametrize("done", [1, 5, 7, 10])
def test_stateful_loader_that_accelerate_prepares(tmp_path: Path, done: int) -> None:
    pytest.importorskip("torchdata.stateful_dataloader")
    first = Items(1, use_stateful_dataloader=True)
    first.run(save_at=done, folder=tmp_path)
    other = Items(2, use_stateful_dataloader=True)
    # Accelerate begins it as it prepares it, so that the order of the first epoch is in no state.
    in_first = done < 5
    with pytest.warns(ResumeWarning, match="decided before the pass began") if done <= 5 else nullcontext():
        had = first.had + other.go_on(tmp_path)
    assert len(had) == 20
    assert in_first or sorted(had) == TWICE_EACH


# -- several in a process


def test_restart_with_a_smaller_batch_begins_with_a_new_hub() -> None:
    sizes, hubs, totals = [], [], []

    @find_executable_batch_size(starting_batch_size=4)
    def train(batch_size: int) -> None:
        sizes.append(batch_size)
        accelerator = Accelerator(cpu=True)
        loader = accelerator.prepare(DataLoader(Data(), batch_size=batch_size))
        loop = attach(accelerator, None, loader, max_epochs=2)
        hubs.append(loop.message_hub)
        with loop.run():
            for _ in loop.epochs():
                for _ in loop.train():
                    if batch_size == 4 and loop.iter == 2:
                        raise RuntimeError("CUDA out of memory.")
                    loop.log(loss=batch_size)
        totals.append(loop.message_hub.get_info("max_iters"))

    train()
    first, second = hubs
    assert first is not second
    assert second.get_scalar("train/loss").data[0].tolist() == [3.0] * 8
    assert (sizes, totals) == ([4, 3], [8])
    assert (second.get_info("iter"), second.get_info("loop_stage")) == (8, None)


def test_loop_keeps_its_place_among_the_registered_objects(tmp_path: Path) -> None:
    class Counter:
        value = 0

        def state_dict(self) -> dict[str, int]:
            return {"value": self.value}

        def load_state_dict(self, state: dict[str, int]) -> None:
            self.value = state["value"]

    def make() -> tuple[Accelerator, Counter, Counter, AccelerateRunner[Any]]:
        accelerator, before, after = Accelerator(cpu=True), Counter(), Counter()
        accelerator.register_for_checkpointing(before)
        loop = attach(accelerator, None, [1, 2, 3], max_epochs=1)
        accelerator.register_for_checkpointing(after)
        return accelerator, before, after, loop

    accelerator, before, after, loop = make()
    before.value, after.value = 1, 2
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                accelerator.save_state(str(tmp_path))
                break
            break
    accelerator, before, after, loop = make()
    accelerator.load_state(str(tmp_path))
    assert (before.value, after.value, loop.iter) == (1, 2, 1)


def test_start_at_an_epoch() -> None:
    accelerator = Accelerator(cpu=True)
    loader = accelerator.prepare(DataLoader(Data(), batch_size=2, shuffle=True))
    loop = attach(accelerator, None, loader, max_epochs=4, start_epoch=3)
    with loop.run():
        seen = [(epoch, current_hub().get_info("iter")) for epoch in loop.epochs() for _ in loop.train()]
    assert seen == [(3, 15 + n) for n in range(5)]
    assert attach(accelerator, None, iter([1]), start_epoch=1, start_iter=8).iter == 8
    with pytest.raises(LoopError, match="start_iter"):
        attach(accelerator, None, iter([1]), start_epoch=1)
