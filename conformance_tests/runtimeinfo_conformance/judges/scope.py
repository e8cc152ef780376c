"""SCOPE: whose run answers."""

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
"""Which run answers in a situation: the one that is observed, the other one that there is, or none."""


@judge("SCOPE-01")
def whatever_is_open(case: Case) -> Iterator[Finding]:
    """Where other runs are open, the code of each is told what its own hub holds."""
    if case.plan.company in {"around", "beside", "nested"}:
        yield from answers_of_the_run(case)
        yield from counters_in_iterations(case)
    yield from _in_situations(case, Situation.TRAINING, Situation.COPY)


@judge("SCOPE-02")
def stepped_in_turn(case: Case) -> Iterator[Finding]:
    """Where trainings are stepped in turn, the code of each step is told what its own hub holds."""
    if case.plan.company == "in_turn":
        yield from answers_of_the_run(case)
        yield from counters_in_iterations(case)
    yield from _in_situations(case, Situation.BETWEEN_STEPS)


@judge("SCOPE-03")
def outlived(case: Case) -> Iterator[Finding]:
    """A context that outlives its run is told of none, or of the run that calls."""
    yield from _in_situations(case, Situation.COPY_LEFT, Situation.COPY_CALLED)


@judge("SCOPE-04")
def without_a_context(case: Case) -> Iterator[Finding]:
    """A thread without a context is told of the only run that it can be part of."""
    yield from _in_situations(case, Situation.THREAD_OF_ONE, Situation.THREAD_OF_SEVERAL, Situation.WITNESS)


@judge("SCOPE-05")
def workers(case: Case) -> Iterator[Finding]:
    """A worker is told of the run that has started it, as long as that is open."""
    yield from _in_situations(case, Situation.WORKER, Situation.WORKER_LEFT)


@judge("SCOPE-06")
def kept(case: Case) -> Iterator[Finding]:
    """What was kept tells of the run in which it is used."""
    yield from _in_situations(case, Situation.KEPT, Situation.KEPT_IN_LATER, Situation.KEPT_AFTER)


@judge("SCOPE-07")
def caller(case: Case) -> Iterator[Finding]:
    """Where a run was called, the answer after it is the one before it."""
    yield from _in_situations(case, Situation.CALLER)


def _in_situations(case: Case, *situations: Situation) -> Iterator[Finding]:
    for answer in case.leg.answers:
        if answer.situation in situations:
            wanted = {_RUN: answer.run, _OTHER: answer.other, _NONE: _NO_RUN}[_WANTED[answer.situation]]
            # What the hub does not hold, no code can be told: that is META's.
            if not (_WANTED[answer.situation] == _RUN and wanted == _NO_RUN):
                where = answer.situation.value
                yield Finding(answer.at, {where: wanted}, {where: answer.found})
