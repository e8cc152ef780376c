from __future__ import annotations

import importlib
import pkgutil
import warnings
from typing import Any

import pytest

from runtimeinfo_conformance import subjects
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._subject import AnySubject
from runtimeinfo_conformance._verdict import ExitCode, Tally, Verdict
from runtimeinfo_conformance.search import draw_plans

# mmengine's own hub is there as it is: docs/differences.md says what it breaks.
AS_THEY_ARE = {"mmengine_hub"}

MODULES = [module.name for module in pkgutil.iter_modules(subjects.__path__)]
NAMES = sorted(name for name in MODULES if not name.startswith("_") and name not in AS_THEY_ARE)

# What a framework does not show cannot be wrong: these are SHOULDs.
NOT_SHOWN = {"keras": {"LIFE-09", "LIFE-14"}}


def conformant(subject: AnySubject, not_shown: Any = ()) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the frameworks' own
        report = check(subject, PROFILES["quick"])
    assert report.of(Verdict.FAIL, Verdict.WARN) == []
    assert {result.requirement.id for result in report.of(Verdict.NOT_EXERCISED)} == set(not_shown)
    assert report.crash is None
    assert report.survivors == report.warnings == ()
    assert report.exit_code is ExitCode.CONFORMANT


@pytest.mark.parametrize("name", NAMES)
def test_each_bundled_subject_is_conformant(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    module = importlib.import_module(f"runtimeinfo_conformance.subjects.{name}")
    conformant(module.subject(), NOT_SHOWN.get(name, ()))


def test_mmengine_with_the_reference_hub_keeps_each_requirement() -> None:
    """Its faults are looked for above, with its own hub."""
    from runtimeinfo_conformance.subjects import mmengine

    subject, tally = mmengine.subject_with_reference_hub(), Tally()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for plan in draw_plans(subject, PROFILES["quick"].plans):
            judge_plan(subject, plan, tally)
    assert tally.crash is None
    verdicts = {result.verdict for result in tally.results(subject)}
    assert verdicts == {Verdict.PASS, Verdict.NOT_APPLICABLE, Verdict.UNTESTABLE}
