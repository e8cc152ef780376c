"""Infer what plain PyTorch loops do: the patches of PyTorch.

An iterator tells its draws, by `_next_data`: a warning of `__next__` names its caller, which must stay the script. The
global hooks of the optimizers tell their steps, and `torch.autograd.backward` tells the losses. All is told to the
follower of the thread: see `_plain_loop_follower`.
"""

from __future__ import annotations

import atexit
import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from runtimeinfo_adapters.autopublish._guard import Part, hide_own_frames
from runtimeinfo_adapters.autopublish._plain_loop_follower import (
    PASS,
    Follower,
    after_load,
    after_maybe_step,
    after_optimizer,
    after_scale,
    before_eval,
    before_maybe_step,
    begin_backward,
    begin_pass,
    begin_step,
    end_all,
    end_step,
    note_draw,
    note_end,
    open_pass,
)
from runtimeinfo_adapters.autopublish._plain_loop_pass import Pass


def install(torch: ModuleType) -> None:
    """Patch PyTorch. It is called once, when ``torch`` has been imported."""
    part = Part("the inference for plain PyTorch loops")
    try:
        _Patches(part, torch).apply()
    except Exception as error:  # noqa: BLE001  # another version of PyTorch
        part.withdraw(error)


class _Patches:
    """What is put around functions of PyTorch: it finds the follower of the thread, and tells it.

    Draws, backwards and steps come in each iteration, so that their code has few calls.

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
        part.wrap(optimizer.Optimizer, "_patch_step_function", after=self._eager(after_optimizer))
        part.on_withdraw(optimizer.register_optimizer_step_pre_hook(self._eager(begin_step)).remove)
        part.on_withdraw(optimizer.register_optimizer_step_post_hook(self._eager(end_step)).remove)
        loader = self._torch.utils.data.dataloader
        self._patch_iter(loader.DataLoader)
        part.patch(loader._BaseDataLoaderIter, PASS, None)  # until there is one
        part.wrap(loader._BaseDataLoaderIter, "__init__", after=self._eager(self._after_iterator))
        self._patch_next_data(loader._SingleProcessDataLoaderIter)
        self._patch_next_data(loader._MultiProcessingDataLoaderIter)
        self._patch_backward()
        scaler = self._torch.amp.GradScaler
        part.wrap(scaler, "scale", after=self._eager(after_scale))
        skipping = {"before": self._eager(before_maybe_step), "after": self._eager(after_maybe_step)}
        part.wrap(scaler, "_maybe_opt_step", **skipping)
        part.wrap(self._torch.nn.Module, "eval", before=self._eager(before_eval))
        for each in (self._torch.nn.Module, optimizer.Optimizer):
            part.wrap(each, "load_state_dict", after=self._eager(after_load))
        atexit.register(end_all)  # before the board is closed, and before iterators are freed
        part.on_withdraw(end_all)

    def _before_compile(self, *_: Any, fullgraph: bool = False, **__: Any) -> None:
        self._is_compiled = True
        self._is_one_graph |= bool(fullgraph)

    def _after_compile(self, *_: Any, **__: Any) -> None:
        """Keep the functions that stand in the place of PyTorch's from being compiled; what they call still is."""
        if self._is_skipped or "torch._dynamo" not in sys.modules:
            return
        self._is_skipped = True
        skip_code: Callable[[Any], None] = sys.modules["torch._dynamo.eval_frame"].skip_code
        loader = self._torch.utils.data.dataloader
        iterators = loader._SingleProcessDataLoaderIter, loader._MultiProcessingDataLoaderIter
        replaced = [self._torch.autograd.backward, loader.DataLoader.__iter__, *(each._next_data for each in iterators)]
        wrapped, ours = [self._torch.nn.Module.eval], [self._eager(begin_step)]
        for function in (*replaced, *wrapped, *ours, self._part.guard(begin_step)):
            if hasattr(function, "__code__"):  # something else may have been put around it
                skip_code(function.__code__)

    def _eager(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a guarded function that is called when code runs, and not when torch.compile traces that code.

        What runs between two graphs is not compiled either.
        """
        part = self._part
        disabled: Callable[..., Any] = self._torch._disable_dynamo(part.guard(function))
        is_compiling: Callable[[], bool] = self._torch.compiler.is_compiling

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._is_compiled:
                return None if self._is_one_graph and is_compiling() else disabled(*args, **kwargs)
            try:  # as `Part.guard` does, without its calls
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  # whatever it is, the script must not notice
                part.withdraw(error)
            except BaseException as error:
                hide_own_frames(error)
                raise

        return call

    def _patch_iter(self, loader_class: Any) -> None:
        function = loader_class.__iter__
        begin, opened = self._eager(begin_pass), self._eager(open_pass)

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
            this = begin_pass(loader)
            if this is not None:
                open_pass(this, iterator)

    def _patch_next_data(self, iterator_class: Any) -> None:
        function = iterator_class._next_data
        drawn, ended = self._eager(note_draw), self._eager(note_end)

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
                drawn(this)
            return data

        self._part.patch(iterator_class, "_next_data", _next_data)

    def _patch_backward(self) -> None:
        autograd = self._torch.autograd
        function = autograd.backward
        begin = self._eager(begin_backward)

        @functools.wraps(function)
        def backward(tensors: Any, grad_tensors: Any = None, *args: Any, **kwargs: Any) -> None:
            follower: Follower | None = begin(tensors, grad_tensors)
            try:
                function(tensors, grad_tensors, *args, **kwargs)
            except BaseException as error:
                hide_own_frames(error)
                raise
            finally:
                if follower is not None:
                    follower.backward_depth -= 1

        self._part.patch(autograd, "backward", backward)
