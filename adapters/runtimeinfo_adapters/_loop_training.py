"""The open scopes of an instrumented loop's training, and what its ``for`` statements iterate over."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from runtimeinfo import LoopError
from runtimeinfo.authoring import EVALUATION_EVENTS, Emitter, length_of
from runtimeinfo_adapters._adapter import stop_iteration_of_hook
from runtimeinfo_adapters._loader_state import PassStart, Position, is_stateful
from runtimeinfo_adapters._stop_signals import StopRequest

if TYPE_CHECKING:
    from runtimeinfo_adapters.loop import Evaluation, Loop

B = TypeVar("B")


class Training:
    """The open scopes of a training, and their closing.

    A ``for`` statement that is left by `break` or `return` tells its iterator nothing. It does let go of it, so the
    iterators are held weakly: one that is gone was left. What it had open closes at the next call.

    Source: LIFE-03 to LIFE-05, LIFE-08.
    """

    def __init__(self, loop: Loop[Any], max_iters: int | None) -> None:
        self.loop = loop
        self.emitter: Emitter = loop.emitter
        self.bound = max_iters
        self.stop: StopRequest = StopRequest()
        self.outputs: dict[str, Any] = {}  # handed out by the iteration that is open
        self.evaluation: Evaluation | None = None  # the one that was entered last
        self.epochs: weakref.ref[Epochs] | None = None
        self.batches: weakref.ref[Batches[Any]] | None = None
        # Of this epoch: how many batches and passes are done, and how many batches when the last pass began.
        self.batches_done: int = 0
        self.passes_done: int = 0
        self.before_pass: int = 0
        self.pass_start: PassStart | None = None  # what the order of that pass depends on
        self.position: Position | None = None  # at which the next epoch begins, if that is not its beginning
        self.waiting: Position | None = None  # at which the open pass begins, until its first batch is drawn
        # Where max_iters or a signal has ended an epoch before its end: which, and the place in it.
        self.cut: tuple[int, Position | None] | None = None
        self.passes_to_leave_out: int = 0
        self.pass_is_over: bool = False
        self.pass_owns_the_epoch: bool = False
        # Of a pass, as the loader had said when it began; and how many passes the last epoch had.
        self.length: int | None = None
        self.length_is_wrong: bool = False
        self._planned: int | None = None  # batches of an epoch
        self.is_partial: bool = False  # a loader that resumes by itself may have the length of what is left
        self.passes_of_last_epoch: int = 1
        self._ending: str | None = None  # the scope whose close the hooks are hearing of, not counted yet

    def __getstate__(self) -> dict[str, Any]:
        # A copy is outside of any run, and goes on as this one would after an exception: see `forget`.
        copied: dict[str, Any] = {
            "outputs": {},
            "evaluation": None,
            "epochs": None,
            "batches": None,
            "position": self._position(0),
            "pass_start": None,
            "waiting": None,
            "pass_is_over": False,
            "pass_owns_the_epoch": False,
            "_ending": None,
        }
        counts = dict.fromkeys(("batches_done", "passes_done", "before_pass", "passes_to_leave_out"), 0)
        return {**vars(self), **copied, **counts}

    def is_open(self) -> bool:
        """Return whether the training is open."""
        return self.emitter.is_open("train")

    def is_in_epoch(self) -> bool:
        """Return whether an epoch is open, or is closing and does not count yet."""
        return self.emitter.is_open("train_epoch") or self._ending == "train_epoch"

    def is_bound_reached(self) -> bool:
        """Return whether there is a bound of iterations, and it is reached."""
        return self.bound is not None and self.emitter.iter >= self.bound

    def has_to_end(self) -> bool:
        """Return whether there are no more iterations, because of the bound or a signal."""
        return self.stop.received is not None or self.is_bound_reached()

    def is_stopped_between_epochs(self) -> bool:
        """Return whether a signal keeps an epoch from beginning that would be the next pass; close the last one."""
        if self.stop.received is None:
            return False
        self.settle()
        if self.batches is not None and self.pass_owns_the_epoch:  # it is still held
            self.end_pass()
        return not self.emitter.is_open("train_epoch")

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
        """Return whether a ``for`` statement was left since the last call."""
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

    def begin_training(self, loader: Any) -> None:
        self.emitter.resumed_at = 0 if self.position is None else self.position.done
        self._take_length(length_of(loader))
        self.length_is_wrong = False
        self.emitter.emit("before_train")

    def begin_epoch(self, loader: Any) -> None:
        position = self.position
        self._forget_passes()
        if not self.has_to_end():
            self.cut = None
        if position is not None:
            self.batches_done, self.before_pass = position.done, position.before_pass
            self.passes_done = self.passes_to_leave_out = position.passes
        self.emitter.resumed_at = self.batches_done
        self.pass_is_over = False
        self._take_length(length_of(loader))
        self.emitter.emit("before_train_epoch")

    def begin_pass(self, loader: Any) -> Position | None:
        """Note what the pass begins with, and return the place in it, if that is not its beginning."""
        self.pass_is_over = False
        self.loop.claim_workers(loader)
        position, self.position = self.position, None
        if position is not None and position.in_pass == 0:
            position = None
        self.waiting = position
        if position is None:
            self.before_pass, self.pass_start = self.batches_done, PassStart.of(loader)
        else:
            self.pass_start = position.start
        self.is_partial = position is not None and position.is_up_to(loader)
        self.tell_length(length_of(loader))
        return position

    def tell_length(self, length: int | None) -> None:
        """Take and publish the length of a pass."""
        self._take_length(length)
        self.emitter.epoch_length = math.inf if self._planned is None else self._planned
        self.loop.publish_totals()

    def _take_length(self, length: int | None) -> None:
        """Plan with a length of a pass: an epoch has as many passes as the last one had."""
        self.length = length
        position = self.position
        before, passes = self.before_pass, self.passes_done
        if position is not None:
            before, passes = position.before_pass, position.passes
        if length is None:
            self._planned = None
            return
        planned = before + length * max(self.passes_of_last_epoch - passes, 1)
        # A loader that resumes by itself may have the length of what is left.
        self._planned = planned if planned >= self.batches_done else self.batches_done + length

    def epoch_length(self, loader: Any) -> int | None:
        """Return how many batches an epoch has, in all its passes; None if that is not known."""
        if not self.is_open():
            self._take_length(length_of(loader))
        return None if self.length_is_wrong else self._planned

    def check_length(self) -> None:
        """Withdraw the totals if the loader has ended before it said it would."""
        given = self.batches_done - self.before_pass
        if self.length is not None and given != self.length and not self.is_partial:
            self.length_is_wrong = True
            self.loop.publish_totals()

    def end_iteration(self) -> None:
        if self.emitter.is_open("train_iter"):
            outputs, self.outputs = self.outputs, {}
            self._ending = "train_iter"
            try:
                self.emitter.emit("after_train_iter", outputs=outputs or None)
            finally:
                self._ending = None
            self.batches_done += 1

    def leave_out_pass(self, loader: Any) -> bool:
        """Return whether the next pass of the epoch was over when the state was saved, and count it."""
        position, length = self.position, length_of(loader)
        if position is not None and position.start is None and length is not None and position.in_pass > length > 0:
            # A state of an earlier release counts the batches of the whole epoch.
            self.position = position._replace(passes=position.passes + 1, in_pass=position.in_pass - length)
            self.passes_done, self.before_pass = self.passes_done + 1, self.before_pass + length
            return position.skip is not False
        if self.passes_to_leave_out == 0:
            return False
        self.passes_to_leave_out -= 1
        return True

    def end_pass(self, *, is_complete: bool = False) -> None:
        """Close a pass that has come to its end, or was left."""
        self.end_iteration()
        if not is_complete:
            self._cut_by_signal()
        self.batches = None
        self.pass_is_over = True
        self.passes_done += 1
        self.before_pass = self.batches_done
        if self.pass_owns_the_epoch:
            self.end_epoch()

    def end_epoch(self) -> None:
        self.end_iteration()
        if self.batches is not None or self.passes_done == 0 or self.position is not None:
            self._cut_by_signal()
        if self.batches is not None:
            self.passes_done += 1
        self.batches = None
        if self.emitter.is_open("train_epoch"):
            epoch, epoch_start = self.emitter.epoch, self.emitter.epoch_start
            self._ending = "train_epoch"
            try:
                self.emitter.emit("after_train_epoch")
            finally:
                self._ending = None
            if self._is_cut_by_signal():  # it goes on in a later run, and counts then
                self.emitter.epoch, self.emitter.epoch_start = epoch, epoch_start
            self.passes_of_last_epoch = max(self.passes_done, 1)
            self.position = None
            self._forget_passes()
            self._take_length(self.length)
            self.loop.publish_totals()

    def end(self) -> None:
        self.end_epoch()
        if self.emitter.is_open("train"):
            self.emitter.emit("after_train")
        self.epochs = None

    def progress(self, loader: Any) -> tuple[int, int, Position | None]:
        """Return the epoch, the iteration, and the place in the epoch with which a resumed run has to begin.

        An iteration that is open counts as done, because a checkpoint is saved when its step has been made. An epoch
        counts as done once its pass over the loader is over. So does either for a hook that saves when it ends.
        """
        self.settle()
        emitter = self.emitter
        inside = emitter.is_open("train_iter") or self._ending == "train_iter"
        completed = emitter.iter + inside
        if self.cut is not None:
            return self.cut[0], completed, self.cut[1]
        if self._ending == "train_epoch" or (self.pass_is_over and emitter.is_open("train_epoch")):
            return emitter.epoch + 1, completed, None
        position = self._position(inside)
        # After an abnormal end the loader is one batch ahead of what counts.
        batches = None if self.batches is None or emitter.lifecycle.aborting else self.batches()
        if position is not None and batches is not None and batches.has_begun and is_stateful(loader):
            position = position._replace(loader=loader.state_dict())
        return emitter.epoch, completed, position

    def cut_pass(self, loader: Any) -> None:
        """Note where `max_iters` or a signal ends a pass before its end: a resume continues there."""
        position = self._position(0)
        if position is None or position.in_pass == self.length:
            return
        if is_stateful(loader):
            position = position._replace(loader=loader.state_dict())
        self.cut = self.emitter.epoch, position

    def _cut_by_signal(self) -> None:
        """Note where a signal ends a pass, or an epoch without one, if `cut_pass` has not."""
        if self.stop.received is None or self.cut is not None:
            return
        position = self.waiting or self._position(0)
        if position is None or position.in_pass != self.length:
            self.cut = self.emitter.epoch, position

    def _is_cut_by_signal(self) -> bool:
        return self.cut is not None and not self.is_bound_reached()

    def _position(self, inside: int) -> Position | None:
        """Return the place in the epoch; None if that is its beginning."""
        if self.position is not None:  # which has not begun yet
            return self.position
        done = self.batches_done + inside
        if done == 0:
            return None
        in_pass = done - self.before_pass
        start = self.pass_start if in_pass else None
        return Position(done, self.passes_done, in_pass, start, is_same_process=True)

    def resume_at(self, position: Position | None) -> None:
        """Begin the next epoch at a place in it."""
        self.cut = None
        self._forget_passes()
        self.position = position

    def _forget_passes(self) -> None:
        # One by one: to touch vars() of an object slows down each later access to its attributes.
        self.batches_done = self.passes_done = self.before_pass = self.passes_to_leave_out = 0
        self.pass_start = self.waiting = None

    def forget(self) -> None:
        """Let go of what belonged to a run that is over."""
        self.epochs = self.batches = None
        self.pass_owns_the_epoch = self.pass_is_over = False
        self.outputs.clear()
        # If the same loop runs again after an exception or a signal, it goes on where it stopped.
        if self.cut is not None and self._is_cut_by_signal():
            self.resume_at(self.cut[1])
            return
        cut = self.cut
        self.resume_at(self._position(0))
        self.cut = cut


# -- what the ``for`` statements iterate over


class Epochs(Iterator[int]):
    """Opens and closes an epoch with each step."""

    def __init__(self, training: Training, max_epochs: int | None, loader: Any) -> None:
        self._training = training
        self._max_epochs = max_epochs
        self._loader = loader
        self._is_over = False
        training.loop.go_on()
        training.settle()
        if training.epochs is not None:
            raise LoopError(
                "epochs() is running already; leave the first for statement before you start another, and `del` its "
                "iterator if a variable holds it"
            )
        training.epochs = weakref.ref(self)
        if not training.is_open():
            training.begin_training(loader)

    def __next__(self) -> int:
        if self._is_over:
            raise StopIteration
        try:
            self._begin_next()
        except StopIteration as error:
            raise stop_iteration_of_hook() from error
        if self._is_over:
            raise StopIteration
        return self._training.emitter.epoch

    def _begin_next(self) -> None:
        """Begin the next epoch, or end the training."""
        training = self._training
        if training.epochs is None or training.epochs() is not self:
            raise LoopError(
                "this iteration over the epochs is over: its run has ended. Call epochs() again in the next run"
            )
        training.loop.go_on()
        training.settle()
        training.end_epoch()
        if training.has_to_end() or (self._max_epochs is not None and training.emitter.epoch >= self._max_epochs):
            self._is_over = True
            training.end()
        else:
            training.begin_epoch(self._loader)


class Batches(Iterator[B]):
    """Opens and closes an iteration with each batch."""

    def __init__(self, training: Training, loader: Iterable[B]) -> None:
        self._training = training
        self._loader = loader
        self._is_over = False
        self.has_begun: bool = False  # whether a batch was drawn
        training.loop.go_on()  # now already: what is drawn from begins, and may start its workers
        training.settle()
        if training.batches is not None:  # the last pass is still held, but this one takes its place
            training.end_pass()
        training.pass_owns_the_epoch = not training.emitter.is_open("train_epoch")
        if training.pass_owns_the_epoch:
            if not training.is_open():
                training.begin_training(loader)
            training.begin_epoch(loader)
        if training.leave_out_pass(loader):
            self._is_over = True
            return
        training.batches = weakref.ref(self)
        self._position = training.begin_pass(loader)
        # Only now: the workers that this may start must find the epoch in the hub.
        self._batches = iter(loader) if self._position is None else iter(())

    def __next__(self) -> B:
        if self._is_over:
            raise StopIteration
        try:
            batch: B = self._draw_next()
        except StopIteration as error:
            raise stop_iteration_of_hook() from error
        if self._is_over:
            raise StopIteration
        return batch

    def _draw_next(self) -> Any:
        """Draw the next batch and begin its iteration; or end the pass."""
        training = self._training
        if training.batches is None or training.batches() is not self:
            raise LoopError(
                "this pass over the loader is over: its epoch has ended, or another train() has begun. Call "
                "train() for each pass"
            )
        training.loop.go_on()
        training.end_iteration()
        if training.has_to_end():
            if self.has_begun:
                training.cut_pass(self._loader)
            return self._end()
        try:
            batch = next(self._batches) if self.has_begun else self._draw_first()
        except StopIteration:
            training.check_length()
            return self._end(is_complete=True)
        training.emitter.emit("before_train_iter", batch_idx=training.batches_done, data_batch=batch)
        return batch

    def _draw_first(self) -> B:
        if self._position is not None:
            position, self._position = self._position, None
            self._batches = position.resume(self._loader)
        self.has_begun = True
        self._training.waiting = None
        batch = next(self._batches)
        length = length_of(self._loader)
        if length != self._training.length:  # its sampler makes the batches only now
            self._training.tell_length(length)
        return batch

    def _end(self, *, is_complete: bool = False) -> None:
        self._is_over = True
        self._training.end_pass(is_complete=is_complete)


class TrainPass(Generic[B]):
    """An iterable over the batches of one pass; it has a length if the loader has."""

    def __init__(self, training: Training, loader: Iterable[B], *, is_finished: bool = False) -> None:
        self._training = training
        self._loader = loader
        self._is_finished = is_finished

    def __iter__(self) -> Iterator[B]:
        self._training.check_running("train")  # it may be iterated over elsewhere than it was made
        if self._is_finished or self._training.is_stopped_between_epochs():
            return iter(())
        return Batches(self._training, self._loader)

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]  # a TypeError is right where the loader has none
