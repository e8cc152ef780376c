"""No hub that is odd, but legal, comes out red."""

from __future__ import annotations

import os
from typing import Any

import pytest
from odd_hubs import ODD_HUBS

from runtimeinfo import MessageHub
from runtimeinfo_conformance import HubSubject
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import Tally
from runtimeinfo_conformance.plans import HubOp, HubPlan
from runtimeinfo_conformance.search import draw_plans

PARTS = 6
"""Each hub is tried on one of so many plans, each time on others."""

EVERY_PLAN = "RUNTIMEINFO_EVERY_PLAN"
"""Where it is set, as `make nightly` does, each is tried on all."""

SHOWING = [
    HubPlan((HubOp("publish_in_threads", "train/loss"),)),
    HubPlan((HubOp("update_scalar", "train/loss", "nan"), HubOp("keep_history", "train/loss"), HubOp("reload"))),
]


@pytest.mark.parametrize("kind", ODD_HUBS, ids=lambda kind: kind.__name__)
def test_an_odd_hub_breaks_nothing(kind: type[Any]) -> None:
    assert isinstance(kind(), MessageHub)
    subject, tally = HubSubject(kind.__name__, "1", make=kind), Tally()
    plans = draw_plans(subject, PROFILES["quick"].plans)
    own = plans if EVERY_PLAN in os.environ else plans[ODD_HUBS.index(kind) % PARTS :: PARTS]
    for plan in [*SHOWING, *own]:
        judge_plan(subject, plan, tally)
    assert tally.crash is None
    assert tally.broken == frozenset()
    assert tally.counts["HUB-16"].occurrences
