"""SHARE: the view of other processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any

from runtimeinfo.board import layout
from runtimeinfo.board.text import NotTextError, encode
from runtimeinfo_conformance.judges._judge import Case, Finding, broken, judge, ok
from runtimeinfo_conformance.judges._same import differing
from runtimeinfo_conformance.observation import Read

# No worker fetches ahead here. The lag consists of the iteration, which is published once its batch has arrived, and of
# the batches of an optimizer step, which the framework may fetch ahead.
_PUBLISHED_LATE = 1

# The modes of the folder and of the board.
_CLOSED_TO_OTHERS = (0o700, 0o600)


@judge("SHARE-01")
def finds_the_run(case: Case) -> Iterator[Finding]:
    """Check that another process can read the position of a run at each event."""
    if not case.plan.is_alone:  # otherwise it is told of one of several runs
        return
    is_inside = False
    for at, record, _ in case.each():
        # The sharing hook may be one of those that have not heard of an event.
        is_inside = (is_inside or (record.event == "before_run" and not record.is_cut)) and record.event != "after_run"
        if is_inside and not record.is_cut:
            held = {key: record.info[key] for key in layout.SLOTS if key in record.info}
            if record.shared is None:
                yield Finding(at, held, "no run")
            elif record.shared.modes == _CLOSED_TO_OTHERS:  # SHARE-05 covers other modes
                yield Finding(at, held, record.shared.fault or dict(record.shared.position))


@judge("SHARE-02")
def epoch_of_the_batch(case: Case) -> Iterator[Finding]:
    """Check that another process sees the batch's epoch where a training batch or its iterator is made."""
    for key, reads in (
        ("epoch where a batch is made", case.leg.reads),
        ("epoch where the iterator of its batches is made", case.leg.iterators),
    ):
        for read, position, ahead in _training_reads(case, reads):
            yield Finding(read.at, {key: read.item.epoch + ahead["epoch"]}, {key: position["epoch"]})


@judge("SHARE-03")
def finds_all_that_is_held(case: Case) -> Iterator[Finding]:
    """Check that another process reads the hub's scalars and infos."""
    for at, record, model in case.each():
        if record.shared is None or record.shared.held is None or record.is_cut:
            continue
        # STAGE and COUNT cover a stage or epoch that was not published correctly.
        before: Mapping[str, Any] = case.before(at).info if at else {}
        is_new = any(record.info.get(key) != before.get(key) for key in ("loop_stage", "epoch"))
        if is_new or (record.info.get("loop_stage"), record.info.get("epoch")) == (model.stage, model.epoch):
            infos = {key: value for key, value in record.info.items() if key not in layout.SLOTS and _has_place(value)}
            held = {**infos, **{key: values[-1] for key, values in record.scalars.items() if values}}
            found = {key: record.shared.held.get(key, "nothing") for key in held}
            if held:
                yield Finding(at, *differing(held, found))


@judge("SHARE-05")
def is_the_users_own(case: Case) -> Iterator[Finding]:
    """Check that the folder and the board are closed to other users."""
    for at, record, _ in case.each():
        # At after_run the board may be gone, and an earlier run that was cut off may still have one.
        if record.shared is not None and record.event != "after_run":
            if record.shared.modes == _CLOSED_TO_OTHERS:
                yield ok(at)
            else:
                yield broken(at, _modes_text(_CLOSED_TO_OTHERS), _modes_text(record.shared.modes))


@judge("SHARE-06")
def ends_with_the_run(case: Case) -> Iterator[Finding]:
    """Check that the board is removed once the run has ended."""
    is_cut = bool(case.records) and case.records[-1].is_cut  # the sharing hook may not have heard of the end
    if any(record.shared is not None for record in case.records) and not is_cut:
        yield Finding(None, {"boards left": []}, {"boards left": case.leg.left_behind})


@judge("SHARE-07")
def iteration_of_the_batch(case: Case) -> Iterator[Finding]:
    """Check that the published iteration lags only slightly where a training batch is made."""
    for read, position, ahead in _training_reads(case, case.leg.reads):
        place = case.plan.iteration_of(read.item.epoch, read.item.index) + ahead["iter"]
        found, least = position["iter"], place - _PUBLISHED_LATE - case.plan.accumulation
        if isinstance(found, Integral) and least <= int(found) <= place:
            yield ok(read.at)
        else:
            bounds = f"an iter from {max(least, 0)} to {place} where the batch of {place} is made"
            yield broken(read.at, bounds, found)


def _training_reads(case: Case, reads: Iterable[Read]) -> Iterator[tuple[Read, Mapping[str, Any], Mapping[str, int]]]:
    """Iterate over the batches that were made, or the iterators.

    Each comes with the position that another process saw, and with the hub's lead over the model at the next iteration.
    COUNT covers that lead.
    """
    # A batch's epoch is unknown if the next epoch is, or if the whole training may be one epoch.
    if case.plan.is_resumed_at_end_of_epoch or case.plan.iterations is not None:
        return
    for read in reads:
        if read.item.stage != "train" or read.shared is None or read.shared.fault or read.at < 0:
            continue
        if read.item.epoch == case.plan.start_epoch and read.item.index < case.plan.start_batch:
            continue  # a resumed training skips it
        following = range(read.at, len(case.records))
        begin = next((at for at in following if case.records[at].event == "before_train_iter"), None)
        now, ahead = _ahead(case, read.at), None if begin is None else _ahead(case, begin)
        # If it holds counters now, but has a different lead, its counters are wrong only here.
        if ahead and (now is None or (now["epoch"] == ahead["epoch"] and now["iter"] <= ahead["iter"])):
            yield read, {"epoch": "none", "iter": "none", **read.shared.position}, ahead


def _ahead(case: Case, at: int) -> dict[str, int] | None:
    """Return the hub's lead over the model at a record, or None if the hub holds no counters there."""
    info, model = case.records[at].info, case.expectations[at]
    epoch, iteration = info.get("epoch"), info.get("iter")
    if not isinstance(epoch, Integral) or not isinstance(iteration, Integral):
        return None
    return {"epoch": int(epoch) - model.epoch, "iter": int(iteration) - model.iter}


def _modes_text(modes: tuple[int, int]) -> str:
    folder, board = modes
    return f"modes {folder:04o} and {board:04o}"


def _has_place(value: Any) -> bool:
    try:
        encode(value, layout.MAX_INFO)
    except NotTextError:
        return False
    return True
