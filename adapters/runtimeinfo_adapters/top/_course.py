"""How a scalar went."""

from __future__ import annotations

_MOST = 128


class Course:
    """Keeps how a scalar went since it is watched, in little memory: of a long time, in larger steps.

    Example:
        >>> course = Course()
        >>> for updates, value in enumerate([3.0, 2.0, 1.0], start=1):
        ...     course.see(value, updates)
        ...     course.see(value, updates)  # nothing new
        >>> course.values
        (3.0, 2.0, 1.0)
    """

    def __init__(self) -> None:
        self._means: list[float] = []
        self._step = 1
        self._open: list[float] = []
        self._seen: tuple[float, int] | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The means of the steps, the last one of which may not be full."""
        last = [_mean(self._open)] if self._open else []
        return (*self._means, *last)

    def see(self, value: float, updates: int) -> None:
        """Take note of the latest value, if it is another one than last time.

        Args:
            value: The value.
            updates: How many values the scalar has had.
        """
        if self._seen is not None and updates == self._seen[1] and _is_same(value, self._seen[0]):
            return
        self._seen = value, updates
        self._open.append(float(value))
        if len(self._open) == self._step:
            self._means.append(_mean(self._open))
            self._open.clear()
        if len(self._means) == _MOST:
            self._means = [_mean(self._means[at : at + 2]) for at in range(0, _MOST, 2)]
            self._step *= 2


def _mean(values: list[float]) -> float:
    return sum(value / len(values) for value in values)  # not the sum first: that may overflow


def _is_same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)
