"""COUNT: iterations and epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runtimeinfo import RunnerError
from runtimeinfo.spec import FREE_EVENTS
from runtimeinfo_conformance.judges._judge import Case, Finding, judge
from runtimeinfo_conformance.observation import Record

# Where the counter of epochs must be what it was as the epoch began.
_IN_AN_EPOCH = ("before_train_iter", "after_train_iter", "after_train_epoch")


@judge("COUNT-01")
def completed_iterations(case: Case) -> Iterator[Finding]:
    """Iter is the number of completed iterations."""
    if case.plan.accumulation == 1:  # otherwise it is COUNT-10's
        for at, record, model in case.each("before_train_iter"):
            yield Finding(at, f"iter {model.iter}", f"iter {record.iter}")


@judge("COUNT-02")
def iter_during_iteration(case: Case) -> Iterator[Finding]:
    """Iter does not change within an iteration."""
    yield from _unchanged(case, "after_train_iter", "iter")


@judge("COUNT-03")
def completed_epochs(case: Case) -> Iterator[Finding]:
    """Epoch is the number of completed epochs."""
    for at, record, model in case.each("before_train_epoch"):
        yield Finding(at, f"epoch {model.epoch}", f"epoch {record.epoch}")


@judge("COUNT-04")
def epoch_during_epoch(case: Case) -> Iterator[Finding]:
    """Epoch does not change within an epoch."""
    opened: Record | None = None
    for at, record, model in case.each("before_train_epoch", *_IN_AN_EPOCH):
        if record.event == "before_train_epoch":
            opened = record
        elif opened is not None and not model.aborting:
            yield Finding(at, f"epoch {opened.epoch}", f"epoch {record.epoch}")


@judge("COUNT-05")
def hub_iter(case: Case) -> Iterator[Finding]:
    """The hub's iter is the runner's."""
    yield from _hub_equals_runner(case, "iter")


@judge("COUNT-06")
def hub_epoch(case: Case) -> Iterator[Finding]:
    """The hub's epoch is the runner's."""
    yield from _hub_equals_runner(case, "epoch")


@judge("COUNT-07")
def max_epochs(case: Case) -> Iterator[Finding]:
    """The hub's max_epochs is what was asked for."""
    expected = case.plan.max_epochs if case.plan.iterations is None else None
    for at, record in _from_before_train_on(case):
        yield Finding(at, expected, record.info.get("max_epochs", "nothing published"))


@judge("COUNT-08")
def max_iters(case: Case) -> Iterator[Finding]:
    """The hub's max_iters is the total, or None."""
    plan = case.plan
    if plan.lengths:  # it is COUNT-13's
        return
    for at, record in _from_before_train_on(case):
        if plan.stop_after is not None and case.expectations[at].iter >= plan.stop_after:
            return  # it has been asked to stop: how long it will be is open
        published = record.info.get("max_iters", "nothing published")
        # Without a length it can be known all the same: from an epoch before, or as the bound.
        is_known = plan.sized or plan.iterations is not None or published == plan.max_iters
        yield Finding(at, plan.max_iters if is_known else None, published)


@judge("COUNT-09")
def train_runner(case: Case) -> Iterator[Finding]:
    """The runner has all that TrainRunner demands."""
    yield from contract(case, "COUNT-09", "before_train")


@judge("COUNT-10")
def accumulation(case: Case) -> Iterator[Finding]:
    """Iter counts batches, whatever the optimizer does."""
    if case.plan.accumulation > 1:
        for at, record, model in case.each("before_train_iter"):
            yield Finding(at, f"iter {model.iter}", f"iter {record.iter}")


@judge("COUNT-11")
def validation_counts_nothing(case: Case) -> Iterator[Finding]:
    """A validation leaves both counters as they were."""
    for at, record, model in case.each("after_val"):
        opening = case.opening_of(at)
        if opening is not None and not model.aborting:
            yield Finding(
                at, f"iter {opening.iter}, epoch {opening.epoch}", f"iter {record.iter}, epoch {record.epoch}"
            )


@judge("COUNT-12")
def at_the_end(case: Case) -> Iterator[Finding]:
    """The counters are those of all that was done, before a resume, too."""
    for at, record, model in case.each("after_train"):
        if model.aborting:
            continue
        epoch, iteration = case.plan.epochs, case.plan.max_iters
        if case.plan.is_cut_short:
            # The last epoch may count, or not; and to some, a training by iterations is one epoch.
            epoch = model.epoch - (record.epoch == model.epoch - 1)
        if case.plan.stop_after is not None:
            iteration = model.iter  # it may have gone on to the end of its epoch
        yield Finding(at, f"epoch {epoch}, iter {iteration}", f"epoch {record.epoch}, iter {record.iter}")


@judge("COUNT-13")
def max_iters_of_changing_epochs(case: Case) -> Iterator[Finding]:
    """The total goes by the length of the epoch that is open."""
    plan = case.plan
    for at, record, model in case.each("before_train_iter"):
        if plan.lengths and not model.aborting and model.epoch < plan.max_epochs:
            left = plan.max_epochs - model.epoch
            expected = plan.iteration_of(model.epoch) + left * plan.length_of(model.epoch)
            published = record.info.get("max_iters", "nothing published")
            # To know nothing is right, and so is to know all.
            is_right = published is None or published == plan.max_iters
            yield Finding(at, f"max_iters {published if is_right else expected}", f"max_iters {published}")


@judge("COUNT-14")
def counters_of_components(case: Case) -> Iterator[Finding]:
    """A component finds the counters of the iteration that it is a part of."""
    looks = case.leg.looks
    # With other runs open it is SCOPE's whose counters they are.
    if not any(look.where == "batch_begin" for look in looks) or not case.plan.is_alone:
        return
    for look in looks:
        # It may look before the event. What the event tells is judged elsewhere.
        begin = next((each for each in case.records[look.at :][:2] if each.event == "before_train_iter"), None)
        if begin is not None:
            wanted = f"{look.where}: epoch {begin.info.get('epoch')}, iter {begin.info.get('iter')}"
            found = f"{look.where}: epoch {look.epoch}, iter {look.iter}"
            # Whether current_hub() answers at all is another matter: LIFE-15.
            yield Finding(look.at, wanted, wanted if look.epoch is look.iter is None else found)


def contract(case: Case, requirement: str, event: str) -> Iterator[Finding]:
    """Find whether the hook refused the runner, at the event at which it looks."""
    refusals = list(refused(case, requirement))
    yield from refusals
    if not refusals and any(record.event == event for record in case.records):
        yield Finding(None, "all members", "all members")


def refused(case: Case, requirement: str) -> Iterator[Finding]:
    """Find that the hook refused what the runner gave it, under a requirement."""
    error = case.leg.raised
    if isinstance(error, RunnerError) and error.requirement == requirement:
        yield Finding(None, "nothing that the hook refuses", str(error))


def _unchanged(case: Case, event: str, counter: str) -> Iterator[Finding]:
    for at, record, model in case.each(event):
        opening = case.opening_of(at)
        if opening is not None and not model.aborting:
            before, now = _counter(opening, counter), _counter(record, counter)
            yield Finding(at, f"{counter} {before}", f"{counter} {now}")


def _hub_equals_runner(case: Case, counter: str) -> Iterator[Finding]:
    for at, record in _from_before_train_on(case):
        yield Finding(
            at, f"{counter} {_counter(record, counter)}", f"{counter} {record.info.get(counter, 'not published')}"
        )


def _from_before_train_on(case: Case) -> Iterator[tuple[int, Record]]:
    """Iterate over the events of the grammar, but for the beginning of another run."""
    has_begun = False
    for at, record, _ in case.each():
        has_begun = has_begun or record.event == "before_train"
        if has_begun and record.event != "before_run" and record.event not in FREE_EVENTS:
            yield at, record


def _counter(record: Any, counter: str) -> Any:
    return record.iter if counter == "iter" else record.epoch
