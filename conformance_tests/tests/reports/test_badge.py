from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from runtimeinfo.spec import SPEC_VERSION
from runtimeinfo_conformance._verdict import ExitCode, Report
from runtimeinfo_conformance.reports import report_data
from runtimeinfo_conformance.reports._badge import badge_data, badge_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_a_conformant_subject(conformant: Report) -> None:
    data = report_data(conformant)
    root = ET.fromstring(badge_svg(data))
    assert [text.text for text in root.iter(f"{SVG}text")] == ["runtimeinfo", f"conformant {SPEC_VERSION}"]
    assert root.findtext(f"{SVG}title") == f"Trainer 3.2.1: Conformant (spec {SPEC_VERSION})"
    assert badge_data(data) == {
        "schemaVersion": 1,
        "label": "runtimeinfo",
        "message": f"conformant {SPEC_VERSION}",
        "color": "1a7f37",
        "isError": False,
    }


@pytest.mark.parametrize("code", ExitCode)
def test_each_verdict_has_a_badge(conformant: Report, code: ExitCode) -> None:
    data = report_data(conformant)
    data["verdict"] = code.label
    assert badge_data(data)["isError"] is (code is not ExitCode.CONFORMANT)
    ET.fromstring(badge_svg(data))


def test_waived_rules_are_named(waived: Report) -> None:
    assert badge_data(report_data(waived))["message"] == "conformant 0.1, 1 waived"
    assert "conformant 0.1, 1 waived" in badge_svg(report_data(waived))


def test_the_text_lies_inside_of_the_badge(each_report: Report) -> None:
    root = ET.fromstring(badge_svg(report_data(each_report)))
    for text in root.iter(f"{SVG}text"):
        assert float(text.get("x", "")) + float(text.get("textLength", "")) < float(root.get("width", ""))


def test_a_hostile_name_is_only_text(hostile: Report) -> None:
    text = badge_svg(report_data(hostile))
    root = ET.fromstring(text)
    assert "<script" not in text
    assert "<script>" in (root.findtext(f"{SVG}title") or "")
