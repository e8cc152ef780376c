"""FAIL: abnormal ends."""

from __future__ import annotations

from collections.abc import Iterator

from runtimeinfo.spec import ABORT, CLOSES, FREE_EVENTS, HOOK_POINTS
from runtimeinfo_conformance.judges._judge import Case, Finding, broken, judge, ok
from runtimeinfo_conformance.judges.count import counters_after_exception, is_taken_back


@judge("FAIL-01")
def same_exception(case: Case) -> Iterator[Finding]:
    """Check that the run raises the same exception."""
    planned, raised, at = case.leg.planned, case.leg.raised, case.leg.fault_at
    # If another exception was already propagating, this one came later.
    if planned is not None and at is not None and not case.expectations[at].aborting and not case.was_refused:
        if case.leg.is_planned(raised):
            yield ok(at)
        else:
            yield broken(at, "the very exception", "no exception" if raised is None else raised)


@judge("FAIL-02")
def announced_once(case: Case) -> Iterator[Finding]:
    """Check that on_exception comes once, with the exception."""
    if case.fails_inside:
        announced = [(at, record.arguments.get("exception")) for at, record, _ in case.each(ABORT)]
        yield Finding(case.leg.fault_at, {ABORT: 1}, {ABORT: len(announced)})
        for at, exception in announced:
            if at <= (case.leg.fault_at or 0):
                yield broken(at, "announced once it was raised", "announced before")
            elif case.leg.is_planned(exception):
                yield ok(case.leg.fault_at)
            else:
                yield broken(case.leg.fault_at, "with that exception", exception)


@judge("FAIL-03")
def unwinding(case: Case) -> Iterator[Finding]:
    """Check that after the exception, the scopes close, innermost first, with no other events."""
    announced = [at for at, _, _ in case.each(ABORT)]
    if not case.fails_inside or not announced:  # FAIL-02 covers the announcement
        return
    begin = (case.leg.fault_at or 0) + 1
    if (case.leg.moment or "").endswith("_data"):
        begin = max(begin, announced[0])  # data may be read ahead, but its exception comes when the batch is due
    for at in range(begin, len(case.records)):
        record, model = case.records[at], case.expectations[at]
        if record.event in FREE_EVENTS or record.event == ABORT:
            continue
        expected = ABORT if at < announced[0] else f"after_{model.outside[-1]}" if model.outside else "nothing"
        yield Finding(at, expected, record.event)
    yield Finding(None, {"left open": ()}, {"left open": case.expectations[-1].inside})


@judge("FAIL-04")
def not_counted(case: Case) -> Iterator[Finding]:
    """Check that incomplete work is not counted from the exception on. COUNT-15 covers lost counts."""
    if not case.fails_inside:
        return
    for at, record, model in case.since("before_train"):
        # A checkpoint between the exception and its announcement may come before the runner counts, or after it.
        is_announced = model.aborting or record.event not in FREE_EVENTS
        if is_announced and at > (case.leg.fault_at or 0):
            finding = counters_after_exception(case, at)
            yield ok(at) if is_taken_back(finding) else finding


@judge("FAIL-05")
def no_results(case: Case) -> Iterator[Finding]:
    """Check that incomplete work has no result."""
    if case.leg.planned is not None:
        for at, record, model in case.each():
            if model.aborting and record.event in CLOSES:
                # The hook gets None for an omitted argument.
                for argument in sorted({"outputs", "metrics"}.intersection(HOOK_POINTS[record.event])):
                    given = record.arguments.get(argument)
                    yield ok(at) if given is None else broken(at, {argument: None}, {argument: given})


@judge("FAIL-06")
def no_stage(case: Case) -> Iterator[Finding]:
    """Check that no stage remains."""
    if case.leg.planned is not None and case.leg.final_info is not None:
        yield Finding(None, None, case.leg.final_info.get("loop_stage"))
