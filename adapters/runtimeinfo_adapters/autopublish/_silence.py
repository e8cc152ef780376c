"""Keep warnings of the adapters away while the instrumentation has attached them."""

from __future__ import annotations

import threading
import warnings
from typing import Any, cast

from runtimeinfo import SkippedOutputWarning
from runtimeinfo_adapters._adapter import ResumeWarning
from runtimeinfo_adapters.hub import UnsavedInfoWarning

_CATEGORIES = (ResumeWarning, SkippedOutputWarning, UnsavedInfoWarning)


class Silence:
    """A context in which the adapters do not say what they leave out: a script that has not asked has no use for it.

    What the script has attached itself, or does in a `Loop`, still warns outside of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._filters = [("ignore", None, each, None, 0) for each in _CATEGORIES]

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                _active()[:0] = self._filters

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if not self._depth:  # by identity: the script might have equal ones
                own = {id(each) for each in self._filters}
                _active()[:] = [each for each in _active() if id(each) not in own]


def _active() -> list[Any]:
    # `warnings.filterwarnings` would replace an equal filter of the script, and `catch_warnings` would take those back
    # that it has set meanwhile.
    return cast("list[Any]", warnings.filters)
