"""ORDER: the order of hooks at each event."""

from __future__ import annotations

from collections.abc import Iterator

from runtimeinfo_conformance.judges._judge import Case, Finding, judge, ok
from runtimeinfo_conformance.observation import PROBES


@judge("ORDER-01")
def by_priority(case: Case) -> Iterator[Finding]:
    """Check that hooks run by priority, then in the given order."""
    expected = [name for name, _ in PROBES]
    for at, record, _ in case.each():
        if not record.is_cut:  # a hook has raised before the others were called
            yield Finding(at, expected, [sighting.probe for sighting in record.seen])


@judge("ORDER-02")
def information_first(case: Case) -> Iterator[Finding]:
    """Check that a later hook finds the counters and stage that remain in force once all hooks have run."""
    for at, record, _ in case.each():
        held = (record.info.get("epoch"), record.info.get("iter"), record.info.get("loop_stage"))
        for sighting in record.seen:
            found = (*sighting.hub, sighting.stage)
            yield ok(at) if found == held else Finding(at, {sighting.probe: held}, {sighting.probe: found})
            # COUNT-05 and COUNT-06 cover the agreement of hub and runner at the other events.
            if record.event in {"before_train_epoch", "before_train_iter"}:
                yield Finding(at, {sighting.probe: sighting.runner}, {sighting.probe: sighting.hub})
