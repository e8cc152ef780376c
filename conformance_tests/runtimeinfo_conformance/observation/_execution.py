"""Run a subject on a plan."""

from __future__ import annotations

import contextvars
import itertools
import random
import string
import tempfile
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from runtimeinfo import RuntimeInfoHook, SkippedOutputWarning, use_hub
from runtimeinfo_adapters import UnsavedInfoWarning
from runtimeinfo_conformance._subject import Subject
from runtimeinfo_conformance.observation._company import (
    Beside,
    InsideAnother,
    Nested,
    Stranger,
    Strangers,
    note_caller,
    run_here,
)
from runtimeinfo_conformance.observation._observation import Answer, Leg, Situation
from runtimeinfo_conformance.observation._recorder import Probe, Recorder, StageRecorder
from runtimeinfo_conformance.observation._user_hooks import make_hook
from runtimeinfo_conformance.plans import Fault, Plan, hearing

# Plans contain outputs that are not scalars, and infos that cannot be saved.
_EXPECTED_WARNINGS = (SkippedOutputWarning, UnsavedInfoWarning)

Watching = Callable[[], AbstractContextManager[object]]
"""Creates the context in which a subject runs."""

_run_numbers = itertools.count()

# Separate from the generator that the user's seed controls.
_random = random.Random()  # noqa: S311  # nothing secret

_MOST_SALT = 1000

# Names and priorities of the probes, in the order in which they must be called.
PROBES = (("first", "HIGH"), ("second", "NORMAL"), ("third", "NORMAL"), ("last", "VERY_LOW"))

_ORDERS = tuple(order for order in itertools.permutations(range(len(PROBES))) if order.index(1) < order.index(2))
"""Orders in which to pass the probes. Probes of equal priority keep their relative order."""

HOOK_ORDERS = len(_ORDERS)


def execute(subject: Subject, plan: Plan, watching: Watching = nullcontext) -> list[Leg]:
    """Run a subject on a plan, and return the observations, with a leg for each training.

    Exceptions of the subject, including SystemExit, are recorded, not raised.

    Args:
        subject: The subject.
        plan: The plan.
        watching: Creates a context for each call.
    """
    # No recording of an earlier run on the same plan fits this one, so replaying one is noticed.
    salt = _random.randrange(_MOST_SALT)
    name = f"{plan.experiment_name}-{next(_run_numbers)}{_random.choice(string.ascii_lowercase)}{salt}"
    plan = replace(plan, experiment_name=None if plan.experiment_name is None else name, salt=salt)
    # In a separate context, because anything that a run leaves there would affect the next plan.
    return contextvars.copy_context().run(_execute, subject, plan, watching)


def _execute(subject: Subject, plan: Plan, watching: Watching) -> list[Leg]:
    if plan.company is not None:
        return _in_company(subject, plan, watching)
    run = partial(_run, subject, watching=watching)
    if not plan.repeat:
        return _run_training(run, plan)
    # The repeated training must be the same, whatever ran in between, and even if that failed.
    once = replace(plan, fault=None)
    first = _run_training(run, once)
    between = _run_training(run, plan) if plan.fault is not None else []
    return [*first, *between, *_run_training(run, once, first)]


def _run_training(run: Callable[..., list[Leg]], plan: Plan, firsts: Sequence[Leg] = ()) -> list[Leg]:
    """Run a training with all its resumes.

    Args:
        run: Runs one leg, or both legs of a training with `again`.
        plan: The plan.
        firsts: The legs of the first run of the same training.
    """
    legs: list[Leg] = []

    def go_on(leg_plan: Plan) -> Leg:
        legs.extend(
            run(
                leg_plan,
                previous=legs[-1] if legs else None,
                first=firsts[len(legs)] if len(legs) < len(firsts) else None,
            )
        )
        return legs[-1]

    saves = bool(plan.resumes) or plan.saves_at_the_end
    with tempfile.TemporaryDirectory(prefix="runtimeinfo-") if saves else nullcontext("") as folder:
        for number, moment in enumerate(plan.resumes):
            checkpoint = Path(folder) / f"checkpoint{number}"
            if not _has_stopped(go_on(_to_save(plan, moment, checkpoint)), plan.iteration_of(*moment)):
                return legs
            plan = replace(
                plan,
                experiment_name=None if plan.experiment_name is None else f"{plan.experiment_name}-resumed",
                seed=None if plan.seed is None else plan.seed + 1,
                start_epoch=moment[0],
                start_batch=moment[1],
                resume_from=checkpoint,
            )
        last = Path(folder) / "checkpoint" if plan.saves_at_the_end else None
        in_epochs = last is not None and any(batch for _, batch in plan.resumes)
        go_on(
            replace(
                plan,
                checkpoint=last,
                checkpoint_iterations=in_epochs,
                resume_after=None,
                resume_batch=0,
                later_resumes=(),
            )
        )
    return legs


_SAVED_SEED = 7


def _to_save(plan: Plan, moment: tuple[int, int], checkpoint: Path) -> Plan:
    """Return the plan of a leg that ends with its save. It has a name and a seed for the checkpoint."""
    batch, done = moment[1], plan.iteration_of(*moment)
    return replace(
        plan,
        experiment_name=plan.saved_name,
        seed=_SAVED_SEED if plan.seed is None else plan.seed,
        checkpoint=checkpoint,
        checkpoint_epochs=batch < plan.batches or not batch,
        checkpoint_iterations=batch > 0,
        resume_after=None,
        resume_batch=0,
        later_resumes=(),
        fault=_interrupt(plan, moment) if plan.stopped_by == "interrupt" else None,
        stop_after=done if plan.stopped_by == "stop" else None,
        iterations=done if plan.stopped_by == "iterations" else plan.iterations,
        test_batches=None,
    )


def _interrupt(plan: Plan, moment: tuple[int, int]) -> Fault:
    """Return an interrupt at the start of the next iteration or epoch, so that all epochs can be requested."""
    epoch, batch = moment
    if 0 < batch < plan.batches:
        return Fault("before_train_iter", plan.iteration_of(epoch, batch) - plan.start_iteration, "interrupt")
    epoch += batch > 0  # all of them
    if epoch < plan.epochs:
        return Fault("before_train_epoch", epoch - plan.start_epoch, "interrupt")
    return Fault("after_train", 0, "interrupt")


def _has_stopped(first: Leg, done: int) -> bool:
    """Return whether a training stopped where it must be saved, instead of finishing its epoch."""
    iterations = first.plan.start_iteration + sum(record.event == "after_train_iter" for record in first.records)
    if first.plan.fault is not None:
        return first.planned is not None and first.raised is first.planned and iterations >= done
    return first.ended_well and iterations == done


def _run(
    subject: Subject, plan: Plan, *, watching: Watching, previous: Leg | None = None, first: Leg | None = None
) -> list[Leg]:
    recorder = Recorder(Leg(plan, previous=previous, first=first))
    with _quiet():
        _train(subject, recorder, watching)
    recorder.finish()
    return recorder.legs


def _train(subject: Subject, recorder: Recorder, watching: Watching = nullcontext) -> None:
    """Run a subject, and record the exception and the caller's answer afterwards."""
    before = run_here()
    _call(subject, recorder, watching)
    note_caller(recorder.leg, before)


def _call(subject: Subject, recorder: Recorder, watching: Watching = nullcontext) -> None:
    plan = recorder.leg.plan
    with _noting(recorder), watching(), _recording_fault(recorder), hearing(plan.run_name, recorder):
        subject.run(plan.for_subject, _hooks(recorder))


def _hooks(recorder: Recorder) -> list[Any]:
    """Return the hooks for a run. The positions of the probes among them depend on the plan."""
    order = recorder.leg.plan.hook_order
    hooks: list[Any] = []
    for index in _ORDERS[order % len(_ORDERS)]:
        name, priority = PROBES[index]
        probe = Probe(name, recorder.sightings, recorder.note_first if index == 0 else None)
        hooks.append(make_hook(probe.note, priority))
    hooks.insert(order % (len(hooks) + 1), make_hook(recorder.note, "LOWEST"))
    hooks.insert(order // 2 % (len(hooks) + 1), RuntimeInfoHook())
    hooks.append(make_hook(StageRecorder(recorder).note, "HIGHEST"))
    return hooks


@contextmanager
def _quiet() -> Generator[None]:
    with warnings.catch_warnings():
        for category in _EXPECTED_WARNINGS:
            warnings.simplefilter("ignore", category)
        # From the adapter for PyTorch, because some plans resume a training that is already complete.
        warnings.filterwarnings("ignore", message="the training is complete")
        yield


@contextmanager
def _noting(recorder: Recorder) -> Generator[None]:
    """Record the exception that leaves the context."""
    try:
        yield
    except BaseException as error:  # any exception is the outcome of the run
        recorder.leg.raised = error
        if isinstance(error, KeyboardInterrupt) and error is not recorder.leg.planned:
            raise  # the user's


@contextmanager
def _recording_fault(recorder: Recorder) -> Generator[None]:
    """Record the plan's fault, and hide it from the context that watches the subject for its own SystemExit."""
    try:
        yield
    except BaseException as error:
        if not recorder.leg.is_planned(error):
            raise
        recorder.leg.raised = error


# -- with other runs in the process


def _in_company(subject: Subject, plan: Plan, watching: Watching) -> list[Leg]:
    other = Leg(replace(plan, experiment_name=f"{plan.run_name}-other", seed=(plan.seed or 0) + 1))
    with _quiet():
        if plan.company == "beside":
            recorders = _beside(subject, Leg(plan), other, watching)
        elif plan.company == "nested":
            recorders = _nested(subject, Leg(plan), other, watching)
        elif plan.company == "in_turn":
            recorders = _in_turn(subject, Leg(plan), other, watching)
        else:
            recorders = _among_strangers(subject, Leg(plan), watching)
    for recorder in recorders:
        recorder.finish()
    return [leg for recorder in recorders for leg in recorder.legs]


def _among_strangers(subject: Subject, leg: Leg, watching: Watching) -> list[Recorder]:
    if leg.plan.company == "around":
        recorder = Recorder(leg, InsideAnother())
        with use_hub(Stranger("around")):
            _train(subject, recorder, watching)
        return [recorder]
    strangers = Strangers(_METHODS.get(leg.plan.company or ""))
    recorder = Recorder(leg, strangers)
    try:
        _train(subject, recorder, watching)
        strangers.after_run(leg)
    finally:
        strangers.end()
    return [recorder]


_METHODS = {"forked": "fork", "spawned": "spawn", "served": "forkserver"}


def _beside(subject: Subject, leg: Leg, other: Leg, watching: Watching) -> list[Recorder]:
    meeting = Beside()
    here, there = Recorder(leg, meeting), Recorder(other, meeting)

    def train(recorder: Recorder) -> None:
        before = run_here()
        meeting.wait()  # while only the other training is open, this thread finds it
        try:
            _call(subject, recorder)
        finally:
            meeting.leave()
        note_caller(recorder.leg, before)

    with watching():
        thread = threading.Thread(target=contextvars.Context().run, args=(train, there), daemon=True)
        thread.start()
        train(here)
        thread.join()
    return [here, there]


def _nested(subject: Subject, leg: Leg, other: Leg, watching: Watching) -> list[Recorder]:
    inside = Recorder(other, InsideAnother())
    outside = Recorder(leg, Nested(lambda: _train(subject, inside)))
    _train(subject, outside, watching)
    return [outside, *([inside] if other.answers else [])]  # not set if the first training did not get that far


def _in_turn(subject: Subject, leg: Leg, other: Leg, watching: Watching) -> list[Recorder]:
    recorders = [Recorder(leg), Recorder(other)]
    before = run_here()
    with watching(), hearing(leg.plan.run_name, recorders[0]), hearing(other.plan.run_name, recorders[1]):
        waiting: list[tuple[Recorder, Iterator[object]]] = []
        for recorder in recorders:
            with _noting(recorder), _recording_fault(recorder):
                made: Any = subject.run(recorder.leg.plan.for_subject, _hooks(recorder))
                waiting.append((recorder, iter(made)))  # which fails if the whole training has been done
        while waiting:
            waiting = [(recorder, steps) for recorder, steps in waiting if _is_continued(recorder, steps)]
            if len(waiting) > 1:
                for each in (leg, other):
                    each.answers.append(Answer(None, Situation.BETWEEN_STEPS, "", before, run_here()))
    for each in (leg, other):
        note_caller(each, before)
    return recorders


def _is_continued(recorder: Recorder, steps: Iterator[object]) -> bool:
    with _noting(recorder), _recording_fault(recorder):
        return next(steps, steps) is not steps
    return False
