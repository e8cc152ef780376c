"""Tell the inference for plain loops of the steps of fastai's optimizers, which are not PyTorch's.

All else of such a training is inferred as that of any plain loop: see `_plain_loop`. An `OptimWrapper` of fastai steps
an optimizer of PyTorch, which tells its steps by itself.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from runtimeinfo_adapters.autopublish._guard import Part
from runtimeinfo_adapters.autopublish._plain_loop_follower import follower_of_thread


def install(module: ModuleType) -> None:
    """Patch the optimizer of fastai."""
    part = Part("the instrumentation of fastai")
    kind: Any = module.Optimizer
    part.wrap(kind, "__init__", after=_after_init)
    part.wrap(kind, "step", before=_before_step, after=_after_step)


def _after_init(_: None, optimizer: Any, *__: Any, **___: Any) -> None:
    follower_of_thread().note_optimizer(optimizer)


def _before_step(optimizer: Any, *_: Any, **__: Any) -> None:
    follower_of_thread().begin_step(optimizer)


def _after_step(_: None, optimizer: Any, *__: Any, **___: Any) -> None:
    follower_of_thread().end_step(optimizer)
