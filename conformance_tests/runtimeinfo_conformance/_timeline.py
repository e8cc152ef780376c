"""A run as lines of text, with the event in question marked."""

from __future__ import annotations

from collections.abc import Iterator

from runtimeinfo_conformance._text import fit, shown, shown_beside
from runtimeinfo_conformance._verdict import Failure
from runtimeinfo_conformance.observation import Leg, Record

_CONTEXT = 6  # events shown on either side of the marked one


def describe_failure(failure: Failure) -> list[str]:
    """Return the plan, what was expected and observed, and the run around it."""
    expected, observed = shown_beside(failure.finding.expected, failure.finding.observed)
    lines = [f"plan:     {failure.plan!r}", f"expected: {expected}", f"observed: {observed}"]
    if failure.leg is not None:
        lines += ["", *_timeline(failure.leg, failure.finding.at)]
    elif failure.finding.at is not None:
        lines.append(f"          after operation {failure.finding.at}")
    return lines


def _timeline(leg: Leg, at: int | None) -> Iterator[str]:
    records = leg.records
    first = 0 if at is None else max(at - _CONTEXT, 0)
    last = len(records) if at is None else min(at + _CONTEXT + 1, len(records))
    if at is None and len(records) > 4 * _CONTEXT:
        first = len(records) - 4 * _CONTEXT
    if first:
        yield f"     ... {first} events before"
    depth = 0
    for index in range(first, last):
        record = records[index]
        depth -= record.event.startswith("after_")
        yield f"{'  -> ' if index == at else '     '}{'  ' * max(depth, 0)}{_describe(record)}"
        depth += record.event.startswith("before_")
    if last < len(records):
        yield f"     ... {len(records) - last} events after"
    if leg.raised is not None:
        yield f"     raised {shown(leg.raised)}"


def _describe(record: Record) -> str:
    stage = _short(record.info.get("loop_stage"))
    runner = f"{_short(record.epoch)}/{_short(record.iter)}"
    hub = f"{_short(record.info.get('epoch'))}/{_short(record.info.get('iter'))}"
    return f"{record.event:<20} stage {stage:<6} epoch/iter: runner {runner}, hub {hub}"


def _short(value: object) -> str:
    """Return what is published in the place of a stage or a counter: it can be anything."""
    if value is None:
        return "-"
    return fit(value if isinstance(value, str) else shown(value), 40)
