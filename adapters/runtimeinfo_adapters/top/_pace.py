"""How fast a run trains."""

from __future__ import annotations

from collections import deque

_WINDOW_S = 15.0


class Pace:
    """Knows how many iterations a second a run does, from when its counter was seen to move.

    When an iteration began before the first look is not known, so that a rate takes three looks at which the counter
    stands differently. It is that of the last 15 seconds, or of the last two moves where these are further apart. While
    the run does not train, the clock stands.

    Example:
        >>> pace = Pace()
        >>> for second in range(4):
        ...     pace.see(float(second), 10 * second)
        >>> pace.rate(3.0)
        10.0
    """

    def __init__(self) -> None:
        self._moves: deque[tuple[float, int]] = deque()
        self._iter: int | None = None
        self._rate: float | None = None

    @property
    def span(self) -> float:
        """For how many seconds it has been timed: the fewer, the rougher the rate."""
        return self._moves[-1][0] - self._moves[0][0] if self._moves else 0.0

    def see(self, at: float, iter: int | None) -> None:
        """Take note of the counter; None while the run does not train.

        Args:
            at: Seconds, on a clock that nobody sets.
            iter: Completed iterations.
        """
        if iter is None or self._iter is None or iter < self._iter:
            if iter is not None and self._iter is not None:  # it begins anew
                self._rate = None
            self._moves.clear()
        elif iter > self._iter:
            self._moves.append((at, iter))
            while len(self._moves) > 2 and at - self._moves[0][0] > _WINDOW_S:
                self._moves.popleft()
            (begin, first), (end, last) = self._moves[0], self._moves[-1]
            if end > begin:
                self._rate = (last - first) / (end - begin)
        self._iter = iter

    def rate(self, at: float) -> float | None:
        """Return iterations a second, None if that is not known yet.

        An iteration that takes longer than those before it makes itself felt before it ends.
        """
        if self._rate is None or len(self._moves) < 2:
            return self._rate
        (begin, first), (_, last) = self._moves[0], self._moves[-1]
        return min(self._rate, (last + 1 - first) / (at - begin)) if at > begin else self._rate
