"""The rules for hubs in docs/differences.md are those that mmengine's own hub keeps and breaks."""

import re
from pathlib import Path

import pytest

from runtimeinfo.spec import REQUIREMENTS
from runtimeinfo_conformance._judging import find_killer
from runtimeinfo_conformance.plans import parse_plan
from runtimeinfo_conformance.subjects import mmengine_hub, reference_hub

PAGE = (Path(__file__).resolve().parents[1] / "differences.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("<!-- hub-rules:begin -->")[2].partition("<!-- hub-rules:end -->")[0]
ROWS = re.findall(r"^\| \[([A-Z]+-\d+)\]\(\S+\) \| (.+) \| (\S+) \| (\S+) \|$", TABLE, re.MULTILINE)
PLANS = re.findall(r"^- \*\*([A-Z]+-\d+)\*\*: `(HubPlan\(.*\))`$", TABLE, re.MULTILINE)


def test_table_has_each_rule_in_its_words():
    assert {id: text for id, text, _, _ in ROWS} == {
        rule.id: rule.text for rule in REQUIREMENTS.values() if rule.party == "hub"
    }, "run `make adapters`"
    assert {ours for _, _, ours, _ in ROWS} == {"✓"}
    assert [id for id, _ in PLANS] == [id for id, _, _, theirs in ROWS if theirs == "✗"]


@pytest.mark.parametrize(("id", "plan"), PLANS, ids=[id for id, _ in PLANS])
def test_each_plan_shows_its_rule_on_their_hub_and_not_on_ours(id, plan):
    assert find_killer(mmengine_hub.subject(), id, [parse_plan(plan)]) is not None
    assert find_killer(reference_hub.subject(), id, [parse_plan(plan)]) is None
