"""Count the batches that prepared loaders of Accelerate yield: they draw from a DataLoader, one batch ahead.

All else of such a training is inferred as that of any plain loop: see `_plain_loop`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from runtimeinfo_adapters.autopublish._guard import Part, hide_own_frames
from runtimeinfo_adapters.autopublish._plain_loop_follower import Follower, follower_of_thread
from runtimeinfo_adapters.autopublish._plain_loop_pass import Pass
from runtimeinfo_adapters.autopublish._versions import is_tried_here

_LOADERS = ("DataLoaderShard", "DataLoaderDispatcher", "SkipDataLoader")


def install(module: ModuleType) -> None:
    """Patch the loaders of Accelerate."""
    part = Part("the instrumentation of Accelerate")
    for name in _LOADERS:
        kind = getattr(module, name)
        part.patch(kind, "__iter__", _patched(part, kind))


def _patched(part: Part, kind: Any) -> Any:
    function = kind.__iter__
    begin = part.guard(_begin)

    @functools.wraps(function)
    def __iter__(loader: Any) -> Any:  # noqa: N807  # the name in profiles
        batches = function(loader)
        this = begin(part, loader)
        if this is None:
            return batches
        yielded = _Yielded(part, batches, this)
        part.guard(_follower().open_pass)(this, yielded)
        return yielded

    return __iter__


def _begin(part: Part, loader: Any) -> Pass | None:
    return _follower().begin_pass(loader) if is_tried_here(part, "accelerate", "accelerate") else None


def _follower() -> Follower:
    return follower_of_thread()


class _Yielded:
    """Stands for the generator of a prepared loader."""

    def __init__(self, part: Part, batches: Any, this: Pass) -> None:
        self._batches = batches
        self._pass = this
        self._note = part.guard(self._note_yield)
        self._note_end = part.guard(lambda: _follower().note_end(this))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        follower = _follower()
        follower.hides_passes = True
        try:
            batch = next(self._batches)
        except BaseException as error:
            if isinstance(error, StopIteration):
                self._note_end()
            hide_own_frames(error)
            raise
        finally:
            follower.hides_passes = False
        self._note()
        return batch

    def _note_yield(self) -> None:
        _follower().note_draw(self._pass)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)  # close() and the like
