"""ORDER: the order of hooks."""

from __future__ import annotations

from collections.abc import Iterator

from runtimeinfo_conformance.judges._judge import Case, Finding, judge
from runtimeinfo_conformance.observation import PROBES


@judge("ORDER-01")
def by_priority(case: Case) -> Iterator[Finding]:
    """By priority, then as given."""
    expected = [name for name, _ in PROBES]
    for at, record, _ in case.each("before_train_epoch", "before_train_iter"):
        if not record.is_cut:  # a hook has raised before the others were called
            yield Finding(at, expected, [sighting.probe for sighting in record.seen])


@judge("ORDER-02")
def information_first(case: Case) -> Iterator[Finding]:
    """A later hook finds the information there."""
    for at, record, _ in case.each("before_train_epoch", "before_train_iter"):
        for sighting in record.seen:
            yield Finding(at, {sighting.probe: sighting.runner}, {sighting.probe: sighting.hub})
