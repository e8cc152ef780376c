"""The live runs of a user, and how they change over time."""

from __future__ import annotations

import os
import statistics
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from runtimeinfo import BoardError
from runtimeinfo.board import BoardScalar, BoardSnapshot, board_files, pid_in, read_board
from runtimeinfo.board._folder import open_unfollowed
from runtimeinfo.board._snapshot import read_open_board


@dataclass(frozen=True)
class Run:
    """What is known of one run at one moment. None where it is not known.

    Attributes:
        path: Its board.
        pid: Its process.
        state: ``"live"``; ``"ended"`` where it has ended; ``"dead"`` where its process is gone without a word;
            ``"damaged"`` where the board cannot be read, as `error` says.
        is_stalled: Whether it is live, and has not written anything for long.
        is_elsewhere: Whether its process is in another container: of that one nobody knows here whether it lives.
        is_current: Whether it is the run that its process entered last.
        error: What is wrong with the board.
        started_ns: When it began to share, in nanoseconds since 1970.
        age_s: For how many seconds it has not written anything.
        loop_stage: ``"train"``, ``"val"``, ``"test"``, or what the run says.
        epoch: Completed epochs.
        iter: Completed iterations.
        max_epochs: How many epochs there will be.
        max_iters: How many iterations there will be.
        rate: Iterations a second while it trains.
        eta_s: How many seconds the iterations that are left take at this rate, validations left out.
        infos: The infos by their keys.
        scalars: The latest values by their keys.
        courses: How these went while they were watched, by the same keys.
        unshared: How many infos and scalars found no place on the board.
    """

    path: Path
    pid: int
    state: Literal["live", "ended", "dead", "damaged"]
    is_stalled: bool = False
    is_elsewhere: bool = False
    is_current: bool = False
    error: str | None = None
    started_ns: int | None = None
    age_s: float | None = None
    loop_stage: str | None = None
    epoch: int | None = None
    iter: int | None = None
    max_epochs: int | None = None
    max_iters: int | None = None
    rate: float | None = None
    eta_s: float | None = None
    infos: Mapping[str, Any] = field(default_factory=dict[str, Any])
    scalars: Mapping[str, BoardScalar] = field(default_factory=dict[str, BoardScalar])
    courses: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    unshared: int = 0

    @property
    def experiment_name(self) -> str | None:
        """The name of the experiment."""
        name = self.infos.get("experiment_name")
        return name if isinstance(name, str) and name else None


class Moment(NamedTuple):
    """A moment, on two clocks.

    Attributes:
        at: Seconds on a clock that nobody sets: for what lies between two moments.
        wall_ns: Nanoseconds since 1970, as boards have them: the clock may be set meanwhile.
    """

    at: float
    wall_ns: int

    @classmethod
    def now(cls) -> Moment:
        """Return the present one."""
        return cls(time.monotonic(), time.time_ns())


# For how long a run that has ended is still told of.
_LINGERS_S = 8.0
# To read a board whose writer was stopped amid a write takes a fifth of a second each time.
_REST_S = 5.0
# A board that is being made is empty for a moment.
_YOUNG_NS = 2_000_000_000


class Runs:
    """Looks at the boards of this user, again and again, and tells what is known of the runs.

    Args:
        pid: The process whose runs to look at; those of all if left out.
        stalled_after: See `RunView`.

    Example:
        >>> import os
        >>> from runtimeinfo import use_hub
        >>> from runtimeinfo_adapters import MessageHub
        >>> runs = Runs(pid=os.getpid())
        >>> with use_hub(MessageHub("doc-runs", runtime_info={"experiment_name": "digits", "epoch": 3})):
        ...     [(run.experiment_name, run.epoch, run.state) for run in runs.look()]
        [('digits', 3, 'live')]
        >>> [(run.experiment_name, run.epoch, run.state) for run in runs.look()]
        [('digits', 3, 'ended')]
    """

    def __init__(self, *, pid: int | None = None, stalled_after: float = 30.0) -> None:
        self._pid = pid
        self._stalled_after = stalled_after
        self._watched: dict[Path, _Watched] = {}
        self._ended: list[_Watched] = []
        self._damaged: dict[Path, tuple[float, Run]] = {}

    def look(self, now: Moment | None = None) -> list[Run]:
        """Return the runs: those that live first, and of these the latest first.

        Args:
            now: When this is; the present moment if left out.

        Raises:
            BoardError: If the folder for boards is somebody else's, or open to others.
        """
        now = now or Moment.now()
        paths = [path for path in board_files() if self._pid is None or pid_in(path) == self._pid]
        for path in self._watched.keys() - set(paths):
            self._end(path, now)
        self._damaged = {path: found for path, found in self._damaged.items() if path in set(paths)}
        for path in paths:
            self._look_at(path, now)
        self._ended = [each for each in self._ended if now.at - each.ended_at < _LINGERS_S]
        seen = [each.view.run(now) for each in (*self._watched.values(), *self._ended)]
        return sorted((*seen, *(run for _, run in self._damaged.values())), key=_order)

    @property
    def wants_rate(self) -> bool:
        """Whether a run trains that was not timed for long enough yet to tell its rate."""
        return any(each.view.wants_rate for each in self._watched.values())

    def _look_at(self, path: Path, now: Moment) -> None:
        if self._rests(path, now):
            return
        watched = self._watched.get(path)
        try:
            found = read_board(path)
            if watched is not None and watched.view.snapshot.created_ns != found.created_ns:
                self._end(path, now)  # another run of the same process has come in its place
                watched = None
            if watched is None:
                self._watched[path] = _Watched(HeldBoard(path), self._view(found, now), now.at)
            else:
                watched.view.see(found, now)
                watched.read_at = now.at
            self._damaged.pop(path, None)
        except BoardError as error:
            self._fail(path, error, now)

    def _view(self, found: BoardSnapshot, now: Moment) -> RunView:
        return RunView(found, now, stalled_after=self._stalled_after)

    def _rests(self, path: Path, now: Moment) -> bool:
        """Tell whether a board need not be read now: nothing changes in it, or it is slow to read."""
        if path in self._damaged:
            return now.at - self._damaged[path][0] < _REST_S
        watched = self._watched.get(path)
        if watched is None:
            return False
        found = watched.view.snapshot
        if found.state == "dead":  # what writes there now, if anything, is another run
            return now.at - watched.read_at < _REST_S
        return not found.is_whole and now.at - watched.read_at < _REST_S

    def _end(self, path: Path, now: Moment) -> None:
        watched = self._watched.pop(path)
        last = watched.view.snapshot
        try:
            found = watched.board.last_words()
            if found.created_ns == last.created_ns:  # or else it was another one by then
                last = found
        except BoardError:
            last = replace(last, state="ended")
        watched.board.close()
        if last.state == "live":  # whoever took it away
            last = replace(last, state="ended")
        watched.view.see(last, now)
        watched.ended_at = now.at
        self._ended.append(watched)

    def _fail(self, path: Path, error: BoardError, now: Moment) -> None:
        try:
            age_ns = now.wall_ns - path.lstat().st_mtime_ns
        except OSError:  # gone meanwhile: the next look finds that out
            return
        if 0 <= age_ns < _YOUNG_NS and path not in self._watched:
            return
        if path in self._watched:
            self._watched.pop(path).board.close()
        message = error.message.replace(str(error.path), error.path.name)
        self._damaged[path] = now.at, Run(path=path, pid=pid_in(path), state="damaged", error=message)


class _Watched:
    def __init__(self, board: HeldBoard, view: RunView, read_at: float) -> None:
        self.board = board
        self.view = view
        self.read_at = read_at
        self.ended_at = 0.0


def _order(run: Run) -> tuple[bool, int, str]:
    return run.state != "live", -(run.started_ns or 0), os.fspath(run.path)


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


class HeldBoard:
    """Keeps a board open, and so can tell what it said last after its run has taken it away.

    It only reads, and maps nothing.

    Args:
        path: The board.

    Raises:
        BoardError: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = open_unfollowed(path)
        except OSError as error:
            raise BoardError(
                f"the board {path} cannot be opened: {error}. If no run of yours has made it, remove it", path=path
            ) from error
        self._path = path
        self._descriptor = descriptor
        self.close: Callable[[], object] = weakref.finalize(self, os.close, descriptor)

    def last_words(self) -> BoardSnapshot:
        """Return what it says now, also if it has no name any more.

        Raises:
            BoardError: If it is damaged, or no board at all.
        """
        return read_open_board(self._descriptor, self._path)
