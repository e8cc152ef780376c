"""The adapter for plain PyTorch: instrument a loop that you have, without handing it over.

    from runtimeinfo_adapters.pytorch import Loop

    loop = Loop(optimizer, train_loader, max_epochs=3, seed=0, cfg=vars(args), experiment_name="digits")
    with loop.run():
        for epoch in loop.epochs():
            for batch in loop.train():
                ...
                loop.log(loss=loss)
            with loop.val() as val:
                for batch in val.batches(val_loader):
                    ...
                val.log_metrics(acc=acc)

However the loop is left, every scope closes.
"""

from __future__ import annotations

import weakref
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypeVar, Unpack, cast

from runtimeinfo import LoopError, RuntimeInfoHook, StateError, use_hub
from runtimeinfo.authoring import (
    EVALUATION_EVENTS,
    Emitter,
    LearningRates,
    TrainDataLoader,
    check_training_state,
    describe,
    is_scalar,
    length_of,
    load_hub,
    scalar_value,
    shown,
    training_state,
    with_dataset,
)
from runtimeinfo.spec import START
from runtimeinfo_adapters._adapter import FrameworkRunner, RunOptions
from runtimeinfo_adapters._framework import import_of_extra
from runtimeinfo_adapters._numbers import is_int

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["Evaluation", "Loop", "TrainPass"]

_torch: Any = import_of_extra("torch", distribution="torch", extra="torch", used_by="this adapter")

B = TypeVar("B")

# Which loop publishes to which hub now. Two at once would overwrite each other's counters.
_publishing: dict[int, Loop[Any]] = {}

# Where a loop nearly always is when it is called: positions are compared by identity.
_IN_ITERATION = START.after["before_run"].after["before_train"].after["before_train_epoch"].after["before_train_iter"]


class Loop(FrameworkRunner, Generic[B]):
    """Makes a hand-written training loop publish where it is.

    It satisfies `runtimeinfo.TrainRunner`. Whatever way the loop is left, by `break`, `return`, an exception or an
    interrupt, every open scope is closed in order, and the exception comes out as it was.

    A scope that is left by `break` ends normally, and counts; it closes at the next call on the loop. Only an
    exception that leaves `run`, `val` or `test` is an abnormal end.

    Args:
        optimizer: One optimizer, several by name, or None.
        train_loader: What `train` iterates over: a DataLoader, or any iterable that can be iterated repeatedly.
        max_epochs: After how many epochs `epochs` ends; None for no bound.
        max_iters: After how many iterations `train` and `epochs` end; None for no bound.
        options: The run options: `hub` (where to publish; a new `runtimeinfo_adapters.MessageHub` if left out), `hooks`
            (more hooks; `RuntimeInfoHook` runs in any case), `cfg` (the configuration: a mapping, text, or anything
            with `pretty_text`), `seed` (published, not set here) and `experiment_name`.

    Raises:
        LoopError: If an argument cannot be what it should be.
        HookError: If a hook cannot be registered.

    Example:
        >>> import torch
        >>> from runtimeinfo import current_hub
        >>> model = torch.nn.Linear(1, 1)
        >>> loop = Loop(torch.optim.SGD(model.parameters(), lr=0.1), [torch.ones(1)] * 2, max_epochs=2)
        >>> with loop.run():
        ...     for epoch in loop.epochs():
        ...         for batch in loop.train():
        ...             loop.log(loss=model(batch).sum())
        ...             print(epoch, current_hub().get_info("iter"), current_hub().get_info("loop_stage"))
        0 0 train
        0 1 train
        1 2 train
        1 3 train

    Source: LIFE-01 to LIFE-09, COUNT-01 to COUNT-11, FAIL-01 to FAIL-06.
    """

    framework_name: str = "torch"
    framework_version: str = str(_torch.__version__)

    def __init__(
        self,
        optimizer: Optimizer | Mapping[str, Optimizer] | None = None,
        train_loader: Iterable[B] | None = None,
        *,
        max_epochs: int | None = None,
        max_iters: int | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        for name, bound in (("max_epochs", max_epochs), ("max_iters", max_iters)):
            if bound is not None and not (is_int(bound) and bound >= 0):
                raise LoopError(
                    f"{name} must be an int from 0, or None for no bound, but is {shown(bound)}: leave it "
                    "out for no bound"
                )
        if train_loader is not None and not hasattr(train_loader, "__iter__"):
            raise LoopError(
                f"train_loader must be iterable, but is {describe(train_loader)}: give a "
                "DataLoader, or a list of batches"
            )
        self.optim_wrapper: LearningRates = LearningRates(optimizer)
        self.max_epochs: int | None = max_epochs
        self._bound = max_iters
        self._loader = train_loader
        super().__init__(**options)
        self._training = _Training(self.emitter, max_iters)

    # -- the runner view

    @property
    def max_iters(self) -> int | None:
        """Iterations of the whole training; None if there is no bound, or the loader has no length."""
        length = length_of(self._loader)
        by_epochs = None if self.max_epochs is None or length is None else self.max_epochs * length
        bounds = [bound for bound in (self._bound, by_epochs) if bound is not None]
        return min(bounds, default=None)

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The loader; one that has no dataset is its own."""
        return with_dataset(self._loader)

    # -- the loop

    @contextmanager
    def run(self) -> Generator[Self]:
        """Frame the run: everything else goes inside. The hub is the current one meanwhile.

        A loop may run again when it has ended. It goes on where it was.

        Raises:
            LoopError: If this loop is running already, or another one on the same hub.

        Source: LIFE-02, LIFE-15, FAIL-01 to FAIL-06.
        """
        other = _publishing.get(id(self.message_hub))
        if other is self:
            raise LoopError(
                "this loop is running already, and run() cannot be nested: leave the first `with` before the next"
            )
        if other is not None:
            raise LoopError(
                f"loop {other.experiment_name!r} is publishing to this hub already; give each loop its own hub"
            )
        _publishing[id(self.message_hub)] = self
        try:
            with use_hub(self.message_hub), self.emitter.scope("run"):
                try:
                    yield self
                except GeneratorExit:  # of a generator around this run
                    self._training.end()
                    raise
                self._training.end()
        finally:
            del _publishing[id(self.message_hub)]
            self._training.forget()

    def epochs(self) -> Iterator[int]:
        """Iterate over the epochs still to do; each value is the number of epochs completed before it.

        Raises:
            LoopError: Outside of `run`, inside a validation or test, or while another `epochs` is running.

        Source: LIFE-04, COUNT-03.
        """
        self._training.check_running("epochs")
        return _Epochs(self._training, self.max_epochs)

    def batches(self) -> TrainPass[B]:
        """Iterate over the loader once; each batch is an iteration.

        Inside `epochs` this is the pass of that epoch. Without `epochs` each pass is its own epoch.

        Raises:
            LoopError: Outside of `run`, inside a validation or test, or if there is no `train_loader`.

        Source: LIFE-03, COUNT-01.
        """
        self._training.check_running("train")
        if self._loader is None:
            raise LoopError("train() needs a train_loader: give one to Loop")
        return TrainPass(self._training, self._loader)

    def train(self) -> TrainPass[B]:
        """Iterate over the loader once: another name of `batches`, which reads well beside `val` and `test`.

        Source: LIFE-03, COUNT-01.
        """
        return self.batches()

    def log(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Hand out values of this iteration; they are published when it ends.

        Args:
            values: Values by name; scalars, on any device, with or without a graph.
            more: Further ones.

        Raises:
            LoopError: Outside of an iteration, or if a name was logged already in this one.

        Source: SCALAR-04.
        """
        training = self._training
        named = more if values is None else _named_values("log", values, more)
        if self.emitter.lifecycle.position is not _IN_ITERATION or training.was_left():
            training.check_running("log")
            training.settle()
            if not self.emitter.is_open("train_iter"):
                raise LoopError("log() belongs inside an iteration: inside `for batch in loop.train()`")
        if training.outputs:
            twice = [name for name in named if name in training.outputs]
            if twice:
                raise LoopError(
                    f"{twice[0]!r} was logged already in this iteration: log it once, or under another name"
                )
            training.outputs.update(named)
        else:
            training.outputs = named

    def val(self) -> Evaluation:
        """Frame a validation: ``with loop.val() as val:``, anywhere in the run.

        Raises:
            LoopError: Outside of `run`, or inside another validation or test.

        Source: STAGE-02, STAGE-03.
        """
        self._training.check_running("val")
        return Evaluation(self._training, "val")

    def test(self) -> Evaluation:
        """Frame a test, as `val` does a validation.

        Raises:
            LoopError: Outside of `run`, or inside another validation or test.

        Source: STAGE-04, STAGE-05.
        """
        self._training.check_running("test")
        return Evaluation(self._training, "test")

    # -- state. Its fields, beside those of every training:
    #
    #     {"batches": int,              of the epoch that goes on
    #      "outputs": {name: scalar}}   handed out by the last iteration, not published yet

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, the hub's state included.

        Inside an iteration this iteration counts as done: save after its optimizer step. Once the pass over
        the loader is over, the epoch counts as done.

        Source: RESUME-01, RESUME-02.
        """
        training = self._training
        epoch, completed, batches = training.progress()
        outputs = {name: scalar_value(value) for name, value in training.outputs.items() if is_scalar(value)}
        return training_state(self.message_hub, epoch=epoch, iter=completed, batches=batches, outputs=outputs)

    def load_state_dict(self, state_dict: Mapping[str, Any], *, skip_batches: bool = True) -> None:
        """Go on from a saved state, at the next `epochs` or `train`.

        Args:
            state_dict: What `state_dict` returned.
            skip_batches: When the state was saved in mid-epoch: draw the batches that were had, and drop them. Say
                False if your loader resumes by itself.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.
            LoopError: If the training has begun already.

        Source: RESUME-01, RESUME-02.
        """
        if self.emitter.is_open("train"):
            raise LoopError("the training has begun already: call load_state_dict() before run()")
        _check_state(state_dict)
        load_hub(self.message_hub, state_dict)
        # What its last iteration had handed out was not in the hub yet.
        RuntimeInfoHook().after_train_iter(self, 0, outputs=state_dict["outputs"])
        self.emitter.epoch, self.emitter.iter = state_dict["epoch"], state_dict["iter"]
        self._training.batches_done = 0
        self._training.batches_to_skip = state_dict["batches"] if skip_batches else 0
        # The hub has the stage in which the state was saved, and the counters then.
        self.message_hub.update_info_dict({"epoch": self.epoch, "iter": self.iter})
        if self.emitter.stage is None:
            self.message_hub.pop_info("loop_stage")
        else:
            self.message_hub.update_info("loop_stage", self.emitter.stage)


class _Training:
    """What is open of a training, and how it closes.

    A ``for`` statement that is left by `break` or `return` tells its iterator nothing. It does let go of it, so the
    iterators are held weakly: one that is gone was left. What it had open closes at the next call.

    Source: LIFE-03 to LIFE-05, LIFE-08.
    """

    def __init__(self, emitter: Emitter, max_iters: int | None) -> None:
        self.emitter = emitter
        self.bound = max_iters
        self.outputs: dict[str, Any] = {}  # handed out by the iteration that is open
        self.evaluation: Evaluation | None = None  # the one that was entered last
        self.epochs: weakref.ref[_Epochs] | None = None
        self.batches: weakref.ref[_Batches[Any]] | None = None
        # Of this epoch: how many batches are done, and how many the run that was resumed has had.
        self.batches_done: int = 0
        self.batches_to_skip: int = 0
        self.pass_is_over: bool = False
        self.pass_owns_the_epoch: bool = False
        self._ending: str | None = None  # the scope whose close the hooks are hearing of, not counted yet

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any run, and goes on as this one would after an exception: see `forget`.
        copied: dict[str, Any] = {
            "outputs": {},
            "evaluation": None,
            "epochs": None,
            "batches": None,
            "batches_to_skip": max(self.batches_to_skip, self.batches_done),
            "pass_is_over": False,
            "pass_owns_the_epoch": False,
            "_ending": None,
        }
        return {**vars(self), **copied}

    def is_bound_reached(self) -> bool:
        """Tell whether there is a bound of iterations, and it is reached."""
        return self.bound is not None and self.emitter.iter >= self.bound

    def check_running(self, method: str) -> None:
        """Raise unless a run is open, and neither a validation nor a test is."""
        if not self.emitter.is_open("run"):
            raise LoopError(f"{method}() belongs inside `with loop.run():`")
        stage = self._open_evaluation()
        if stage is not None:
            metrics = f"; its metrics go into `{stage}.log_metrics(...)` of `with loop.{stage}() as {stage}`"
            raise LoopError(
                f"{method}() cannot be used inside a {stage}: leave `with loop.{stage}()` first"
                f"{metrics if method == 'log' else ''}"
            )

    def _open_evaluation(self) -> str | None:
        return next((stage for stage in EVALUATION_EVENTS if self.emitter.is_open(stage)), None)

    def was_left(self) -> bool:
        """Tell whether a ``for`` statement was left since the last call."""
        batches, epochs = self.batches, self.epochs
        return (batches is not None and batches() is None) or (epochs is not None and epochs() is None)

    def settle(self) -> None:
        """Close what was left by `break` or `return` since the last call.

        Not for a hook, which hears of that very close; nor inside an evaluation, which would be closed with it.
        """
        if self._ending is not None or self._open_evaluation() is not None:
            return
        self.emitter.forget_handled()
        if self.batches is not None and self.batches() is None:
            self.end_pass()
        if self.epochs is not None and self.epochs() is None:
            self.epochs = None
            self.end()

    def begin_epoch(self) -> None:
        self.batches_done = 0
        self.pass_is_over = False
        self.emitter.emit("before_train_epoch")

    def end_iteration(self) -> None:
        if self.emitter.is_open("train_iter"):
            outputs, self.outputs = self.outputs, {}
            self._ending = "train_iter"
            try:
                self.emitter.emit("after_train_iter", outputs=outputs or None)
            finally:
                self._ending = None
            self.batches_done += 1

    def end_pass(self) -> None:
        """Close a pass that has come to its end, or was left."""
        self.end_iteration()
        self.batches = None
        self.pass_is_over = True
        if self.pass_owns_the_epoch:
            self.end_epoch()

    def end_epoch(self) -> None:
        self.end_iteration()
        self.batches = None
        if self.emitter.is_open("train_epoch"):
            self._ending = "train_epoch"
            try:
                self.emitter.emit("after_train_epoch")
            finally:
                self._ending = None
            self.batches_done = self.batches_to_skip = 0

    def end(self) -> None:
        self.end_epoch()
        if self.emitter.is_open("train"):
            self.emitter.emit("after_train")
        self.epochs = None

    def progress(self) -> tuple[int, int, int]:
        """Return the epoch, the iteration, and the batch of the epoch with which a resumed run has to begin.

        An iteration that is open counts as done, because a checkpoint is saved when its step has been made. An epoch
        counts as done once its pass over the loader is over. So does either for a hook that saves when it ends.
        """
        self.settle()
        emitter = self.emitter
        inside = emitter.is_open("train_iter") or self._ending == "train_iter"
        completed = emitter.iter + inside
        if self._ending == "train_epoch" or (self.pass_is_over and emitter.is_open("train_epoch")):
            return emitter.epoch + 1, completed, 0
        return emitter.epoch, completed, max(self.batches_done + inside, self.batches_to_skip)

    def forget(self) -> None:
        """Let go of what belonged to a run that is over."""
        self.epochs = self.batches = None
        self.pass_owns_the_epoch = self.pass_is_over = False
        self.outputs.clear()
        # If the same loop runs again after an exception, it goes on where it stopped.
        self.batches_to_skip = max(self.batches_to_skip, self.batches_done)


# -- what the ``for`` statements iterate over


class _Epochs(Iterator[int]):
    """Opens and closes an epoch with each step."""

    def __init__(self, training: _Training, max_epochs: int | None) -> None:
        self._training = training
        self._max_epochs = max_epochs
        self._is_over = False
        training.settle()
        if training.epochs is not None:
            raise LoopError("epochs() is running already; leave the first for statement before you start another")
        training.epochs = weakref.ref(self)
        if not training.emitter.is_open("train"):
            training.emitter.emit("before_train")

    def __next__(self) -> int:
        training = self._training
        if self._is_over:
            raise StopIteration
        if training.epochs is None or training.epochs() is not self:
            raise LoopError(
                "this iteration over the epochs is over: its run has ended. Call epochs() again in the next run"
            )
        training.settle()
        training.end_epoch()
        if training.is_bound_reached() or (self._max_epochs is not None and training.emitter.epoch >= self._max_epochs):
            self._is_over = True
            training.end()
            raise StopIteration
        training.begin_epoch()
        return training.emitter.epoch


class _Batches(Iterator[B]):
    """Opens and closes an iteration with each batch."""

    def __init__(self, training: _Training, loader: Iterable[B]) -> None:
        self._training = training
        self._is_over = False
        training.settle()
        if training.batches is not None:  # the last pass is still held, but this one takes its place
            training.end_pass()
        training.pass_owns_the_epoch = not training.emitter.is_open("train_epoch")
        if training.pass_owns_the_epoch:
            if not training.emitter.is_open("train"):
                training.emitter.emit("before_train")
            training.begin_epoch()
        training.batches = weakref.ref(self)
        training.pass_is_over = False
        # Only now: the workers that this may start must find the epoch in the hub.
        self._batches = iter(loader)

    def __next__(self) -> B:
        training = self._training
        if self._is_over:
            raise StopIteration
        if training.batches is None or training.batches() is not self:
            raise LoopError(
                "this pass over the loader is over: its epoch has ended, or another train() has begun. Call "
                "train() for each pass"
            )
        training.end_iteration()
        if training.is_bound_reached():
            self._end()
        try:
            while training.batches_done < training.batches_to_skip:
                next(self._batches)
                training.batches_done += 1
            batch = next(self._batches)
        except StopIteration:
            self._end()
        training.emitter.emit("before_train_iter", batch_idx=training.batches_done, data_batch=batch)
        return batch

    def _end(self) -> NoReturn:
        self._is_over = True
        self._training.end_pass()
        raise StopIteration


class TrainPass(Generic[B]):
    """An iterable over the batches of one pass; it has a length if the loader has."""

    def __init__(self, training: _Training, loader: Iterable[B]) -> None:
        self._training = training
        self._loader = loader

    def __iter__(self) -> Iterator[B]:
        self._training.check_running("train")  # it may be iterated over elsewhere than it was made
        return _Batches(self._training, self._loader)

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]  # a TypeError is right where the loader has none


class Evaluation:
    """One validation or test: a context manager, made by `Loop.val` and `Loop.test`.

    Each call of `batches` is an epoch of it. `log_metrics` ends the epoch, and publishes.

    Source: STAGE-02 to STAGE-05, LIFE-06, LIFE-07, SCALAR-06, SCALAR-09.
    """

    def __init__(self, training: _Training, stage: Literal["val", "test"]) -> None:
        self._training = training
        self._emitter = training.emitter
        self._stage: Literal["val", "test"] = stage
        self._events = EVALUATION_EVENTS[stage]
        self._was_entered = False
        self._guard = training.emitter.scope(stage)
        self._pass: object = None  # identifies the pass over a loader that is under way
        self._has_metrics = False

    def __enter__(self) -> Self:
        if self._was_entered:
            raise LoopError(f"this {self._stage} was entered already; call loop.{self._stage}() for each one")
        self._training.check_running(self._stage)  # it may be entered elsewhere than it was made
        self._training.settle()
        self._was_entered = True
        self._training.evaluation = self
        self._guard.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_open():  # held by a generator, it has outlived what was around it
            return
        self._guard.__exit__(kind, error, traceback)

    def batches(self, loader: Iterable[B]) -> Generator[B]:
        """Iterate over a loader; each batch is an iteration, and the whole an epoch.

        Raises:
            LoopError: Outside of the ``with`` block.

        Source: LIFE-06, LIFE-07.
        """
        self._check_open("batches")
        self._emitter.emit(self._events.before_epoch)
        self._has_metrics = False
        self._pass = this_pass = object()
        return self._iterate(loader, this_pass)

    def log_metrics(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """End the epoch and publish its metrics: a scalar if it is one, otherwise an info.

        Args:
            values: Metrics by name.
            more: Further ones.

        Raises:
            LoopError: If this epoch has its metrics already, if a name is given twice, or outside of the
                ``with`` block.

        Source: SCALAR-06, SCALAR-07, SCALAR-09.
        """
        self._check_open("log_metrics")
        named = _named_values("log_metrics", values, more)
        if self._has_metrics:
            raise LoopError(
                f"log_metrics() was called already for this {self._stage}: give all metrics in one call, "
                "or iterate over batches() in between"
            )
        if not self._emitter.is_open(f"{self._stage}_epoch"):
            self._emitter.emit(self._events.before_epoch)
        self._has_metrics = True
        self._pass = None
        self._emitter.emit(self._events.after_epoch, metrics=named)

    def _iterate(self, loader: Iterable[B], this_pass: object) -> Generator[B]:
        for batch_idx, batch in enumerate(loader):
            self._check_current(this_pass)
            self._emitter.emit(self._events.before_iter, batch_idx=batch_idx, data_batch=batch)
            yield batch
            self._check_current(this_pass)
            self._emitter.emit(self._events.after_iter)

    def _is_open(self) -> bool:
        return self._training.evaluation is self and self._emitter.is_open(self._stage)

    def _check_open(self, method: str) -> None:
        if not self._is_open():
            raise LoopError(f"{method}() belongs inside `with loop.{self._stage}() as {self._stage}:`")

    def _check_current(self, this_pass: object) -> None:
        if this_pass is not self._pass or not self._is_open():
            raise LoopError(
                f"this pass over the {self._stage} batches is over: its metrics were given, or it has been "
                "left. Call batches() again for another one"
            )


def _named_values(method: str, values: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """Join the mapping and the keyword arguments of a call."""
    if values is None:
        return dict(more)
    if not isinstance(values, Mapping):
        raise LoopError(
            f"{method}() takes values by name, as in {method}(name=value), but got {describe(values)}: name them"
        )
    twice = sorted(name for name in values if name in more)
    if twice:
        raise LoopError(f"{twice[0]!r} was given twice to {method}(): give it once")
    return {**values, **more}


def _check_state(state_dict: Any) -> None:
    check_training_state(state_dict, ("batches",))
    outputs = cast("Mapping[str, Any]", state_dict).get("outputs")
    if not isinstance(outputs, Mapping):
        raise StateError(
            f"outputs must be a mapping, but is {describe(outputs)}: load what Loop.state_dict() returned",
            field="outputs",
        )
    for name, value in cast("Mapping[Any, Any]", outputs).items():
        if not is_scalar(value):
            field = f"outputs[{name!r}]"
            raise StateError(
                f"{field} must be a scalar, but is {describe(value)}: load what Loop.state_dict() returned", field=field
            )
