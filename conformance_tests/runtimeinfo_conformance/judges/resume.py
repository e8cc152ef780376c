"""RESUME: what a resumed training begins with."""

from __future__ import annotations

from collections.abc import Iterator

from runtimeinfo_conformance.judges._judge import Case, Finding, judge


@judge("RESUME-01")
def counters(case: Case) -> Iterator[Finding]:
    """The counters go on."""
    if case.leg.previous is not None:
        expected = f"epoch {case.plan.start_epoch}, iter {case.plan.start_iteration}"
        for at, record, _ in case.each("before_train"):
            yield Finding(at, expected, f"epoch {record.epoch}, iter {record.iter}")


@judge("RESUME-02")
def histories(case: Case) -> Iterator[Finding]:
    """The histories go on."""
    previous = case.leg.previous
    if previous is not None and previous.records:
        saved = {key: values for key, values in previous.records[-1].scalars.items() if key.startswith("train/")}
        for at, record, _ in case.each("before_train"):
            for key, values in saved.items():
                yield Finding(at, {key: list(values)}, {key: list(record.scalars.get(key, ()))})
