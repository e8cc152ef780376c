"""The page that says how far the kit can be trusted."""

from __future__ import annotations

import datetime as dt
import platform
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from detection import FIRST_PLANS, Automatic, Detection
from good_subjects import Searched

from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSION
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.search import Coverage

MUSTS = frozenset(
    rule.id
    for rule in REQUIREMENTS.values()
    if rule.level == "MUST" and rule.untestable is None and rule.party != "reducer"
)
"""What a test can decide, and must, of a runner or a hub. Faults in reducers, each of which takes processes, are left
to the tests."""


@dataclass(frozen=True)
class Quality:
    """All that was measured.

    Attributes:
        curated: What was said of each fault that was thought of.
        automatic: What was said of each fault that a rule has made.
        good: The verdicts on subjects that are right.
        coverage: How many pairs and triples of values the plans of ``ci`` have.
        runs: How often the profile ``ci`` was run.
        distinct: How many different reports came out.
        seeds: With how many seeds faults were searched for.
        minutes: How long it all took.
    """

    curated: list[Detection]
    automatic: list[Automatic]
    good: list[Searched]
    coverage: Coverage
    runs: int
    distinct: int
    seeds: int
    minutes: float

    @property
    def own(self) -> frozenset[str]:
        """The MUSTs which have a fault that they alone notice."""
        return MUSTS & {each.requirement for each in self.curated if each.is_its_own}

    def problems(self) -> Iterator[str]:
        """Yield what is not as it has to be."""
        yield from (f"{each.requirement}: {each.name}: not noticed" for each in self.curated if not each.is_noticed)
        yield from (f"{id}: no fault that it alone notices" for id in sorted(MUSTS - self.own))
        for each in self.automatic:
            if (each.broken is None) is (each.excuse is None):
                yield f"{each.name}: {'not noticed' if each.broken is None else 'noticed in spite of its excuse'}"
        yield from (f"{each.name}: {each.verdict}, though it is right" for each in self.good if not each.is_green)
        if self.distinct != 1:
            yield f"{self.distinct} different reports in {self.runs} runs"


def page(quality: Quality) -> str:
    """Return the page."""
    parts = (_answers, _rules, _curated, _automatic, _good, _occurrences)
    return "\n".join(line for part in parts for line in (*part(quality), "")).rstrip() + "\n"


def _answers(quality: Quality) -> Iterator[str]:
    noticed = sum(each.is_noticed for each in quality.curated)
    noticeable = [each for each in quality.automatic if each.excuse is None]
    rest = len(quality.automatic) - len(noticeable)
    plans = sum(each.plans for each in quality.good)
    red = sum(not each.is_green for each in quality.good)
    covered = quality.coverage
    versions = [f"{name} {metadata.version(name.lower())}" for name in ("Hypothesis", "torch", "mmengine")]
    yield "# How far the kit can be trusted"
    yield ""
    yield (
        f"Written by `make kit-quality` on {dt.datetime.now(tz=dt.UTC).date()}: Python {platform.python_version()}, "
        f"{', '.join(versions)}, spec {SPEC_VERSION}; it took {quality.minutes:.0f} minutes."
    )
    yield ""
    yield "| question | answer |"
    yield "|---|---|"
    yield f"| Faults thought of, noticed under `ci` by their own requirement | {noticed} of {len(quality.curated)} |"
    yield f"| Testable MUSTs with a fault that they alone notice | {len(quality.own)} of {len(MUSTS)} |"
    yield (
        f"| Faults made by rule, noticed under `ci` | {sum(each.broken is not None for each in noticeable)} of "
        f"{len(noticeable)}; {rest} more change nothing that the spec speaks of |"
    )
    yield (
        f"| Pairs and triples of values of a plan's fields that the plans of `ci` have | {covered.pairs:,} of "
        f"{covered.possible_pairs:,} pairs, {covered.triples:,} of {covered.possible_triples:,} triples "
        f"({100 * covered.triples / covered.possible_triples:.1f} %) |"
    )
    yield f"| Right subjects that came out red | {red} of {len(quality.good)}, over {plans:,} plans |"
    yield f"| Different reports in {quality.runs} runs of `ci`, each in a process of its own | {quality.distinct} |"


def _rules(quality: Quality) -> Iterator[str]:
    yield "## Detection by rule"
    yield ""
    yield (
        "The faults that were made to break each rule, how many of them it notices, and the median of the plans that "
        f"it takes to notice one: drawn plans only, over {quality.seeds} seeds."
    )
    yield ""
    yield "| requirement | faults | noticed | plans: median |"
    yield "|---|---:|---:|---:|"
    for id in dict.fromkeys(each.requirement for each in quality.curated):
        faults = [each for each in quality.curated if each.requirement == id]
        searched = statistics.median(count for each in faults for count in each.searched)
        yield f"| {id} | {len(faults)} | {sum(each.is_noticed for each in faults)} | {_number(searched)} |"


def _curated(quality: Quality) -> Iterator[str]:
    yield "## Faults thought of"
    yield ""
    yield (
        "Each sits in the plain PyTorch subject or in the reference hub. *Plans* is how many drawn plans it takes to "
        "break its requirement, without those that `ci` always tries first: median and 95th percentile over "
        f"{quality.seeds} seeds, ∞ where more than {PROFILES['ci'].plans}. With them each takes one: that is what they "
        "are there for."
    )
    yield ""
    yield f"| requirement | fault | plans: median | p95 | also broken by it, in the first {FIRST_PLANS} plans |"
    yield "|---|---|---:|---:|---|"
    for each in quality.curated:
        others = ", ".join(sorted(each.broken - {each.requirement})) or "nothing"
        mark = "" if each.is_noticed else " **not noticed**"
        yield f"| {each.requirement} | {each.name}{mark} | {_number(each.median)} | {_number(each.p95)} | {others} |"


def _automatic(quality: Quality) -> Iterator[str]:
    yield "## Faults made by rule"
    yield ""
    yield (
        "Each event lost, doubled, or late; each counter off by one, or of the event before; each argument of the time "
        "before; what leaks from run to run. *Plans* counts those of `ci`."
    )
    yield ""
    yield "| fault | noticed first by | plans |"
    yield "|---|---|---:|"
    for found in quality.automatic:
        answer = found.broken or (f"nothing: {found.excuse}" if found.excuse else "**nothing**")
        yield f"| {found.name} | {answer} | {found.after if found.broken else ''} |"


def _good(quality: Quality) -> Iterator[str]:
    yield "## Subjects that are right"
    yield ""
    yield "| subject | how it is made | plans | verdict |"
    yield "|---|---|---:|---|"
    for each in quality.good:
        yield f"| {each.name} | {each.structure} | {each.plans:,} | {each.verdict} |"


def _occurrences(quality: Quality) -> Iterator[str]:
    yield "## How often each requirement mattered"
    yield ""
    yield "Occurrences in one search on the plain PyTorch subject, or on the reference hub."
    yield ""
    yield "| requirement | occurrences |"
    yield "|---|---:|"
    for each in quality.good:
        if each.name in {"pytorch", "reference hub"}:
            for id, occurrences in each.occurrences.items():
                yield f"| {id} | {occurrences:,} |"


def _number(value: float) -> str:
    return "∞" if value == float("inf") else f"{value:g}"
