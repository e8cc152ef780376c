"""The spec page has each requirement with its example, and says which version brought it."""

import importlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from runtimeinfo.spec import CLOSES, GRAMMAR, OPENS, REQUIREMENTS, SPEC_VERSIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")


def section(heading):
    """Return what stands under a heading, up to the next one of its level or a higher one."""
    assert f"\n{heading}\n" in PAGE, f"docs/spec.md has no {heading!r}: run `make docs`"
    level = heading.split()[0]
    begin = PAGE.index(f"\n{heading}\n") + len(heading) + 2
    end = re.search(rf"^#{{1,{len(level)}}} ", PAGE[begin:], flags=re.MULTILINE)
    return PAGE[begin:][: end.start() if end else None]


def unescaped(text):
    return re.sub(r"\\(.)", r"\1", text)


@pytest.mark.parametrize("rule", REQUIREMENTS.values(), ids=lambda rule: rule.id)
def test_a_requirement_has_its_text_intent_example_and_version(rule):
    paragraphs = [unescaped(each) for each in section(f"#### {rule.id}").strip().split("\n\n")]
    assert paragraphs[:3] == [rule.text, f"*Intent.* {rule.intent}", f"*Example.* {rule.example}"]
    assert f", since {rule.since}" in paragraphs[3]


@pytest.mark.parametrize("version", SPEC_VERSIONS)
def test_a_version_lists_what_came_in_with_it_and_a_draft_is_called_one(version):
    frozen = ROOT / "protocol" / "tests" / "frozen" / f"spec-{version}.json"
    listed = section(f"### {version}" if frozen.exists() else f"### {version} (draft)")
    ids = re.findall(r"\[([A-Z]+-\d\d)\]\(#([a-z]+-\d\d)\)", listed)
    brought = [rule.id for rule in REQUIREMENTS.values() if rule.since == version]
    assert [id for id, _ in ids] == brought, "docs/spec.md is stale: run `make docs`"
    assert all(anchor == id.lower() for id, anchor in ids)
    if frozen.exists():
        assert [id for id, _ in ids] == [rule["id"] for rule in json.loads(frozen.read_text("utf-8"))["rules"]]


@pytest.mark.parametrize("rule", REQUIREMENTS.values(), ids=lambda rule: rule.id)
def test_a_requirement_names_its_judge_or_why_it_has_none(rule):
    text = section(f"#### {rule.id}")
    assert ("*Not tested.*" in text) == (rule.untestable is not None)
    if rule.untestable is None:
        name, path = re.search(r"^\*Judged by\* `(\w+)` in \[judges/\w+\.py\]\((\S+)\)\.$", text, re.MULTILINE).groups()
        file = (ROOT / "docs" / path).resolve()
        assert callable(getattr(importlib.import_module(f"runtimeinfo_conformance.judges.{file.stem}"), name))
        assert rule.id in file.read_text(encoding="utf-8")


def test_a_must_that_is_tested_names_faults_that_the_kit_notices():
    for rule in REQUIREMENTS.values():
        if rule.level == "MUST" and rule.untestable is None:
            assert "*The kit notices, for instance:*" in section(f"#### {rule.id}"), rule.id


def test_fields_that_bind_are_those_that_are_frozen():
    frozen = json.loads((ROOT / "protocol" / "tests" / "frozen" / "spec-0.1.json").read_text("utf-8"))["rules"]
    first = section("### What needs a new version").partition("\n\n- ")[0].partition("None of it")[0]
    assert set(re.findall(r"`(\w+)`", first)) == frozen[0].keys()


def test_the_picture_has_each_scope_in_its_place_with_its_events():
    picture = ET.parse(ROOT / "docs" / "lifecycle.svg")
    space = "{http://www.w3.org/2000/svg}"
    texts = [each.text for each in picture.iter(f"{space}text")]
    assert {text for text in texts if re.match("(before|after)_", text)} == {*OPENS, *CLOSES}
    for name, scope in GRAMMAR.items():
        # A scope that may stand in several others is named in each, beside its own box.
        assert texts.count(f"{name} *") == (len(scope.inside) if len(scope.inside) > 1 else 0)
        assert texts.count(name) == 1
    assert "prefers-color-scheme: dark" in picture.find(f"{space}style").text


def test_nothing_is_taken_for_a_tag():
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", PAGE, flags=re.DOTALL)
    assert r"train/\<name>" in prose
    assert not re.search(r"(?<!\\)<", prose)
