"""Running a subject on a plan."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtimeinfo import RuntimeInfoHook, SkippedOutputWarning
from runtimeinfo_adapters import UnsavedInfoWarning
from runtimeinfo_conformance._observation import Leg, Probe, Recorder
from runtimeinfo_conformance._plan import Fault, Plan
from runtimeinfo_conformance._subject import Subject

# Plans hold outputs that are no scalars, and infos that cannot be saved.
_EXPECTED_WARNINGS = (SkippedOutputWarning, UnsavedInfoWarning)

_run_numbers = itertools.count()

# Name and priority of the probes; in this order they have to be called.
PROBES = (("first", "HIGH"), ("second", "NORMAL"), ("third", "NORMAL"), ("last", "VERY_LOW"))

_ORDERS = tuple(order for order in itertools.permutations(range(len(PROBES))) if order.index(1) < order.index(2))
"""Orders in which to give the probes; those of equal priority keep theirs."""

HOOK_ORDERS = len(_ORDERS)


def execute(subject: Subject, plan: Plan) -> list[Leg]:
    """Run a subject on a plan, and return what was observed: one leg, or two if the plan resumes.

    What the subject raises is noted, not raised. SystemExit is no exception to that.
    """
    plan = replace(plan, experiment_name=f"{plan.experiment_name}-{next(_run_numbers)}")
    if plan.resume_after is None:
        return [_run(subject, plan, None)]
    with tempfile.TemporaryDirectory(prefix="runtimeinfo-") as folder:
        checkpoint = Path(folder) / "checkpoint"
        # Interrupted as the next epoch begins: that training was asked for all its epochs, too.
        interrupt = Fault("before_train_epoch", plan.resume_after, "interrupt")
        to_save = replace(plan, checkpoint=checkpoint, resume_after=None, fault=interrupt, test_batches=None)
        first = _run(subject, to_save, None)
        if first.planned is None or first.raised is not first.planned:
            return [first]
        second = replace(
            plan,
            experiment_name=f"{plan.experiment_name}-resumed",
            seed=plan.seed + 1,
            start_epoch=plan.resume_after,
            resume_from=checkpoint,
            resume_after=None,
        )
        return [first, _run(subject, second, first)]


def _run(subject: Subject, plan: Plan, previous: Leg | None) -> Leg:
    leg = Leg(plan, previous=previous)
    recorder = Recorder(leg)
    probes = [Probe(name, priority, recorder.sightings) for name, priority in PROBES]
    given = [probes[index] for index in _ORDERS[plan.hook_order % len(_ORDERS)]]
    hooks: list[Any] = [*given[:2], recorder, RuntimeInfoHook(), *given[2:]]
    with warnings.catch_warnings():
        for category in _EXPECTED_WARNINGS:
            warnings.simplefilter("ignore", category)
        try:
            subject.run(plan, hooks)
        except BaseException as error:  # whatever it is, it is what the run did
            leg.raised = error
            if isinstance(error, KeyboardInterrupt) and error is not leg.planned:
                raise  # the user's own
    recorder.finish()
    return leg
