"""The spec page has each requirement with its example, and says which version brought it."""

import json
import re
from pathlib import Path

import pytest

from runtimeinfo import REQUIREMENTS, SPEC_VERSIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")


def section(heading):
    """Return what stands under a heading, up to the next one of its level or a higher one."""
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
    assert [id for id, _ in ids] == [rule.id for rule in REQUIREMENTS.values() if rule.since == version]
    assert all(anchor == id.lower() for id, anchor in ids)
    if frozen.exists():
        assert [id for id, _ in ids] == [rule["id"] for rule in json.loads(frozen.read_text("utf-8"))["rules"]]


def test_nothing_is_taken_for_a_tag():
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", PAGE, flags=re.DOTALL)
    assert r"train/\<name>" in prose
    assert not re.search(r"(?<!\\)<", prose)
