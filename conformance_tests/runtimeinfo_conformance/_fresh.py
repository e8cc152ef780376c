"""Plans judged in a process in which the subject has run nothing before.

The process loads the subject by its name on a command line. It forks for each question, so that no answer depends on
another one; where there is no fork, each question gets a process.
"""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import subprocess
import sys
import sysconfig
import threading
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from enum import Enum
from types import MappingProxyType
from typing import IO, Any, Self, cast

from runtimeinfo_conformance._judging import judge_legs, judge_plan
from runtimeinfo_conformance._subject import AnySubject
from runtimeinfo_conformance._verdict import Failure, Tally
from runtimeinfo_conformance.command_line._target import TargetError, find_subjects
from runtimeinfo_conformance.guards import HANG_SECONDS, Guard
from runtimeinfo_conformance.judges import JUDGES, Case, Finding
from runtimeinfo_conformance.observation import Leg, Record
from runtimeinfo_conformance.plans import AnyPlan, Plan

LEAK_RULE = "LIFE-10"
"""A run must begin as if it were the first of its process."""

# Beyond this a process that loads a framework, or one whose fork waits for a lock forever, counts as dead.
_START_SECONDS = 120.0
_SECONDS_PER_PLAN = 5.0

# The modules of the subject, and the kit itself, are found there as they are here.
_SERVE = "import sys; sys.path[:] = {path!r}; from runtimeinfo_conformance._fresh import serve; serve()"

_CAN_FORK = hasattr(os, "fork")

_PLAIN = (str, bool, int, float, type(None))


class FreshProcessError(Exception):
    """A plan cannot be judged in a fresh process; the message says why."""


@dataclass(frozen=True)
class Judged:
    """The judges' word on a plan that was run after some others, or as the first of its process.

    A plan may make several runs. Of those only the ones that no other one came before are as they are alone.
    What cannot leave the process is in here as its repr.

    Attributes:
        failures: How each requirement that is broken in any run is broken, by its id.
        broken_at_once: The ids of those that are broken in a run that no other run of the plan came before.
        occurrences: How often each requirement mattered in such a run, by its id.
        legs: What was observed; empty for a hub or a reducer.
        crash: The exception that was not planned; None if there was none.
    """

    failures: Mapping[str, Failure]
    broken_at_once: frozenset[str]
    occurrences: Mapping[str, int]
    legs: tuple[Leg, ...]
    crash: BaseException | None


def find_difference(alone: Judged, spoiled: Judged) -> tuple[Finding, Leg | None] | None:
    """Return the first difference that other plans make to a plan, with the run in which it is; None if there is none.

    Args:
        alone: What the plan gave as the first of its process.
        spoiled: What it gave after other plans.
    """
    for leg, its_first in zip(spoiled.legs, alone.legs, strict=False):
        for finding in JUDGES[LEAK_RULE](Case(replace(leg, first=its_first))):
            if not finding.holds:
                return finding, leg
    # The rule speaks of runs that end well, and of what is published; a leak can also show in something else.
    for id, failure in spoiled.failures.items():
        if id not in alone.failures:
            return failure.finding, failure.leg
    if spoiled.crash is not None and alone.crash is None:
        return Finding(None, "no exception", spoiled.crash), spoiled.legs[-1] if spoiled.legs else None
    return None


class FreshProcess:
    """Judges plans in a process in which only the subject is loaded. Use it as a context manager.

    Args:
        target: The name of the subject on a command line.
        subject: The subject; it must be the only one there with its name and kind.
        hang_seconds: How long one run may take.

    Attributes:
        runs: How many plans have been run there.

    Raises:
        FreshProcessError: On entering, if the subject cannot be loaded in another process.
    """

    def __init__(self, target: str, subject: AnySubject, hang_seconds: float = HANG_SECONDS) -> None:
        self._question = (target, subject.name, type(subject).__name__, hang_seconds)
        self._hang_seconds = hang_seconds
        self._known: dict[str, Judged] = {}
        self._process: _Process | None = None
        self.runs = 0

    def __enter__(self) -> Self:
        self._process = self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def judge(self, *plans: AnyPlan) -> Judged:
        """Run plans in this order, as the first ones of a process, and judge the last one.

        Raises:
            FreshProcessError: If the process dies of it, or does not answer.
        """
        name = repr(plans)
        if name not in self._known:
            process = self._process or self._start()
            self._process = process if _CAN_FORK else None
            try:
                answer = process.ask(plans, self._hang_seconds + _SECONDS_PER_PLAN * len(plans))
            except FreshProcessError:
                self._end()
                raise
            finally:
                if not _CAN_FORK:
                    process.end()
            self._known[name] = cast("Judged", answer)
            self.runs += len(plans)
        return self._known[name]

    def _start(self) -> _Process:
        process = _Process()
        try:
            problem = process.ask(self._question, _START_SECONDS)
        except FreshProcessError:
            process.end()
            raise
        if problem is not None:
            process.end()
            raise FreshProcessError(str(problem))
        return process

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


class _Process:
    """A process that answers what is pickled into it."""

    def __init__(self) -> None:
        # In a session of its own it can be ended together with what it has started.
        self._popen = subprocess.Popen(  # noqa: S603  # it is this interpreter
            [sys.executable, "-c", _SERVE.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._answers: queue.SimpleQueue[object] = queue.SimpleQueue()
        # Only a thread can wait for a pipe for some seconds on every platform.
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, question: object, seconds: float) -> object:
        """Return the answer to a question."""
        try:
            pickle.dump(question, cast("IO[bytes]", self._popen.stdin))
            cast("IO[bytes]", self._popen.stdin).flush()
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise FreshProcessError(f"it has not answered within {seconds:g} s") from None
        except OSError:
            answer = _Died()
        if isinstance(answer, _Died):
            raise FreshProcessError("the process has died")
        return answer

    def end(self) -> None:
        """End the process, and what it has started."""
        if _CAN_FORK:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, 9)
        else:
            self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            with suppress(OSError, ValueError):  # the reader may have it, and a write may be left in it
                cast("IO[bytes]", pipe).close()

    def _read(self) -> None:
        try:
            while True:
                self._answers.put(pickle.load(cast("IO[bytes]", self._popen.stdout)))  # noqa: S301  # we wrote it
        except Exception:  # noqa: BLE001  # the end of the pipe, or half an answer in it
            self._answers.put(_Died())


class _Died:
    """Stands in the place of an answer that will not come."""


# -- in the other process


def serve() -> None:
    """Answer what a `FreshProcess` asks, until it ends."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a subject prints must not get among the answers.
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)

    def answer(value: object) -> None:
        pickle.dump(value, answers)
        answers.flush()

    target, name, kind, hang_seconds = pickle.load(questions)  # noqa: S301  # our own parent wrote it
    try:
        subject = _load(target, name, kind)
    except FreshProcessError as error:
        answer(str(error))
        return
    answer(None)
    loaded = frozenset(sys.modules)
    with suppress(EOFError):
        while True:
            plans = pickle.load(questions)  # noqa: S301
            if not _CAN_FORK:
                answer(_judge(subject, plans, hang_seconds))
                continue
            judged, names = _judge_in_fork(subject, plans, hang_seconds)
            answer(judged)
            if loaded:
                _load_ahead(names, loaded)
                loaded = frozenset[str]()


def _load(target: str, name: str, kind: str) -> AnySubject:
    try:
        found = [each for each in find_subjects(target) if each.name == name and type(each).__name__ == kind]
    except (TargetError, SystemExit) as error:
        raise FreshProcessError(str(error)) from None
    if len(found) != 1:
        raise FreshProcessError(f"{target} has {len(found) or 'no'} subjects named {name!r} there; name one")
    return found[0]


def _load_ahead(names: Sequence[str], loaded: Collection[str]) -> None:
    """Import what a first run has imported of packages that were loaded already, and are not the subject's own.

    Each fork would do it again, which takes a second and a half where an optimizer of PyTorch makes its first step.

    Args:
        names: All modules after the first run, in their order.
        loaded: Those before it.
    """
    installed = tuple(sysconfig.get_path(each) for each in ("purelib", "platlib", "stdlib"))
    for name in names:
        package = sys.modules.get(name.partition(".")[0])
        if name not in loaded and str(getattr(package, "__file__", None)).startswith(installed):
            with suppress(Exception):  # one that was made, not imported
                importlib.import_module(name)


def _judge_in_fork(
    subject: AnySubject, plans: tuple[AnyPlan, ...], hang_seconds: float
) -> tuple[object, tuple[str, ...]]:
    """Judge plans in a fork; return the word on the last one, and the modules that are loaded there then."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads: what they hold when it forks is what the time limit is for
        pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump((_judge(subject, plans, hang_seconds), tuple(sys.modules)), pipe)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        try:
            # Up to the end of the answer, not of the pipe: a worker of the subject may hold that open.
            answer: tuple[object, tuple[str, ...]] = pickle.load(pipe)  # noqa: S301
        except (EOFError, pickle.UnpicklingError):
            answer = _Died(), ()
    os.waitpid(pid, 0)
    return answer


def _judge(subject: AnySubject, plans: tuple[AnyPlan, ...], hang_seconds: float) -> Judged:
    guard = Guard(hang_seconds)
    for plan in plans[:-1]:
        judge_plan(subject, plan, Tally(), guard)
    tally, at_once = Tally(), Tally()
    legs = judge_plan(subject, plans[-1], tally, guard)
    if legs:
        judge_legs(subject, plans[-1], _first_runs(plans[-1], legs), at_once)
    else:
        at_once = tally
    known: dict[int, Leg] = {}
    failures = {id: count.failure for id, count in tally.counts.items() if count.failure is not None}
    return Judged(
        {id: _portable_failure(failure, known) for id, failure in failures.items()},
        at_once.broken,
        {id: count.occurrences for id, count in at_once.counts.items() if count.occurrences},
        tuple(_portable_leg(leg, known) for leg in legs),
        None if tally.crash is None else _ToldError(tally.crash.error),
    )


def _first_runs(plan: AnyPlan, legs: list[Leg]) -> list[Leg]:
    if isinstance(plan, Plan) and plan.repeat:
        return legs[:1]
    return [leg for leg in legs if leg.previous is None and leg.first is None]


# -- what can leave a process


class Shown:
    """Stands in another process for a value that cannot leave its own, and looks like it.

    Args:
        value: The value.
    """

    def __init__(self, value: object) -> None:
        try:
            self._text = repr(value)
        except Exception as error:  # noqa: BLE001  # whatever it is, the answer has to come
            self._text = f"<{type(value).__name__}: its repr raised {type(error).__name__}>"

    def __repr__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shown) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


class _ToldError(Exception):
    """Stands in another process for an exception."""

    def __init__(self, error: object) -> None:
        super().__init__(error if isinstance(error, Shown) else Shown(error))

    def __repr__(self) -> str:
        return repr(self.args[0])


def _portable(value: Any) -> Any:
    """Return a value that can be pickled and looks the same."""
    if type(value) in _PLAIN or isinstance(value, Enum):
        return value
    if isinstance(value, bool | int | float):  # of a subclass: as a number it is the same
        return next(kind(value) for kind in (int, float) if isinstance(value, kind))
    if type(value) is dict or type(value) is MappingProxyType:
        return {_portable(key): _portable(each) for key, each in cast("Mapping[Any, Any]", value).items()}
    if type(value) is list:
        return list(map(_portable, cast("list[Any]", value)))
    if type(value) is tuple:
        return tuple(map(_portable, cast("tuple[Any, ...]", value)))
    return Shown(value)


def _portable_failure(failure: Failure, known: dict[int, Leg]) -> Failure:
    finding = failure.finding
    portable = finding._replace(expected=_portable(finding.expected), observed=_portable(finding.observed))
    return replace(failure, finding=portable, leg=None if failure.leg is None else _portable_leg(failure.leg, known))


def _portable_leg(leg: Leg, known: dict[int, Leg]) -> Leg:
    """Return the part of a leg that is reported, or compared with another run."""
    if id(leg) not in known:
        known[id(leg)] = Leg(
            leg.plan,
            records=[_portable_record(record) for record in leg.records],
            planned=None if leg.planned is None else _ToldError(leg.planned),
            fault_at=leg.fault_at,
            raised=None if leg.raised is None else _ToldError(leg.raised),
            previous=None if leg.previous is None else _portable_leg(leg.previous, known),
        )
    return known[id(leg)]


def _portable_record(record: Record) -> Record:
    changed = {field.name: _portable(getattr(record, field.name)) for field in fields(record)}
    return replace(record, **{**changed, "seen": (), "shared": None})
