from __future__ import annotations

import re

import pytest

from runtimeinfo_conformance._verdict import Report, Verdict
from runtimeinfo_conformance.reports import report_data
from runtimeinfo_conformance.reports._markdown import markdown


def test_a_conformant_subject_is_told_shortly(conformant: Report) -> None:
    lines = markdown(report_data(conformant)).splitlines()
    assert lines[0] == "## ✅ Trainer 3.2.1: Conformant"
    assert len(lines) < 12
    assert "<details>" not in lines


def test_each_failure_is_folded(failing: Report) -> None:
    text = markdown(report_data(failing))
    assert text.startswith("## ❌ Trainer (the stage is not restored after a test) 3.2.1: Not conformant\n")
    failed = failing.of(Verdict.FAIL, Verdict.WARN)
    assert text.count("<details>") == text.count("</details>") == len(failed)
    assert text.count("<pre>") == text.count("</pre>") == len(failed)
    for result in failed:
        assert f"| {result.requirement.id} | {result.requirement.level} | " in text
    assert re.search(r"^  -&gt; +after_test +stage test", text, re.MULTILINE)
    assert "events before" in text


def test_tables_have_the_same_columns_in_each_row(each_report: Report) -> None:
    widths = []
    for line in markdown(report_data(each_report)).splitlines():
        if line.startswith("|"):
            widths.append(line.count("|"))
        elif widths:
            assert len(set(widths)) == 1
            widths = []


def test_a_crash_is_folded(crashed: Report) -> None:
    text = markdown(report_data(crashed))
    assert "<summary>The subject broke</summary>" in text
    assert "RuntimeError: out of &lt;memory&gt;" in text


def test_a_hub_shows_its_operations(failing_hub: Report) -> None:
    assert re.search(r"^  -&gt; HubOp", markdown(report_data(failing_hub)), re.MULTILINE)


def test_a_hostile_text_is_only_text(hostile: Report, unfit: re.Pattern[str]) -> None:
    text = markdown(report_data(hostile))
    assert "<script" not in text
    assert not unfit.search(text)
    assert not re.search(r"^# new", re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL), re.MULTILINE)
    title = text.splitlines()[0]
    assert "&#60;script&#62;" in title
    assert not re.search(r"[`*|\[\]<>]", title)
    for block in re.findall(r"<pre>\n(.*?)</pre>", text, re.DOTALL):
        assert "<" not in block


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("before_train_iter", "before_train_iter"),
        ("_my_fw_", "&#95;my_fw&#95;"),
        ("see www.evil.com", "see www&#46;evil.com"),
        ("http://evil", "http&#58;//evil"),
        ("a@b", "a&#64;b"),
        ("two\nlines", "two lines"),
        ("a|b", "a&#124;b"),
    ],
)
def test_a_name_is_no_markup(conformant: Report, name: str, written: str) -> None:
    data = report_data(conformant)
    data["subject"]["name"] = name
    assert markdown(data).startswith(f"## ✅ {written} 3.2.1: ")


def test_what_is_broken_is_listed_first(failing: Report) -> None:
    rows = [line for line in markdown(report_data(failing)).splitlines() if line.startswith("| ") and "MUST" in line]
    assert ["fail" in row for row in rows] == sorted(("fail" in row for row in rows), reverse=True)


def test_it_fits_into_a_step_summary(failing: Report) -> None:
    assert len(markdown(report_data(failing)).encode()) < 100_000
