"""Watch the live runs of a user: read their boards, and follow their rate, their scalars and their silences."""

from __future__ import annotations

import os
import resource
import statistics
import time
from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from runtimeinfo import BoardError
from runtimeinfo.board import BoardIdentity, BoardScalar, BoardSnapshot, board_folder, pid_in
from runtimeinfo.board._folder import BoardListing, folders_of_others
from runtimeinfo.board._open_board import PATIENCE_S, OpenBoard
from runtimeinfo_adapters._numbers import is_same_number

# How long a run that has ended is still listed.
_LINGERS_S = 8.0
# Reading a board whose writer was stopped in the middle of a write takes a fifth of a second each time.
_REST_S = 5.0
# And many such boards must not take a look as many times as long.
_PATIENCE_OF_LOOK_S = 0.5
# A board that is being made is empty for a moment.
_YOUNG_NS = 2_000_000_000

# More than anybody looks at.
_MOST_OPEN = 4096

_TIMES_USUAL = 10
# A validation writes nothing between its beginning and its end, and neither does what surrounds a training.
_OUTSIDE_TRAINING = 20
_FEWEST_PAUSES = 3
_ROUGH_S = 0.4

_RATE_WINDOW_S = 15.0
# A number of thousands of digits counts nothing.
_TOO_MANY = 2**63
_MOST_CURVE_VALUES = 128


@dataclass(frozen=True)
class Run:
    """One run at one moment. A member is None if it is not known.

    Attributes:
        path: Its board.
        pid: Its process.
        state: ``"live"``; ``"ended"``; ``"dead"`` if its process is gone without having closed the run;
            ``"damaged"`` if the board cannot be read, as `error` says.
        is_stalled: Whether it is live, and has not written anything for long.
        is_elsewhere: Whether its process is in another container: whether that one lives cannot be known here.
        is_current: Whether it is the run that its process entered last.
        error: The fault of the board.
        started_ns: When it began to share, in nanoseconds since 1970.
        age_s: The seconds since it has written anything.
        loop_stage: ``"train"``, ``"val"``, ``"test"``, or whatever the run has published.
        epoch: Completed epochs.
        iter: Completed iterations.
        max_epochs: The number of epochs of the whole training.
        max_iters: The number of iterations of the whole training.
        rate: Iterations per second while it trains.
        eta_s: The seconds that the remaining iterations take at this rate, without validations.
        infos: The infos by their keys.
        scalars: The latest values by their keys.
        curves: The values of each scalar while it was watched, by the same keys.
        unshared: The number of infos and scalars that did not fit on the board.
        identity: The host, rank, job, run id and command.
        user_id: The id of the user that it belongs to.
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
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    unshared: int = 0
    identity: BoardIdentity | None = None
    user_id: int | None = None

    @property
    def is_check(self) -> bool:
        """Whether the conformance kit makes the run, to check an adapter."""
        return self.identity is not None and self.identity.is_check

    @property
    def experiment_name(self) -> str | None:
        """The name of the experiment."""
        name = self.infos.get("experiment_name")
        return name if isinstance(name, str) and name else None

    @property
    def is_inferred(self) -> bool:
        """Whether the run was inferred, because the script does not publish."""
        return self.infos.get("inferred") is True


class Timestamp(NamedTuple):
    """A time on two clocks.

    Attributes:
        monotonic_s: Seconds on a clock that is never set: for the time between two timestamps.
        wall_ns: Nanoseconds since 1970, as on boards; this clock may be set in between.
    """

    monotonic_s: float
    wall_ns: int

    @classmethod
    def now(cls) -> Timestamp:
        """Return the present time."""
        return cls(time.monotonic(), time.time_ns())


class Runs:
    """Read the boards of this user repeatedly, and describe the runs.

    A look reads only what has changed since the last one. Boards stay open in between, so that the last values of a run
    are known after it has removed its board: as many as half of the files that this process may open. The last values
    of any others are those of the last look.

    Args:
        pid: The process whose runs to read; by default, those of all processes.
        stalled_after: The seconds of silence after which a run counts as stalled, at least. Outside of training,
            where runs write seldom, it is 20 times as long.
        all_users: Whether to read the boards of all other users of this machine as well, in the folders that they have
            by default. This takes the rights of root.
        curves: Whether to keep the values of each scalar while it is watched, which takes a kilobyte or more.

    Raises:
        BoardError: If the boards of all users are asked for by a user other than root.

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

    def __init__(
        self,
        *,
        pid: int | None = None,
        stalled_after: float = 30.0,
        all_users: bool = False,
        curves: bool = True,
    ) -> None:
        if all_users and os.geteuid() != 0:
            raise BoardError(
                "the boards of all users can be read by root alone: run this with sudo, or leave all_users out",
                path=board_folder(),
                requirement="SHARE-05",
            )
        self._pid = pid
        self._stalled_after = stalled_after
        self._all_users = all_users
        self._has_curves = curves
        self._listings: dict[Path, BoardListing] = {}
        self._watched: dict[Path, _WatchedRun] = {}
        self._ended: list[_WatchedRun] = []
        self._damaged: dict[Path, tuple[float, Run]] = {}
        self._most_open = _most_open()
        self._open = 0
        self._patience_s = 0.0

    def look(self, now: Timestamp | None = None) -> list[Run]:
        """Return the runs: live ones first, and of these the latest first.

        Args:
            now: The present time, if it is known.

        Raises:
            BoardError: If the folder for boards belongs to another user, or is open to others.
        """
        now = now or Timestamp.now()
        boards = self._boards()
        self._patience_s = _PATIENCE_OF_LOOK_S
        for path in [path for path in self._watched if path not in boards]:
            self._end(path, now)
        self._damaged = {path: found for path, found in self._damaged.items() if path in boards}
        for path, (number, owner) in boards.items():
            self._look_at(path, number, owner, now)
        self._ended = [each for each in self._ended if now.monotonic_s - each.ended_at < _LINGERS_S]
        seen = [each.tracker.run(now) for each in (*self._watched.values(), *self._ended)]
        return sorted((*seen, *(run for _, run in self._damaged.values())), key=_order)

    @property
    def has_rate(self) -> bool:
        """Whether each run that trains was timed for long enough to tell its rate."""
        return all(each.tracker.has_rate for each in self._watched.values())

    def _boards(self) -> dict[Path, tuple[int, int | None]]:
        """Return the boards, each with the number of its file, and with its user where that is another one."""
        found: dict[Path, tuple[int, int | None]] = {}
        for listing in self._present_listings():
            try:
                boards = listing.boards()
            except BoardError:
                if listing.owner is None:
                    raise
                continue  # another user must not keep root from seeing the rest
            for path, number in boards.items():
                if self._pid is None or pid_in(path) == self._pid:
                    found[path] = number, listing.owner
        return found

    def _present_listings(self) -> Iterator[BoardListing]:
        folders: dict[Path, int | None] = {**(folders_of_others() if self._all_users else {}), board_folder(): None}
        self._listings = {
            folder: self._listings.get(folder) or BoardListing(folder, owner) for folder, owner in folders.items()
        }
        return iter(self._listings.values())

    def _look_at(self, path: Path, number: int, owner: int | None, now: Timestamp) -> None:
        watched = self._watched.get(path)
        if watched is not None and watched.number != number:
            self._end(path, now)  # another file has its name
            watched = None
        if self._is_resting(path, watched, now):
            return
        try:
            if watched is not None:
                found = self._read(watched.board)
                if watched.tracker.snapshot.created_ns == found.created_ns:
                    watched.tracker.update(found, now)
                    watched.read_at = now.monotonic_s
                    return
                self._end(path, now)  # another run of the same process has replaced it
            board = OpenBoard(path, owner=owner, is_kept_open=self._open < self._most_open)
            tracker = RunTracker(
                self._read(board), now, stalled_after=self._stalled_after, user_id=owner, curves=self._has_curves
            )
            self._watched[path] = _WatchedRun(board, tracker, number, now.monotonic_s)
            self._open += board.is_kept_open
            self._damaged.pop(path, None)
        except BoardError as error:
            self._fail(path, error, now)

    def _read(self, board: OpenBoard) -> BoardSnapshot:
        """Read a board; what it takes to wait for a write that does not end is of the patience of this look."""
        begin = time.monotonic()
        found = board.read(min(PATIENCE_S, self._patience_s))
        if not found.is_whole:
            self._patience_s = max(0.0, self._patience_s - (time.monotonic() - begin))
        return found

    def _is_resting(self, path: Path, watched: _WatchedRun | None, now: Timestamp) -> bool:
        """Tell whether a board need not be read now: nothing changes in it, or it is slow to read."""
        if watched is None:
            return path in self._damaged and now.monotonic_s - self._damaged[path][0] < _REST_S
        found = watched.tracker.snapshot
        # Only another run can write to the board of a dead one.
        return (found.state == "dead" or not found.is_whole) and now.monotonic_s - watched.read_at < _REST_S

    def _end(self, path: Path, now: Timestamp) -> None:
        watched = self._watched[path]
        last = watched.tracker.snapshot
        try:
            found = watched.board.read()
            if found.created_ns == last.created_ns:  # or else it was another run by then
                last = found
        except BoardError:
            last = replace(last, state="ended")
        self._close(path)
        if last.state == "live":  # another program has removed the board
            last = replace(last, state="ended")
        watched.tracker.update(last, now)
        watched.ended_at = now.monotonic_s
        self._ended.append(watched)

    def _close(self, path: Path) -> None:
        board = self._watched.pop(path).board
        self._open -= board.is_kept_open
        board.close()

    def _fail(self, path: Path, error: BoardError, now: Timestamp) -> None:
        try:
            age_ns = now.wall_ns - path.lstat().st_mtime_ns
        except OSError:  # removed in between: the next look notices
            return
        if 0 <= age_ns < _YOUNG_NS and path not in self._watched:
            return
        if path in self._watched:
            self._close(path)
        message = error.message.replace(str(error.path), error.path.name)
        self._damaged[path] = now.monotonic_s, Run(path=path, pid=pid_in(path), state="damaged", error=message)


@dataclass(slots=True)
class _WatchedRun:
    board: OpenBoard
    tracker: RunTracker
    number: int
    read_at: float
    ended_at: float = 0.0


def _most_open() -> int:
    """Return the greatest number of boards to keep open: half of the files that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_OPEN if soft == resource.RLIM_INFINITY else min(soft // 2, _MOST_OPEN)


def _order(run: Run) -> tuple[bool, int, str]:
    return run.state != "live", -(run.started_ns or 0), os.fspath(run.path)


class RunTracker:
    """Derive from successive snapshots of a board what none of them tells: rate, curves, and whether the run stalls.

    A run stalls if its process lives, and has not written anything for longer than `stalled_after`, and than ten
    times its usual pause between two writes. Outside of training, where runs write seldom, it is 20 times
    `stalled_after`.

    Args:
        first: The first snapshot.
        now: When it was taken.
        stalled_after: Seconds.
        user_id: The user that the run belongs to; this one by default.
        curves: Whether to keep the values of each scalar.
    """

    def __init__(
        self,
        first: BoardSnapshot,
        now: Timestamp,
        *,
        stalled_after: float = 30.0,
        user_id: int | None = None,
        curves: bool = True,
    ) -> None:
        self.snapshot: BoardSnapshot = first
        self._user_id = os.geteuid() if user_id is None else user_id
        self._stalled_after = stalled_after
        self._rate = IterationRate()
        self._has_curves = curves
        self._curves: dict[str, ScalarCurve] = {}
        self._looked_at = now.monotonic_s
        # The time of the last write, on the clock that is never set.
        self._wrote_at = now.monotonic_s - max(0.0, _seconds_between(first.updated_ns, now.wall_ns))
        self._pauses: deque[float] = deque(maxlen=31)
        self._record(first, now)

    def update(self, snapshot: BoardSnapshot, now: Timestamp) -> None:
        """Record the present snapshot of the board."""
        if snapshot is self.snapshot:
            self._looked_at = now.monotonic_s
            return
        if snapshot.updated_ns != self.snapshot.updated_ns:
            since_last_look = now.monotonic_s - self._looked_at
            # Whatever the clocks say, the write came after the last look.
            age = _seconds_between(snapshot.updated_ns, now.wall_ns)
            wrote_at = now.monotonic_s - min(max(age, 0.0), since_last_look)
            # Where the looks are rarer than the writes, as of an exporter, there were several.
            self._pauses.append((wrote_at - self._wrote_at) / _writes_between(self.snapshot, snapshot))
            self._wrote_at = wrote_at
        self._record(snapshot, now)

    def run(self, now: Timestamp) -> Run:
        """Return the run as it is now."""
        found = self.snapshot
        age = now.monotonic_s - self._wrote_at
        stage = _text(found.infos.get("loop_stage"))
        is_stalled = found.state == "live" and age > self._stalled_after and age > self._patience(stage)
        done, total = _counter(found.infos.get("iter")), _counter(found.infos.get("max_iters"))
        rate = self._rate.at(now.monotonic_s) if found.state == "live" and not is_stalled else None
        eta = None
        if rate and done is not None and total is not None and done <= total:
            eta = (total - done) / rate
        run = object.__new__(Run)
        # As its constructor does with a call for each attribute, which would take a fifth of the time of a look.
        run.__dict__.update(
            path=found.path,
            pid=found.pid,
            state=found.state,
            is_stalled=is_stalled,
            is_elsewhere=found.is_elsewhere,
            is_current=found.is_current,
            started_ns=found.created_ns,
            age_s=age,
            loop_stage=stage,
            epoch=_counter(found.infos.get("epoch")),
            iter=done,
            max_epochs=_counter(found.infos.get("max_epochs")),
            max_iters=total,
            rate=rate,
            eta_s=eta,
            infos=found.infos,
            scalars=found.scalars,
            curves=_Curves({key: self._curves[key].moment() for key in found.scalars if key in self._curves}),
            unshared=len(found.unshared) + max(found.unshared_numbers, 0),
            identity=found.identity,
            user_id=self._user_id,
        )
        return run

    @property
    def has_rate(self) -> bool:
        """Whether the run was timed for long enough to tell its rate, or does not train."""
        found = self.snapshot
        trains = found.state == "live" and _counter(_iter_in_training(found)) is not None
        return not trains or self._rate.timed_s >= _ROUGH_S

    def _record(self, snapshot: BoardSnapshot, now: Timestamp) -> None:
        self._rate.update(now.monotonic_s, _counter(_iter_in_training(snapshot)))
        for key, scalar in snapshot.scalars.items() if self._has_curves else ():
            curve = self._curves.get(key)
            if curve is None:
                curve = self._curves[key] = ScalarCurve()
            curve.update(scalar.value, scalar.updates)
        self.snapshot = snapshot
        self._looked_at = now.monotonic_s

    def _patience(self, stage: str | None) -> float:
        least = self._stalled_after if stage == "train" else _OUTSIDE_TRAINING * self._stalled_after
        return max(least, _TIMES_USUAL * self._usual_pause())

    def _usual_pause(self) -> float:
        if len(self._pauses) >= _FEWEST_PAUSES:
            return statistics.median(self._pauses)
        # Before there are pauses to measure: the time that it has shared, over the number of times it wrote a scalar.
        found = self.snapshot
        writes = max((scalar.updates for scalar in found.scalars.values()), default=0)
        return max(0.0, _seconds_between(found.created_ns, found.updated_ns)) / writes if writes > 0 else 0.0


def _writes_between(earlier: BoardSnapshot, later: BoardSnapshot) -> int:
    """Return the number of writes, at least, that made a later snapshot of an earlier one."""
    done, done_before = _counter(later.infos.get("iter")), _counter(earlier.infos.get("iter"))
    if done is not None and done_before is not None and done > done_before:
        return done - done_before
    before = earlier.scalars
    counts = [scalar.updates - before[key].updates for key, scalar in later.scalars.items() if key in before]
    return max(1, *counts) if counts else 1


def _iter_in_training(snapshot: BoardSnapshot) -> object:
    return snapshot.infos.get("iter") if snapshot.infos.get("loop_stage") == "train" else None


def _seconds_between(begin_ns: int, end_ns: int) -> float:
    return (end_ns - begin_ns) / 1e9


def _counter(value: object) -> int | None:
    return value if type(value) is int and -_TOO_MANY < value < _TOO_MANY else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


class IterationRate:
    """Measure the iterations per second of a run, from the first time that its counter changes.

    It is not known when the iteration of the first look began, so a rate takes three looks with different counters.
    It is the rate of the last 15 seconds, or of the last two changes if these are further apart. While the run does
    not train, the time does not count.

    Example:
        >>> rate = IterationRate()
        >>> for second in range(4):
        ...     rate.update(float(second), 10 * second)
        >>> rate.at(3.0)
        10.0
    """

    def __init__(self) -> None:
        self._changes: deque[tuple[float, int]] = deque()
        self._iter: int | None = None
        self._rate: float | None = None

    @property
    def timed_s(self) -> float:
        """The seconds that the rate was measured over: the fewer, the rougher it is."""
        return self._changes[-1][0] - self._changes[0][0] if self._changes else 0.0

    def update(self, seconds: float, iter: int | None) -> None:
        """Record the counter; None while the run does not train.

        Args:
            seconds: The time, on a clock that is never set.
            iter: Completed iterations.
        """
        if iter is None or self._iter is None or iter < self._iter:
            if iter is not None and self._iter is not None:  # another training begins
                self._rate = None
            self._changes.clear()
        elif iter > self._iter:
            self._changes.append((seconds, iter))
            while len(self._changes) > 2 and seconds - self._changes[0][0] > _RATE_WINDOW_S:
                self._changes.popleft()
            (begin, first), (end, last) = self._changes[0], self._changes[-1]
            if end > begin:
                self._rate = (last - first) / (end - begin)
        self._iter = iter

    def at(self, seconds: float) -> float | None:
        """Return iterations per second, None if the rate is not known yet.

        An iteration that takes longer than those before it lowers the rate before it ends.
        """
        if self._rate is None or len(self._changes) < 2:
            return self._rate
        (begin, first), (_, last) = self._changes[0], self._changes[-1]
        return min(self._rate, (last + 1 - first) / (seconds - begin)) if seconds > begin else self._rate


class ScalarCurve:
    """Keep the values of a scalar in bounded memory: the longer it is watched, the more values are averaged.

    Example:
        >>> curve = ScalarCurve()
        >>> for updates, value in enumerate([3.0, 2.0, 1.0], start=1):
        ...     curve.update(value, updates)
        ...     curve.update(value, updates)  # nothing new
        >>> curve.values
        (3.0, 2.0, 1.0)
    """

    def __init__(self) -> None:
        self._means: array[float] = array("d")
        self._step: int = 1
        # Of the values since the last mean: each is divided by the step first, because the sum of them may overflow.
        self._sum: float = 0.0
        self._count: int = 0
        self._latest: tuple[float, int] | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The means of equal numbers of values; the last mean may be of fewer."""
        return _values_at(self.moment())

    def moment(self) -> _Moment:
        """Return the data from which `values` can be computed later, because most curves are never drawn."""
        return self._means, len(self._means), self._sum * (self._step / self._count) if self._count else None

    def update(self, value: float, updates: int) -> None:
        """Record the latest value, unless it is the one of the last call.

        Args:
            value: The value.
            updates: The number of values that the scalar has had.
        """
        if self._latest is not None and updates == self._latest[1] and is_same_number(value, self._latest[0]):
            return
        self._latest = value, updates
        self._sum += value / self._step
        self._count += 1
        if self._count == self._step:
            self._means.append(self._sum)
            self._sum, self._count = 0.0, 0
        if len(self._means) == _MOST_CURVE_VALUES:
            means = self._means  # replaced, not changed: see `moment`
            self._means = array("d", [means[at] / 2 + means[at + 1] / 2 for at in range(0, _MOST_CURVE_VALUES, 2)])
            self._step *= 2


_Moment = tuple["array[float]", int, float | None]
"""The means of a curve, how many of them there were, and the mean of the values after them."""


def _values_at(moment: _Moment) -> tuple[float, ...]:
    means, count, last = moment
    return (*means[:count], *(() if last is None else (last,)))


class _Curves(Mapping[str, tuple[float, ...]]):
    """The values of each scalar at one moment, by key."""

    __slots__ = ("_moments",)

    def __init__(self, moments: dict[str, _Moment]) -> None:
        self._moments = moments

    def __getitem__(self, key: str) -> tuple[float, ...]:
        return _values_at(self._moments[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._moments)

    def __len__(self) -> int:
        return len(self._moments)

    def __repr__(self) -> str:
        return repr(dict(self))
