"""A hub that knows nothing of boards, in the form in which a board takes its values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from runtimeinfo import MessageHub
from runtimeinfo import ScalarHistory as AnyHistory
from runtimeinfo_adapters.sharing._latest import Latest

# Beyond that a float tells nothing of a count.
_INEXACT = 1e300
_ROUNDING = 1e-9


class LiveInfos(Mapping[str, Any]):
    """The infos of any hub, as they are at any time.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: MessageHub) -> None:
        self._hub = hub

    def __getitem__(self, key: str) -> Any:
        return self._hub.runtime_info[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._hub.runtime_info))

    def __len__(self) -> int:
        return len(self._hub.runtime_info)


class LiveScalars(Mapping[str, "LatestOf"]):
    """The latest values of any hub, likewise.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: MessageHub) -> None:
        self._hub = hub
        self._histories: dict[str, LatestOf] = {}

    def __getitem__(self, key: str) -> LatestOf:
        history = self._hub.log_scalars[key]
        known = self._histories.get(key)
        if known is None or known.history is not history:
            known = self._histories[key] = LatestOf(history)
        return known

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._hub.log_scalars))

    def __len__(self) -> int:
        return len(self._hub.log_scalars)


class LatestOf:
    """Tells the latest value of any history by what the protocol has: not how often it was updated.

    Args:
        history: The history.
    """

    def __init__(self, history: AnyHistory) -> None:
        self.history = history
        self._last: tuple[float, float] | None = None
        self._changes = 0

    def latest(self) -> Latest | None:
        """Return the latest value, and as its number how many other ones were seen here; None if there is none."""
        try:
            value, mean = cast("Any", self.history.current()), self.history.mean(1)
        except ValueError:  # it is empty
            return None
        plain = value.item() if hasattr(value, "item") else value
        number = plain if isinstance(plain, int) else float(plain)
        samples = _samples(number, float(mean))
        if self._last != (number, samples):
            self._last = number, samples
            self._changes += 1
        return Latest(number, samples, self._changes)


def _samples(number: float, mean: float) -> float:
    """Return the count of a value whose mean is known: the one over the other."""
    samples = number / mean if mean and math.isfinite(mean) and abs(number) < _INEXACT else 1.0
    return round(samples) if abs(samples - round(samples)) < _ROUNDING else samples
