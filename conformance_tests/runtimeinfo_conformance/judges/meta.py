"""META: what identifies a run."""

from __future__ import annotations

from collections.abc import Iterator

from runtimeinfo import __version__
from runtimeinfo_conformance.judges._judge import Case, Finding, judge
from runtimeinfo_conformance.judges.count import contract


@judge("META-01")
def cfg(case: Case) -> Iterator[Finding]:
    """The configuration."""
    yield from _published(case, "cfg")


@judge("META-02")
def seed(case: Case) -> Iterator[Finding]:
    """The seed: the runner's own, which is the plan's unless a checkpoint brought another one along."""
    yield from _published(case, "seed")
    if case.leg.previous is None:
        for at, record, _ in case.each("before_run"):
            yield Finding(at, case.plan.seed, record.info.get("seed"))


@judge("META-03")
def experiment_name(case: Case) -> Iterator[Finding]:
    """The name of the experiment: the plan's, to which a framework may add a time stamp."""
    yield from _published(case, "experiment_name")
    if case.leg.previous is None:
        yield from _named_after_plan(case, "before_run")


@judge("META-04")
def framework_version(case: Case) -> Iterator[Finding]:
    """The framework's version."""
    for at, record, _ in case.each("before_run", "before_train"):
        for key in record.identity:
            if key.endswith("_version"):
                yield Finding(at, record.identity[key], record.info.get(key))


@judge("META-05")
def hook_version(case: Case) -> Iterator[Finding]:
    """The hook's version."""
    for at, record, _ in case.each("before_run", "before_train"):
        yield Finding(at, __version__, record.info.get("runtimeinfo_version"))


@judge("META-06")
def runner(case: Case) -> Iterator[Finding]:
    """The runner has all that Runner demands."""
    yield from contract(case, "META-06", "before_run")


@judge("META-07")
def dataset_meta(case: Case) -> Iterator[Finding]:
    """The dataset's metainfo."""
    if case.plan.metainfo is not None:
        for at, record, _ in case.each("before_train"):
            yield Finding(at, case.plan.metainfo, record.info.get("dataset_meta"))


@judge("META-08")
def metadata_after_resume(case: Case) -> Iterator[Finding]:
    """A resumed run goes by its own name."""
    if case.leg.previous is not None:
        for at, record, _ in case.each("before_train"):
            for key in ("seed", "experiment_name"):
                yield Finding(at, record.identity[key], record.info.get(key))
        yield from _named_after_plan(case, "before_train")


def _named_after_plan(case: Case, event: str) -> Iterator[Finding]:
    for at, record, _ in case.each(event):
        name = str(record.info.get("experiment_name"))
        yield Finding(at, case.plan.experiment_name, name[: len(case.plan.experiment_name)])


def _published(case: Case, key: str) -> Iterator[Finding]:
    for at, record, _ in case.each("before_run", "before_train"):
        # After a resume it is META-08's.
        if key in {"seed", "experiment_name"} and case.leg.previous is not None and record.event == "before_train":
            continue
        yield Finding(at, record.identity[key], record.info.get(key, "nothing published"))
