"""The run that a worker process belongs to: how its identity gets there, and how the worker reads it.

A forked worker has the identity in its memory. To a spawned one, and to one of a fork server, it travels in the
configuration that `multiprocessing` hands from a process to those that it starts: see `send_origin_to_workers`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from runtimeinfo._errors import BoardError
from runtimeinfo._message_hub import InfoReader, ScalarHistory
from runtimeinfo._user_warning import warn_user

if TYPE_CHECKING:
    from runtimeinfo.board._reader import BoardReader

UNKNOWN_RUNS = -1
"""In the place of a number of runs: it was not known which run started the worker."""


class WorkerOrigin(NamedTuple):
    """The origin of a worker process.

    Attributes:
        pid: The process that started it.
        hub: The number of the hub of the run that started it; 0 if no run did.
        runs: The number of runs that the process had entered by then, or `UNKNOWN_RUNS`.
        folder: The folder for boards of that process, if it is not the usual one.
    """

    pid: int
    hub: int = 0
    runs: int = 0
    folder: str = ""

    def to_text(self) -> str:
        """Return it as text, which travels to a process that need not have this package."""
        return f"{self.pid}:{self.hub}:{self.runs}:{self.folder}"

    @classmethod
    def from_text(cls, text: str) -> WorkerOrigin | None:
        """Return the origin that `to_text` wrote, or None if it is something else."""
        pid, _, rest = text.partition(":")
        hub, _, rest = rest.partition(":")
        runs, _, folder = rest.partition(":")
        try:
            return cls(int(pid), int(hub), int(runs), folder)
        except ValueError:
            return None


class WorkerRunReader:
    """Reads the run that a worker process belongs to.

    That is the run of the thread that started the worker; none once that run has ended. A worker that no run started
    reads the only run that its process has entered since. A run that has claimed the worker comes before either.

    Args:
        origin: Where the worker comes from.
        inherited: What answers until that run is seen to be shared, for example the hub as it was at the fork.
        no_run: What answers while there is no run.
        is_shared: Whether that run was shared when the worker was started.
    """

    __slots__ = (
        "_generation",
        "_inherited",
        "_no_run",
        "_reader",
        "_seen",
        "_stamp",
        "_was_warned",
        "_was_warned_of_writing",
        "origin",
    )

    def __init__(self, origin: WorkerOrigin, inherited: InfoReader, no_run: InfoReader, *, is_shared: bool) -> None:
        self.origin = origin
        self._inherited = inherited
        self._no_run = no_run
        self._reader: BoardReader | None = None
        self._generation = -1
        self._stamp: object = None
        self._seen = is_shared
        self._was_warned = self._was_warned_of_writing = False

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return the info last published under a key, or the default."""
        reader = self._reader
        if reader is not None and reader.is_up_to_date(self._generation):
            try:
                return reader.get_info(key, default)
            except BoardError:  # the way below warns of it
                pass
        return self._ask("get_info", key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        """Return the latest value of a scalar, in the form of a history that holds one."""
        history: ScalarHistory = self._ask("get_scalar", key)
        return history

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        """Every info by its key, as of this moment."""
        infos: Mapping[str, Any] = self._read_all(lambda reader: reader.snapshot().infos, "runtime_info")
        return infos

    @property
    def log_scalars(self) -> Mapping[str, ScalarHistory]:
        """The latest value of each scalar by its key, in the form of a history that holds one."""
        scalars: Mapping[str, ScalarHistory] = self._read_all(
            lambda reader: {key: reader.get_scalar(key) for key in reader.snapshot().scalars}, "log_scalars"
        )
        return scalars

    def __repr__(self) -> str:
        return f"<the run of process {self.origin.pid}: {self._ask('__repr__')}>"

    def board(self) -> BoardReader | None:
        """Return the reader of the run, or None while it is not shared."""
        reader = self._reader
        if reader is not None and reader.is_up_to_date(self._generation):
            return reader
        from runtimeinfo.board._reader import find_origin_board, folder_stamp

        stamp = folder_stamp(self.origin.folder)
        if reader is None and stamp is not None and stamp == self._stamp:
            return None
        self._reader = reader = find_origin_board(self.origin)
        self._stamp = stamp
        if reader is not None:
            self._seen = True
            self._generation = reader.generation
        return reader

    def warn_that_it_only_reads(self, method: str) -> None:
        """Warn that a worker has published to the run, which is not possible."""
        if not self._was_warned_of_writing:
            self._was_warned_of_writing = True
            from runtimeinfo.board._reader import UnsharedWarning

            warn_user(
                f"{method}() in a worker process publishes nothing: a worker can only read the run. Publish in the "
                "process that trains, or return the value with the batch [SCOPE-06]",
                UnsharedWarning,
            )

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            reader = self.board()
            if reader is not None:
                return getattr(reader, method)(*arguments)
        except BoardError as error:
            self._warn(error)
        return getattr(self._no_run if self._seen else self._inherited, method)(*arguments)

    def _read_all(self, read: Callable[[BoardReader], Any], name: str) -> Any:
        try:
            reader = self.board()
            if reader is not None:
                return read(reader)
        except BoardError as error:
            self._warn(error)
        return getattr(self._no_run if self._seen else self._inherited, name, {})

    def _warn(self, error: BoardError) -> None:
        self._seen = True
        if not self._was_warned:
            self._was_warned = True
            from runtimeinfo.board._reader import UnsharedWarning

            warn_user(
                f"this worker cannot read the run that started it, and goes on as outside of any run: {error.message}",
                UnsharedWarning,
            )


class Parent:
    """Knows which process this one works for, if it is a worker, and reads the run there.

    Args:
        no_run: What answers while no run is shared.
    """

    def __init__(self, no_run: InfoReader) -> None:
        self._no_run = no_run
        self._inherited = no_run
        self._forked: WorkerOrigin | None = None
        self._was_shared = False
        self._parent_at_fork: Any = None
        self._run: InfoReader = no_run
        self._is_final = False

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return the info last published under a key by the run that this process works for, or the default."""
        if not self._is_final:
            self._find()
        return self._run.get_info(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        """Return the history of a scalar of that run; raise `KeyError` if it is not published."""
        return self.hub.get_scalar(key)

    @property
    def hub(self) -> InfoReader:
        """The hub of the run that started this process; the one that has no run if this process is not a worker."""
        if not self._is_final:
            self._find()
        return self._run

    @property
    def origin(self) -> WorkerOrigin | None:
        """Where this process comes from; None if it is not a worker."""
        run = self.hub
        return run.origin if isinstance(run, WorkerRunReader) else None

    def has_run(self) -> bool:
        """Tell whether this process works for a run, even if that has ended."""
        run = self.hub
        if not isinstance(run, WorkerRunReader):
            return False
        try:
            return bool(run.origin.hub) or run.board() is not None
        except BoardError:
            return True

    def note_fork(self, origin: WorkerOrigin, inherited: InfoReader, *, is_shared: bool) -> None:
        """Note in a forked child where it comes from, which hub was the current one, and whether that was shared."""
        self._inherited = inherited
        self._was_shared = is_shared
        self._forked = origin
        self._parent_at_fork = _multiprocessing_parent()
        self._run = self._no_run
        self._is_final = False

    def note_fork_of_worker(self) -> bool:
        """Note that a worker without a run has forked: its child works for the same run. Tell whether it is so."""
        self._is_final = self._is_final or self.origin is not None
        return self._is_final

    def _find(self) -> None:
        # Asked again as long as there is no parent: a spawned worker imports this before it knows its own. In a child
        # that was forked by hand, what multiprocessing calls the parent is still that of the process that forked.
        parent = _multiprocessing_parent()
        origin = self._forked
        if parent is not None and parent is not self._parent_at_fork:
            self._is_final = True
            if origin is None or origin.pid != parent.pid:  # not forked, or by a fork server for another process
                origin = _received_origin(parent.pid)
        if origin is not None and not (isinstance(self._run, WorkerRunReader) and self._run.origin == origin):
            self._run = WorkerRunReader(origin, self._inherited, self._no_run, is_shared=self._was_shared)


def _multiprocessing_parent() -> Any:
    process = sys.modules.get("multiprocessing.process")  # a worker of multiprocessing has it loaded
    return None if process is None else process.parent_process()


def _received_origin(pid: int) -> WorkerOrigin:
    """Return the origin that has travelled to this process, which another one has started."""
    config: Any = getattr(sys.modules["multiprocessing.process"].current_process(), "_config", {})
    sent = config.get(_KEY)
    if isinstance(sent, _OriginOfThisThread):  # this process has entered a run, and sends its own
        sent = sent.received
    # Nothing is sent by a process that had entered no run by then.
    return (
        WorkerOrigin(pid) if sent is None else WorkerOrigin.from_text(str(sent)) or WorkerOrigin(pid, runs=UNKNOWN_RUNS)
    )


_KEY = "runtimeinfo"


class _OriginOfThisThread:
    """Becomes, where it is pickled, the text of the origin of a process that this thread starts.

    Attributes:
        received: What this process itself has received in its place.
    """

    def __init__(self, origin: Callable[[], WorkerOrigin], received: object) -> None:
        self._origin = origin
        self.received = received

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        try:
            text = self._origin().to_text()
        except Exception:  # noqa: BLE001  # to start a process must not fail because of us
            text = ""
        return str, (text,)


def send_origin_to_workers(origin: Callable[[], WorkerOrigin]) -> None:
    """Let `multiprocessing` hand the origin to each process that it starts from now on.

    A process object carries a copy of its creator's configuration, and is pickled by the thread that starts it.

    Args:
        origin: Returns the origin of a process that the calling thread starts.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is None:  # so that nothing can have been started with it either
        return
    config = cast("dict[str, object] | None", getattr(process.current_process(), "_config", None))
    if config is not None and not isinstance(config.get(_KEY), _OriginOfThisThread):
        config[_KEY] = _OriginOfThisThread(origin, config.get(_KEY))
