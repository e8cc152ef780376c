"""RESUME: what a resumed training begins with."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral

from runtimeinfo_conformance.judges._judge import Case, Finding, judge
from runtimeinfo_conformance.judges.life import find_batch


@judge("RESUME-01")
def counters(case: Case) -> Iterator[Finding]:
    """The counters go on."""
    if case.leg.previous is not None:
        expected = {"epoch": case.leg.start_epoch, "iter": case.plan.start_iteration}
        for at, record, _ in case.each("before_train"):
            yield Finding(at, expected, {"epoch": record.epoch, "iter": record.iter})


@judge("RESUME-02")
def histories(case: Case) -> Iterator[Finding]:
    """The histories go on."""
    previous = case.leg.previous
    if previous is not None and previous.records:
        # The iteration that was interrupted as it began has a learning rate already, which nobody has saved.
        last = previous.records[(previous.fault_at or 0) - 1]
        saved = {key: values for key, values in last.scalars.items() if key.startswith("train/")}
        for at, record, _ in case.each("before_train"):
            for key, values in saved.items():
                yield Finding(at, {key: list(values)}, {key: list(record.scalars.get(key, ()))})


@judge("RESUME-03")
def next_batch(case: Case) -> Iterator[Finding]:
    """The epoch goes on with the batch after the last one, and has all of the others that the training is to have."""
    plan = case.plan
    if case.leg.previous is None or not plan.start_batch:
        return
    iterations = [(at, record) for at, record, _ in case.each("before_train_iter")]
    for at, record in iterations[:1]:
        batch = find_batch(record.arguments.get("data_batch"))
        if batch is not None:
            yield Finding(at, {"batch": plan.start_batch % plan.batches}, {"batch": batch.index})
    if case.leg.ended_well and case.leg.start_epoch > plan.start_epoch:
        total = plan.max_iters - plan.start_iteration
        yield Finding(None, {"batches in all": total}, {"batches in all": len(iterations)})
    elif case.leg.ended_well:
        end = next((at for at, _, _ in case.each("after_train_epoch")), len(case.records))
        left = sum(at < end for at, _ in iterations)
        total = plan.max_iters - plan.start_iteration
        wanted = min(plan.batches - plan.start_batch, total)
        yield Finding(end, {"batches left": wanted}, {"batches left": left})
        yield Finding(None, {"batches in all": total}, {"batches in all": len(iterations)})


@judge("RESUME-04")
def batch_index_goes_on(case: Case) -> Iterator[Finding]:
    """The batches of the epoch are numbered as if it had not been left."""
    previous, plan = case.leg.previous, case.plan
    if previous is None or not 0 < plan.start_batch < plan.batches:
        return
    first = next((record for record in previous.records if record.event == "before_train_iter"), None)
    for at, record, _ in list(case.each("before_train_iter"))[:1]:
        if first is not None and isinstance(first.arguments.get("batch_idx"), Integral):
            index = int(first.arguments["batch_idx"]) + plan.start_batch  # some count from 1
            yield Finding(at, {"batch_idx": index}, {"batch_idx": record.arguments.get("batch_idx")})
