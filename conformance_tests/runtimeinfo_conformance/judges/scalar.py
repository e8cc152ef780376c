"""SCALAR: learning rates, outputs and metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from runtimeinfo.authoring import is_scalar, scalar_value
from runtimeinfo_conformance.judges._judge import Case, Finding, broken, judge, ok
from runtimeinfo_conformance.judges._same import is_same
from runtimeinfo_conformance.judges.count import refused
from runtimeinfo_conformance.observation import Expectation, Record
from runtimeinfo_conformance.plans import CHANGING_KIND, Plan


@judge("SCALAR-02")
def learning_rates(case: Case) -> Iterator[Finding]:
    """Check that each rate is appended once per iteration, and at no other event."""
    yield from refused(case, "SCALAR-02")
    outputs = {f"train/{name}" for name, _ in case.plan.outputs}
    records = [*case.records, *(case.leg.previous.records if case.leg.previous is not None else ())]
    keys = {f"train/{name}" for record in records for name in record.rates} - outputs
    may_be_dropped = False  # SCALAR-11 covers the rate of an iteration that failed
    for at, record, model in _settled(case):
        may_be_dropped = may_be_dropped or model.aborting
        if record.event == "before_train_iter":
            for name, rates in record.rates.items():
                yield _history(case, at, f"train/{name}", rates[:1], may_be_dropped=may_be_dropped)
            may_be_dropped = False
        else:
            changed = [key for key in keys if _has_changed(case, at, key)]
            for key in changed:
                yield _history(case, at, key, (), may_be_dropped=may_be_dropped)
            may_be_dropped = may_be_dropped and not changed


@judge("SCALAR-03")
def rate_in_force(case: Case) -> Iterator[Finding]:
    """Check that the rate belongs to the current iteration."""
    if not case.plan.schedule:
        return
    for at, record, model in case.each("before_train_iter"):
        for optimizer, rates in _planned_rates(case.plan, model).items():
            keys = [f"train/{name}" for name in _entries(record, optimizer)]
            latest = {key: record.scalars.get(key, ())[-1:] for key in keys}
            # There may be other rates with it, such as the initial one of a schedule.
            if any(_is_close(values, rates[:1]) for values in latest.values()):
                yield ok(at)
            elif latest:  # SCALAR-12 covers a missing entry
                yield broken(at, dict.fromkeys(latest, rates[:1]), latest)


@judge("SCALAR-04")
def outputs(case: Case) -> Iterator[Finding]:
    """Check that each scalar output is appended once, and at no other event."""
    yield from refused(case, "SCALAR-04")
    rates = {name for record in case.records for name in record.rates}
    planned = case.plan.scalar_outputs(0).keys()
    keys = [f"train/{name}" for name in planned if name not in rates]
    for at, record, model in _settled(case):
        if record.event != "after_train_iter" or model.aborting:
            yield from _changes(case, at, keys)
        elif not case.lost_its_step(at):  # FAIL-01 covers that the run continues
            for name, value in case.plan.scalar_outputs(model.iter).items():
                yield _history(case, at, f"train/{name}", (scalar_value(value),))
                yield from _not_handed_on(at, record, "outputs", name, value)
            given = record.arguments.get("outputs")
            # A framework's own outputs are published, too.
            for name, value in cast("Mapping[str, Any]", given).items() if isinstance(given, Mapping) else ():
                if name not in planned and name not in rates and is_scalar(value):
                    yield _history(case, at, f"train/{name}", (scalar_value(value),))


@judge("SCALAR-05")
def other_outputs(case: Case) -> Iterator[Finding]:
    """Check that an output that is not a scalar has no effect."""
    rates = {name for record in case.records for name in record.rates}
    names = {name for name, _ in case.plan.outputs} - case.plan.scalar_outputs(0).keys() - rates
    survived = case.leg.raised is None or case.leg.is_planned(case.leg.raised)
    for at, record, model in case.each():
        for name in names:
            if f"train/{name}" in record.scalars:
                yield broken(at, "no scalar", f"train/{name}")
            elif record.event == "after_train_iter" and not model.aborting:
                yield ok(at) if survived else broken(at, "the run continues", case.leg.raised)


@judge("SCALAR-06")
def scalar_metrics(case: Case) -> Iterator[Finding]:
    """Check that each scalar metric is appended once, and at no other event."""
    yield from refused(case, "SCALAR-06")
    yield from _scalar_metrics(case, "val")


@judge("SCALAR-07")
def other_metrics(case: Case) -> Iterator[Finding]:
    """Check that each other metric becomes an info, and remains one."""
    yield from _other_metrics(case, "val")


@judge("SCALAR-08")
def changing_metrics(case: Case) -> Iterator[Finding]:
    """Check that a metric is only where it was last published, until it is published again."""
    changing = {name for name, kind in case.plan.metrics if kind == CHANGING_KIND}
    for at, record, metrics, turn in _published_last(case, "val"):
        for name in changing & metrics.keys():
            place = "a scalar" if is_scalar(metrics[name]) else "an info"
            finding = Finding(at, place, _where(record, f"val/{name}"))
            if turn or not finding.holds:
                yield finding


@judge("SCALAR-09")
def test_metrics(case: Case) -> Iterator[Finding]:
    """Check that the metrics of a test are published in the same way."""
    yield from _scalar_metrics(case, "test")
    yield from _other_metrics(case, "test")


@judge("SCALAR-11")
def rate_of_what_failed(case: Case) -> Iterator[Finding]:
    """Check that the rate of an uncounted iteration is removed."""
    begins = [at for at, _, model in case.each("before_train_iter") if not model.aborting]
    if case.leg.planned is None or not begins or case.expectations[-1].iter > case.expectations[begins[-1]].iter:
        return
    last = begins[-1]
    for name in case.records[last].rates:
        key = f"train/{name}"
        kept = case.before(last).scalars.get(key, ())
        yield Finding(len(case.records) - 1, {key: list(kept)}, {key: list(case.records[-1].scalars.get(key, ()))})


@judge("SCALAR-12")
def rates_of_all_groups(case: Case) -> Iterator[Finding]:
    """Check that each optimizer has an entry with the rate of each group."""
    for at, record, model in case.each("before_train_iter"):
        for optimizer, wanted in _planned_rates(case.plan, model).items():
            entries = _entries(record, optimizer)
            held = [*entries.values(), tuple(rates[0] for rates in entries.values() if len(rates) == 1)]
            if any(_are_rates(rates, wanted, is_scheduled=case.plan.schedule) for rates in held):
                yield ok(at)
            else:
                yield broken(at, {optimizer or "the optimizer": wanted}, dict(record.rates))


def _settled(case: Case) -> Iterator[tuple[int, Record, Expectation]]:
    """Iterate over the events after which only the run itself changes a history.

    Before that, a checkpoint may have been loaded (RESUME-02), or values may be left over from another run (LIFE-10). A
    validation or test before or after a training can be a separate run with its own hub.
    """
    is_settled = case.leg.previous is None
    for at, record, model in case.each():
        if at and is_settled:
            yield at, record, model
        is_settled = is_settled or record.event == "before_train"


def _has_changed(case: Case, at: int, key: str) -> bool:
    if case.records[at].event == "before_run":
        return False
    then, now = case.before(at).scalars.get(key, ()), case.records[at].scalars.get(key, ())
    return then != now and not is_same(then, now)


def _changes(case: Case, at: int, keys: Iterable[str]) -> Iterator[Finding]:
    """Check that no history changes at an event that does not publish to it."""
    for key in keys:
        if _has_changed(case, at, key):
            yield _history(case, at, key, ())


def _history(
    case: Case, at: int, key: str, values: Sequence[float], *, may_be_dropped: bool = False, begins: bool = False
) -> Finding:
    """Check that the given values were appended to a history, and that the rest of it is unchanged.

    Args:
        case: The case.
        at: The index of the record.
        key: The scalar.
        values: The values.
        may_be_dropped: Whether the previous latest value may be missing.
        begins: Whether the history starts with them.
    """
    then: Sequence[float] = () if begins or not at else case.before(at).scalars.get(key, ())
    now = case.records[at].scalars.get(key, ())
    if may_be_dropped and then and len(now) == len(then) - 1 + len(values):
        then = then[:-1]
    head = now[: len(then)]
    if head == then or is_same(head, then):
        return Finding(at, {key: list(values)}, {key: list(now[len(then) :])})
    return broken(at, {key: [*then, *values]}, {key: list(now)})


def _scalar_metrics(case: Case, stage: str) -> Iterator[Finding]:
    keys = [f"{stage}/{name}" for name, _ in case.plan.metrics]
    turns = {at: turn for at, _, turn in _evaluations(case, stage)}
    for at, record, _ in _settled(case):
        if at not in turns:
            yield from _changes(case, at, keys)
            continue
        scalars = {name: value for name, value in case.plan.metrics_of(turns[at]).items() if is_scalar(value)}
        for name, value in scalars.items():
            key = f"{stage}/{name}"
            # If the metric was an info until now, its history starts here.
            begins = key in case.before(at).info
            yield _history(case, at, key, (scalar_value(value),), begins=begins)
            yield from _not_handed_on(at, record, "metrics", name, value)
        keys = [f"{stage}/{name}" for name in scalars]  # SCALAR-08 covers the place of the others


def _not_handed_on(at: int, record: Record, argument: str, name: str, value: Any) -> Iterator[Finding]:
    """Check that an event carries the published value."""
    given = record.arguments.get(argument)
    found = cast("Mapping[str, Any]", given).get(name) if isinstance(given, Mapping) else given
    wanted = scalar_value(value)
    if not is_scalar(found) or not is_same(scalar_value(found), wanted):
        yield broken(at, {argument: {name: wanted}}, {argument: {name: found}})


def _other_metrics(case: Case, stage: str) -> Iterator[Finding]:
    for at, record, metrics, turn in _published_last(case, stage):
        for name, value in metrics.items():
            if not is_scalar(value):
                key = f"{stage}/{name}"
                finding = Finding(at, {key: value}, {key: record.info.get(key, "nothing published")})
                if turn is not None or not finding.holds:
                    yield finding


def _published_last(case: Case, stage: str) -> Iterator[tuple[int, Record, Mapping[str, Any], int | None]]:
    """Iterate over the settled events, each with the latest metrics, and their turn if published there."""
    turns = {at: turn for at, _, turn in _evaluations(case, stage)}
    metrics: Mapping[str, Any] = {}
    for at, record, _ in _settled(case):
        if record.event == "before_run":
            metrics = {}
        elif at in turns:
            metrics = case.plan.metrics_of(turns[at])
        yield at, record, metrics, turns.get(at)


def _evaluations(case: Case, stage: str) -> Iterator[tuple[int, Record, int]]:
    """Iterate over the loaders that were evaluated completely, each with its number, from 0.

    A warm-up epoch without batches and metrics before the loaders' own is not one of them.
    """
    loaders = case.plan.val_loaders if stage == "val" else 1
    turn = 0
    for epochs, is_whole in _epochs_of_evaluations(case, stage):
        to_skip = len(epochs) - loaders if is_whole else len(epochs)
        for at, is_empty in epochs:
            record = case.records[at]
            if to_skip > 0 and is_empty and not record.arguments.get("metrics"):
                to_skip -= 1
            elif not case.expectations[at].aborting:
                yield at, record, turn
                turn += 1


def _epochs_of_evaluations(case: Case, stage: str) -> Iterator[tuple[list[tuple[int, bool]], bool]]:
    """Iterate over evaluations: the ends of their epochs, with a flag for empty ones, and whether all came."""
    epochs: list[tuple[int, bool]] = []
    is_empty = True
    for at, record, model in case.each():
        if record.event == f"before_{stage}_epoch":
            is_empty = True
        elif record.event == f"before_{stage}_iter":
            is_empty = False
        elif record.event == f"after_{stage}_epoch":
            epochs.append((at, is_empty))
        elif record.event == f"after_{stage}" and epochs:
            yield epochs, not model.aborting
            epochs = []
    if epochs:
        yield epochs, False


def _where(record: Record, key: str) -> Any:
    places = [place for place, held in (("a scalar", key in record.scalars), ("an info", key in record.info)) if held]
    return " and ".join(places) or "nowhere"


def _planned_rates(plan: Plan, model: Expectation) -> dict[str, list[float]]:
    """Return the planned rates of each optimizer's groups. An unnamed optimizer has an empty name."""
    return {
        name: [plan.lr_of(model.iter, group, index) for group in range(plan.groups)]
        for index, name in enumerate(plan.optimizers or ("",))
    }


def _entries(record: Record, optimizer: str) -> dict[str, Sequence[float]]:
    """Return the entries of get_lr() whose names contain the name of an optimizer."""
    as_a_part = re.compile(rf"(?<![^\W_]){re.escape(optimizer)}(?![^\W_])") if optimizer else re.compile("")
    return {name: rates for name, rates in record.rates.items() if as_a_part.search(name)}


def _are_rates(rates: Sequence[float], wanted: Sequence[float], *, is_scheduled: bool) -> bool:
    """Return whether there is a correct rate for each group. SCALAR-03 covers the rates of a schedule."""
    return len(rates) == len(wanted) and (is_scheduled or _is_close(rates, wanted))


def _is_close(values: Sequence[float], wanted: Sequence[float]) -> bool:
    # A framework may keep its rates in single precision.
    return len(values) == len(wanted) and all(
        math.isclose(value, each, rel_tol=1e-6) for value, each in zip(values, wanted, strict=True)
    )
