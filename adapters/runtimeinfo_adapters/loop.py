"""The adapter for a loop that you have written: PyTorch, JAX, NumPy or anything else; you do not hand it over.

    from runtimeinfo_adapters.loop import Loop

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

However the loop is left, every scope closes. This module loads no framework; ``runtimeinfo_adapters.pytorch`` is
another name of it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from signal import Signals
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, Unpack, cast

from runtimeinfo import LoopError, RuntimeInfoHook, StateError, use_hub
from runtimeinfo._scopes import is_entered
from runtimeinfo.authoring import (
    EVALUATION_EVENTS,
    HasLearningRates,
    TrainDataLoader,
    check_training_state,
    closes_generator,
    describe,
    enter_again,
    is_scalar,
    length_of,
    load_hub,
    resolve_hub,
    scalar_value,
    shown,
    training_state,
    with_dataset,
)
from runtimeinfo.spec import START
from runtimeinfo_adapters._adapter import FrameworkRunner, RunOptions
from runtimeinfo_adapters._framework import framework_of
from runtimeinfo_adapters._loader_state import Position, warn_user
from runtimeinfo_adapters._loop_rates import learning_rates
from runtimeinfo_adapters._loop_training import Epochs, Training, TrainPass
from runtimeinfo_adapters._numbers import is_int
from runtimeinfo_adapters._stop_signals import check_signals

__all__ = ["Evaluation", "FinishedLoopWarning", "Loop", "TrainPass"]

B = TypeVar("B")

# The loop that publishes to each hub now. Two at once would overwrite each other's counters.
_publishing: dict[int, Loop[Any]] = {}

# Where a loop nearly always is when it is called: positions are compared by identity.
_IN_ITERATION = START.after["before_run"].after["before_train"].after["before_train_epoch"].after["before_train_iter"]


class FinishedLoopWarning(UserWarning):
    """A loop was run whose training is complete, so that there is nothing left to do."""


class Loop(FrameworkRunner, Generic[B]):
    """Makes a hand-written training loop publish where it is.

    It satisfies `runtimeinfo.TrainRunner`. Whatever way the loop is left, by `break`, `return`, an exception or an
    interrupt, every open scope is closed in order, and the exception comes out as it was.

    A scope that is left by `break` ends normally, and counts; it closes at the next call on the loop. Only an
    exception that leaves `run`, `val` or `test` is an abnormal end.

    Args:
        optimizer: What tells the learning rates, which are read as each iteration begins: an optimizer that has
            `param_groups`, as PyTorch's have, or `learning_rate`, as those of Keras have; a schedule, as those of
            optax, which is called with the number of completed iterations; a function without arguments that returns
            the rate, or a state of ``optax.inject_hyperparams``; a number; several of these by name; or None.
        train_loader: What `train` iterates over: a DataLoader, or any iterable that can be iterated repeatedly.
        max_epochs: After how many epochs the training ends, those before `start_epoch` included; None for no bound.
        max_iters: After how many iterations it ends, those before `start_iter` included; None for no bound.
        start_epoch: How many epochs are done already, for a project that continues from its own checkpoint. A
            loaded state wins. No batches are skipped: the epoch begins with its first one.
        start_iter: How many iterations are done already. If left out, as many as those epochs have by the length of the
            loader.
        options: The run options: `hub` (where to publish; a new `runtimeinfo_adapters.MessageHub` if left out), `hooks`
            (more hooks; `RuntimeInfoHook` runs in any case), `cfg` (the configuration: a mapping, text, or anything
            with `pretty_text`), `seed` (published, not set here) and `experiment_name`.

    Raises:
        LoopError: If an argument cannot be what it should be.
        HookError: If a hook cannot be registered.

    Example:
        >>> import numpy as np
        >>> from runtimeinfo import current_hub
        >>> weights = np.ones(2)
        >>> loop = Loop(lambda step: 0.1 / (step + 1), [np.ones(2)] * 2, max_epochs=2)
        >>> with loop.run():
        ...     for epoch in loop.epochs():
        ...         for batch in loop.train():
        ...             loop.log(loss=(weights * batch).sum())
        ...             print(epoch, current_hub().get_info("iter"), current_hub().get_info("loop_stage"))
        0 0 train
        0 1 train
        1 2 train
        1 3 train

    Source: LIFE-01 to LIFE-09, COUNT-01 to COUNT-11, FAIL-01 to FAIL-06.
    """

    framework_name: str = ""
    framework_version: str = ""

    def __init__(
        self,
        optimizer: object | Mapping[str, object] | None = None,
        train_loader: Iterable[B] | None = None,
        *,
        max_epochs: int | None = None,
        max_iters: int | None = None,
        start_epoch: int | None = None,
        start_iter: int | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        for name, bound in (("max_epochs", max_epochs), ("max_iters", max_iters)):
            if bound is not None and not (is_int(bound) and bound >= 0):
                raise LoopError(
                    f"{name} must be an int from 0, or None for no bound, but is {shown(bound)}: leave it "
                    "out for no bound"
                )
        for name, start in (("start_epoch", start_epoch), ("start_iter", start_iter)):
            if start is not None and not (is_int(start) and start >= 0):
                raise LoopError(
                    f"{name} must be an int from 0, or None, but is {shown(start)}: give how many are done, or leave "
                    "it out for a training that begins"
                )
        if train_loader is not None and not hasattr(train_loader, "__iter__"):
            raise LoopError(
                f"train_loader must be iterable, but is {describe(train_loader)}: give a "
                "DataLoader, or a list of batches"
            )
        self.optim_wrapper: HasLearningRates = learning_rates(optimizer, partial(getattr, self, "iter"))
        if not self.framework_name:
            self.framework_name, self.framework_version = framework_of(optimizer)
        self.max_epochs: int | None = max_epochs
        self._bound = max_iters
        self._loader = train_loader
        super().__init__(**options)
        self.emitter.epoch, self.emitter.iter = start_epoch or 0, _first_iter(start_epoch, start_iter, train_loader)
        self.emitter.epoch_start = self.emitter.iter
        self._training = Training(self, max_iters)
        # The counters as this run began, and whether it was said that nothing was left to do.
        self._begun_at = self.epoch, self.iter
        self._was_warned = False

    # -- the runner view

    @property
    def max_iters(self) -> int | None:
        """Iterations of the whole training.

        By the length that the loader had when the pass began; None if there is no bound, if the loader has no length,
        or if it turned out to be wrong.
        """
        max_epochs = self.max_epochs
        if max_epochs is not None and self._training.is_in_epoch():
            max_epochs = max(max_epochs, self.epoch + 1)  # the one that is open is one of them
        by_epochs = self.total_iters(max_epochs, self._training.epoch_length(self._loader))
        bounds = [bound for bound in (self._bound, by_epochs) if bound is not None]
        return min(bounds, default=None)

    @property
    def train_dataloader(self) -> TrainDataLoader:
        """The loader; one that has no dataset is its own."""
        return with_dataset(self._loader)

    # -- the loop

    @contextmanager
    def run(self, *, stop_on: int | Iterable[int] | None = None) -> Generator[Self]:
        """Frame the run: everything else goes inside. The hub is the current one meanwhile.

        A loop can run again after it has finished. It continues where it was, and publishes to the same hub. To train
        from the start, make a new loop.

        A signal of `stop_on` stops the training in order. The iteration goes on to its end for which a batch was drawn,
        or is being drawn; a validation or test does so, too. Then `train` and `epochs` give nothing more, and the
        program continues after their ``for`` statements. `stopped_by` names the signal from the moment it arrives.
        An epoch that has batches left ends normally, and does not count: `state_dict` resumes with these batches, and
        so does this loop if it runs again.

        Python notes a signal between two of its instructions. A call into C code, such as a step on an accelerator, is
        not interrupted, and one that waits, such as `time.sleep`, keeps waiting. A second signal does what it would
        do without `stop_on`, unless it comes within a second of the first. After the run, and in worker processes, any
        signal does.

        Each rank of a distributed training notes its own signal, and may be an iteration ahead of the others then.
        Where ranks wait for each other, leave `stop_on` out, and let them agree on a `break`.

        Args:
            stop_on: The signals that stop the training, such as ``signal.SIGTERM``: one, several, or None for none.
                SIGINT is refused, and stays KeyboardInterrupt.

        Raises:
            LoopError: If this loop is running already, or another one on the same hub; if `stop_on` has something
                that is not such a signal, or outside of the main thread.

        Source: LIFE-02, LIFE-15, FAIL-01 to FAIL-06.
        """
        signals = check_signals(stop_on)
        key = id(self.message_hub)
        other = _publishing.get(key)
        if other is self:
            raise LoopError(
                "this loop is running already, and run() cannot be nested: leave the first `with` before the next, or "
                "make a new Loop if Ctrl-C has kept it open"
            )
        if other is not None:
            raise LoopError(
                f"loop {other.experiment_name!r} is publishing to this hub already; give each loop its own hub"
            )
        with self._training.stop.listening(signals):
            try:
                _publishing[key] = self
                self._begun_at = self.epoch, self.iter
                self._was_warned = False
                with use_hub(self.message_hub), self.emitter.scope("run"):
                    try:
                        yield self
                    except GeneratorExit as error:
                        if closes_generator(error):  # around this run
                            self._training.end()
                        raise
                    self._training.end()
            except BaseException as error:
                self.emitter.abort(error)  # Ctrl-C may come when the scope is being left, and nothing has closed yet
                raise
            finally:
                del _publishing[key]  # first, and without a call: Ctrl-C comes between two calls
                self._training.forget()

    @property
    def stopped_by(self) -> Signals | None:
        """The signal of `stop_on` that has stopped this run, or the last one if none is open; None for none.

        Source: LIFE-12.
        """
        return self._training.stop.received

    def go_on(self) -> None:
        """Make the hub the current one again, if another loop in this thread has had its turn.

        Each step over the epochs and batches, and each validation, calls it: loops whose iterators you step in turn,
        for example in the cells of a notebook, have their own hub each. Such a cell can have a context that does not
        know of the run.

        Source: SCOPE-02.
        """
        current = resolve_hub()
        if current is not self.message_hub and (id(current) in _publishing or not is_entered(current)):
            enter_again(self.message_hub)

    def epochs(self) -> Iterator[int]:
        """Iterate over the epochs still to do; each value is the number of epochs completed before it.

        If the training was complete before this run, there are none, and a `FinishedLoopWarning` says so.

        Raises:
            LoopError: Outside of `run`, inside a validation or test, or while another `epochs` is running.

        Source: LIFE-04, COUNT-03.
        """
        self._training.check_running("epochs")
        self._is_finished()
        return Epochs(self._training, self.max_epochs, self._loader)

    def batches(self) -> TrainPass[B]:
        """Iterate over the loader once; each batch is an iteration.

        Inside `epochs` this is the pass of that epoch. Without `epochs` each pass is its own epoch. If the training was
        complete before this run, there are no batches, and a `FinishedLoopWarning` says so.

        An iteration is open from the draw of its batch to the next draw, or until the iterator is let go: `iter` and
        `epoch` are those of the batch that was drawn last. In ``zip(loop.train(), other)`` that is one more than you
        get if `other` is shorter, and it counts: write ``zip(other, loop.train())``. What reads ahead must do so under
        the loop, as its `train_loader`, and not around this iterable.

        Raises:
            LoopError: Outside of `run`, inside a validation or test, or if there is no `train_loader`.

        Source: LIFE-03, COUNT-01.
        """
        self._training.check_running("train")
        if self._loader is None:
            raise LoopError("train() needs a train_loader: give one to Loop")
        return TrainPass(self._training, self._loader, is_finished=self._is_finished())

    def _is_finished(self) -> bool:
        """Return whether the training was complete before this run, and warn of it once."""
        training = self._training
        is_complete = training.is_bound_reached() or (self.max_epochs is not None and self.epoch >= self.max_epochs)
        wants_none = self.max_epochs == 0 or self._bound == 0
        if not is_complete or wants_none or (self.epoch, self.iter) != self._begun_at or training.is_open():
            return False
        if not self._was_warned:
            self._was_warned = True
            bound, remedy = f"max_epochs={self.max_epochs}", "raise max_epochs to go on"
            if training.is_bound_reached():
                bound, remedy = f"max_iters={self._bound}", "load its state into one with a higher max_iters to go on"
            warn_user(
                f"the training is complete: {bound}, and this loop has done {self.epoch} epochs and {self.iter} "
                "iterations, so that there is nothing left to do. Make a new Loop to train from the start, or "
                f"{remedy}",
                FinishedLoopWarning,
            )
        return True

    def train(self) -> TrainPass[B]:
        """Iterate over the loader once: another name of `batches`, which reads well next to `val` and `test`.

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

    # -- state. Its fields, in addition to those of every training:
    #
    #     {"batches": int,               of the epoch that continues
    #      "position": {...},            where that is in the loader: see `Position`; None between two epochs
    #      "outputs": {name: scalar}}    handed out by the last iteration, not published yet

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, the state of the hub and the place in the loader included.

        Inside an iteration this iteration counts as done: save after its optimizer step. Once the pass over
        the loader is over, the epoch counts as done; but where `max_iters` has ended it early, a resume with a higher
        bound continues with the remaining batches.

        Source: RESUME-01, RESUME-02.
        """
        training = self._training
        epoch, completed, position = training.progress(self._loader)
        outputs = {name: scalar_value(value) for name, value in training.outputs.items() if is_scalar(value)}
        return training_state(
            self.message_hub,
            epoch=epoch,
            iter=completed,
            batches=0 if position is None else position.done,
            position=None if position is None else position.to_state(),
            outputs=outputs,
        )

    def load_state_dict(self, state_dict: Mapping[str, Any], *, skip_batches: bool | None = None) -> None:
        """Go on from a saved state, at the next `epochs` or `train`.

        A resume in mid-epoch gives the batches that are left, also of a loader that shuffles, and in a process with
        another random state; a `ResumeWarning` says where that is impossible. A loader that has its own state, as
        torchdata's StatefulDataLoader has, is given that state. A loader of torchdata or litdata inside of another one
        continues by itself if you have given it its state. Any other begins its pass in the random state that it had
        then, and the batches that were had are drawn and dropped. The global random generators are left alone.

        Args:
            state_dict: What `state_dict` returned.
            skip_batches: None decides by the loader, as above. Say True to draw and drop batches in any case, False if
                your loader resumes by itself, in a way that is not known here.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.
            LoopError: If the training has begun already.

        Source: RESUME-01, RESUME-02.
        """
        if self.emitter.is_open("train"):
            raise LoopError("the training has begun already: call load_state_dict() before run()")
        _check_state(state_dict)
        position = Position.from_state(state_dict["batches"], state_dict.get("position"), skip_batches)
        load_hub(self.message_hub, state_dict)
        # What its last iteration had handed out was not in the hub yet.
        RuntimeInfoHook().after_train_iter(self, 0, outputs=state_dict["outputs"])
        self.emitter.epoch, self.emitter.iter = state_dict["epoch"], state_dict["iter"]
        self.emitter.epoch_start = self.iter - position.done
        self._begun_at = self.epoch, self.iter
        self._training.resume_at(position if position.done else None)
        # The hub has the stage in which the state was saved, and the counters then.
        self.message_hub.update_info_dict({"epoch": self.epoch, "iter": self.iter})
        if self.emitter.stage is None:
            self.message_hub.pop_info("loop_stage")
        else:
            self.message_hub.update_info("loop_stage", self.emitter.stage)


def _first_iter(start_epoch: int | None, start_iter: int | None, loader: Any) -> int:
    """Return how many iterations are done when a training starts at an epoch."""
    if start_iter is not None or not start_epoch:
        return start_iter or 0
    length = length_of(loader)
    if length is None:
        raise LoopError(
            f"start_iter is needed beside start_epoch={start_epoch}, because train_loader has no length: give how many "
            "iterations are done"
        )
    return start_epoch * length


class Evaluation:
    """One validation or test: a context manager, made by `Loop.val` and `Loop.test`.

    Each call of `batches` is an epoch of it. `log_metrics` ends the epoch, and publishes.

    Source: STAGE-02 to STAGE-05, LIFE-06, LIFE-07, SCALAR-06, SCALAR-09.
    """

    def __init__(self, training: Training, stage: Literal["val", "test"]) -> None:
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
        self._training.loop.go_on()
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
        self._training.loop.go_on()
        self._training.loop.claim_workers(loader)
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
