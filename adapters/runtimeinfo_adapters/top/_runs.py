"""All runs of this user."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from runtimeinfo import BoardError
from runtimeinfo.board import BoardSnapshot, board_files, pid_in, read_board
from runtimeinfo_adapters.top._held_board import HeldBoard
from runtimeinfo_adapters.top._moment import Moment
from runtimeinfo_adapters.top._run import Run
from runtimeinfo_adapters.top._run_view import RunView

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
