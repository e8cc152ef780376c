"""SCOPE: the run that current_hub() answers for."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from runtimeinfo_conformance.judges._judge import Case, Finding, judge
from runtimeinfo_conformance.judges.count import counters_in_iterations
from runtimeinfo_conformance.judges.life import answers_of_the_run
from runtimeinfo_conformance.observation import Situation

_NO_RUN = "no run"

_RUN, _OTHER, _NONE = "run", "other", "none"

_WANTED = MappingProxyType(
    {
        Situation.TRAINING: _RUN,
        Situation.COPY: _RUN,
        Situation.BETWEEN_STEPS: _OTHER,
        Situation.COPY_LEFT: _NONE,
        Situation.COPY_CALLED: _OTHER,
        Situation.THREAD_OF_ONE: _RUN,
        Situation.THREAD_OF_SEVERAL: _NONE,
        Situation.WITNESS: _NONE,
        Situation.WORKER: _RUN,
        Situation.WORKER_LEFT: _NONE,
        Situation.KEPT: _RUN,
        Situation.KEPT_IN_LATER: _OTHER,
        Situation.KEPT_AFTER: _NONE,
        Situation.CALLER: _OTHER,
    }
)
"""The run that must answer in each situation: the observed run, the other run, or none."""


@judge("SCOPE-01")
def with_other_runs_open(case: Case) -> Iterator[Finding]:
    """Check that code finds its own run's hub while other runs are open."""
    if case.plan.company in {"around", "beside", "nested"}:
        yield from answers_of_the_run(case)
        yield from counters_in_iterations(case)
    yield from _in_situations(case, Situation.TRAINING, Situation.COPY)


@judge("SCOPE-02")
def stepped_in_turn(case: Case) -> Iterator[Finding]:
    """Check that code finds its own run's hub while trainings are stepped in turn."""
    if case.plan.company == "in_turn":
        yield from answers_of_the_run(case)
        yield from counters_in_iterations(case)
    yield from _in_situations(case, Situation.BETWEEN_STEPS)


@judge("SCOPE-03")
def outlived(case: Case) -> Iterator[Finding]:
    """Check that a context that outlives its run finds none, or the calling run."""
    yield from _in_situations(case, Situation.COPY_LEFT, Situation.COPY_CALLED)


@judge("SCOPE-04")
def without_a_context(case: Case) -> Iterator[Finding]:
    """Check that a thread without a context finds the only run that it can be part of."""
    yield from _in_situations(case, Situation.THREAD_OF_ONE, Situation.THREAD_OF_SEVERAL, Situation.WITNESS)


@judge("SCOPE-05")
def workers(case: Case) -> Iterator[Finding]:
    """Check that a worker finds the run that started it, while that run is open."""
    yield from _in_situations(case, Situation.WORKER, Situation.WORKER_LEFT)


@judge("SCOPE-06")
def kept(case: Case) -> Iterator[Finding]:
    """Check that a kept reader follows the run in which it is used."""
    yield from _in_situations(case, Situation.KEPT, Situation.KEPT_IN_LATER, Situation.KEPT_AFTER)


@judge("SCOPE-07")
def caller(case: Case) -> Iterator[Finding]:
    """Check that the caller of a run gets the same answer after it as before it."""
    yield from _in_situations(case, Situation.CALLER)


def _in_situations(case: Case, *situations: Situation) -> Iterator[Finding]:
    for answer in case.leg.answers:
        if answer.situation in situations:
            wanted = {_RUN: answer.run, _OTHER: answer.other, _NONE: _NO_RUN}[_WANTED[answer.situation]]
            # Code cannot be told values that the hub lacks. META covers those.
            if not (_WANTED[answer.situation] == _RUN and wanted == _NO_RUN):
                where = answer.situation.value
                yield Finding(answer.at, {where: wanted}, {where: answer.found})
