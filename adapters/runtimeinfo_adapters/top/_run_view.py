"""One run over time."""

from __future__ import annotations

import statistics
from collections import deque

from runtimeinfo.board import BoardSnapshot
from runtimeinfo_adapters.top._course import Course
from runtimeinfo_adapters.top._moment import Moment
from runtimeinfo_adapters.top._pace import Pace
from runtimeinfo_adapters.top._run import Run

_TIMES_USUAL = 10
# A validation writes nothing between its beginning and its end, nor does what comes before and after a training.
_OUTSIDE_TRAINING = 20
_FEWEST_PAUSES = 3
_ROUGH_S = 0.4


class RunView:
    """Knows of one run what one look at its board does not tell: how fast it is, how its scalars went, if it stalls.

    A run stalls if its process lives, and has not written anything for longer than `stalled_after`, and than ten
    times its usual pause between two writes. Outside of training, where runs write seldom, it is 20 times
    `stalled_after`.

    Args:
        first: What the board said first.
        now: When that was.
        stalled_after: Seconds.
    """

    def __init__(self, first: BoardSnapshot, now: Moment, *, stalled_after: float = 30.0) -> None:
        self.snapshot: BoardSnapshot = first
        self._stalled_after = stalled_after
        self._pace = Pace()
        self._courses: dict[str, Course] = {}
        self._looked_at = now.at
        # When it wrote last, on the clock that nobody sets.
        self._wrote_at = now.at - max(0.0, _seconds_between(first.updated_ns, now.wall_ns))
        self._pauses: deque[float] = deque(maxlen=31)
        self._take_note(first, now)

    def see(self, snapshot: BoardSnapshot, now: Moment) -> None:
        """Take note of what the board says now."""
        if snapshot.updated_ns != self.snapshot.updated_ns:
            since_last_look = now.at - self._looked_at
            # Whatever the clocks say: it was after the last look.
            age = _seconds_between(snapshot.updated_ns, now.wall_ns)
            wrote_at = now.at - min(max(age, 0.0), since_last_look)
            self._pauses.append(wrote_at - self._wrote_at)
            self._wrote_at = wrote_at
        self._take_note(snapshot, now)

    def run(self, now: Moment) -> Run:
        """Return what is known of the run."""
        found = self.snapshot
        age = now.at - self._wrote_at
        stage = _text(found.infos.get("loop_stage"))
        is_stalled = found.state == "live" and age > self._patience(stage)
        done, total = _whole(found.infos.get("iter")), _whole(found.infos.get("max_iters"))
        rate = self._pace.rate(now.at) if found.state == "live" and not is_stalled else None
        eta = None
        if rate and done is not None and total is not None and done <= total:
            eta = (total - done) / rate
        return Run(
            path=found.path,
            pid=found.pid,
            state=found.state,
            is_stalled=is_stalled,
            is_elsewhere=found.is_elsewhere,
            is_current=found.is_current,
            started_ns=found.created_ns,
            age_s=age,
            loop_stage=stage,
            epoch=_whole(found.infos.get("epoch")),
            iter=done,
            max_epochs=_whole(found.infos.get("max_epochs")),
            max_iters=total,
            rate=rate,
            eta_s=eta,
            infos=found.infos,
            scalars=found.scalars,
            courses={key: self._courses[key].values for key in found.scalars},
            unshared=len(found.unshared) + max(found.unshared_numbers, 0),
        )

    @property
    def wants_rate(self) -> bool:
        """Whether it trains, and was not timed for long enough yet to tell its rate."""
        found = self.snapshot
        trains = found.state == "live" and _whole(_iter_in_training(found)) is not None
        return trains and self._pace.span < _ROUGH_S

    def _take_note(self, snapshot: BoardSnapshot, now: Moment) -> None:
        self._pace.see(now.at, _whole(_iter_in_training(snapshot)))
        for key, scalar in snapshot.scalars.items():
            self._courses.setdefault(key, Course()).see(scalar.value, scalar.updates)
        self.snapshot = snapshot
        self._looked_at = now.at

    def _patience(self, stage: str | None) -> float:
        least = self._stalled_after if stage == "train" else _OUTSIDE_TRAINING * self._stalled_after
        return max(least, _TIMES_USUAL * self._usual_pause())

    def _usual_pause(self) -> float:
        if len(self._pauses) >= _FEWEST_PAUSES:
            return statistics.median(self._pauses)
        # Before there is anything to go by: how long it has shared, over how often it has written a scalar.
        found = self.snapshot
        writes = max((scalar.updates for scalar in found.scalars.values()), default=0)
        return max(0.0, _seconds_between(found.created_ns, found.updated_ns)) / writes if writes > 0 else 0.0


def _iter_in_training(snapshot: BoardSnapshot) -> object:
    return snapshot.infos.get("iter") if snapshot.infos.get("loop_stage") == "train" else None


def _seconds_between(begin_ns: int, end_ns: int) -> float:
    return (end_ns - begin_ns) / 1e9


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    return None  # also for a number of thousands of digits: it counts nothing


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
