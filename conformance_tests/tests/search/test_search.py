from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from simple_hub import SimpleHub

from runtimeinfo.spec import CAPABILITIES
from runtimeinfo_conformance import HubSubject, Plan, Subject
from runtimeinfo_conformance.plans import HubPlan
from runtimeinfo_conformance.search._fixed_plans import fixed_plans
from runtimeinfo_conformance.search._search import draw_plans

BARE = Subject("bare", "1", run=print)
HUB = HubSubject("hub", "1", make=SimpleHub)

SCRIPT = """
import hashlib
from runtimeinfo_conformance import Subject
from runtimeinfo_conformance.search._search import draw_plans
subject = Subject("any", "1", run=print, capabilities={"val", "resume", "outputs", "metrics", "optimizers"})
print(hashlib.sha256(repr(draw_plans(subject, 100, seed=SEED)).encode()).hexdigest())
"""


@pytest.fixture(params=[BARE, HUB], ids=["runner", "hub"])
def subject(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_those_that_are_always_tried_come_first(subject: Any) -> None:
    always = fixed_plans(subject)
    drawn = draw_plans(subject, len(always) + 20)
    assert drawn[: len(always)] == always
    assert len(drawn) == len(always) + 20


def test_those_that_are_always_tried_are_tried_all(subject: Any) -> None:
    always = fixed_plans(subject)
    assert draw_plans(subject, 1)[: len(always)] == always


def test_each_party_gets_its_own() -> None:
    assert {type(plan) for plan in draw_plans(BARE, 60)} == {Plan}
    assert {type(plan) for plan in draw_plans(HUB, 60)} == {HubPlan}


def test_the_same_plans_each_time(subject: Any) -> None:
    assert draw_plans(subject, 60) == draw_plans(subject, 60)


def test_the_seed_decides(subject: Any) -> None:
    once, again, other = (draw_plans(subject, 120, seed=seed) for seed in (1, 1, 2))
    assert once == again
    assert once != other
    assert once != draw_plans(subject, 120)
    always = len(fixed_plans(subject))
    assert once[:always] == other[:always]


@pytest.mark.parametrize("seed", ["None", "7"])
def test_another_process_draws_the_same(in_process: Any, monkeypatch: pytest.MonkeyPatch, seed: str) -> None:
    printed: set[str] = set()
    for hash_seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        ran = in_process("-c", SCRIPT.replace("SEED", seed))
        assert ran.returncode == 0, ran.stderr
        printed.add(ran.stdout)
    assert len(printed) == 1


def test_the_users_own_settings_have_no_say(subject: Any) -> None:
    before = draw_plans(subject, 60)
    hypothesis.settings.register_profile("hostile", max_examples=1, deadline=1, derandomize=False)
    hypothesis.settings.load_profile("hostile")
    try:
        assert draw_plans(subject, 60) == before
    finally:
        hypothesis.settings.load_profile("kit")


def test_in_a_long_search_it_is_told_how_many_are_drawn() -> None:
    told: list[tuple[str, int, int]] = []
    assert len(draw_plans(HUB, 1100, progress=lambda *progress: told.append(progress))) == 1100
    assert told == [("drawing plans", 500, 1100), ("drawing plans", 1000, 1100)]


def test_nothing_is_run() -> None:
    def run(plan: Plan, hooks: Any) -> None:
        raise AssertionError

    assert draw_plans(Subject("any", "1", run=run, capabilities=CAPABILITIES), 90)
