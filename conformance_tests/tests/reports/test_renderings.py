from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest

from runtimeinfo_conformance._verdict import Report
from runtimeinfo_conformance.command_line._terminal import make_console, print_report
from runtimeinfo_conformance.pytest_plugin._pytest import outcome_of
from runtimeinfo_conformance.reports import report_data
from runtimeinfo_conformance.reports._html import index_page, report_page
from runtimeinfo_conformance.reports._markdown import markdown
from runtimeinfo_conformance.reports._text import COUNTED

COUNT = re.compile(rf"(\d+) ({'|'.join(sorted(COUNTED, key=len, reverse=True))})\b")


def in_json(report: Report) -> str:
    counts = report_data(report)["counts"]
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in COUNTED if verdict in counts)


def in_terminal(report: Report) -> str:
    console = make_console()
    with console.capture() as captured:
        print_report(console, report)
    return captured.get().splitlines()[-1].split(" · ")[1]


def in_pytest(report: Report) -> str:
    return outcome_of(report, with_report=False).data["summary"][1].partition(";")[0]


def in_markdown(report: Report) -> str:
    head, _, numbers = [line for line in markdown(report_data(report)).splitlines() if line.startswith("|")][:3]
    cells = zip(numbers.strip("| ").split(" | "), head.strip("| ").split(" | "), strict=True)
    return ", ".join(map(" ".join, cells))


def in_page(report: Report) -> str:
    (box,) = re.findall(r'<div class="verdict .*?</div>', report_page(report_data(report)), re.DOTALL)
    return tidy(box.partition("</strong>")[2])


def in_index(report: Report) -> str:
    data = report_data(report)
    (row, _) = re.findall(r'<tr class="subject">.*?</tr>', index_page([("a", data), ("b", data)]), re.DOTALL)
    return tidy(re.findall(r"<td>.*?</td>", row, re.DOTALL)[1])


def tidy(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


RENDERINGS: tuple[Callable[[Report], str], ...] = (in_terminal, in_pytest, in_markdown, in_page, in_index)


@pytest.fixture(params=["conformant", "failing", "waived"])
def each(request: pytest.FixtureRequest) -> Report:
    report: Report = request.getfixturevalue(request.param)
    return report


@pytest.mark.parametrize("rendering", RENDERINGS, ids=lambda rendering: rendering.__name__)
def test_every_rendering_counts_as_the_data_does(each: Report, rendering: Callable[[Report], str]) -> None:
    counts = COUNT.findall(in_json(each))
    assert counts
    shown = rendering(each)
    assert COUNT.findall(shown) == counts
    assert len(re.findall(r"\d+", shown)) == len(counts) + len(re.findall(r"\d+ warning", shown))


@pytest.mark.parametrize("rendering", RENDERINGS, ids=lambda rendering: rendering.__name__)
def test_inapplicable_rules_are_counted_in_the_data_only(each: Report, rendering: Callable[[Report], str]) -> None:
    assert report_data(each)["counts"]["not applicable"]
    assert "not applicable" not in rendering(each)
