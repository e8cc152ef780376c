"""Infer what plain PyTorch loops do: the patches of PyTorch, and for each thread what follows its training.

An iterator tells its draws, by `_next_data`: a warning of `__next__` names its caller, which must stay the script. The
global hooks of the optimizers tell their steps, and `torch.autograd.backward` tells the losses. The rules that make
counts of them stand in `_plain_loop_training`.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import math
import os
import sys
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

from runtimeinfo._scopes import NO_RUN, get_innermost, own_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo_adapters.autopublish._guard import Part, hide_own_frames
from runtimeinfo_adapters.autopublish._plain_loop_pass import Pass
from runtimeinfo_adapters.autopublish._plain_loop_run import INFERRED, InferredRun, read_loss
from runtimeinfo_adapters.autopublish._plain_loop_training import Training

_PASS = "_runtimeinfo_pass"  # noqa: S105  # an attribute of iterators


class Follower:
    """Follows the training of one thread.

    Args:
        torch: PyTorch.
    """

    def __init__(self, torch: Any) -> None:
        self._tensor_class, self._loader_class = torch.Tensor, torch.utils.data.DataLoader
        self._is_grad_enabled: Callable[[], bool] = torch.is_grad_enabled
        self._make_run = functools.partial(InferredRun, str(torch.__version__))
        self.training: Training | None = None
        self.passes: list[Pass] = []
        # The optimizers whose training another run has published.
        self._claimed: weakref.WeakSet[Any] = weakref.WeakSet()
        self._has_claimed = False
        # Those of earlier trainings.
        self._former: weakref.WeakSet[Any] = weakref.WeakSet()
        self._draws = 0
        # The open steps, outermost first: the optimizer, and the optimizers that it has called.
        self._steps: list[tuple[Any, list[Any]]] = []
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

    # -- draws

    def begin_pass(self, loader: Any) -> Pass | None:
        """Note that a pass over a loader begins; None if that does not matter."""
        if self.hides_passes or self._is_foreign():
            return None
        training = self.training
        is_own = type(loader).__iter__ is not self._loader_class.__iter__
        this = Pass(loader, training, has_gradients=self._is_grad_enabled(), has_own_iterator=is_own)
        if training is not None:
            training.note_pass(this)
        return this

    def open_pass(self, this: Pass, iterator: Any) -> None:
        """Note the iterator of a pass."""
        before: Pass | None = getattr(iterator, _PASS, None)
        if before is not None:  # an iterator whose workers are persistent
            before.close()
        setattr(iterator, _PASS, this)
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
                loss = tensors.item() if tensors.is_cpu else read_loss(tensors)
            else:
                result, loss = self._scaled
                if result() is not tensors:
                    loss = None
        self._scaled = None
        training.note_backward(loss, bool(self._steps))

    def note_scaled(self, result: Any, outputs: Any) -> None:
        """Note what a GradScaler has made of a loss."""
        if result is not outputs:
            is_loss = type(outputs) is self._tensor_class and outputs.numel() == 1
            self._scaled = (weakref.ref(result), read_loss(outputs)) if is_loss else (lambda: None, None)

    # -- steps

    def begin_step(self, optimizer: Any) -> None:
        """Note that an optimizer begins a step."""
        steps = self._steps
        if steps:
            for index, (each, _) in enumerate(steps):
                if each is optimizer:  # it has raised an exception in its last step
                    del steps[index:]
                    break
        steps.append((optimizer, []))

    def end_step(self, optimizer: Any) -> None:
        """Note that an optimizer has made a step."""
        self.has_stepped = True
        steps = self._steps
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
            if not training.has(each):
                self._add_late(training, each)
            training.note_step(each, self.passes, _counts.draws - self._draws)

    def _add_late(self, training: Training, optimizer: Any) -> None:
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


def _after_fork_in_child() -> None:
    global _of_thread  # noqa: PLW0603  # no other thread is there
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


def _end_all() -> None:
    """End what is published, because the part is withdrawn or the process ends."""
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

    Draws, backwards and steps come in each iteration, so that their code has few calls. Code that torch.compile might
    trace goes the way of `_eager`.

    Args:
        part: The part that can take it back.
        torch: PyTorch.
    """

    def __init__(self, part: Part, torch: Any) -> None:
        self._part = part
        self._torch = torch
        self._is_compiled = False
        # Then what runs outside of a graph would be an error: what is compiled is not followed.
        self._is_one_graph = False
        self._is_skipped = False

    def apply(self) -> None:
        """Patch, and register the hooks."""
        part, optimizer = self._part, sys.modules["torch.optim.optimizer"]
        part.wrap(self._torch, "compile", before=self._before_compile, after=self._after_compile)
        part.wrap(optimizer.Optimizer, "_patch_step_function", after=self._eager(_after_optimizer))
        part.on_withdraw(optimizer.register_optimizer_step_pre_hook(self._step_hook(_begin_step)).remove)
        part.on_withdraw(optimizer.register_optimizer_step_post_hook(self._step_hook(_end_step)).remove)
        loader = self._torch.utils.data.dataloader
        self._patch_iter(loader.DataLoader)
        part.patch(loader._BaseDataLoaderIter, _PASS, None)  # until there is one
        part.wrap(loader._BaseDataLoaderIter, "__init__", after=self._eager(self._after_iterator))
        self._patch_next_data(loader._SingleProcessDataLoaderIter)
        self._patch_next_data(loader._MultiProcessingDataLoaderIter)
        self._patch_backward()
        scaler = self._torch.amp.GradScaler
        part.wrap(scaler, "scale", after=self._eager(_after_scale))
        skipping = {"before": self._eager(_before_maybe_step), "after": self._eager(_after_maybe_step)}
        part.wrap(scaler, "_maybe_opt_step", **skipping)
        part.wrap(self._torch.nn.Module, "eval", before=self._eager(_before_eval))
        atexit.register(_end_all)  # before the board is closed, and before iterators are freed
        part.on_withdraw(_end_all)

    def _before_compile(self, *_: Any, fullgraph: bool = False, **__: Any) -> None:
        self._is_compiled = True
        self._is_one_graph |= bool(fullgraph)

    def _after_compile(self, *_: Any, **__: Any) -> None:
        """Keep the functions that stand in the place of PyTorch's from being compiled; what they call still is."""
        if self._is_skipped or "torch._dynamo" not in sys.modules:
            return
        self._is_skipped = True
        skip_code = sys.modules["torch._dynamo.eval_frame"].skip_code
        loader = self._torch.utils.data.dataloader
        iterators = loader._SingleProcessDataLoaderIter, loader._MultiProcessingDataLoaderIter
        replaced = [self._torch.autograd.backward, loader.DataLoader.__iter__, *(each._next_data for each in iterators)]
        wrapped, ours = [self._torch.nn.Module.eval], [self._eager(_begin_step), self._step_hook(_begin_step)]
        for function in (*replaced, *wrapped, *ours, self._part.guard(_begin_step)):
            skip_code(function.__code__)

    def _eager(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a guarded function that is called when code runs, and not when torch.compile traces that code.

        What runs between two graphs is not compiled either.
        """
        guarded = self._part.guard(function)
        disabled: Callable[..., Any] = self._torch._disable_dynamo(guarded)
        is_compiling: Callable[[], bool] = self._torch.compiler.is_compiling

        def call(*args: Any, **kwargs: Any) -> Any:
            is_traced = is_compiling()
            if not is_traced and not self._is_compiled:
                return guarded(*args, **kwargs)
            return None if is_traced and self._is_one_graph else disabled(*args, **kwargs)

        return call

    def _step_hook(self, function: Callable[[Any], None]) -> Callable[[Any, Any, Any], None]:
        part, eager = self._part, self._eager(function)

        def hook(optimizer: Any, args: Any, kwargs: Any) -> None:  # noqa: ARG001  # PyTorch's signature
            if self._is_compiled:
                eager(optimizer)
                return
            try:
                function(optimizer)
            except BaseException as error:  # noqa: BLE001  # `fail` raises what is not an Exception
                _fail(part, error)

        return hook

    def _patch_iter(self, loader_class: Any) -> None:
        function = loader_class.__iter__
        begin, opened = self._eager(_begin_pass), self._eager(_open_pass)

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

    def _after_iterator(self, _: None, iterator: Any, loader: Any) -> None:
        """Begin a pass whose iterator another kind of loader has made: that of fastai, for example."""
        if not isinstance(loader, self._torch.utils.data.DataLoader):
            this = _begin_pass(loader)
            if this is not None:
                _open_pass(this, iterator)

    def _patch_next_data(self, iterator_class: Any) -> None:
        function, part = iterator_class._next_data, self._part
        drawn, ended = self._eager(_note_draw), self._eager(_note_end)

        @functools.wraps(function)
        def _next_data(iterator: Any) -> Any:
            try:
                data = function(iterator)
            except StopIteration as error:
                if iterator._runtimeinfo_pass is not None:
                    ended(iterator._runtimeinfo_pass)
                hide_own_frames(error)
                raise
            except BaseException as error:
                hide_own_frames(error)
                raise
            this: Pass | None = iterator._runtimeinfo_pass
            if this is not None:
                if self._is_compiled:
                    drawn(this)
                    return data
                try:
                    _note_draw(this)
                except BaseException as error:  # noqa: BLE001  # `fail` raises what is not an Exception
                    _fail(part, error)
            return data

        part.patch(iterator_class, "_next_data", _next_data)

    def _patch_backward(self) -> None:
        autograd, part = self._torch.autograd, self._part
        function = autograd.backward
        begin = self._eager(_begin_backward)

        @functools.wraps(function)
        def backward(tensors: Any, grad_tensors: Any = None, *args: Any, **kwargs: Any) -> None:
            follower: Follower | None = None
            if self._is_compiled:
                follower = begin(tensors, grad_tensors)
            else:
                try:
                    follower = _begin_backward(tensors, grad_tensors)
                except BaseException as error:  # noqa: BLE001  # `fail` raises what is not an Exception
                    _fail(part, error)
            try:
                function(tensors, grad_tensors, *args, **kwargs)
            except BaseException as error:
                hide_own_frames(error)
                raise
            finally:
                if follower is not None:
                    follower.backward_depth -= 1

        part.patch(autograd, "backward", backward)


def _fail(part: Part, error: BaseException) -> None:
    """Withdraw the part because of an error; raise what is not an Exception, such as Ctrl-C."""
    if not isinstance(error, Exception):
        hide_own_frames(error)
        raise error
    part.withdraw(error)


def _begin_step(optimizer: Any) -> None:
    (_of_thread.follower if _of_thread is not None else follower_of_thread()).begin_step(optimizer)


def _end_step(optimizer: Any) -> None:
    (_of_thread.follower if _of_thread is not None else follower_of_thread()).end_step(optimizer)


def _after_optimizer(_: None, optimizer: Any) -> None:
    if not _is_called_by("__setstate__"):  # one that is copied or unpickled need not train
        follower_of_thread().note_optimizer(optimizer)


def _before_eval(module: Any) -> None:
    follower_of_thread().note_eval(module)


def _after_scale(result: Any, _: Any, outputs: Any) -> None:
    follower_of_thread().note_scaled(result, outputs)


def _before_maybe_step(*_: Any, **__: Any) -> None:
    follower_of_thread().has_stepped = False


def _after_maybe_step(*_: Any, **__: Any) -> None:
    follower = follower_of_thread()
    if not follower.has_stepped:
        follower.note_skipped_step()


def _begin_pass(loader: Any) -> Pass | None:
    return follower_of_thread().begin_pass(loader)


def _open_pass(this: Pass, iterator: Any) -> None:
    follower_of_thread().open_pass(this, iterator)


def _note_draw(this: Pass) -> None:
    (_of_thread.follower if _of_thread is not None else follower_of_thread()).note_draw(this)


def _note_end(this: Pass) -> None:
    follower_of_thread().note_end(this)


def _begin_backward(tensors: Any, grad_tensors: Any) -> Follower:
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
