"""META: the identity of a run from start to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runtimeinfo import __version__
from runtimeinfo_conformance.judges._judge import Case, Finding, broken, judge, ok
from runtimeinfo_conformance.judges._same import is_same
from runtimeinfo_conformance.judges.count import contract
from runtimeinfo_conformance.observation import Leg, Record

_NOTHING = "nothing published"

_NAMES = ("seed", "experiment_name")
"""Metadata that a checkpoint may bring from another run. META-08 covers it from before_train on."""


@judge("META-01")
def cfg(case: Case) -> Iterator[Finding]:
    """Check that the hub's cfg is the text of the configuration."""
    yield from _published(case, "cfg")


@judge("META-02")
def seed(case: Case) -> Iterator[Finding]:
    """Check that hub and runner have the plan's seed, or a different one from a checkpoint."""
    yield from _published(case, "seed")
    if case.leg.previous is None:
        for at, record, _ in case.since("before_run"):
            yield _seeded(at, case.plan.seed, record.info.get("seed"))


@judge("META-03")
def experiment_name(case: Case) -> Iterator[Finding]:
    """Check that hub and runner have the plan's name, to which a framework may append a time stamp."""
    yield from _published(case, "experiment_name")
    if case.leg.previous is None:
        yield from _named_after_plan(case, "before_run")


@judge("META-04")
def framework_version(case: Case) -> Iterator[Finding]:
    """Check that the hub holds the framework's version."""
    for at, record, identity in _identified(case):
        for key in identity:
            if key.endswith("_version"):
                yield Finding(at, identity[key], record.info.get(key))


@judge("META-05")
def hook_version(case: Case) -> Iterator[Finding]:
    """Check that the hub holds the hook's version."""
    for at, record, _ in _identified(case):
        yield Finding(at, __version__, record.info.get("runtimeinfo_version"))


@judge("META-06")
def runner(case: Case) -> Iterator[Finding]:
    """Check that the runner has every member of Runner."""
    yield from contract(case, "META-06", "before_run")


@judge("META-07")
def dataset_meta(case: Case) -> Iterator[Finding]:
    """Check that the hub's dataset_meta is the dataset's metainfo."""
    if case.plan.metainfo is not None:
        for at, record, _ in case.since("before_train"):
            yield Finding(at, case.plan.metainfo, record.info.get("dataset_meta"))


@judge("META-08")
def metadata_after_resume(case: Case) -> Iterator[Finding]:
    """Check that a resumed run has its own name, and its own seed or the checkpoint's, like the runner."""
    if case.leg.previous is not None:
        seeds = case.plan.seed, *_seeds_before(case.leg.previous)
        for at, record, identity in _identified(case, "before_train"):
            for key in _NAMES:
                yield Finding(at, identity[key], record.info.get(key))
            if identity["seed"] in seeds:
                yield ok(at)
            elif case.plan.seed is None:
                yield _seeded(at, None, identity["seed"])
            else:
                yield broken(at, f"a seed of {sorted(filter(None, seeds))}", identity["seed"])
        yield from _named_after_plan(case, "before_train")


def _seeded(at: int, planned: int | None, held: Any) -> Finding:
    """Check for the planned seed. Without one, a framework may draw a seed other than 0."""
    if planned is None and held is not None:
        return broken(at, None, held) if is_same(held, 0) else ok(at)
    return Finding(at, planned, held)


def _seeds_before(leg: Leg | None) -> Iterator[int | None]:
    """Yield the seeds of the previous legs, because a checkpoint may pass on the first one's."""
    while leg is not None:
        yield leg.plan.seed
        leg = leg.previous


def _named_after_plan(case: Case, event: str) -> Iterator[Finding]:
    planned, previous = case.plan.experiment_name, case.leg.previous
    for at, record, _ in case.since(event):
        held = record.info.get("experiment_name")
        if planned is not None:
            yield Finding(at, planned, str(held)[: len(planned)])
        elif held == "" or (previous is not None and str(held).startswith(previous.plan.run_name)):
            yield broken(at, None, held)
        else:
            yield ok(at)  # a framework may make one up


def _published(case: Case, key: str) -> Iterator[Finding]:
    for at, record, identity in _identified(case):
        if key in _NAMES and case.leg.previous is not None and record.event != "before_run":
            return
        yield Finding(at, identity[key], record.info.get(key, _NOTHING))


def _identified(case: Case, event: str = "before_run") -> Iterator[tuple[int, Record, Mapping[str, Any]]]:
    """Iterate over the records from an event on, each with the runner's metadata at the latest reading.

    Between before_run and before_train, a resumed run may load a checkpoint with the metadata of another run.
    """
    identity: Mapping[str, Any] = {}
    has_begun = False
    for at, record, _ in case.since(event):
        identity = record.identity or identity
        has_begun = has_begun or record.event == "before_train"
        if identity and (record.identity or has_begun or case.leg.previous is None):
            yield at, record, identity
