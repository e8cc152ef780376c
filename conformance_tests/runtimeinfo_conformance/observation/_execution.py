"""Running a subject on a plan."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from runtimeinfo import RuntimeInfoHook, SkippedOutputWarning
from runtimeinfo_adapters import UnsavedInfoWarning
from runtimeinfo_conformance._subject import Subject
from runtimeinfo_conformance.observation._observation import Leg
from runtimeinfo_conformance.observation._recorder import Probe, Recorder
from runtimeinfo_conformance.plans import Fault, Plan, hearing

# Plans hold outputs that are no scalars, and infos that cannot be saved.
_EXPECTED_WARNINGS = (SkippedOutputWarning, UnsavedInfoWarning)

Watching = Callable[[], AbstractContextManager[object]]
"""Makes the context in which a subject runs."""

_run_numbers = itertools.count()

# Name and priority of the probes; in this order they have to be called.
PROBES = (("first", "HIGH"), ("second", "NORMAL"), ("third", "NORMAL"), ("last", "VERY_LOW"))

_ORDERS = tuple(order for order in itertools.permutations(range(len(PROBES))) if order.index(1) < order.index(2))
"""Orders in which to give the probes; those of equal priority keep theirs."""

HOOK_ORDERS = len(_ORDERS)


def execute(subject: Subject, plan: Plan, watching: Watching = nullcontext) -> list[Leg]:
    """Run a subject on a plan, and return what was observed: a leg for each training.

    What the subject raises is noted, not raised. SystemExit is no exception to that.

    Args:
        subject: The subject.
        plan: The plan.
        watching: Makes a context for each call.
    """
    plan = replace(plan, experiment_name=f"{plan.experiment_name}-{next(_run_numbers)}")
    if plan.again:
        return _run(subject, plan, watching=watching)
    run = partial(_run_once, subject, watching=watching)
    if plan.resume_after is not None:
        return _resumed(run, plan)
    if not plan.repeat:
        return [run(plan)]
    # Whatever it did in between, and also if that failed, the same training has to come out the same.
    first = run(replace(plan, fault=None))
    between = [run(plan)] if plan.fault is not None else []
    return [first, *between, run(replace(plan, fault=None), first=first)]


def _resumed(run: Callable[..., Leg], plan: Plan) -> list[Leg]:
    epoch, batch = plan.resume_after or 0, plan.resume_batch
    done = epoch * plan.batches + batch
    with tempfile.TemporaryDirectory(prefix="runtimeinfo-") as folder:
        checkpoint = Path(folder) / "checkpoint"
        to_save = replace(
            plan,
            checkpoint=checkpoint,
            checkpoint_epochs=batch < plan.batches or not batch,
            checkpoint_iterations=batch > 0 or plan.stopped_by != "interrupt",
            resume_after=None,
            resume_batch=0,
            fault=_interrupt(plan) if plan.stopped_by == "interrupt" else None,
            stop_after=done if plan.stopped_by == "stop" else plan.stop_after,
            iterations=done if plan.stopped_by == "iterations" else plan.iterations,
            test_batches=None,
        )
        first = run(to_save)
        if not _has_stopped(first, done):
            return [first]
        second = replace(
            plan,
            experiment_name=f"{plan.experiment_name}-resumed",
            seed=plan.seed + 1,
            start_epoch=epoch,
            start_batch=batch,
            resume_from=checkpoint,
            resume_after=None,
            resume_batch=0,
        )
        return [first, run(second, previous=first)]


def _interrupt(plan: Plan) -> Fault:
    """Return an interrupt as the next iteration or epoch begins: that training was asked for all its epochs, too."""
    epoch, batch = plan.resume_after or 0, plan.resume_batch
    if 0 < batch < plan.batches:
        return Fault("before_train_iter", epoch * plan.batches + batch, "interrupt")
    epoch += batch > 0  # all of them
    if epoch < plan.epochs:
        return Fault("before_train_epoch", epoch, "interrupt")
    return Fault("after_train", 0, "interrupt")


def _has_stopped(first: Leg, done: int) -> bool:
    """Tell whether a training was stopped where it was to be saved, and has not gone on to the end of its epoch."""
    iterations = sum(record.event == "after_train_iter" for record in first.records)
    if first.plan.fault is not None:
        return first.planned is not None and first.raised is first.planned and iterations >= done
    return first.ended_well and iterations == done


def _run_once(subject: Subject, plan: Plan, **given: Any) -> Leg:
    (leg,) = _run(subject, plan, **given)
    return leg


def _run(
    subject: Subject, plan: Plan, *, watching: Watching, previous: Leg | None = None, first: Leg | None = None
) -> list[Leg]:
    leg = Leg(plan, previous=previous, first=first)
    recorder = Recorder(leg)
    probes = [Probe(name, priority, recorder.sightings) for name, priority in PROBES]
    given = [probes[index] for index in _ORDERS[plan.hook_order % len(_ORDERS)]]
    hooks: list[Any] = [*given[:2], recorder, RuntimeInfoHook(), *given[2:]]
    with warnings.catch_warnings():
        for category in _EXPECTED_WARNINGS:
            warnings.simplefilter("ignore", category)
        try:
            with watching(), hearing(recorder):
                subject.run(plan, hooks)
        except BaseException as error:  # whatever it is, it is what the run did
            recorder.leg.raised = error
            if isinstance(error, KeyboardInterrupt) and error is not recorder.leg.planned:
                raise  # the user's own
    recorder.finish()
    return recorder.legs
