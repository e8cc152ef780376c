"""Follow what plain PyTorch loops do, for each thread: what the patches of PyTorch tell is told to its training.

The rules that make counts of draws, backwards and steps stand in `_plain_loop_training`.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from runtimeinfo._scopes import NO_RUN, get_innermost, own_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo_adapters.autopublish._plain_loop_pass import Pass
from runtimeinfo_adapters.autopublish._plain_loop_run import INFERRED, InferredRun, read_loss
from runtimeinfo_adapters.autopublish._plain_loop_training import Training

PASS = "_runtimeinfo_pass"  # noqa: S105
"""The attribute of iterators that refers to their pass."""


class Follower:
    """Follows the training of one thread.

    Args:
        torch: PyTorch.
    """

    def __init__(self, torch: Any) -> None:
        self._tensor_class = torch.Tensor
        self._loader_class: Any = torch.utils.data.DataLoader
        self._is_grad_enabled: Callable[[], bool] = torch.is_grad_enabled
        self._make_run = functools.partial(InferredRun, str(torch.__version__))
        self.training: Training | None = None
        self.passes: list[Pass] = []
        # The optimizers whose training another run has published.
        self._claimed: weakref.WeakSet[Any] = weakref.WeakSet()
        self._has_claimed = False
        # Those of earlier trainings.
        self._former: weakref.WeakSet[Any] = weakref.WeakSet(_of_parent_optimizers)
        self._draws = 0
        # The open steps, outermost first: the optimizer, and the optimizers that it has called.
        self.steps: list[tuple[Any, list[Any]]] = []
        self.backward_depth = 0
        self.has_stepped = False
        # A prepared loader of Accelerate draws from another one, a batch ahead: only what it yields matters.
        self.hides_passes = False
        # What a GradScaler has scaled last, and the loss that it was.
        self._scaled: tuple[Callable[[], Any], Any] | None = None

    # -- trainings

    def _is_foreign(self) -> bool:
        """Tell whether a run that is not inferred is open here: it publishes, and the inference stays silent."""
        training = self.training
        run = None if training is None else training.run
        if run is not None and resolve_hub() is run.hub:
            return False
        hub = own_hub()
        if hub is None or hub.get_info(INFERRED) is True:
            return False
        if training is not None and (run is not None or training.has_stepped):
            self._give_up(training)
        return True

    def _give_up(self, training: Training) -> None:
        """Leave a training to the run that publishes it."""
        self._claimed.update(training.optimizers)
        self._has_claimed = True
        self.training = None
        training.end()

    def _begin_training(self) -> Training:
        before = self.training
        open_passes = [] if before is None else [each for each in self.passes if each.is_open]
        self.training = Training(self._make_run, before, open_passes)
        if before is not None:
            self._former.update(before.optimizers)
            before.end()
        return self.training

    def note_optimizer(self, optimizer: Any) -> None:
        """Note that an optimizer was made: of the training that has made no step yet, or else of a new one."""
        if self._is_foreign():
            self._claimed.add(optimizer)
            self._has_claimed = True
            return
        training = self.training
        if training is None or training.has_stepped:
            training = self._begin_training()
        training.add(optimizer)
        # A process or thread that trains by itself reads no run that belongs to the one that has started it.
        if training.run is None and not isinstance(resolve_hub(), type(NO_RUN)):
            training.enter()

    def note_eval(self, module: Any) -> None:
        """Note that a module was put into evaluation mode."""
        if self.training is not None:
            self.training.note_eval(module)

    def note_restored(self, restored: Any) -> None:
        """Note that an optimizer or a module has loaded a state."""
        training = self.training
        if training is not None and not self._is_foreign():
            if training.has(restored):
                training.note_restored(has_rates=True)
            elif not hasattr(restored, "param_groups") and training.trains(restored):
                training.note_restored(has_rates=False)

    def optimizers(self) -> list[Any]:
        """Return the optimizers of its trainings that have made a step, as far as they are alive."""
        training = self.training
        return [*self._former, *(training.optimizers if training is not None and training.has_stepped else ())]

    # -- draws

    def begin_pass(self, loader: Any) -> Pass | None:
        """Note that a pass over a loader begins; None if that does not matter."""
        if self.hides_passes or self._is_foreign():
            return None
        training = self.training
        has_own = getattr(loader.__class__, "__iter__", None) is not self._loader_class.__iter__
        this = Pass(loader, training, has_gradients=self._is_grad_enabled(), has_own_iterator=has_own)
        if training is not None:
            training.note_pass(this)
        return this

    def open_pass(self, this: Pass, iterator: Any) -> None:
        """Note the iterator of a pass."""
        before: Pass | None = getattr(iterator, PASS, None)
        if before is not None:  # an iterator whose workers are persistent
            before.close()
        setattr(iterator, PASS, this)
        this.begin(iterator, self._note_gone)
        self.passes = [*(each for each in self.passes if each.is_open), this]

    def note_draw(self, this: Pass) -> None:
        """Note that a batch was drawn."""
        training = self.training
        if (training is None or get_innermost().answers is not training.answers) and self._is_foreign():
            return
        this.draws += 1
        if this.draws > this.length:
            self._note_more_than_length(this)
        if this not in self.passes:
            this.is_of_one_thread = False
        if training is None and this.training is not None and this not in self.passes:
            self._begin_training().enter()  # in a forked child, that goes on: the parent's values are not its own
        if self._is_grad_enabled():
            _counts.draws += 1
            self._draws += 1
        else:
            this.has_gradients = False
        if training is not None:
            training.note_draw(this)

    def _note_more_than_length(self, this: Pass) -> None:
        if not this.length:
            this.read_length()
        if this.draws > this.length:
            this.length = math.inf
            if self.training is not None:
                self.training.note_overrun(this)

    def note_end(self, this: Pass) -> None:
        """Note that a pass has no batch left."""
        training = self.training
        if training is None or self._is_foreign():
            this.finish()
        else:
            training.note_end(this)

    def _note_gone(self, this: Pass) -> None:
        training = self.training
        if training is not None and not this.is_finished and follower_of_thread() is self:
            training.note_gone(this)

    # -- backwards

    def note_backward(self, tensors: Any, grad_tensors: Any) -> None:
        """Note a backward that was called by the script, and not by another one."""
        training = self.training
        if training is None:
            if self._is_foreign():
                return
            training = self._begin_training()
        loss = None
        if grad_tensors is None and type(tensors) is self._tensor_class and tensors.numel() == 1:
            if self._scaled is None:
                loss = read_loss(tensors)
            else:
                result, loss = self._scaled
                if result() is not tensors:
                    loss = None
        self._scaled = None
        training.note_backward(loss, bool(self.steps))

    def note_scaled(self, result: Any, outputs: Any) -> None:
        """Note what a GradScaler has made of a loss."""
        if result is not outputs:
            is_loss = type(outputs) is self._tensor_class and outputs.numel() == 1
            self._scaled = (weakref.ref(result), read_loss(outputs)) if is_loss else (lambda: None, None)

    # -- steps

    def begin_step(self, optimizer: Any) -> None:
        """Note that an optimizer begins a step."""
        steps = self.steps
        for index, (each, _) in enumerate(steps):
            if each is optimizer:  # it has raised an exception in its last step
                del steps[index:]
                break
        steps.append((optimizer, []))

    def end_step(self, optimizer: Any) -> None:
        """Note that an optimizer has made a step."""
        self.has_stepped = True
        steps = self.steps
        while steps and steps[-1][0] is not optimizer:
            steps.pop()
        if not steps:
            return
        _, inner = steps.pop()
        if steps:
            steps[-1][1].extend(inner or [optimizer])
            return
        training = self.training
        if (training is None or get_innermost().answers is not training.answers) and self._is_foreign():
            self._claimed.add(optimizer)
            self._has_claimed = True
            if training is self.training and training is not None and training.has(optimizer):
                self._give_up(training)
            return
        if self._has_claimed and optimizer in self._claimed:
            return
        if training is None:
            training = self._begin_training()
        if inner:
            training.replace(optimizer, inner)
        for each in inner or (optimizer,):
            if id(each) not in training.ids:
                self._add_late(training, each)
            training.note_step(each, self.passes, _counts.draws - self._draws)

    def _add_late(self, training: Training, optimizer: Any) -> None:
        if training.take_back(optimizer):
            return
        if training.has_stepped or optimizer in self._former:
            training.note_foreign_step()
        training.add(optimizer)

    def note_skipped_step(self) -> None:
        """Note that a GradScaler has called no step, because a gradient was not finite."""
        training = self.training
        if training is not None and not self._is_foreign():
            training.note_skipped_step()


# -- of each thread


class _Counts:
    draws = 0
    """The batches drawn in all threads, with gradients enabled."""


class _OfThread(threading.local):
    def __init__(self) -> None:  # in each thread, when it first asks
        self.follower = Follower(sys.modules["torch"])
        _followers.add(self.follower)


_counts = _Counts()
_followers: weakref.WeakSet[Follower] = weakref.WeakSet()
_of_thread: _OfThread | None = None
# In a forked child: what belongs to its parent. It is kept, because to free it would leave the hub of the parent.
_of_parent: list[object] = []
# Those whose training the parent has begun. How far it is when the child goes on with it is not known.
_of_parent_optimizers: weakref.WeakSet[Any] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    global _of_thread  # noqa: PLW0603  # no other thread is there
    for follower in _followers:
        _of_parent_optimizers.update(follower.optimizers())
    _of_parent.append(_of_thread)
    _of_thread = None
    _followers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def follower_of_thread() -> Follower:
    """Return what follows the training of this thread."""
    global _of_thread  # noqa: PLW0603  # a process that does not train makes none
    if _of_thread is None:
        _of_thread = _OfThread()
    return _of_thread.follower


def end_all() -> None:
    """End what is published, because the part is withdrawn or the process ends."""
    for follower in list(_followers):
        training, follower.training = follower.training, None
        if training is not None:
            training.end()


# -- what the patches tell


def begin_step(optimizer: Any, *_: Any) -> None:
    """Note that an optimizer begins a step."""
    follower = _of_thread.follower if _of_thread is not None else follower_of_thread()
    if follower.steps:
        follower.begin_step(optimizer)
    else:
        follower.steps.append((optimizer, []))


def end_step(optimizer: Any, *_: Any) -> None:
    """Note that an optimizer has made a step."""
    (_of_thread.follower if _of_thread is not None else follower_of_thread()).end_step(optimizer)


def after_optimizer(_: None, optimizer: Any) -> None:
    """Note that an optimizer was made."""
    if not _is_called_by("__setstate__"):  # one that is copied or unpickled need not train
        follower_of_thread().note_optimizer(optimizer)


def before_eval(module: Any) -> None:
    """Note that a module was put into evaluation mode."""
    follower_of_thread().note_eval(module)


def after_load(_: Any, restored: Any, *__: Any, **___: Any) -> None:
    """Note that an optimizer or a module has loaded a state."""
    follower_of_thread().note_restored(restored)


def after_scale(result: Any, _: Any, outputs: Any) -> None:
    """Note what a GradScaler has made of a loss."""
    follower_of_thread().note_scaled(result, outputs)


def before_maybe_step(*_: Any, **__: Any) -> None:
    """Note that a GradScaler might call a step."""
    follower_of_thread().has_stepped = False


def after_maybe_step(*_: Any, **__: Any) -> None:
    """Note that a GradScaler has called a step, or none."""
    follower = follower_of_thread()
    if not follower.has_stepped:
        follower.note_skipped_step()


def begin_pass(loader: Any) -> Pass | None:
    """Note that a pass over a loader begins; None if that does not matter."""
    return follower_of_thread().begin_pass(loader)


def open_pass(this: Pass, iterator: Any) -> None:
    """Note the iterator of a pass."""
    follower_of_thread().open_pass(this, iterator)


def note_draw(this: Pass) -> None:
    """Note that a batch was drawn."""
    (_of_thread.follower if _of_thread is not None else follower_of_thread()).note_draw(this)


def note_end(this: Pass) -> None:
    """Note that a pass has no batch left."""
    follower_of_thread().note_end(this)


def begin_backward(tensors: Any, grad_tensors: Any) -> Follower:
    """Note that a backward begins; its end takes one from the depth of the follower that is returned."""
    follower = _of_thread.follower if _of_thread is not None else follower_of_thread()
    if not follower.backward_depth:  # not one that a reentrant checkpoint calls
        follower.note_backward(tensors, grad_tensors)
    follower.backward_depth += 1
    return follower


def _is_called_by(name: str) -> bool:
    """Tell the name of the function that has called a patch."""
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("runtimeinfo_adapters."):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == name
