"""Warnings that point at the user's line, and never raise."""

from __future__ import annotations

import inspect
import sys
import warnings
from contextlib import suppress
from functools import cache
from types import FrameType
from typing import cast

# Frames that are passed over: ours, those of a scope between us and its user, and those of an import.
_BETWEEN = ("runtimeinfo", "runtimeinfo_adapters", "contextlib", "importlib")


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn, and point at the line of the innermost caller that is not installed code.

    A warning that was turned into an error (``python -W error``) does not raise: it could end a training in its middle.
    It is written to stderr instead.

    Args:
        message: What happened, and what to do.
        category: The class of the warning.
    """
    file, line = "<unknown>", 0
    try:
        frame = _users_frame()
        name = str(frame.f_globals.get("__name__", "<unknown>"))
        registry = frame.f_globals.setdefault("__warningregistry__", {})
        file, line = frame.f_code.co_filename, frame.f_lineno
        warnings.warn_explicit(message, category, file, line, module=name, registry=registry)
    except Exception:  # noqa: BLE001  # an error by the user's filter, or of the user's `warnings.showwarning`
        with suppress(Exception):  # stderr might be closed, or None
            sys.stderr.write(warnings.formatwarning(message, category, file, line))


@cache
def _installed() -> tuple[str, ...]:
    """Return where installed code is: the standard library, with contextlib between a scope and its user, and packages.

    It takes a module of the system's configuration, which most processes never need.
    """
    try:
        import sysconfig
    except Exception:  # noqa: BLE001  # this process might have lost its rights, or its disk
        return ()
    return tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def _users_frame() -> FrameType:
    own = cast("FrameType", inspect.currentframe())
    nearest: FrameType | None = None
    up: FrameType | None = own
    while up is not None:
        package = str(up.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _BETWEEN:
            if not up.f_code.co_filename.startswith(_installed()):
                return up
            nearest = nearest or up
        up = up.f_back
    return nearest or own  # all of it is installed, for example a training that is a package
