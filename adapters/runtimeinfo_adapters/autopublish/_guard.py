"""Keep errors of the instrumentation away from the script, and take back what it has patched."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from runtimeinfo_adapters.autopublish._imports import AutopublishWarning, warn_of

P = ParamSpec("P")
T = TypeVar("T")

_ABSENT: Any = object()

_OWN = ("runtimeinfo", "runtimeinfo_adapters")
_INSTRUMENTATION = "runtimeinfo_adapters.autopublish"
_API = ("runtimeinfo", "runtimeinfo_adapters.loop", "runtimeinfo_adapters.hub")
"""What scripts call. Everything else of this project is called by frameworks to which the instrumentation attaches."""

__all__ = ["AutopublishWarning", "Part", "hide_own_frames"]


class Part:
    """A part of the instrumentation, for example what attaches to one framework.

    An error of its code is one `AutopublishWarning`, and takes all its patches back. The script goes on as if the part
    had never been there.

    Args:
        name: What a warning calls it, for example "the instrumentation of Lightning".

    Example:
        >>> part = Part("the example")
        >>> part.guard(len)("abc")
        3
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_active: bool = True
        """Whether it was not withdrawn."""
        self._undo: list[Callable[[], object]] = []

    def guard(self, function: Callable[P, T]) -> Callable[P, T | None]:
        """Return a function that calls code of this part; it returns None after an error, and once withdrawn.

        An `Exception` is one warning and withdraws the part. What is not an `Exception`, such as a KeyboardInterrupt,
        passes, without frames of this package.
        """

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T | None:
            if not self.is_active:
                return None
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  # whatever it is, the script must not notice
                self.withdraw(error)
                return None
            except BaseException as error:
                hide_own_frames(error)
                raise

        return guarded

    def patch(self, owner: Any, name: str, replacement: Any) -> None:
        """Set an attribute of a class or module, until the part is withdrawn.

        If something else has replaced it by then, that stays.
        """
        before = cast("dict[str, Any]", vars(owner)).get(name, _ABSENT)

        def undo() -> None:
            if cast("dict[str, Any]", vars(owner)).get(name, _ABSENT) is replacement:
                if before is _ABSENT:
                    delattr(owner, name)
                else:
                    setattr(owner, name, before)

        setattr(owner, name, replacement)
        self._undo.append(undo)

    def wrap(
        self,
        owner: Any,
        name: str,
        *,
        before: Callable[..., object] | None = None,
        after: Callable[..., object] | None = None,
    ) -> None:
        """Put code of this part around a function of a module, or a method of a class, until the part is withdrawn.

        The exceptions of the function pass unchanged, and no frame of this project is in their traceback. The wrapper
        has the metadata of the function: Keras, for example, reads signatures.

        Args:
            owner: The class or module.
            name: The name of the function, which must not be a staticmethod, classmethod or property.
            before: Called with the arguments before the function.
            after: Called with the result and the arguments when the function has returned.
        """
        function = getattr(owner, name)
        guarded_before = before and self.guard(before)
        guarded_after = after and self.guard(after)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                if guarded_before is not None:
                    guarded_before(*args, **kwargs)
                result = function(*args, **kwargs)
                if guarded_after is not None:
                    guarded_after(result, *args, **kwargs)
            except BaseException as error:
                hide_own_frames(error)
                raise
            return result

        self.patch(owner, name, wrapper)

    def on_withdraw(self, undo: Callable[[], object]) -> None:
        """Call a function when the part is withdrawn, for example `remove` of a hook's handle. The last comes first."""
        self._undo.append(undo)

    def withdraw(self, error: BaseException | None = None) -> None:
        """Take back all that the part has patched; warn if an error is the reason. A second call does nothing."""
        if not self.is_active:
            return
        self.is_active = False
        for undo in reversed(self._undo):
            with suppress(Exception):
                undo()
        self._undo.clear()
        if error is not None:
            warn_of(self.name, error)


def hide_own_frames(error: BaseException) -> None:
    """Take the frames of the instrumentation out of the traceback of an exception.

    These are the frames of its wrappers and of adapters, and what these have called in this project. What the script
    itself has called stays. Call it where the exception is caught, and raise it again by a bare ``raise``: that does
    not add the frame again.
    """
    traceback = error.__traceback__
    kept: list[TracebackType] = []
    was_own = is_hidden = False
    while traceback is not None:
        is_own = _is_of(traceback, *_OWN)
        if not is_own or not was_own:
            is_hidden = is_own and not _is_of(traceback, *_API)
        was_own, is_hidden = is_own, is_hidden or _is_of(traceback, _INSTRUMENTATION)
        if not is_hidden:
            kept.append(traceback)
        traceback = traceback.tb_next
    for each, following in pairwise([*kept, None]):
        if each is not None and each.tb_next is not following:
            each.tb_next = following
    error.__traceback__ = kept[0] if kept else None


def _is_of(traceback: TracebackType, *packages: str) -> bool:
    module = f"{traceback.tb_frame.f_globals.get('__name__', '')}."
    return module.startswith(tuple(f"{package}." for package in packages))
