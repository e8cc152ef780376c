"""Runners that are right, each in a way of its own: the kit has nothing to say against any of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from simple_trainer import SharesLast, Trainer, subject_of

from runtimeinfo import use_hub
from runtimeinfo.authoring import get_priority
from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_conformance import Plan, Subject


class CountsBatchesFromOne(Trainer):
    def scope(self, name: str, body: Callable[[], dict[str, Any] | None], **given: Any) -> None:
        if "batch_idx" in given:
            given["batch_idx"] += 1
        super().scope(name, body, **given)


class ShowsNoBatch(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        super().emit(event, **{**given, "data_batch": None})


class SavesAllTheTime(Trainer):
    """Emits the events that stand outside of the grammar around every other one."""

    def emit(self, event: str, **given: Any) -> None:
        if event != "before_run":
            super().emit("before_save_checkpoint", checkpoint={})
        super().emit(event, **given)
        if event != "after_run":
            super().emit("after_load_checkpoint", checkpoint={})


class ValidatesInsideTheIteration(Trainer):
    lacks = "batch_begin"

    def after_iter(self, index: int) -> None:
        if self.plan.schedule:
            self.optim_wrapper.halve()
        self.save_checkpoint(self.plan.checkpoint_iterations, index + 1)

    def train_iter(self, index: int, batch: Any) -> None:
        def body() -> dict[str, Any]:
            self.validate(self.plan.validates_after(index))
            return {"outputs": batch.outputs}

        self.scope("train_iter", body, batch_idx=index, data_batch=batch)


class ValidatesInsideTheEpoch(Trainer):
    """Has its validation after an epoch inside of that epoch, as Lightning and Keras do."""

    def train_batches(self) -> None:
        super().train_batches()
        super().validate(self.plan.validates_after_epoch)

    def validate(self, is_due: bool) -> None:
        # Called after the epoch, too.
        super().validate(is_due and not (self.plan.validates_after_epoch and self.is_training))

    is_training = False

    def train(self) -> None:
        self.is_training = True
        super().train()
        self.is_training = False


class DoesAllInsideTheTraining(Trainer):
    """Validates before and after, and tests, between before_train and after_train."""

    def run(self) -> None:
        self.scope("train", self.train)

    def train(self) -> None:
        self.validate(self.plan.val_before)
        super().train()
        self.validate(self.plan.val_after)
        if self.plan.test_batches is not None:
            self.evaluate("test", [self.plan.test_dataloader()])


class FinishesItsEpoch(Trainer):
    """Stops early only with the end of the epoch, as mmengine does."""

    def train_batches(self) -> None:
        for index, batch in enumerate(self.train_dataloader):
            if index >= self.batches_to_skip:
                self.train_iter(index, batch)
                self.iter += 1
                self.after_iter(index)
                self.has_stopped = self.has_stopped or batch.stop
                if self.iter == self.plan.iterations:
                    self.has_stopped = True
                    self.is_cut_short = index + 1 < self.plan.batches
                    break
        self.batches_to_skip = 0


class AddsATimeStamp(Trainer):
    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.experiment_name = f"{plan.experiment_name}_20261125_013016"


class PublishesMore(Trainer):
    """Publishes keys of its own, also some that only this process needs."""

    def emit(self, event: str, **given: Any) -> None:
        super().emit(event, **given)
        self.message_hub.update_info("myfw/last_event", event)
        self.message_hub.update_info("myfw/here", 4711, False)
        self.message_hub.update_scalar("myfw/events", 1.0)


class CallsHooksItself(Trainer):
    """Has a dispatcher of its own, which passes the arguments by position."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.hooks = sorted([SharesLast(), *hooks], key=lambda hook: get_priority(getattr(hook, "priority", "NORMAL")))

    def emit(self, event: str, **given: Any) -> None:
        for hook in self.hooks:
            method = getattr(hook, event, None)
            if method is not None:
                method(self, *(given.get(name) for name in HOOK_POINTS[event]))


class GivesNoneForNothing(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        super().emit(event, **{name: value or None if value == {} else value for name, value in given.items()})


class TrainsInAThread(Trainer):
    def fit(self) -> None:
        raised: list[BaseException] = []

        def work() -> None:
            try:
                super(TrainsInAThread, self).fit()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if raised:
            raise raised[0]


class ReadsAhead(Trainer):
    """Has a thread which reads the data of an epoch before it begins."""

    def train_batches(self) -> None:
        loader, self.train_dataloader = self.train_dataloader, self.read(self.train_dataloader)
        try:
            super().train_batches()
        finally:
            self.train_dataloader = loader

    def evaluate_batches(self, stage: str, loader: Any) -> dict[str, Any]:
        return super().evaluate_batches(stage, self.read(loader))

    def read(self, loader: Any) -> list[Any]:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(list, loader).result()


class CleansUp(Trainer):
    """Leaves an empty hub and no references behind, however its run ends."""

    def fit(self) -> None:
        try:
            super().fit()
        finally:
            for key in list(self.message_hub.runtime_info):
                self.message_hub.pop_info(key)
            self.optim_wrapper = self.train_dataloader = None


class AsyncTrainer(Trainer):
    """Trains in coroutines, whose scopes are asynchronous context managers."""

    lacks = (
        "val_before val_inside val_after val_loaders early_stop resume resume_mid_epoch iterations changing_length "
        "batch_begin nested"
    )

    def fit(self) -> None:
        with use_hub(self.message_hub):
            asyncio.run(self.fit_async())

    async def fit_async(self) -> None:
        async with self.scope_async("run"):
            async with self.scope_async("train"):
                while self.epoch < self.max_epochs:
                    async with self.scope_async("train_epoch"):
                        await self.train_batches_async()
                    self.epoch += 1
                    if self.plan.val_batches is not None:
                        await self.evaluate_async("val", self.plan.val_dataloader())
            if self.plan.test_batches is not None:
                await self.evaluate_async("test", self.plan.test_dataloader())

    async def train_batches_async(self) -> None:
        for index, batch in enumerate(self.train_dataloader):
            async with self.scope_async("train_iter", batch_idx=index, data_batch=batch) as results:
                await asyncio.sleep(0)
                results["outputs"] = batch.outputs
            self.iter += 1
            if self.plan.schedule:
                self.optim_wrapper.halve()

    async def evaluate_async(self, stage: str, loader: Any) -> None:
        async with self.scope_async(stage), self.scope_async(f"{stage}_epoch") as results:
            for index, batch in enumerate(loader):
                async with self.scope_async(f"{stage}_iter", batch_idx=index, data_batch=batch):
                    await asyncio.sleep(0)
            results["metrics"] = self.metrics(stage)

    @asynccontextmanager
    async def scope_async(self, name: str, **given: Any) -> AsyncGenerator[dict[str, Any]]:
        results: dict[str, Any] = {}
        try:
            self.emit(f"before_{name}", **given)
            yield results
        except BaseException as error:
            self.announce(error)
            self.emit(f"after_{name}", **given)
            raise
        self.emit(f"after_{name}", **given, **results)


ODD: tuple[type[Trainer], ...] = (
    CountsBatchesFromOne,
    ShowsNoBatch,
    SavesAllTheTime,
    ValidatesInsideTheIteration,
    ValidatesInsideTheEpoch,
    DoesAllInsideTheTraining,
    FinishesItsEpoch,
    AddsATimeStamp,
    PublishesMore,
    CallsHooksItself,
    GivesNoneForNothing,
    TrainsInAThread,
    ReadsAhead,
    CleansUp,
    AsyncTrainer,
)
"""The runners; each deliberately odd, all of them legal."""


def odd_subjects() -> list[Subject]:
    """Return them as subjects."""
    return [subject_of(kind) for kind in ODD]
