"""RESUME: the state of a resumed training."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral

from runtimeinfo_conformance.judges._judge import Case, Finding, judge
from runtimeinfo_conformance.judges._same import is_same
from runtimeinfo_conformance.judges.life import find_batch
from runtimeinfo_conformance.observation import Record


@judge("RESUME-01")
def counters(case: Case) -> Iterator[Finding]:
    """Check that the counters continue."""
    if case.leg.previous is not None:
        expected = {"epoch": case.leg.start_epoch, "iter": case.plan.start_iteration}
        for at, record in _begin(case):
            yield Finding(at, expected, {"epoch": record.epoch, "iter": record.iter})


@judge("RESUME-02")
def histories(case: Case) -> Iterator[Finding]:
    """Check that the histories continue."""
    previous = case.leg.previous
    if previous is None or not previous.records:
        return
    # An iteration that was interrupted at its start already has a learning rate, which is not saved.
    end = len(previous.records) if previous.fault_at is None else previous.fault_at
    completed = [at for at in range(end) if previous.records[at].event == "after_train_iter"]
    # A validation in or after the last iteration may run before or after the training is saved.
    begun = [at for at in range((completed or [0])[-1]) if previous.records[at].event == "before_train_iter"]
    snapshots = [record.scalars for record in previous.records[(begun or [0])[-1] : end]]
    keys = dict.fromkeys(key for held in snapshots for key in held if key.startswith(("train/", "val/")))
    for at, record in _begin(case):
        for key in keys:
            found = record.scalars.get(key, ())
            saved = [snapshots[-1].get(key, ())] if key.startswith("train/") else [h.get(key, ()) for h in snapshots]
            if case.plan.val_before and key.startswith("val/"):  # it may have validated before this event
                found = found[
                    : max((len(values) for values in saved if is_same(values, found[: len(values)])), default=None)
                ]
            expected = next((values for values in saved if is_same(values, found)), saved[-1])
            yield Finding(at, {key: list(expected)}, {key: list(found)})


def _begin(case: Case) -> Iterator[tuple[int, Record]]:
    """Iterate over the first before_train, if any. A run may have several trainings."""
    for at, record, _ in case.each("before_train"):
        yield at, record
        return


@judge("RESUME-03")
def next_batch(case: Case) -> Iterator[Finding]:
    """Check that the epoch continues after its last completed batch, and has all remaining batches."""
    plan = case.plan
    if case.leg.previous is None or not plan.start_batch:
        return
    is_known = case.leg.ended_well and plan.stop_after is None  # otherwise LIFE-12 covers it
    iterations = [(at, record) for at, record, _ in case.each("before_train_iter")]
    place = plan.start_batch
    for at, record, _ in case.each("before_train_epoch", "before_train_iter", "after_train_iter"):
        if record.event == "before_train_epoch" and place > plan.start_batch:
            break  # LIFE-09 covers the epochs after this one
        batch = find_batch(record.arguments.get("data_batch"))
        if batch is not None:
            yield Finding(at, {"batch": place % plan.batches}, {"batch": batch.index})
        place += record.event == "after_train_iter"
    if is_known and case.leg.start_epoch > plan.start_epoch:
        total = plan.max_iters - plan.start_iteration
        yield Finding(None, {"batches in all": total}, {"batches in all": len(iterations)})
    elif is_known:
        end = next((at for at, _, _ in case.each("after_train_epoch")), len(case.records))
        left = sum(at < end for at, _ in iterations)
        total = plan.max_iters - plan.start_iteration
        wanted = min(plan.batches - plan.start_batch, total)
        yield Finding(end, {"batches left": wanted}, {"batches left": left})
        yield Finding(None, {"batches in all": total}, {"batches in all": len(iterations)})


@judge("RESUME-04")
def batch_index_goes_on(case: Case) -> Iterator[Finding]:
    """Check that the batches are numbered as in an uninterrupted epoch."""
    previous, plan = case.leg.previous, case.plan
    if previous is None or not 0 < plan.start_batch < plan.batches:
        return
    # The number of the epoch's first batch. Some frameworks count from 1, or number the batches across epochs.
    firsts = [
        record.arguments.get("batch_idx")
        for record, model in zip(previous.records, previous.expectations(), strict=True)
        if record.event == "before_train_iter" and model.iter == plan.iteration_of(plan.start_epoch)
    ]
    for at, record, _ in list(case.each("before_train_iter"))[:1]:
        if firsts and isinstance(firsts[0], Integral):
            index = int(firsts[0]) + plan.start_batch
            yield Finding(at, {"batch_idx": index}, {"batch_idx": record.arguments.get("batch_idx")})
