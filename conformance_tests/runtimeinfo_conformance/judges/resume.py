"""RESUME: what a resumed training begins with."""

from __future__ import annotations

from collections.abc import Iterator

from runtimeinfo_conformance.judges._judge import Case, Finding, judge
from runtimeinfo_conformance.judges.life import find_batch


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
    if previous is not None and previous.fault_at:
        # The iteration that was interrupted as it began has a learning rate already, which nobody has saved.
        last = previous.records[previous.fault_at - 1]
        saved = {key: values for key, values in last.scalars.items() if key.startswith("train/")}
        for at, record, _ in case.each("before_train"):
            for key, values in saved.items():
                yield Finding(at, {key: list(values)}, {key: list(record.scalars.get(key, ()))})


@judge("RESUME-03")
def next_batch(case: Case) -> Iterator[Finding]:
    """The epoch goes on with the batch after the last one, and has all of the others."""
    plan = case.plan
    if case.leg.previous is None or not plan.start_batch:
        return
    iterations = [(at, record) for at, record, _ in case.each("before_train_iter")]
    for at, record in iterations[:1]:
        batch = find_batch(record.arguments.get("data_batch"))
        if batch is not None:
            yield Finding(at, f"batch {plan.start_batch}", f"batch {batch.index}")
    if case.leg.ended_well:
        end = next((at for at, _, _ in case.each("after_train_epoch")), len(case.records))
        left = sum(at < end for at, _ in iterations)
        yield Finding(end, f"{plan.batches - plan.start_batch} batches left", f"{left} batches left")
        total = plan.max_iters - plan.start_iteration
        yield Finding(None, f"{total} batches in all", f"{len(iterations)} batches in all")
