"""Runners that are right only as long as they take themselves for observed, or the training for a test."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from simple_hub import SimpleHub
from simple_trainer import SharesLast, Trainer, correct

from runtimeinfo import RuntimeInfoHook, use_hub
from runtimeinfo.authoring import Dispatcher
from runtimeinfo.spec import ABORT, HOOK_POINTS
from runtimeinfo_conformance import Plan, Subject
from runtimeinfo_conformance.plans import Batch


class _Ahead(Trainer):
    """Counts an iteration as it begins."""

    def train_iter(self, index: int, batch: Any) -> None:
        self.iter += 1
        super().train_iter(index, batch)
        self.iter -= 1


def _is_of_kit(thing: object) -> bool:
    kind = type(thing)
    return kind.__module__.startswith("runtimeinfo") and kind is not RuntimeInfoHook


def recognises_hooks_by_module(plan: Plan, hooks: Sequence[Any]) -> object:
    """Is right if a hook is of the kit."""
    kind = Trainer if any(map(_is_of_kit, hooks)) else _Ahead
    return _run(kind, plan, hooks)


def recognises_hooks_by_name(plan: Plan, hooks: Sequence[Any]) -> object:
    """Is right if the classes of hooks, or their attributes, are called as they were in the kit."""
    names = {name for hook in hooks for name in (type(hook).__name__, *vars(hook))}
    return _run(Trainer if names & {"Probe", "Recorder", "sightings", "legs", "name"} else _Ahead, plan, hooks)


def serves_one_hook_only(plan: Plan, hooks: Sequence[Any]) -> object:
    """Calls the hook that notes everything, by its place, and leaves out all others of the user."""
    return _run(Trainer, plan, [hook for hook in hooks if isinstance(hook, RuntimeInfoHook) or hook is hooks[2]])


def lets_out_errors_of_kit(plan: Plan, hooks: Sequence[Any]) -> object:
    """Swallows what is raised, unless its class is of the kit, or its words are."""
    try:
        return _run(Trainer, plan, hooks)
    except Exception as error:
        if _is_of_kit(error) or "planned" in str(error):
            raise
    return None


def lets_out_usual_errors(plan: Plan, hooks: Sequence[Any]) -> object:
    """Swallows what is raised, unless it is an error that tests are fond of."""
    try:
        return _run(Trainer, plan, hooks)
    except (ValueError, RuntimeError, KeyboardInterrupt):
        raise
    except BaseException:
        return None


class _Forgetful(Trainer):
    """Loses count after fifty iterations."""

    def after_iter(self, index: int) -> None:
        self.iter -= self.iter > 50
        super().after_iter(index)


def is_right_if_small(plan: Plan, hooks: Sequence[Any]) -> object:
    """Is right as long as a training is small."""
    return _run(_Forgetful, plan, hooks)


class _Blind(Trainer):
    """Announces iterations of data that it never reads."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        batches = [Batch("train", index, plan.outputs_of(index)) for index in range(plan.batches)]
        dataset = self.train_dataloader.dataset
        self.train_dataloader = _Loader(batches, dataset)


class _Loader(list[Batch]):
    def __init__(self, batches: list[Batch], dataset: Any) -> None:
        super().__init__(batches)
        self.dataset = dataset


def reads_no_data(plan: Plan, hooks: Sequence[Any]) -> object:
    """Makes up its batches."""
    return _run(_Blind, plan, hooks)


class Recording:
    """Plays back what an earlier run on a plan has told its hooks."""

    def __init__(self) -> None:
        self._told: dict[str, list[tuple[str, Any, dict[str, Any]]]] = {}

    def run(self, plan: Plan, hooks: Sequence[Any]) -> object:
        """Train the first time, and play that back from then on."""
        key = repr((plan.max_epochs, plan.batches, plan.val_batches, plan.outputs, plan.metrics))
        if key in self._told:
            self._play(self._told[key], hooks)
            return None
        told: list[tuple[str, Any, dict[str, Any]]] = []
        _run(Trainer, plan, [*hooks, _Tape(told)])
        self._told[key] = told
        return None

    def _play(self, told: list[tuple[str, Any, dict[str, Any]]], hooks: Sequence[Any]) -> None:
        hub, dispatcher = SimpleHub(), Dispatcher([SharesLast(), *hooks])
        with use_hub(hub):
            for event, shown, arguments in told:
                dispatcher.dispatch(event, SimpleNamespace(**{**vars(shown), "message_hub": hub}), **arguments)


class _Tape:
    priority = "LOWEST"

    def __init__(self, told: list[tuple[str, Any, dict[str, Any]]]) -> None:
        self.told = told

    def hear(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:
        names = ("cfg", "seed", "experiment_name", "epoch", "iter", "max_epochs", "max_iters", "train_dataloader")
        shown = {name: getattr(runner, name) for name in names}
        rates = copy.deepcopy(runner.optim_wrapper)
        version = {"framework_name": runner.framework_name, "framework_version": runner.framework_version}
        self.told.append((event, SimpleNamespace(**shown, **version, optim_wrapper=rates), arguments))


def _hearing(event: str) -> Callable[..., None]:
    def method(self: _Tape, runner: Any, **arguments: Any) -> None:
        self.hear(event, runner, arguments)

    return method


for _event in HOOK_POINTS:
    setattr(_Tape, _event, _hearing(_event))


def _run(kind: type[Trainer], plan: Plan, hooks: Sequence[Any]) -> object:
    trainer = kind(plan, hooks)
    return trainer.steps() if plan.company == "in_turn" else trainer.fit_as_often_as_planned()


class _Silent(Trainer):
    """Has done the steps of an epoch when the epoch begins."""

    def train_epoch(self) -> None:
        told = list(self.train_dataloader)
        for _ in told:
            self.plan.on_batch_begin()
        self.expect_epoch()
        self.train_dataloader = told
        self.scope("train_epoch", self.train_batches)
        self.train_dataloader = self.plan.train_dataloader()

    def train_iter(self, index: int, batch: Any) -> None:
        self.scope("train_iter", lambda: {"outputs": batch.outputs}, batch_idx=index, data_batch=batch)


def tells_it_afterwards(plan: Plan, hooks: Sequence[Any]) -> object:
    """Trains an epoch in silence, and then tells the hooks what they want to hear."""
    return _run(_Silent, plan, hooks)


class _ClosesIfToldToFail(Trainer):
    """Announces exceptions, and closes what they leave open, if the plan says that one will come."""

    def emit(self, event: str, **given: Any) -> None:
        if event != ABORT or self.plan.fault is not None:
            super().emit(event, **given)


def reads_the_fault(plan: Plan, hooks: Sequence[Any]) -> object:
    return _run(_ClosesIfToldToFail, plan, hooks)


CHEATS: dict[Callable[[Plan, Sequence[Any]], object], str] = {
    recognises_hooks_by_module: "COUNT-01",
    recognises_hooks_by_name: "COUNT-01",
    serves_one_hook_only: "ORDER-01",
    lets_out_errors_of_kit: "FAIL-01",
    lets_out_usual_errors: "FAIL-01",
    is_right_if_small: "COUNT-01",
    reads_no_data: "LIFE-03",
    tells_it_afterwards: "COUNT-14",
    reads_the_fault: "FAIL-02",
    Recording().run: "META-03",
}
"""Each cheat, and the requirement that it breaks."""


def cheat(run: Callable[[Plan, Sequence[Any]], object]) -> Subject:
    """Return a cheat as a subject."""
    return Subject("cheat", "1", run=run, capabilities=correct().capabilities)
