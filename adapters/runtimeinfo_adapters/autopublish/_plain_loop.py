"""Infer what plain PyTorch loops do: the patches of PyTorch, and for each thread what follows its training.

An iterator tells its draws, by `_next_data`: a warning of `__next__` names its caller, which must stay the script. The
global hooks of the optimizers tell their steps, and `torch.autograd.backward` tells the losses. The rules that make
counts of them stand in `_plain_loop_training`.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

from runtimeinfo._scopes import NO_RUN, own_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo_adapters.autopublish._guard import Part, hide_own_frames
from runtimeinfo_adapters.autopublish._plain_loop_run import INFERRED, InferredRun, rate_of
from runtimeinfo_adapters.autopublish._plain_loop_training import Pass, Training

_PASS = "_runtimeinfo_pass"  # noqa: S105  # an attribute of iterators


class Follower:
    """Follows the training of one thread.

    Args:
        torch: PyTorch.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._make_run = functools.partial(InferredRun, str(torch.__version__))
        self.training: Training | None = None
        self.passes: list[Pass] = []
        # The optimizers whose training another run has published.
        self._claimed: weakref.WeakSet[Any] = weakref.WeakSet()
        # Those of earlier trainings.
        self._former: weakref.WeakSet[Any] = weakref.WeakSet()
        self._draws = 0
        # The open steps, outermost first: the optimizer, its rate, and the optimizers that it has called.
        self._steps: list[tuple[weakref.ref[Any], Any, list[Any]]] = []
        self.backward_depth = 0
        self.has_stepped = False
        # A prepared loader of Accelerate draws from another one, a batch ahead: only what it yields matters.
        self.hides_passes = False
        # What a GradScaler has scaled last, and the loss that it was.
        self._scaled: tuple[weakref.ref[Any], Any] | None = None

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
            self._claimed.update(training.optimizers)
            self.training = None
            training.end()
        return True

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
            return
        training = self.training
        if training is None or training.has_stepped:
            training = self._begin_training()
        training.add(optimizer)
        # A process or thread that trains by itself reads no run that belongs to the one that has started it.
        if training.run is None and not isinstance(resolve_hub(), type(NO_RUN)):
            training.enter()

    # -- draws

    def begin_pass(self, loader: Any) -> Pass | None:
        """Note that a pass over a loader begins; None if that does not matter."""
        if self.hides_passes or self._is_foreign():
            return None
        training = self.training
        this = Pass(loader, training, has_gradients=self._torch.is_grad_enabled())
        if training is not None:
            training.note_pass(this)
        return this

    def open_pass(self, this: Pass, iterator: Any) -> None:
        """Note the iterator of a pass."""
        before = vars(iterator).get(_PASS)
        if before is not None:  # an iterator whose workers are persistent
            before.close()
        vars(iterator)[_PASS] = this
        this.begin(iterator, self._note_gone)
        self.passes = [*(each for each in self.passes if each.is_open), this]

    def note_draw(self, this: Pass) -> None:
        """Note that a batch was drawn."""
        if self._is_foreign():
            return
        this.draws += 1
        if this not in self.passes:
            this.is_of_one_thread = False
        if self._torch.is_grad_enabled():
            _counts.draws += 1
            self._draws += 1
        else:
            this.has_gradients = False
        training = self.training
        if training is not None:
            training.note_draw(this)

    def note_end(self, this: Pass) -> None:
        """Note that a pass has no batch left."""
        training = self.training
        if training is None or self._is_foreign():
            this.is_finished = True
        else:
            training.note_end(this)

    def _note_gone(self, this: Pass) -> None:
        training = self.training
        if training is not None and not this.is_finished and _of_thread.__dict__.get("follower") is self:
            training.note_gone(this)

    # -- backwards

    def note_backward(self, tensors: Any, grad_tensors: Any) -> None:
        """Note a backward that was called by the script, and not by another one."""
        if self.training is None and self._is_foreign():
            return
        training = self.training
        if training is None:
            training = self._begin_training()
        loss = None
        if grad_tensors is None and type(tensors) is self._torch.Tensor and not tensors.ndim:
            loss = self._loss_of(tensors)
        training.note_backward(loss, is_within=bool(self._steps))

    def _loss_of(self, tensor: Any) -> Any:
        scaled, self._scaled = self._scaled, None
        if scaled is None:
            return read_loss(tensor)
        result, loss = scaled
        return loss if result() is tensor else None

    def note_scaled(self, result: Any, outputs: Any) -> None:
        """Note what a GradScaler has made of a loss."""
        if result is not outputs:
            is_loss = type(outputs) is self._torch.Tensor and not outputs.ndim
            self._scaled = (weakref.ref(result), read_loss(outputs)) if is_loss else (lambda: None, None)

    # -- steps

    def begin_step(self, optimizer: Any) -> None:
        """Note that an optimizer begins a step."""
        for index, (each, _, _) in enumerate(self._steps):
            if each() is optimizer:  # it has raised an exception in its last step
                del self._steps[index:]
                break
        self._steps.append((weakref.ref(optimizer), rate_of(optimizer), []))

    def end_step(self, optimizer: Any) -> None:
        """Note that an optimizer has made a step."""
        self.has_stepped = True
        steps = self._steps
        while steps and steps[-1][0]() is not optimizer:
            steps.pop()
        if not steps:
            return
        _, rate, inner = steps.pop()
        if steps:
            steps[-1][2].extend(inner or [(optimizer, rate)])
            return
        if self._is_foreign():
            self._claimed.add(optimizer)
            return
        if optimizer in self._claimed:
            return
        training = self.training
        if training is None:
            training = self._begin_training()
        if inner:
            training.replace(optimizer, [each for each, _ in inner])
        open_passes = [each for each in self.passes if each.is_open and each.draws]
        for each, its_rate in inner or [(optimizer, rate)]:
            self._end_own_step(each, its_rate, open_passes)

    def _end_own_step(self, optimizer: Any, rate: Any, open_passes: list[Pass]) -> None:
        training = self.training
        if training is None:
            return
        if not training.has(optimizer):
            if training.has_stepped or optimizer in self._former:
                training.lose_count()
            training.add(optimizer)
        training.note_step(optimizer, rate, open_passes, _counts.draws - self._draws)

    def note_skipped_step(self) -> None:
        """Note that a GradScaler has called no step, because a gradient was not finite."""
        training = self.training
        if training is not None and not self._is_foreign():
            training.note_skipped_step()


def read_loss(tensor: Any) -> Any:
    """Return the value of a loss: a number, or a detached tensor that lies on a device, for which nothing waits."""
    if tensor.is_cpu:
        return float(tensor.item())
    return None if tensor.is_meta else tensor.detach()


# -- of each thread


class _Counts:
    draws = 0
    """The batches drawn in all threads, with gradients enabled."""


class _OfThread(threading.local):
    follower: Follower


_counts = _Counts()
_followers: weakref.WeakSet[Follower] = weakref.WeakSet()
_of_thread = _OfThread()
# In a forked child: what belongs to its parent. It is kept, because to free it would leave the hub of the parent.
_of_parent: list[_OfThread] = []


def _after_fork_in_child() -> None:
    global _of_thread  # noqa: PLW0603  # no other thread is there
    _of_parent.append(_of_thread)
    _of_thread = _OfThread()
    _followers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def follower_of_thread(torch: Any) -> Follower:
    """Return what follows the training of this thread."""
    try:
        return _of_thread.follower
    except AttributeError:
        follower = _of_thread.follower = Follower(torch)
        _followers.add(follower)
        return follower


def _end_all() -> None:
    """End what is published, because the part is withdrawn."""
    for follower in list(_followers):
        training, follower.training = follower.training, None
        if training is not None:
            training.end()


# -- the patches


def install(torch: ModuleType) -> None:
    """Patch PyTorch. It is called once, when ``torch`` has been imported."""
    part = Part("the inference for plain PyTorch loops")
    try:
        _Patches(part, torch).apply()
    except Exception as error:  # noqa: BLE001  # another version of PyTorch
        part.withdraw(error)


class _Patches:
    """What is put around functions of PyTorch: it finds the follower of the thread, and tells it.

    Args:
        part: The part that can take it back.
        torch: PyTorch.
    """

    def __init__(self, part: Part, torch: Any) -> None:
        self._part = part
        self._torch = torch

    def apply(self) -> None:
        """Patch, and register the hooks."""
        part, optimizer = self._part, sys.modules["torch.optim.optimizer"]
        part.wrap(optimizer.Optimizer, "_patch_step_function", after=self._eager(self._after_optimizer))
        part.on_withdraw(optimizer.register_optimizer_step_pre_hook(self._hook(self._begin_step)).remove)
        part.on_withdraw(optimizer.register_optimizer_step_post_hook(self._hook(self._end_step)).remove)
        loader = self._torch.utils.data.dataloader
        self._patch_iter(loader.DataLoader)
        self._patch_next_data(loader._SingleProcessDataLoaderIter)
        self._patch_next_data(loader._MultiProcessingDataLoaderIter)
        self._patch_backward()
        scaler = self._torch.amp.GradScaler
        part.wrap(scaler, "scale", after=self._eager(self._after_scale))
        part.wrap(
            scaler,
            "_maybe_opt_step",
            before=self._eager(self._before_maybe_step),
            after=self._eager(self._after_maybe_step),
        )
        part.on_withdraw(_end_all)

    def _follower(self) -> Follower:
        return follower_of_thread(self._torch)

    def _eager(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a guarded function that is called when code runs, and not when torch.compile traces that code."""
        guarded = self._part.guard(function)
        disabled: Callable[..., Any] = self._torch._disable_dynamo(guarded)
        is_compiling: Callable[[], bool] = self._torch.compiler.is_compiling

        def call(*args: Any, **kwargs: Any) -> Any:
            return disabled(*args, **kwargs) if is_compiling() else guarded(*args, **kwargs)

        return call

    # -- optimizers and scalers

    def _hook(self, function: Callable[[Any], None]) -> Callable[[Any, Any, Any], None]:
        eager = self._eager(function)

        def hook(optimizer: Any, args: Any, kwargs: Any) -> None:  # noqa: ARG001  # PyTorch's signature
            eager(optimizer)

        return hook

    def _begin_step(self, optimizer: Any) -> None:
        self._follower().begin_step(optimizer)

    def _end_step(self, optimizer: Any) -> None:
        self._follower().end_step(optimizer)

    def _after_optimizer(self, _: None, optimizer: Any) -> None:
        # One that is copied or unpickled need not train.
        if not _is_called_by("__setstate__"):
            self._follower().note_optimizer(optimizer)

    def _after_scale(self, result: Any, _: Any, outputs: Any) -> None:
        self._follower().note_scaled(result, outputs)

    def _before_maybe_step(self, *_: Any, **__: Any) -> None:
        self._follower().has_stepped = False

    def _after_maybe_step(self, *_: Any, **__: Any) -> None:
        follower = self._follower()
        if not follower.has_stepped:
            follower.note_skipped_step()

    # -- loaders

    def _patch_iter(self, loader_class: Any) -> None:
        function = loader_class.__iter__
        begin = self._eager(lambda loader: self._follower().begin_pass(loader))
        opened = self._eager(lambda this, iterator: self._follower().open_pass(this, iterator))

        @functools.wraps(function)
        def __iter__(loader: Any) -> Any:  # noqa: N807  # the name in profiles
            this = begin(loader)
            try:
                iterator = function(loader)
            except BaseException as error:
                hide_own_frames(error)
                raise
            if this is not None:
                opened(this, iterator)
            return iterator

        self._part.patch(loader_class, "__iter__", __iter__)

    def _patch_next_data(self, iterator_class: Any) -> None:
        function = iterator_class._next_data
        drawn = self._eager(lambda this: self._follower().note_draw(this))
        ended = self._eager(lambda this: self._follower().note_end(this))

        @functools.wraps(function)
        def _next_data(iterator: Any) -> Any:
            try:
                data = function(iterator)
            except StopIteration as error:
                this = iterator.__dict__.get(_PASS)
                if this is not None:
                    ended(this)
                hide_own_frames(error)
                raise
            except BaseException as error:
                hide_own_frames(error)
                raise
            this = iterator.__dict__.get(_PASS)
            if this is not None:
                drawn(this)
            return data

        self._part.patch(iterator_class, "_next_data", _next_data)

    # -- backwards

    def _patch_backward(self) -> None:
        autograd = self._torch.autograd
        function = autograd.backward
        begin, end = self._eager(self._begin_backward), self._eager(self._end_backward)

        @functools.wraps(function)
        def backward(*args: Any, **kwargs: Any) -> None:
            begin(*args, **kwargs)
            try:
                function(*args, **kwargs)
            except BaseException as error:
                hide_own_frames(error)
                raise
            finally:
                end()

        self._part.patch(autograd, "backward", backward)

    def _begin_backward(self, tensors: Any = None, grad_tensors: Any = None, *_: Any, **__: Any) -> None:
        follower = self._follower()
        follower.backward_depth += 1
        if follower.backward_depth == 1:  # not one that a reentrant checkpoint calls
            follower.note_backward(tensors, grad_tensors)

    def _end_backward(self) -> None:
        self._follower().backward_depth -= 1


def _is_called_by(name: str) -> bool:
    """Tell the name of the function that has called a patch."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("runtimeinfo_adapters."):
        frame = frame.f_back
    return frame.f_code.co_name == name
