from __future__ import annotations

from typing import Any

import pytest
from cheats import CHEATS, cheat

from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import Tally
from runtimeinfo_conformance.guards import Guard
from runtimeinfo_conformance.search import draw_plans


@pytest.mark.parametrize(
    ("run", "requirement"), CHEATS.items(), ids=lambda value: getattr(value, "__qualname__", value)
)
def test_a_cheat_breaks_the_rule_that_it_bends(run: Any, requirement: str) -> None:
    subject, tally, guard = cheat(run), Tally(), Guard()
    for plan in draw_plans(subject, PROFILES["quick"].plans):
        judge_plan(subject, plan, tally, guard)
        if requirement in tally.broken:
            return
    pytest.fail(f"{requirement} holds; broken are {sorted(tally.broken)}, and the crash is {tally.crash}")
