"""Systematic faults: each event lost, doubled or late, each counter off, each value stale."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from typing_extensions import get_protocol_members

from runtimeinfo.authoring import TrainState
from runtimeinfo.spec import EVENTS, FREE_EVENTS, HOOK_POINTS
from runtimeinfo_conformance.mutants._faults import (
    LeftoverCounters,
    LeftoverHistories,
    ShownRunner,
    double,
    drop,
    show,
    stale,
    swap,
)
from runtimeinfo_conformance.mutants._mutant import Call, Fault, MakeFault, Mutant
from runtimeinfo_conformance.plans import Plan

_COUNTERS = sorted(get_protocol_members(TrainState))

ANY = "any"
"""Placeholder for a requirement, because any judge can notice the fault."""

UNNOTICEABLE = MappingProxyType(
    {
        "max_epochs lags by one event": "it is the same at each event",
        "max_iters lags by one event": "it is the same at each event",
        "metrics of after_test_epoch repeats the previous value": "a run has only one test",
        "outputs of after_val_iter repeats the previous value": "the spec is silent on what a validation step returns",
        "outputs of after_test_iter repeats the previous value": "the spec is silent on what a test step returns",
    }
)
"""Faults that change nothing covered by the spec, each with the reason."""


def automatic_mutants() -> Iterator[Mutant]:
    """Yield a mutant for each event, counter and argument."""
    for event in EVENTS:
        if event not in FREE_EVENTS:
            yield Mutant(f"{event} is lost", ANY, drop(event))
            yield Mutant(f"{event} comes twice", ANY, double(event))
            yield Mutant(f"{event} changes places with the next event", ANY, swap(event))
    for counter in _COUNTERS:
        for by in (1, -1):
            yield Mutant(f"{counter} is off by {by:+}", ANY, show(_off_by(counter, by)))
        yield Mutant(f"{counter} lags by one event", ANY, _of_the_event_before(counter))
    for event in EVENTS:
        for argument in HOOK_POINTS[event]:
            if event not in FREE_EVENTS and argument != "exception":
                yield Mutant(f"{argument} of {event} repeats the previous value", ANY, stale(event, argument))
    yield Mutant("histories leak into the next run", ANY, LeftoverHistories())
    yield Mutant("counters leak into the next run", ANY, LeftoverCounters())


def _off_by(counter: str, by: int) -> Any:
    def change(_plan: Plan, runner: Any) -> dict[str, Any]:
        value = getattr(runner, counter)
        return {} if value is None else {counter: value + by}

    return change


def _of_the_event_before(counter: str) -> MakeFault:
    """Show the value of a counter at the previous event."""

    def make(_plan: Plan, _hook: object) -> Fault:
        last: dict[str, Any] = {}

        def fault(_event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            now = getattr(runner, counter)
            shown = ShownRunner(runner, **{counter: last.get(counter, now)})
            last[counter] = now
            return call(shown, given)

        return fault

    return make
