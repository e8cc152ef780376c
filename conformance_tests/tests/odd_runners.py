"""Runners that are right, each built in another way than most: the kit must pass all of them."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, asynccontextmanager, closing
from contextvars import copy_context
from functools import partial
from typing import Any

from simple_trainer import SharesLast, Trainer

from runtimeinfo import use_hub
from runtimeinfo.authoring import get_priority
from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_conformance import Plan


class CountsBatchesFromOne(Trainer):
    def scope(self, name: str, body: Callable[[], dict[str, Any] | None], **given: Any) -> None:
        if "batch_idx" in given:
            given["batch_idx"] += 1
        super().scope(name, body, **given)


class ShowsNoBatch(Trainer):
    def emit(self, event: str, **given: Any) -> None:
        super().emit(event, **{**given, "data_batch": None})


class SavesAllTheTime(Trainer):
    """Emits the events outside the grammar at both ends of each scope, and before it announces an exception."""

    def scope(self, name: str, body: Callable[[], dict[str, Any] | None], **given: Any) -> None:
        def between_checkpoints() -> dict[str, Any] | None:
            self.save_and_load()
            results = body()
            self.save_and_load()
            return results

        super().scope(name, between_checkpoints, **given)

    def announce(self, error: BaseException) -> None:
        if not self.has_announced:
            self.save_and_load()
        super().announce(error)

    def save_and_load(self) -> None:
        self.emit("before_save_checkpoint", checkpoint={})
        self.emit("after_load_checkpoint", checkpoint={})


class TellsOfItsCheckpoints(Trainer):
    """Has the events of a checkpoint that is saved or loaded."""

    def run(self) -> None:
        if self.plan.resume_from is not None:
            self.emit("after_load_checkpoint", checkpoint={})
        super().run()

    def save_checkpoint(self, is_due: bool, batches: int = 0) -> None:
        if is_due and self.plan.checkpoint is not None:
            self.emit("before_save_checkpoint", checkpoint={})
        super().save_checkpoint(is_due, batches)


class SavesAsTheEpochEnds(TellsOfItsCheckpoints):
    """Saves in a hook that hears of the end of an epoch, as mmengine does: by then the epoch is not counted."""

    def train_epoch(self) -> None:
        super().train_epoch()
        if self.plan.checkpoint is not None:
            self.emit("before_save_checkpoint", checkpoint={})


class TrainsAnewInEachEpoch(Trainer):
    """Makes a training of each epoch, all of them in one run."""

    def run(self) -> None:
        self.validate(self.plan.val_before)
        is_first = True
        while is_first or (not self.has_stopped and self.epoch < self.plan.epochs):
            self.scope("train", self.train_once)
            is_first = False
        self.validate(self.plan.val_after)
        if self.plan.test_batches is not None:
            self.evaluate("test", [self.plan.test_dataloader()])

    def train_once(self) -> None:
        if not self.has_stopped and self.epoch < self.plan.epochs:
            self.train_epoch()
            self.epoch += 1
            self.validate(self.plan.validates_after_epoch)
            self.save_checkpoint(self.plan.checkpoint_epochs and not self.is_cut_short)


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
    """Has a thread that reads one batch ahead."""

    def train_batches(self) -> None:
        loader = self.train_dataloader
        try:
            with closing(self.read(loader)) as self.train_dataloader:
                super().train_batches()
        finally:
            self.train_dataloader = loader

    def evaluate_batches(self, stage: str, loader: Any) -> dict[str, Any]:
        with closing(self.read(loader)) as batches:
            return super().evaluate_batches(stage, batches)

    def read(self, loader: Any) -> Generator[Any]:
        with ThreadPoolExecutor(1) as pool:
            batches = iter(loader)
            coming = pool.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = pool.submit(next, batches, None)
                yield batch


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
        index = 0
        async with aclosing(self.batches()) as batches:
            async for batch in batches:
                async with self.scope_async("train_iter", batch_idx=index, data_batch=batch) as results:
                    await asyncio.sleep(0)
                    results["outputs"] = batch.outputs
                index += 1
                self.iter += 1
                if self.plan.schedule:
                    self.optim_wrapper.halve()

    async def batches(self) -> AsyncGenerator[Any]:
        for batch in self.train_dataloader:
            yield batch

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


class PrefetchingAsyncTrainer(AsyncTrainer):
    """Has a task that reads the batches into a queue, while another one trains."""

    async def batches(self) -> AsyncGenerator[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)

        async def produce() -> None:
            try:
                for batch in self.train_dataloader:
                    await queue.put(batch)
            except BaseException as error:
                failures.append(error)
            if not is_left:
                await queue.put(None)

        failures: list[BaseException] = []
        is_left = False
        task = asyncio.create_task(produce())
        try:
            while (batch := await queue.get()) is not None:
                yield batch
            if failures:
                raise failures[0]
        finally:
            is_left = True
            task.cancel()


class IsAGenerator(Trainer):
    """Trains as a generator that is stepped to its end, whoever steps it."""

    lacks = "early_stop resume resume_mid_epoch iterations changing_length"

    def fit(self) -> None:
        for _ in self.steps():
            pass


class WarmsUpFirst(Trainer):
    """Makes two trainings in one run: an epoch to warm up, then the rest. The totals are those of both."""

    def run(self) -> None:
        self.validate(self.plan.val_before)
        for until in sorted({min(1, self.plan.epochs), self.plan.epochs}):
            if not self.has_stopped and (self.epoch < until or until == self.plan.epochs):
                self.begin(until)
                self.scope("train", self.train)
        self.validate(self.plan.val_after)
        if self.plan.test_batches is not None:
            self.evaluate("test", [self.plan.test_dataloader()])

    def begin(self, until: int) -> None:
        self.until = until

    def train(self) -> None:
        while not self.has_stopped and self.epoch < self.until:
            self.train_epoch()
            self.epoch += 1
            self.validate(self.plan.validates_after_epoch)
            self.save_checkpoint(self.plan.checkpoint_epochs and not self.is_cut_short)


class ResizesProgressively(WarmsUpFirst):
    """Makes two trainings in one run, each with totals of its own: how far the counters go in it."""

    def begin(self, until: int) -> None:
        self.until = until
        if self.max_epochs is not None:
            self.max_epochs = until
            self.max_iters = self.count_iters()


class StopsBeforeValidating(Trainer):
    """Leaves out the validation that is due after the batch that stops the training."""

    def train_iter(self, index: int, batch: Any) -> None:
        super().train_iter(index, batch)
        self.is_stopping = batch.stop

    def after_iter(self, index: int) -> None:
        if self.plan.schedule:
            self.optim_wrapper.halve()
        self.save_checkpoint(self.plan.checkpoint_iterations, index + 1)
        self.validate(self.plan.validates_after(index) and not self.is_stopping)


class StopsForGood(StopsBeforeValidating):
    """Validates no more once it is stopped."""

    is_stopping = False

    def validate(self, is_due: bool) -> None:
        super().validate(is_due and not self.is_stopping)


class ReadsOneBatchAhead(Trainer):
    """Reads the next batch before it trains on one, to know which one is the last."""

    def train_batches(self) -> None:
        loader, self.train_dataloader = self.train_dataloader, self.ahead(self.train_dataloader)
        try:
            super().train_batches()
        finally:
            self.train_dataloader = loader

    def ahead(self, loader: Any) -> Iterator[Any]:
        held: list[Any] = []
        for batch in loader:
            yield from held
            held = [batch]
        yield from held


class RaisesWhenABatchIsDue(ReadsOneBatchAhead):
    """Reads ahead as well, and raises what went wrong there once all batches before it are trained on."""

    def ahead(self, loader: Any) -> Iterator[Any]:
        source, held, error = iter(loader), [], None
        while error is None:
            try:
                following = [next(source)]
            except StopIteration:
                break
            except BaseException as raised:
                error = raised
            else:
                yield from held
                held = following
        yield from held
        if error is not None:
            raise error


class KeepsItsScopesInAList(Trainer):
    """Has no scope on Python's stack: a list says what is open, and what each scope has to do yet."""

    lacks = "early_stop resume resume_mid_epoch iterations changing_length in_turn"

    def fit(self) -> None:
        self.open: list[tuple[str, dict[str, Any], Iterator[Any]]] = []
        with use_hub(self.message_hub):
            try:
                self.enter("run", self.parts(), {})
                while self.open:
                    child = next(self.open[-1][2], None)
                    if child is None:
                        self.leave()
                    else:
                        self.enter(*child)
            except BaseException as error:
                if self.open:
                    self.announce(error)
                while self.open:
                    name, given, _ = self.open.pop()
                    self.emit(f"after_{name}", **{**given, "outputs": None, "metrics": None})
                raise

    def enter(self, name: str, children: Iterator[Any], given: dict[str, Any]) -> None:
        self.open.append((name, given, children))
        self.emit(f"before_{name}", **given)

    def leave(self) -> None:
        name, given, _ = self.open[-1]
        if name.endswith("_epoch") and name != "train_epoch":
            given["metrics"] = self.metrics(name.removesuffix("_epoch"))
        if name == "train_iter":
            self.plan.on_batch_begin()
            given["outputs"] = given["data_batch"].outputs
        self.open.pop()
        self.emit(f"after_{name}", **given)

    def parts(self) -> Iterator[Any]:
        yield from self.evaluations("val", self.plan.val_before)
        yield "train", self.epochs(), {}
        yield from self.evaluations("val", self.plan.val_after)
        yield from self.evaluations("test", self.plan.test_batches is not None)

    def epochs(self) -> Iterator[Any]:
        while self.epoch < self.plan.epochs:
            yield "train_epoch", self.batches(), {}
            self.epoch += 1
            yield from self.evaluations("val", self.plan.validates_after_epoch)

    def batches(self) -> Iterator[Any]:
        for index, batch in enumerate(self.train_dataloader):
            yield "train_iter", iter(()), {"batch_idx": index, "data_batch": batch}
            self.iter += 1
            if self.plan.schedule:
                self.optim_wrapper.halve()
            yield from self.evaluations("val", self.plan.validates_after(index))

    def evaluations(self, stage: str, is_due: bool) -> Iterator[Any]:
        if is_due and (stage == "test" or self.plan.val_batches is not None):
            loaders = [self.plan.test_dataloader()]
            if stage == "val":
                loaders = [self.plan.val_dataloader(index) for index in range(self.plan.val_loaders)]
            yield stage, ((f"{stage}_epoch", self.evaluation(stage, each), {}) for each in loaders), {}

    def evaluation(self, stage: str, loader: Any) -> Iterator[Any]:
        for index, batch in enumerate(loader):
            yield f"{stage}_iter", iter(()), {"batch_idx": index, "data_batch": batch}


class UsesAnExitStack(Trainer):
    """Opens each scope in an ExitStack, whose callbacks close it."""

    def scope(self, name: str, body: Callable[[], dict[str, Any] | None], **given: Any) -> None:
        results: dict[str, Any] = {}
        with ExitStack() as stack:
            stack.callback(lambda: self.emit(f"after_{name}", **given, **results))
            stack.push(self.on_exit)
            self.emit(f"before_{name}", **given)
            results = body() or {}

    def on_exit(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if error is not None:
            self.announce(error)


class QueuesItsEvents(Trainer):
    """Puts its events into a queue, which is emptied after each."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.queue: deque[tuple[str, dict[str, Any]]] = deque()

    def emit(self, event: str, **given: Any) -> None:
        self.queue.append((event, given))
        while self.queue:
            event, given = self.queue.popleft()
            super().emit(event, **given)


class CallsHooksInAThread(Trainer):
    """Has a thread in which all hooks are called, and waits for it at each event."""

    lacks = "in_turn batch_begin"

    def fit(self) -> None:
        with ThreadPoolExecutor(1) as self.pool:
            super().fit()

    def emit(self, event: str, **given: Any) -> None:
        emit = partial(super().emit, event, **given)
        self.pool.submit(copy_context().run, emit).result()


class ValidatesInAThread(Trainer):
    """Validates and tests in another thread, and waits for it."""

    lacks = "in_turn"

    def evaluate(self, stage: str, loaders: Sequence[Any]) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(copy_context().run, partial(super().evaluate, stage, loaders)).result()


class StepsInAThread(Trainer):
    """Makes each training step in a thread, as a framework does that feeds an accelerator."""

    lacks = "batch_begin"

    def train_iter(self, index: int, batch: Any) -> None:
        def step() -> dict[str, Any]:
            with ThreadPoolExecutor(1) as pool:
                return {"outputs": pool.submit(copy_context().run, lambda: batch.outputs).result()}

        self.scope("train_iter", step, batch_idx=index, data_batch=batch)


class CallsHandlers(Trainer):
    """Does all its work in handlers, which are registered under the moments of a loop, as Ignite does."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.handlers: dict[str, list[Callable[[], None]]] = {
            "starts": [lambda: self.validate(plan.val_before), lambda: self.scope("train", self.train)],
            "ends": [lambda: self.validate(plan.val_after), self.test],
        }

    def run(self) -> None:
        for moment in ("starts", "ends"):
            for handler in self.handlers[moment]:
                handler()

    def test(self) -> None:
        if self.plan.test_batches is not None:
            self.evaluate("test", [self.plan.test_dataloader()])


class IsRecursive(Trainer):
    """Calls itself for each next epoch."""

    def train(self) -> None:
        if not self.has_stopped and self.epoch < self.plan.epochs:
            self.train_epoch()
            self.epoch += 1
            self.validate(self.plan.validates_after_epoch)
            self.save_checkpoint(self.plan.checkpoint_epochs and not self.is_cut_short)
            self.train()


class AnnouncesOutsideOfItsScopes(Trainer):
    """Notes what is open, and lets an exception go to the outermost frame, where everything is closed."""

    lacks = "in_turn"

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, hooks)
        self.open: list[tuple[str, dict[str, Any]]] = []

    def fit(self) -> None:
        with use_hub(self.message_hub):
            try:
                self.scope("run", self.run)
            except BaseException as error:
                if self.open:
                    self.announce(error)
                while self.open:
                    name, given = self.open.pop()
                    self.emit(f"after_{name}", **given)
                raise

    def scope(self, name: str, body: Callable[[], dict[str, Any] | None], **given: Any) -> None:
        self.open.append((name, given))
        self.emit(f"before_{name}", **given)
        results = body()
        self.open.pop()
        self.emit(f"after_{name}", **given, **(results or {}))


class WarmsUpEachValidation(Trainer):
    """Begins each validation with an epoch that has no batches and no metrics."""

    lacks = "val_loaders"

    def evaluate(self, stage: str, loaders: Sequence[Any]) -> None:
        def over_each() -> None:
            if stage == "val":
                self.scope("val_epoch", lambda: None)
            for loader in loaders:
                self.scope(f"{stage}_epoch", partial(self.evaluate_batches, stage, loader))

        self.scope(stage, over_each)


class PublishesEachEventTwice(Trainer):
    """Has a hook that reads what is published, and publishes it under keys of its own."""

    def __init__(self, plan: Plan, hooks: Sequence[Any]) -> None:
        super().__init__(plan, [*hooks, Mirror()])
        self.given = hooks


class Mirror:
    priority = "LOW"

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        runner.message_hub.update_info_dict({"mirror/iter": runner.message_hub.get_info("iter")}, resumed=False)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        runner.message_hub.update_scalar("mirror/iter", runner.iter, resumed=False)


ODD: tuple[type[Trainer], ...] = (
    PrefetchingAsyncTrainer,
    IsAGenerator,
    WarmsUpFirst,
    ResizesProgressively,
    StopsBeforeValidating,
    StopsForGood,
    ReadsOneBatchAhead,
    RaisesWhenABatchIsDue,
    KeepsItsScopesInAList,
    UsesAnExitStack,
    QueuesItsEvents,
    CallsHooksInAThread,
    ValidatesInAThread,
    StepsInAThread,
    CallsHandlers,
    IsRecursive,
    AnnouncesOutsideOfItsScopes,
    PublishesEachEventTwice,
    WarmsUpEachValidation,
    CountsBatchesFromOne,
    ShowsNoBatch,
    SavesAllTheTime,
    TellsOfItsCheckpoints,
    SavesAsTheEpochEnds,
    TrainsAnewInEachEpoch,
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
