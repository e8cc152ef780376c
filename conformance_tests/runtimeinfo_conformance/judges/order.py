"""ORDER: the order of hooks, at each event."""

from __future__ import annotations

from collections.abc import Iterator

from runtimeinfo.spec import FREE_EVENTS
from runtimeinfo_conformance.judges._judge import Case, Finding, judge
from runtimeinfo_conformance.observation import PROBES


@judge("ORDER-01")
def by_priority(case: Case) -> Iterator[Finding]:
    """Hooks run by priority, then as given."""
    expected = [name for name, _ in PROBES]
    for at, record, _ in case.each():
        if not record.is_cut:  # a hook has raised before the others were called
            yield Finding(at, expected, [sighting.probe for sighting in record.seen])


@judge("ORDER-02")
def information_first(case: Case) -> Iterator[Finding]:
    """A later hook finds the counters and the stage of the event."""
    has_begun = False
    for at, record, _ in case.each():
        has_begun = has_begun or record.event == "before_train"
        stage = record.info.get("loop_stage")
        for sighting in record.seen:
            if has_begun and record.event not in FREE_EVENTS:
                yield Finding(at, {sighting.probe: sighting.runner}, {sighting.probe: sighting.hub})
            # Whether it is the right one is STAGE's.
            yield Finding(at, {sighting.probe: stage}, {sighting.probe: sighting.stage})
