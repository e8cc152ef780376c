"""Other runs in the process of a run, and the answers that its code gets during them."""

from __future__ import annotations

import contextvars
import copy
import multiprocessing
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from numbers import Integral
from types import ModuleType
from typing import Any, Protocol

from runtimeinfo import InfoReader, MissingScalarError, ScalarHistory, current_hub, use_hub
from runtimeinfo_adapters import MessageHub
from runtimeinfo_conformance._answer_in_worker import answer
from runtimeinfo_conformance.observation._observation import Answer, Leg, Situation

_SECONDS = 20.0
"""Seconds to wait for another thread or process, which normally takes milliseconds."""

_NOTHING = "no run"

_FULL_QUERY_EVENTS = frozenset(
    ("before_run", "before_train_iter", "before_val_iter", "after_train", "before_test_iter", "after_run")
)
"""Events at which other runs are opened as well, one or more in each part of a run."""


class Companion(Protocol):
    """A listener to each event of a run, after the event was recorded."""

    def on_event(self, event: str, leg: Leg) -> None:
        """Handle an event."""
        ...

    def on_moment(self, moment: str, leg: Leg) -> None:
        """Handle a moment between two events, in the thread of the training."""
        ...


def run_named(name: Any, seed: Any) -> str:
    """Name a run by its published identity. A worker receives any integer as an int."""
    seed = int(seed) if isinstance(seed, Integral) else seed
    return _NOTHING if name is None and seed is None else f"the run {name!r} with seed {seed!r}"


def run_of(reader: InfoReader) -> str:
    """Name the run that a reader answers for."""
    return run_named(reader.get_info("experiment_name"), reader.get_info("seed"))


def run_here() -> str:
    """Name the run that current_hub() answers for."""
    return run_of(current_hub())


def note_caller(leg: Leg, before: str) -> None:
    """Record the caller's answer after a run, with the one before it."""
    leg.answers.append(Answer(None, Situation.CALLER, run="", other=before, found=run_here()))


class Stranger:
    """A reader that answers for one of the kit's own runs."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return the experiment name, the seed or the default."""
        return {"experiment_name": self.name, "seed": -1}.get(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        """Raise MissingScalarError, because it has no scalars."""
        raise MissingScalarError(f"no scalar {key!r}", key=key, requirement="HUB-07")


def _shared_stranger(name: str) -> InfoReader:
    hub = MessageHub(name)
    hub.update_info_dict({"experiment_name": name, "seed": -1})
    return hub


@contextmanager
def _open_elsewhere(hub: InfoReader) -> Generator[None]:
    """Keep a run open in another thread within the context."""
    is_there, is_over = threading.Event(), threading.Event()

    def stay_open() -> None:
        try:
            with use_hub(hub):
                is_there.set()
                is_over.wait(_SECONDS)
        finally:
            is_there.set()

    thread = _start(stay_open)
    try:
        is_there.wait(_SECONDS)
        yield
    finally:
        is_over.set()
        thread.join(_SECONDS)


def _start(work: Callable[[], object], context: contextvars.Context | None = None) -> threading.Thread:
    """Start a thread in a context, by default an empty one, so that it never inherits any."""
    context = contextvars.Context() if context is None else context
    thread = threading.Thread(target=context.run, args=(work,), name="runtimeinfo-company", daemon=True)
    thread.start()
    return thread


def _query_thread(context: contextvars.Context | None = None) -> str:
    told: list[str] = []
    _start(lambda: told.append(run_here()), context).join(_SECONDS)
    return told[0] if told else "no answer"


def _note_thread(leg: Leg, situation: Situation) -> None:
    """Record the answer for a thread without a context."""
    leg.answers.append(Answer(len(leg.records) - 1, situation, run_of(leg.hub), _NOTHING, _query_thread()))


class InsideAnother:
    """Companion of a run inside a second run. In each part of the run, it records the answer for a thread."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def on_event(self, event: str, leg: Leg) -> None:
        """Query a thread at the first event of each kind."""
        if event in _FULL_QUERY_EVENTS and event not in self._seen:
            self._seen.add(event)
            _note_thread(leg, Situation.THREAD_OF_SEVERAL)

    def on_moment(self, moment: str, leg: Leg) -> None:
        """Do nothing, because it works at events."""


class Strangers:
    """Companion that opens and closes the kit's own runs during and after a run, and records the answers.

    Args:
        method: The start method of a worker process to query. By default, threads are queried.
    """

    def __init__(self, method: str | None = None) -> None:
        self._method = method
        self._kept: list[InfoReader] = []
        self._contexts: dict[str, contextvars.Context] = {}
        self._seen: set[str] = set()
        self._worker: _Worker | None = None

    def on_event(self, event: str, leg: Leg) -> None:
        """Query at the first event of each kind, after keeping readers from another run."""
        if event in self._seen:
            return
        self._seen.add(event)
        if event == "before_train":
            with use_hub(Stranger("kept in")):
                kept = current_hub()
                pickled = pickle.loads(pickle.dumps(kept))  # noqa: S301  # it is our own
                self._kept += [kept, copy.deepcopy(kept), pickled]
        if run_of(leg.hub) == _NOTHING:
            return  # it has not published its identity yet
        if self._method is None:
            self._contexts[event] = contextvars.copy_context()
            if event in _FULL_QUERY_EVENTS:
                self._query_threads(leg)
            else:
                self._query_briefly(leg)
        elif event in _FULL_QUERY_EVENTS and event != "after_run":  # where the run may no longer be shared
            if event == "before_train_iter":
                self._worker = _Worker(self._method)
            self._query_worker(leg, len(leg.records) - 1, Situation.WORKER)

    def on_moment(self, moment: str, leg: Leg) -> None:
        """Query at the first read of each stage, and in the first step."""
        if moment not in self._seen and leg.records and self._method is None and run_of(leg.hub) != _NOTHING:
            self._seen.add(moment)
            self._query_briefly(leg)

    def _query_briefly(self, leg: Leg) -> None:
        """Query a thread and the kept readers while no other run is open."""
        run, at = run_of(leg.hub), len(leg.records) - 1
        _note_thread(leg, Situation.THREAD_OF_ONE)
        for kept in self._kept:
            leg.answers.append(Answer(at, Situation.KEPT, run, _NOTHING, run_of(kept)))

    def _query_threads(self, leg: Leg) -> None:
        run, other = run_of(leg.hub), Stranger("elsewhere")
        context = contextvars.copy_context()

        def note(situation: Situation, found: str) -> None:
            leg.answers.append(Answer(len(leg.records) - 1, situation, run, run_of(other), found))

        note(Situation.THREAD_OF_ONE, _query_thread())
        for kept in self._kept:
            note(Situation.KEPT, run_of(kept))
        proceed = threading.Event()
        told: list[str] = []

        def answer_later() -> None:
            proceed.wait(_SECONDS)
            told.append(run_here())

        witness = _start(answer_later)
        with _open_elsewhere(other):
            note(Situation.TRAINING, run_here())
            note(Situation.COPY, _query_thread(context))
            note(Situation.THREAD_OF_SEVERAL, _query_thread())
        proceed.set()
        witness.join(_SECONDS)
        note(Situation.WITNESS, told[0] if told else "no answer")

    def _query_worker(self, leg: Leg, at: int | None, situation: Situation) -> None:
        if self._worker is None:
            return
        run, later = run_of(leg.hub), _shared_stranger("later")
        leg.answers.append(Answer(at, situation, run, run_of(later), self._worker.told()))
        with _open_elsewhere(later):
            leg.answers.append(Answer(at, situation, run, run_of(later), self._worker.told()))

    def after_run(self, leg: Leg) -> None:
        """Query everything that outlives the run, if that had any event."""
        if leg.hub is None:
            return
        if self._method is not None:
            self._query_worker(leg, None, Situation.WORKER_LEFT)
            return
        run, later = run_of(leg.hub), Stranger("later")

        def note(situation: Situation, found: str) -> None:
            leg.answers.append(Answer(None, situation, run, run_of(later), found))

        for context in self._contexts.values():
            note(Situation.COPY_LEFT, context.run(run_here))
        in_training = [context for event, context in self._contexts.items() if event == "before_train_iter"]
        for context in in_training:
            note(Situation.COPY_LEFT, _query_thread(context))
        for kept in self._kept:
            note(Situation.KEPT_AFTER, contextvars.Context().run(run_of, kept))
        with _open_elsewhere(later):
            for context in in_training:
                note(Situation.COPY_LEFT, _query_thread(context))
        with use_hub(later):
            for context in self._contexts.values():
                note(Situation.COPY_CALLED, context.run(run_here))
            for kept in self._kept:
                note(Situation.KEPT_IN_LATER, run_of(kept))

    def end(self) -> None:
        """Stop the worker."""
        if self._worker is not None:
            self._worker.end()


@contextmanager
def _without_main() -> Generator[None]:
    """Keep children from importing the main module, which might run a user's script again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Worker:
    """A worker process."""

    def __init__(self, method: str) -> None:
        context: Any = multiprocessing.get_context(method)
        self._connection, there = context.Pipe()
        self._process = context.Process(target=answer, args=(there,), name="runtimeinfo-company", daemon=True)
        with warnings.catch_warnings(), _without_main():
            warnings.simplefilter("ignore", DeprecationWarning)  # about a fork of a process with threads
            self._process.start()
        there.close()

    def told(self) -> str:
        """Name the run that answers in the worker."""
        try:
            self._connection.send(True)
            if self._connection.poll(_SECONDS):
                return run_named(*self._connection.recv())
        except (OSError, EOFError) as error:
            return f"no answer: {error!r}"
        return "no answer"

    def end(self) -> None:
        """Stop the process."""
        with suppress(OSError):
            self._connection.send(False)
        self._process.join(_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()
        self._process.close()


class Beside:
    """Companion that makes two trainings wait for each other at start and end, so that both are open in between."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2, timeout=_SECONDS)
        self._left = threading.Barrier(2, timeout=_SECONDS)
        self._met: set[tuple[int, str]] = set()

    def on_event(self, event: str, leg: Leg) -> None:
        """Wait for the other training, and query while both are open."""
        place = id(leg), event
        if event == "before_train_iter" and place not in self._met and (id(leg), "before_train") in self._met:
            self._met.add(place)
            _note_thread(leg, Situation.THREAD_OF_SEVERAL)
        if event in {"before_train", "after_train"} and place not in self._met:
            self._met.add(place)
            self.wait()

    def on_moment(self, moment: str, leg: Leg) -> None:
        """Do nothing, because the trainings wait at events."""

    def wait(self) -> None:
        """Wait for the other training, unless it is over."""
        with suppress(threading.BrokenBarrierError):
            self._barrier.wait()

    def leave(self) -> None:
        """Stop the other training from waiting for this one at events, and wait until both are over."""
        self._barrier.abort()
        with suppress(threading.BrokenBarrierError):
            self._left.wait()


class Nested:
    """Companion that runs another training inside the first iteration of a training.

    Args:
        train: Runs the inner training.
    """

    def __init__(self, train: Callable[[], object]) -> None:
        self._train = train
        self._is_due = True

    def on_event(self, event: str, leg: Leg) -> None:
        """Run the inner training at the end of the first iteration."""
        if event == "after_train_iter" and self._is_due:
            self._is_due = False
            self._train()
            _note_thread(leg, Situation.THREAD_OF_ONE)

    def on_moment(self, moment: str, leg: Leg) -> None:
        """Do nothing, because the inner training runs at an event."""
