"""ORDER: the order of hooks, at each event."""

from __future__ import annotations

from collections.abc import Iterator

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
    """A later hook finds the counters and the stage of the event, as they still are when all hooks have run."""
    for at, record, _ in case.each():
        held = {key: record.info.get(key) for key in ("epoch", "iter", "loop_stage")}
        for sighting in record.seen:
            epoch, iteration = sighting.hub
            found = {"epoch": epoch, "iter": iteration, "loop_stage": sighting.stage}
            yield Finding(at, {sighting.probe: held}, {sighting.probe: found})
            # Whether the hub holds what the runner says at the other events is COUNT-05's and COUNT-06's.
            if record.event in {"before_train_epoch", "before_train_iter"}:
                yield Finding(at, {sighting.probe: sighting.runner}, {sighting.probe: sighting.hub})
