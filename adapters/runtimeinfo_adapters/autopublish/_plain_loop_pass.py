"""One pass over a DataLoader, as far as it is followed."""

from __future__ import annotations

import inspect
import math
import weakref
from collections.abc import Callable
from contextlib import suppress
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtimeinfo_adapters.autopublish._plain_loop_training import Training

CallPath = tuple[tuple[CodeType, int], ...]
"""The calls that have led to a line, innermost first: the code of each, and its line."""


class Pass:
    """One pass over a DataLoader.

    Attributes:
        draws: The batches drawn.
        trained: How many of them were followed by a backward.
        has_gradients: Whether gradients were enabled at its beginning and at all draws.
        has_stepped: Whether an optimizer has made a step after a draw.
        is_open: Whether a batch can still be drawn.
        is_finished: Whether it has given its last batch, and said so.
        is_of_one_thread: Whether all draws were in the thread that has begun it.
        length: How many batches it has at most; 0 until the loader is asked, infinite if that is not known.
        path: The calls that have led to its beginning; none where gradients were not enabled.
    """

    __slots__ = (
        "__weakref__",
        "_is_whole",
        "_iterator",
        "_loader",
        "_sources",
        "draws",
        "draws_at_step",
        "has_gradients",
        "has_stepped",
        "is_finished",
        "is_of_one_thread",
        "is_open",
        "last_trained",
        "length",
        "path",
        "trained",
        "training",
    )

    def __init__(
        self, loader: Any, training: Training | None, *, has_gradients: bool, has_own_iterator: bool = False
    ) -> None:
        self._loader = weakref.ref(loader)
        self._iterator: weakref.ref[Any] | None = None
        self.training = training
        self.has_gradients = has_gradients
        self.draws = self.draws_at_step = self.trained = self.last_trained = 0
        self.has_stepped = self.is_open = self.is_finished = False
        self.is_of_one_thread = True
        # A loader that overrides `__iter__` might keep one iterator of PyTorch for all its passes.
        self.length = 0 if has_own_iterator else math.inf
        self.path: CallPath = _call_path() if has_gradients else ()
        self._sources = [_reference(loader, name) for name in ("dataset", "sampler", "batch_sampler")]
        self._is_whole = _is_whole(loader)

    def begin(self, iterator: Any, on_gone: Callable[[Pass], object]) -> None:
        """Refer to the iterator of the pass; when that is freed, the pass is over."""
        itself = weakref.ref(self)

        def gone(_: object) -> None:
            this = itself()
            if this is not None:
                this.is_open = False
                with suppress(Exception):  # there is no caller whom it could reach
                    on_gone(this)

        self.is_open = True
        self._iterator = weakref.ref(iterator, gone)

    def close(self) -> None:
        """Note that its iterator has begun another pass."""
        self._iterator = None
        self.is_open = False

    def finish(self) -> None:
        """Note that it has no batch left."""
        self.is_finished, self.is_open = True, False

    def read_length(self) -> None:
        """Ask the loader how many batches a pass has. An iterable dataset is not asked: it would warn of more."""
        self.length = math.inf
        with suppress(Exception):  # it may have no length
            if not getattr(self.loader, "_dataset_kind", 0):
                self.length = len(self.loader)

    def is_over(self, loader: Any) -> bool:
        """Tell whether it goes over a loader."""
        return loader is not None and self._loader() is loader

    @property
    def loader(self) -> Any:
        """The loader, or None if it was freed."""
        return self._loader()

    def is_again_over(self, before: Pass) -> bool:
        """Tell whether it goes over all that another pass went over, by a loader that has taken that one's place."""
        if before.loader is not None or self.path != before.path:
            return False
        dataset, sampler, batch_sampler = (
            each() is not None and each() is other() for each, other in zip(self._sources, before._sources, strict=True)
        )
        return dataset and ((self._is_whole and before._is_whole) or sampler or batch_sampler)

    def is_begun_as(self, before: Pass) -> bool:
        """Tell whether calls of the same functions have led to another pass, from whatever lines."""
        return [code for code, _ in self.path] == [code for code, _ in before.path]


def _call_path() -> CallPath:
    frame = inspect.currentframe()
    while frame is not None and _is_between(str(frame.f_globals.get("__name__"))):
        frame = frame.f_back
    path: list[tuple[CodeType, int]] = []
    while frame is not None:  # by lines: the instruction of a call differs once Python has specialized it
        path.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(path)


def _is_between(module: str) -> bool:
    return module.startswith(("runtimeinfo_adapters.autopublish.", "torch."))


def _reference(loader: Any, name: str) -> Callable[[], Any]:
    with suppress(Exception):  # a list, for example, cannot be referred to
        return weakref.ref(getattr(loader, name))
    return lambda: None


def _is_whole(loader: Any) -> bool:
    """Tell whether a pass over a loader draws all of its dataset, or as many samples as that has.

    Only what PyTorch has made is asked: code of the script might take its time, or print.
    """
    with suppress(Exception):
        if loader._dataset_kind:  # an iterable dataset
            return True
        sampler = loader.sampler
        kinds = sampler.__class__, loader.batch_sampler.__class__
        is_known = all(kind.__module__.startswith(("torch.", "builtins")) for kind in kinds)
        return is_known and (hasattr(sampler, "num_replicas") or len(sampler) >= len(loader.dataset))
    return False
