"""LIFE: the order and the number of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from runtimeinfo import FREE_EVENTS, GRAMMAR
from runtimeinfo_conformance._plan import Batch
from runtimeinfo_conformance.judges._judge import Case, Finding, judge


@judge("LIFE-01")
def grammar(case: Case) -> Iterator[Finding]:
    """Every event has its place."""
    for at, _, model in case.each():
        # After on_exception it is FAIL-03's.
        if not (at and case.expectations[at - 1].aborting):
            yield Finding(at, "legal", "legal" if model.objection is None else f"illegal: {model.objection}")


@judge("LIFE-02")
def frame(case: Case) -> Iterator[Finding]:
    """Everything lies between before_run and after_run."""
    events = [record.event for record in case.records if record.event not in FREE_EVENTS]
    if events:
        yield Finding(0, "before_run", events[0])
        yield Finding(len(case.records) - 1, "after_run", events[-1])


@judge("LIFE-03")
def training_batches(case: Case) -> Iterator[Finding]:
    """As many pairs of events as batches."""
    yield from _counts(case, "train_iter", (case.plan.max_epochs - case.plan.start_epoch) * case.plan.batches)


@judge("LIFE-04")
def training_epochs(case: Case) -> Iterator[Finding]:
    """As many pairs of events as epochs."""
    yield from _counts(case, "train_epoch", case.plan.max_epochs - case.plan.start_epoch)


@judge("LIFE-05")
def closed(case: Case) -> Iterator[Finding]:
    """Whatever opened has closed."""
    events = Counter(record.event for record in case.records)
    opened = [scope for scope in GRAMMAR if events[f"before_{scope}"]]
    if opened:
        left_open = [scope for scope in opened if events[f"after_{scope}"] < events[f"before_{scope}"]]
        yield Finding(
            None, "no scope left open", f"left open: {', '.join(left_open)}" if left_open else "no scope left open"
        )


@judge("LIFE-06")
def validation_batches(case: Case) -> Iterator[Finding]:
    """As many pairs of events as batches, in each validation."""
    if case.plan.val_batches is not None:
        validations = case.plan.max_epochs - case.plan.start_epoch
        yield from _counts(case, "val_iter", validations * case.plan.val_batches)


@judge("LIFE-07")
def test_batches(case: Case) -> Iterator[Finding]:
    """As many pairs of events as batches."""
    if case.plan.test_batches is not None:
        yield from _counts(case, "test_iter", case.plan.test_batches)


@judge("LIFE-08")
def batch_indices(case: Case) -> Iterator[Finding]:
    """The index of an iteration is the same at both ends, and grows by one."""
    last: int | None = None
    for at, record, _ in case.each("before_train_epoch", "before_train_iter", "after_train_iter"):
        if record.event == "before_train_epoch":
            last = None
            continue
        index = record.arguments.get("batch_idx")
        if record.event == "after_train_iter":
            opening = case.opening_of(at)
            if opening is not None:
                yield Finding(at, opening.arguments.get("batch_idx"), index)
            continue
        if last is not None:
            yield Finding(at, last + 1, index)
        last = index if isinstance(index, int) else None


@judge("LIFE-09")
def data_batch(case: Case) -> Iterator[Finding]:
    """The batch that comes along is the one of this iteration."""
    place = 0
    for at, record, _ in case.each("before_train_epoch", "before_train_iter", "after_train_iter"):
        if record.event == "before_train_epoch":
            place = 0
            continue
        batch = _find_batch(record.arguments.get("data_batch"))
        if batch is not None:
            yield Finding(at, ("train", place), (batch.stage, batch.index))
        place += record.event == "after_train_iter"


def _counts(case: Case, scope: str, expected: int) -> Iterator[Finding]:
    if case.leg.ended_well and expected:
        events = Counter(record.event for record in case.records)
        for event in (f"before_{scope}", f"after_{scope}"):
            yield Finding(None, f"{expected} times {event}", f"{events[event]} times {event}")


def _find_batch(data: Any) -> Batch | None:
    """Find the kit's batch in what a framework made of it."""
    if isinstance(data, Batch):
        return data
    if isinstance(data, list | tuple):
        items = cast("list[Any]", data)
        return _find_batch(items[0]) if len(items) == 1 else None
    return None
