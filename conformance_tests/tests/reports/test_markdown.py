from __future__ import annotations

import html
import re
import shlex

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


def test_waived_and_upcoming_rules_are_named(waived: Report) -> None:
    text = markdown(report_data(waived))
    assert "## ✅ Trainer" in text
    assert "spec 0.1 · " not in text
    assert "spec 0.1 (the newest is 0.3) · profile nightly · seed 20250304 · " in text
    (row,) = [line for line in text.splitlines() if line.startswith("| STAGE-05 |")]
    assert "| 📝 waived |" in row
    assert (
        "(the test loop is being rewritten; issue&#58; https&#58;//example.org/myfw/issues/12; expires&#58; 2031-05-17)"
        in row
    )
    (row,) = [line for line in text.splitlines() if line.startswith("| LIFE-12 |")]
    assert "| 🔜 upcoming |" in row
    assert "(demanded from spec 0.2 on; it does not hold yet)" in row
    assert "**Warnings:**\n\n- it can do 'val', and does not declare it\n" in text
    assert "<summary>📝 STAGE-05 (MUST)" in text
    assert "<summary>🔜 LIFE-12 (MUST)" in text


def test_faulty_waivers_are_reported(troubled: Report) -> None:
    text = markdown(report_data(troubled))
    assert text.startswith("## ❌ ")
    assert "**What is wrong with the waivers:**\n\n- waivers.toml&#58; FAIL-01 has expired on 2024-01-01\n" in text


def test_each_failure_has_the_line_that_replays_it(waived: Report) -> None:
    blocks = re.findall(r"<pre>\n(.*?)</pre>", markdown(report_data(waived)), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        line = shlex.split(html.unescape(block.splitlines()[-1]))
        assert line[:2] == ["runtimeinfo", "replay"]
        assert line[-1] == "tests/test_conformance.py:test_conformance"
        assert f"plan:     {line[3]}\n" in html.unescape(block)
        assert block.startswith("example:  ")


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


def test_failures_are_listed_first(failing: Report) -> None:
    rows = [line for line in markdown(report_data(failing)).splitlines() if line.startswith("| ") and "MUST" in line]
    assert ["fail" in row for row in rows] == sorted(("fail" in row for row in rows), reverse=True)


def test_it_fits_into_a_step_summary(failing: Report) -> None:
    assert len(markdown(report_data(failing)).encode()) < 100_000
