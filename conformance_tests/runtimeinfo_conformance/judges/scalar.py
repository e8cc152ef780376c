"""SCALAR: learning rates, outputs and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runtimeinfo.authoring import is_scalar, scalar_value
from runtimeinfo_conformance.judges._judge import Case, Finding, judge
from runtimeinfo_conformance.judges.count import refused
from runtimeinfo_conformance.observation import Record
from runtimeinfo_conformance.plans import CHANGING_KIND


@judge("SCALAR-02")
def learning_rates(case: Case) -> Iterator[Finding]:
    """Each rate is appended once an iteration."""
    yield from refused(case, "SCALAR-02")
    for at, record, _ in case.each("before_train_iter"):
        for name, rate in record.rates.items():
            yield Finding(at, {f"train/{name}": [rate]}, {f"train/{name}": case.appended(at, f"train/{name}")})


@judge("SCALAR-03")
def rate_in_force(case: Case) -> Iterator[Finding]:
    """The rate is that of this iteration."""
    if case.plan.schedule:
        for at, record, model in case.each("before_train_iter"):
            for name in record.rates:
                if name.rpartition(".")[2] == "lr":
                    expected = [case.plan.lr_of(model.iter)]
                    yield Finding(
                        at, {f"train/{name}": expected}, {f"train/{name}": case.appended(at, f"train/{name}")[-1:]}
                    )


@judge("SCALAR-04")
def outputs(case: Case) -> Iterator[Finding]:
    """Each output that is a scalar is appended once."""
    yield from refused(case, "SCALAR-04")
    for at, _, model in case.each("after_train_iter"):
        # That it goes on is FAIL-01's.
        if not model.aborting and not case.lost_its_step(at):
            for name, value in case.plan.scalar_outputs(model.iter).items():
                key = f"train/{name}"
                yield Finding(at, {key: [scalar_value(value)]}, {key: case.appended(at, key)})


@judge("SCALAR-05")
def other_outputs(case: Case) -> Iterator[Finding]:
    """An output that is no scalar does nothing."""
    for at, record, model in case.each("after_train_iter"):
        if not model.aborting:
            for name, value in case.plan.outputs_of(model.iter).items():
                if not is_scalar(value):
                    yield Finding(at, "no scalar", "a scalar" if f"train/{name}" in record.scalars else "no scalar")
                    survived = case.leg.raised is None or case.leg.raised is case.leg.planned
                    yield Finding(at, "the run goes on", "the run goes on" if survived else repr(case.leg.raised))


@judge("SCALAR-06")
def scalar_metrics(case: Case) -> Iterator[Finding]:
    """Each metric that is a scalar is appended once."""
    yield from refused(case, "SCALAR-06")
    yield from _metrics(case, "val", scalar=True)


@judge("SCALAR-07")
def other_metrics(case: Case) -> Iterator[Finding]:
    """Each other metric becomes an info."""
    yield from _metrics(case, "val", scalar=False)


@judge("SCALAR-08")
def changing_metrics(case: Case) -> Iterator[Finding]:
    """A metric is where it was published last, and nowhere else."""
    for at, record, turn in _evaluations(case, "val"):
        changing = {name for name, kind in case.plan.metrics if kind == CHANGING_KIND}
        for name, value in case.plan.metrics_of(turn).items():
            if name in changing and turn:
                expected = "a scalar" if is_scalar(value) else "an info"
                yield Finding(at, expected, _where(record, f"val/{name}"))


@judge("SCALAR-09")
def test_metrics(case: Case) -> Iterator[Finding]:
    """The metrics of a test are published likewise."""
    yield from _metrics(case, "test", scalar=True)
    yield from _metrics(case, "test", scalar=False)


@judge("SCALAR-11")
def rate_of_what_failed(case: Case) -> Iterator[Finding]:
    """The rate of an iteration that is not counted is not kept."""
    begins = [at for at, _, model in case.each("before_train_iter") if not model.aborting]
    if case.leg.planned is None or not begins or case.expectations[-1].iter > case.expectations[begins[-1]].iter:
        return
    last = begins[-1]
    for name in case.records[last].rates:
        key = f"train/{name}"
        kept = case.before(last).scalars.get(key, ())
        yield Finding(len(case.records) - 1, {key: list(kept)}, {key: list(case.records[-1].scalars.get(key, ()))})


def _metrics(case: Case, stage: str, *, scalar: bool) -> Iterator[Finding]:
    for at, record, turn in _evaluations(case, stage):
        for name, value in case.plan.metrics_of(turn).items():
            key = f"{stage}/{name}"
            if scalar and is_scalar(value):
                yield Finding(at, {key: [scalar_value(value)]}, {key: _appended_metric(case, at, key)})
            elif not scalar and not is_scalar(value):
                yield Finding(at, {key: value}, {key: record.info.get(key, "nothing published")})


def _appended_metric(case: Case, at: int, key: str) -> list[float]:
    # Where the metric was an info until now, the history begins anew.
    was_info = key in case.before(at).info
    return list(case.records[at].scalars.get(key, ())) if was_info else case.appended(at, key)


def _evaluations(case: Case, stage: str) -> Iterator[tuple[int, Record, int]]:
    """Iterate over the evaluations that came to their end, each with its number, from 0."""
    turn = 0
    for at, record, model in case.each(f"after_{stage}_epoch"):
        if not model.aborting:
            yield at, record, turn
            turn += 1


def _where(record: Record, key: str) -> Any:
    places = [place for place, held in (("a scalar", key in record.scalars), ("an info", key in record.info)) if held]
    return " and ".join(places) or "nowhere"
