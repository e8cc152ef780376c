"""LIFE: the order and number of events."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, cast

from runtimeinfo.spec import ABORT, CLOSES, FREE_EVENTS, GRAMMAR
from runtimeinfo_conformance.judges._judge import Case, Finding, broken, judge, ok
from runtimeinfo_conformance.judges._same import differing
from runtimeinfo_conformance.observation import Expectation, Record
from runtimeinfo_conformance.plans import Batch


@judge("LIFE-01")
def grammar(case: Case) -> Iterator[Finding]:
    """Check that every event is legal at its place."""
    for at, record, model in case.each():
        after_exception = bool(at) and case.expectations[at - 1].aborting
        if not (after_exception or _is_outside(record, model) or _leaves_open(record, model)):
            yield ok(at) if model.objection is None else broken(at, "legal", f"illegal: {model.objection}")


def _is_outside(record: Record, model: Expectation) -> bool:
    """Return whether an event comes with no scope open. LIFE-02 covers that."""
    return not model.outside and record.event not in FREE_EVENTS


def _leaves_open(record: Record, model: Expectation) -> bool:
    """Return whether an event closes a scope around an open one. LIFE-05 covers that."""
    return CLOSES.get(record.event) in model.outside[:-1]


@judge("LIFE-02")
def frame(case: Case) -> Iterator[Finding]:
    """Check that all events lie between before_run and after_run."""
    if case.was_refused:
        return
    for at, record, model in case.each():
        if _is_outside(record, model):
            yield Finding(at, "before_run", record.event)
    events = [(at, record.event) for at, record in enumerate(case.records) if record.event not in FREE_EVENTS]
    for at, event in events[-1:]:
        yield Finding(at, "after_run", event)


@judge("LIFE-03")
def training_batches(case: Case) -> Iterator[Finding]:
    """Check for a pair of events for each batch of each epoch, and a batch read for each pair."""
    # LIFE-12 covers trainings stopped early, and RESUME-03 those resumed in mid-epoch.
    if case.plan.stop_after is None and not case.plan.start_batch:
        yield from _counts(case, "train_iter", case.plan.max_iters - case.plan.start_iteration)
    for at, model, counted in _closed(case, "train_epoch", "train_iter"):
        batches = _batches_of_epoch(case, model)
        if batches is not None:
            yield Finding(at, dict.fromkeys(counted, batches), counted)
    yield from _read(case, "train")


def _batches_of_epoch(case: Case, model: Expectation) -> int | None:
    """Return the number of batches of the closing epoch, or None if this requirement does not define it."""
    plan = case.plan
    if (plan.start_batch and model.epoch == plan.start_epoch) or model.epoch >= plan.epochs:
        return None
    if plan.stop_after is not None and model.iter >= plan.stop_after:
        return None
    if plan.iterations is not None:
        # A framework that is asked for iterations may treat the whole training as one epoch.
        is_one = _times(case, "before_train_epoch") == 1
        return None if is_one else min(plan.batches, plan.iterations - plan.iteration_of(model.epoch))
    return plan.length_of(model.epoch)


@judge("LIFE-04")
def training_epochs(case: Case) -> Iterator[Finding]:
    """Check that there are as many pairs of events as epochs."""
    if case.plan.stop_after is not None:
        return
    plan = case.plan
    if plan.is_resumed_at_end_of_epoch and plan.start_iteration == plan.max_iters:
        return  # no work remains, and a framework need not start
    epochs = plan.epochs - case.leg.start_epoch
    if plan.iterations is not None and _times(case, "before_train_epoch") == 1:
        epochs = 1  # a framework that is asked for iterations may treat the whole training as one epoch
    yield from _counts(case, "train_epoch", epochs)


@judge("LIFE-05")
def closed(case: Case) -> Iterator[Finding]:
    """Check that every scope that was opened is closed."""
    events = Counter(record.event for record in case.records)
    for scope in GRAMMAR:
        opened, closed = events[f"before_{scope}"], events[f"after_{scope}"]
        if opened > closed:
            yield broken(None, "no scope left open", f"left open: {scope}")
        elif opened:
            yield ok(None)


@judge("LIFE-06")
def validation_batches(case: Case) -> Iterator[Finding]:
    """Check for a pair of events for each batch of each validation, and a batch read for each pair."""
    plan = case.plan
    batches = 0 if plan.val_batches is None else sum(map(plan.val_length, range(plan.val_loaders)))
    # Frameworks differ in an epoch that is cut short, or that was saved with all its batches done.
    if plan.stop_after is None and plan.iterations is None and not plan.is_resumed_at_end_of_epoch:
        yield from _counts(case, "val_iter", plan.validations * batches)
    for at, _, counted in _closed(case, "val", "val_iter"):
        yield Finding(at, dict.fromkeys(counted, batches), counted)
    yield from _read(case, "val")


@judge("LIFE-07")
def test_batches(case: Case) -> Iterator[Finding]:
    """Check for a pair of events for each batch of a test, and a batch read for each pair."""
    batches = case.plan.test_batches or 0
    yield from _counts(case, "test_iter", batches)
    for at, _, counted in _closed(case, "test", "test_iter"):
        yield Finding(at, dict.fromkeys(counted, batches), counted)
    yield from _read(case, "test")


def _closed(case: Case, scope: str, inner: str) -> Iterator[tuple[int, Expectation, dict[str, int]]]:
    """Iterate over the normal closes of a scope, each with the counts of the events of an inner scope."""
    events = (f"before_{inner}", f"after_{inner}")
    counted = dict.fromkeys(events, 0)
    for at, record, model in case.each(f"before_{scope}", *events, f"after_{scope}"):
        if record.event in counted:
            counted[record.event] += 1
        elif record.event == f"before_{scope}":
            counted = dict.fromkeys(events, 0)
        elif not model.aborting:
            yield at, model, counted


def _read(case: Case, stage: str) -> Iterator[Finding]:
    """Check that at least as many items of the plan's data were read as iterations completed.

    Items may be read ahead. Of those read in workers, only the number is known.
    """
    read_at = sorted(read.at for read in case.leg.reads if read.item.stage == stage)
    read_otherwise = case.leg.read_elsewhere.get(stage, 0)
    if case.plan.again and case.leg.first is not None:
        first = case.leg.first
        iterations = sum(record.event == f"after_{stage}_iter" for record in first.records)
        read_otherwise += max(sum(read.item.stage == stage for read in first.reads) - iterations, 0)
    made = 0
    for at, _, model in case.each(f"after_{stage}_iter"):
        if not model.aborting:
            made += 1
            read = bisect_left(read_at, at) + read_otherwise
            yield ok(at) if read >= made else broken(at, {"items read": made}, {"items read": read})


@judge("LIFE-08")
def batch_indices(case: Case) -> Iterator[Finding]:
    """Check that the batch index is the same at both ends of an iteration, and grows by one."""
    for stage in ("train", "val", "test"):
        last: int | None = None
        for at, record, _ in case.each(f"before_{stage}_epoch", f"before_{stage}_iter", f"after_{stage}_iter"):
            if record.event == f"before_{stage}_epoch":
                last = None
                continue
            index = record.arguments.get("batch_idx")
            if record.event == f"after_{stage}_iter":
                opening = case.opening_of(at)
                if opening is not None:
                    yield Finding(at, opening.arguments.get("batch_idx"), index)
                continue
            if last is not None:
                yield Finding(at, last + 1, index)
            last = int(index) if isinstance(index, Integral) else None


@judge("LIFE-09")
def training_batch(case: Case) -> Iterator[Finding]:
    """Check that the event carries the batch of its iteration."""
    for at, expected, found in _batches(case, "train"):
        # RESUME-03 covers an epoch that continues after a resume.
        if not (case.plan.start_batch and case.expectations[at].epoch == case.plan.start_epoch):
            yield Finding(at, expected, found)


@judge("LIFE-14")
def evaluated_batch(case: Case) -> Iterator[Finding]:
    """Check that the event carries the batch of its iteration."""
    for stage in ("val", "test"):
        for at, expected, found in _batches(case, stage):
            yield Finding(at, expected, found)


def _batches(case: Case, stage: str) -> Iterator[tuple[int, tuple[str, int], tuple[str, int]]]:
    """Iterate over the events of a stage that carry a batch, with the expected and the observed batch."""
    place = 0
    for at, record, _ in case.each(f"before_{stage}_epoch", f"before_{stage}_iter", f"after_{stage}_iter"):
        if record.event == f"before_{stage}_epoch":
            place = 0
            continue
        batch = find_batch(record.arguments.get("data_batch"))
        if batch is not None:
            yield at, (stage, place), (batch.stage, batch.index)
        place += record.event == f"after_{stage}_iter"
        if stage == "train" and case.plan.iterations is not None:
            place %= case.plan.batches  # the whole training may be one epoch


@judge("LIFE-10")
def as_if_the_first(case: Case) -> Iterator[Finding]:
    """Check that the second run is like the first."""
    first = case.leg.first
    if first is None or not first.ended_well:
        return
    fault_at = case.leg.fault_at  # from there on it differs from the first
    same = case.records if fault_at is None else case.records[:fault_at]
    for at, (then, now) in enumerate(zip(first.records, same, strict=False)):
        yield Finding(at, _observations(then), _observations(now))
    if fault_at is None:
        yield Finding(None, {"events": len(first.records)}, {"events": len(case.records)})


@judge("LIFE-11")
def loaders(case: Case) -> Iterator[Finding]:
    """Check that each loader has an epoch with the loader's number of batches."""
    if case.plan.val_loaders == 1 or case.plan.val_batches is None:
        return
    expected = [case.plan.val_length(loader) for loader in range(case.plan.val_loaders)]
    found: list[int] = []
    for at, record, model in case.each("before_val", "before_val_epoch", "after_val_iter", "after_val"):
        if record.event == "before_val":
            found = []
        elif record.event == "before_val_epoch":
            found.append(0)
        elif model.aborting:
            return
        elif record.event == "after_val":
            yield Finding(at, {"batches of each epoch": expected}, {"batches of each epoch": found})
        elif found:
            found[-1] += 1


@judge("LIFE-12")
def stopped_early(case: Case) -> Iterator[Finding]:
    """Check that a stopped training ends in good order with the stopping iteration, or with its epoch."""
    plan = case.plan
    if plan.stop_after is None or case.leg.planned is not None or case.was_refused:
        return
    if plan.stop_after <= plan.start_iteration:
        return  # it had been asked to stop before it was saved
    last = next(epoch for epoch in range(plan.epochs + 1) if plan.iteration_of(epoch) >= plan.stop_after)
    epochs = last - case.leg.start_epoch
    events = Counter(record.event for record in case.records)
    done = plan.start_iteration + events["after_train_iter"]
    if plan.stop_after <= done <= plan.iteration_of(last):
        yield ok(None)
    else:
        yield broken(None, f"{plan.stop_after} iterations, or {last} whole epochs", f"{done} iterations")
    trainings = max(events["before_train"], 1)  # a run may hold several
    for scope, times in (("train_epoch", epochs), ("train", trainings)):
        for event in (f"before_{scope}", f"after_{scope}"):
            yield Finding(None, {event: times}, {event: events[event]})
    yield Finding(None, {ABORT: 0}, {ABORT: events[ABORT]})
    yield ok(None) if case.leg.raised is None else broken(None, "no exception", case.leg.raised)


@judge("LIFE-13")
def inside_its_epoch(case: Case) -> Iterator[Finding]:
    """Check that the validations due inside an epoch have run by its next iteration, and by its end."""
    # In an epoch that is reopened after its last batch, a framework may run the validation due after that batch.
    if case.plan.val_interval is None or case.plan.val_batches is None or case.plan.is_resumed_at_end_of_epoch:
        return
    # If the whole training is one epoch that reads the loader repeatedly, a batch may be counted by its place in the
    # loader or in that epoch.
    by_loader = _inside_its_epoch(case, case.plan.batches)
    if case.plan.iterations is None or _times(case, "before_train_epoch") != 1:
        yield from by_loader
        return
    findings, by_epoch = list(by_loader), list(_inside_its_epoch(case, case.plan.max_iters))
    yield from by_epoch if all(finding.holds for finding in by_epoch) else findings


def _inside_its_epoch(case: Case, length: int) -> Iterator[Finding]:
    """Compare the validations in each epoch with those due, for the given number of batches."""
    key = "validations inside this epoch"
    batch = made = due = latest = 0
    for at, record, model in case.each("before_train_epoch", "before_train_iter", "before_val", "after_train_epoch"):
        if model.aborting:
            return
        if record.event == "before_train_epoch":
            batch = case.plan.start_batch if model.epoch == case.plan.start_epoch else 0
            made = due = latest = 0
        elif record.event == "before_val":
            made += "train_epoch" in model.outside
        elif made != due and made == due - latest and _has_stopped(case, record, model):
            yield ok(at)  # the validation due after the batch that stops the training may be left out
        else:
            yield Finding(at, {key: due}, {key: made})
        if record.event == "before_train_iter":
            latest = case.plan.validates_after(batch % max(length, 1))
            due += latest
            batch += 1


def _has_stopped(case: Case, record: Record, model: Expectation) -> bool:
    """Return whether an epoch closes because the training was asked to stop."""
    plan = case.plan
    return record.event == "after_train_epoch" and plan.stop_after is not None and model.iter >= plan.stop_after


@judge("LIFE-16")
def due_validations(case: Case) -> Iterator[Finding]:
    """Check that the validations before, after and between epochs run. LIFE-13 covers those inside an epoch.

    A validation after an epoch may run at the end of that epoch, after its last iteration has started.
    """
    plan = case.plan
    if plan.val_batches is None or not case.leg.ended_well:
        return
    if plan.is_resumed_at_end_of_epoch and plan.start_iteration == plan.max_iters:
        return  # no work remains, and a framework need not start
    parts = [_Part(None)]  # before the first epoch, and from each epoch to the next one
    for at, record, model in case.each("before_train_epoch", "before_train_iter", "before_val"):
        if record.event == "before_train_epoch":
            parts.append(_Part(at))
        elif record.event == "before_train_iter":
            parts[-1].at_its_end = 0
        else:
            parts[-1].at_its_end += 1
            parts[-1].outside += "train_epoch" not in model.outside
    for place, part in enumerate(parts):
        due = _due_validations(case, place, len(parts) - 1)
        made = part.at_its_end if plan.validates_after_epoch else part.outside
        yield ok(part.at) if made >= due else broken(part.at, {"validations due": due}, {"validations made": made})


@dataclass
class _Part:
    """Validation counts for a part of a run, after its last iteration and outside epochs."""

    at: int | None
    at_its_end: int = 0
    outside: int = 0


def _due_validations(case: Case, place: int, last: int) -> int:
    """Return the number of validations due before the first epoch, for place 0, or after a later epoch."""
    plan = case.plan
    after_epoch = plan.validates_after_epoch and place > 0
    is_last = place == last
    if plan.stop_after is not None and is_last:
        return 0
    if plan.iterations is not None and (is_last or last != plan.epochs - case.leg.start_epoch):
        after_epoch = False  # the whole training may be one epoch
    if plan.is_resumed_at_end_of_epoch and place <= 1:
        after_epoch = False
    return (plan.val_before and place == 0) + after_epoch + (plan.val_after and is_last)


@judge("LIFE-15")
def finds_the_run(case: Case) -> Iterator[Finding]:
    """Check that current_hub() agrees with the hub at events and between them."""
    if case.plan.is_alone:  # SCOPE covers runs with other runs open
        yield from answers_of_the_run(case)


def answers_of_the_run(case: Case) -> Iterator[Finding]:
    """Compare the answers of current_hub() with the hub's contents at events and between them."""
    is_inside = False
    is_open_after: set[int] = set()  # indices of the records after which the run is open
    for at, record, _ in case.each():
        is_inside = is_inside or record.event == "before_run"
        held = {**record.info, **record.scalars}
        if is_inside and held:
            yield Finding(at, *differing(held, record.current))
        is_inside = is_inside and record.event != "after_run"
        if is_inside:
            is_open_after.add(at)
    for glance in case.leg.glances:
        if glance.at in is_open_after:
            expected, found = differing(glance.held, glance.current)
            yield Finding(glance.at, {"where data is read": expected}, {"where data is read": found})
    for look in case.leg.looks:  # COUNT-14 covers the values of the counters
        if look.at in is_open_after and case.records[look.at].info.get("iter") is not None:
            is_told = look.epoch is not None or look.iter is not None
            yield Finding(look.at, {look.where: "an answer"}, {look.where: "an answer" if is_told else "none"})


def _counts(case: Case, scope: str, expected: int) -> Iterator[Finding]:
    if case.leg.ended_well:
        for event in (f"before_{scope}", f"after_{scope}"):
            yield Finding(None, {event: expected}, {event: _times(case, event)})


def _times(case: Case, event: str) -> int:
    return sum(record.event == event for record in case.records)


def _observations(record: Record) -> dict[str, Any]:
    """Return the observations at an event, without those that identify this particular run."""
    infos = {key: value for key, value in record.info.items() if _is_repeated(key)}
    histories = {key: list(values) for key, values in record.scalars.items()}
    index = record.arguments.get("batch_idx")
    return {"event": record.event, "batch_idx": index, **infos, "infos": sorted(record.info), **histories}


def _is_repeated(key: str) -> bool:
    """Return whether an info must be the same in each run. Infos that only a framework publishes may differ."""
    return key in _REPEATED or key.endswith("_version") or key.startswith(("val/", "test/"))


_REPEATED = frozenset({"loop_stage", "epoch", "iter", "max_epochs", "max_iters", "seed", "dataset_meta"})


def find_batch(data: Any) -> Batch | None:
    """Find the kit's batch in a framework's form of it, e.g. a pair with a target, or None if it has several."""
    found = list(_find_batches(data))
    return found[0] if len(found) == 1 else None


def _find_batches(data: Any) -> Iterator[Batch]:
    if isinstance(data, Batch):
        yield data
    elif isinstance(data, Mapping):
        yield from _find_batches(list(cast("Mapping[Any, Any]", data).values()))
    elif isinstance(data, list | tuple):
        for item in cast("Sequence[Any]", data):
            yield from _find_batches(item)
