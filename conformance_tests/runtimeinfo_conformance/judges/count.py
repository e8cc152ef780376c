"""COUNT: iterations and epochs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any, NamedTuple

from runtimeinfo import RunnerError
from runtimeinfo.spec import FREE_EVENTS
from runtimeinfo_conformance.judges._judge import Case, Finding, broken, judge, ok
from runtimeinfo_conformance.judges._same import is_same
from runtimeinfo_conformance.observation import Record

# Events at which the epoch counter must still have its value from the start of the epoch.
_IN_AN_EPOCH = ("before_train_iter", "after_train_iter", "after_train_epoch")

_NOTHING = "nothing published"


@judge("COUNT-01")
def completed_iterations(case: Case) -> Iterator[Finding]:
    """Check that iter is the number of completed iterations."""
    if case.plan.accumulation == 1:  # otherwise it is COUNT-10's
        for at, record, model in case.each("before_train_iter"):
            yield Finding(at, {"iter": model.iter}, {"iter": record.iter})


@judge("COUNT-02")
def iter_during_iteration(case: Case) -> Iterator[Finding]:
    """Check that iter does not change within an iteration."""
    for at, record, model in case.each("after_train_iter"):
        opening = case.opening_of(at)
        if opening is not None and not model.aborting:
            yield Finding(at, {"iter": opening.iter}, {"iter": record.iter})


@judge("COUNT-03")
def completed_epochs(case: Case) -> Iterator[Finding]:
    """Check that epoch is the number of completed epochs."""
    for at, record, model in case.each("before_train_epoch"):
        yield Finding(at, {"epoch": model.epoch}, {"epoch": record.epoch})


@judge("COUNT-04")
def epoch_during_epoch(case: Case) -> Iterator[Finding]:
    """Check that epoch does not change within an epoch."""
    opened: Record | None = None
    for at, record, model in case.each("before_train_epoch", *_IN_AN_EPOCH):
        if record.event == "before_train_epoch":
            opened = record
        elif opened is not None and not model.aborting:
            yield Finding(at, {"epoch": opened.epoch}, {"epoch": record.epoch})


@judge("COUNT-05")
def hub_iter(case: Case) -> Iterator[Finding]:
    """Check that hub and runner agree on iter."""
    for at, record in _events_since_training(case):
        yield Finding(at, {"iter": record.iter}, {"iter": record.info.get("iter", _NOTHING)})


@judge("COUNT-06")
def hub_epoch(case: Case) -> Iterator[Finding]:
    """Check that hub and runner agree on epoch."""
    for at, record in _events_since_training(case):
        yield Finding(at, {"epoch": record.epoch}, {"epoch": record.info.get("epoch", _NOTHING)})


@judge("COUNT-07")
def max_epochs(case: Case) -> Iterator[Finding]:
    """Check that the hub's max_epochs is the requested number."""
    plan = case.plan
    for training in _trainings(case):
        right: list[int | None] = [plan.max_epochs if plan.iterations is None else None]
        if plan.iterations is None:
            right += training.epochs
            # A framework that is only ever asked for iterations was told their number.
            right += [None] if is_same(training.begin.info.get("max_iters"), plan.max_iters) else []
        for at, record in training.events:
            yield _one_of(at, right, record.info.get("max_epochs", _NOTHING))
            yield from _within(case, at, "before_train_epoch", "max_epochs")


@judge("COUNT-08")
def max_iters(case: Case) -> Iterator[Finding]:
    """Check that the hub's max_iters is the total, or None."""
    plan = case.plan
    if plan.lengths:  # it is COUNT-13's
        return
    for training in _trainings(case):
        right = [plan.max_iters, *training.iters]
        # A runner that is asked for iterations knows their number. Otherwise the runner may never ask a loader for its
        # length, or may know the total from an earlier epoch although the loader has no length. A known total stays
        # known, unless the next epoch of a stream can have a different length.
        may_be_open = plan.iterations is None
        for at, record in training.events:
            yield from _within(case, at, "before_train_iter", "max_iters")
            published = record.info.get("max_iters", _NOTHING)
            if plan.stop_after is not None and case.expectations[at].iter >= plan.stop_after:
                yield _bounded(at, plan.stop_after, plan.max_iters, published)
                continue
            yield _one_of(at, [*right, *([None] if may_be_open else [])], published)
            may_be_open = may_be_open and (published is None or not plan.sized)


@judge("COUNT-09")
def train_runner(case: Case) -> Iterator[Finding]:
    """Check that the runner has every member of TrainRunner."""
    yield from contract(case, "COUNT-09", "before_train")


@judge("COUNT-10")
def accumulation(case: Case) -> Iterator[Finding]:
    """Check that iter counts batches, however often the optimizer steps."""
    if case.plan.accumulation > 1:
        for at, record, model in case.each("before_train_iter"):
            yield Finding(at, {"iter": model.iter}, {"iter": record.iter})


@judge("COUNT-11")
def validation_counts_nothing(case: Case) -> Iterator[Finding]:
    """Check that a validation leaves both counters unchanged."""
    for at, record, model in case.each("after_val"):
        opening = case.opening_of(at)
        if opening is not None and not model.aborting:
            yield Finding(at, _counters(opening), _counters(record))


@judge("COUNT-12")
def at_the_end(case: Case) -> Iterator[Finding]:
    """Check that the final counters include everything done, also before a resume."""
    plan = case.plan
    for training in _trainings(case):
        for at, record in training.events:
            model = case.expectations[at]
            if record.event != "after_train" or model.aborting:
                continue
            # The rest belongs to another training of the run, or would have.
            is_all = training.is_last and case.leg.planned is None
            epoch, iteration = (plan.epochs, plan.max_iters) if is_all else (model.epoch, model.iter)
            if plan.is_cut_short:
                # The last epoch may or may not count, and some frameworks treat a training by iterations as one epoch.
                epoch = model.epoch - is_same(record.epoch, model.epoch - 1)
            if plan.stop_after is not None:
                iteration = model.iter  # it may have finished its epoch
            yield Finding(at, {"epoch": epoch, "iter": iteration}, _counters(record))


@judge("COUNT-13")
def max_iters_of_changing_epochs(case: Case) -> Iterator[Finding]:
    """Check that the total follows the length of the open epoch."""
    plan = case.plan
    if not plan.lengths:
        return
    for training in _trainings(case):
        ends = [plan.max_epochs, *training.epochs]
        for at, record in training.events:
            model = case.expectations[at]
            if record.event == "before_train_iter" and not model.aborting and model.epoch < plan.max_epochs:
                done, length = plan.iteration_of(model.epoch), plan.length_of(model.epoch)
                totals = [done + (end - model.epoch) * length for end in ends]
                # Both None and the exact total are correct.
                right = [*totals, None, *(plan.iteration_of(end) for end in ends)]
                yield _one_of(at, right, record.info.get("max_iters", _NOTHING))


@judge("COUNT-14")
def counters_of_components(case: Case) -> Iterator[Finding]:
    """Check that a component finds the counters of the current iteration."""
    if case.plan.is_alone:  # SCOPE covers runs with other runs open
        yield from counters_in_iterations(case)


def counters_in_iterations(case: Case) -> Iterator[Finding]:
    """Compare the counters that components find in iterations with the hub's."""
    looks = case.leg.looks
    if not any(look.where == "batch_begin" for look in looks):
        return
    # LIFE covers missing events.
    is_orderly = all(model.objection is None for model in case.expectations)
    for look in looks:
        # It may look before the event. Other rules judge the event itself.
        nearest = [*_events_from(case, look.at, -1), *_events_from(case, look.at + 1, 1)]
        begin = next((each for each in nearest if each.event == "before_train_iter"), None)
        if begin is None:
            if is_orderly and not _is_in_iteration(case, look.at):
                yield broken(look.at, {look.where: "in a training iteration"}, {look.where: "outside of any"})
            continue
        if look.epoch is None and look.iter is None:  # LIFE-15 covers whether current_hub() answers at all
            yield ok(look.at)
            continue
        wanted = {"epoch": begin.info.get("epoch"), "iter": begin.info.get("iter")}
        yield Finding(look.at, {look.where: wanted}, {look.where: {"epoch": look.epoch, "iter": look.iter}})


def _is_in_iteration(case: Case, at: int) -> bool:
    """Return whether a training iteration is open after an event. It may contain a whole validation."""
    events = [record.event for record in case.records[: at + 1]]
    return events.count("before_train_iter") > events.count("after_train_iter")


@judge("COUNT-15")
def counters_at_other_events(case: Case) -> Iterator[Finding]:
    """Check both counters at the events that no other rule covers."""
    plan = case.plan
    closed = [at for at, _, _ in case.each("after_train_epoch")]
    last_epoch = max(closed, default=-1)
    # LIFE-04 covers epochs that are not announced.
    is_announced = not case.leg.ended_well or plan.is_cut_short or len(closed) == plan.epochs - case.leg.start_epoch
    for at, record in _events_since_training(case):
        model = case.expectations[at]
        if model.aborting and case.fails_inside and at > (case.leg.fault_at or 0):
            yield from _nothing_taken_back(case, at)
        is_resumed = record.event == "before_train" and case.leg.previous is not None  # RESUME-01
        if model.aborting or model.objection is not None or is_resumed:  # FAIL-04, and LIFE-01
            continue
        if record.event not in _ITER_IS_JUDGED:
            yield Finding(at, {"iter": model.iter}, {"iter": record.iter})
        if record.event not in _EPOCH_IS_JUDGED and is_announced:
            # The last epoch of a training that is cut short may or may not count.
            uncounted = plan.is_cut_short and at > last_epoch and is_same(record.epoch, model.epoch - 1)
            yield Finding(at, {"epoch": model.epoch - uncounted}, {"epoch": record.epoch})


def _nothing_taken_back(case: Case, at: int) -> Iterator[Finding]:
    """Check that a counter keeps completed work after an exception. FAIL-04 covers excess counts."""
    finding = counters_after_exception(case, at)
    yield finding if is_taken_back(finding) else ok(at)


def counters_after_exception(case: Case, at: int) -> Finding:
    """Compare both counters with the work completed before an exception."""
    record, model = case.records[at], case.expectations[at]
    # As in COUNT-12, an epoch that is meant to be cut short may or may not count once the training is over.
    may_lag = case.plan.is_cut_short and is_same(record.epoch, model.epoch - 1) and "train" not in model.inside
    return Finding(at, {"epoch": model.epoch - may_lag, "iter": model.iter}, _counters(record))


def is_taken_back(finding: Finding) -> bool:
    """Return whether counters lost completed work but count nothing incomplete."""
    expected, shown = finding.expected, finding.observed
    counts = {name: _count(value) for name, value in shown.items()}
    return expected != counts and all(count is not None and count <= expected[name] for name, count in counts.items())


# Events at which COUNT-01 to -04 and COUNT-10 to -12 cover the counters.
_ITER_IS_JUDGED = frozenset({"before_train_iter", "after_train_iter", "after_val", "after_train"})
_EPOCH_IS_JUDGED = frozenset({"before_train_epoch", *_IN_AN_EPOCH, "after_val", "after_train"})


def _events_from(case: Case, at: int, step: int) -> list[Record]:
    """Return the first event of the grammar from an index, forwards or backwards, in a list that may be empty."""
    records = case.records[at:] if step > 0 else case.records[: at + 1][::-1]
    return [record for record in records if record.event not in FREE_EVENTS][:1]


def contract(case: Case, requirement: str, event: str) -> Iterator[Finding]:
    """Check whether the hook refused the runner at the event at which it examines it."""
    refusals = list(refused(case, requirement))
    yield from refusals
    if not refusals and any(record.event == event for record in case.records):
        yield ok(None)


def refused(case: Case, requirement: str) -> Iterator[Finding]:
    """Report that the hook refused an argument of the runner under the given requirement."""
    error = case.leg.raised
    if isinstance(error, RunnerError) and error.requirement == requirement:
        yield broken(None, "nothing that the hook refuses", str(error))


class _Training(NamedTuple):
    """A training of a run, with the events up to the next training.

    Attributes:
        begin: Its before_train.
        events: The events of the grammar from there to the next training, with their indices.
        is_last: Whether it is the last training of the run.
        epochs: The numbers of epochs that it may have been asked for, if another training was to follow.
        iters: The corresponding numbers of iterations.
    """

    begin: Record
    events: list[tuple[int, Record]]
    is_last: bool
    epochs: list[int]
    iters: list[int]


def _trainings(case: Case) -> Iterator[_Training]:
    """Iterate over the trainings of a run. Nearly all runs have one."""
    events = list(_events_since_training(case))
    begins = [place for place, (_, record) in enumerate(events) if record.event == "before_train"]
    for begin, end in zip(begins, [*begins[1:], None], strict=False):  # empty for a run that never trains
        at, record = events[begin]
        if end is not None:
            done = case.expectations[events[end][0]]
            epochs, iters = [done.epoch], [done.iter]
        elif case.leg.planned is not None or case.plan.stop_after is not None:
            # It is unknown whether another training was to follow.
            model = case.expectations[at]
            epochs = _published_total(record, "max_epochs", model.epoch, case.plan.max_epochs)
            iters = _published_total(record, "max_iters", model.iter, case.plan.max_iters)
        else:
            epochs, iters = [], []
        yield _Training(record, events[begin:end], end is None, epochs, iters)


def _published_total(record: Record, total: str, least: int, most: int) -> list[int]:
    """Return the total published at the start of a training, if it fits a part of the planned training."""
    published = _count(record.info.get(total))
    return [published] if published is not None and least < published <= most else []


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def _events_since_training(case: Case) -> Iterator[tuple[int, Record]]:
    """Iterate over the events of the grammar from before_train, except the start of another run."""
    has_begun = False
    for at, record, _ in case.each():
        has_begun = has_begun or record.event == "before_train"
        if has_begun and record.event != "before_run" and record.event not in FREE_EVENTS:
            yield at, record


def _one_of(at: int, right: Iterable[int | None], published: Any) -> Finding:
    """Check that a total is one of several correct values, of which the first is the usual one."""
    values = list(right)
    return Finding(at, next((value for value in values if is_same(value, published)), values[0]), published)


def _within(case: Case, at: int, event: str, total: str) -> Iterator[Finding]:
    """Check that no iteration or epoch starts after the total number has been completed."""
    record, model = case.records[at], case.expectations[at]
    published = _count(record.info.get(total))
    if record.event == event and model.objection is None and published is not None:
        done = model.epoch if total == "max_epochs" else model.iter
        yield ok(at) if done < published else broken(at, {total: f"more than the {done} behind"}, {total: published})


def _bounded(at: int, least: int, most: int, published: Any) -> Finding:
    """Check the total of a training that was asked to stop, whose final length is open."""
    total = _count(published)
    if published is None or (total is not None and least <= total <= most):
        return ok(at)
    return broken(at, f"{least} to {most}, or None", published)


def _counters(record: Record) -> dict[str, Any]:
    return {"epoch": record.epoch, "iter": record.iter}
