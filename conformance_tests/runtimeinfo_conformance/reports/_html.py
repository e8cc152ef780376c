"""A report as a page: one file, which loads nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

from runtimeinfo_conformance.reports._data import (
    SUMMARIES_BY_NAME,
    ReportData,
    RequirementData,
    by_cause,
    same_mistake,
)
from runtimeinfo_conformance.reports._picture import HEADS, Picture, draw
from runtimeinfo_conformance.reports._text import arguments_text, counted

if TYPE_CHECKING:
    # Only a page needs them, and they are in an extra.
    from jinja2 import Environment
    from markupsafe import Markup

SYMBOLS = {
    "pass": "✓",
    "fail": "✗",
    "warn": "!",
    "waived": "≈",
    "not applicable": "-",
    "not executed": "?",
    "untestable": "○",
    "upcoming": "→",
}
"""A symbol for each verdict: colour alone would not tell everybody."""

_OFF = "not applicable"


def report_page(report: ReportData) -> str:
    """Return the page of a report."""
    cards = list(_cards(report))
    shown = [each for _, _, several in cards for each in several]
    groups = _groups(report["requirements"])
    template = _environment().get_template("report.html.jinja")
    return template.render(
        report=report,
        # Those in which nothing applies come last.
        groups=dict(sorted(groups.items(), key=lambda group: all(each["verdict"] == _OFF for each in group[1]))),
        cards=cards,
        linked={each["id"] for each in shown},
        sentences=[
            ("troubles", "What is wrong with the waivers", report["troubles"]),
            ("warnings", "Warnings", report["warnings"]),
            ("survivors", "Faults put in on purpose that were not noticed", report["survivors"]),
        ],
        pictures=dict(_pictures(shown)),
        causes={each["id"]: same_mistake(report, each["id"]) for each in shown},
        summary=SUMMARIES_BY_NAME[report["verdict"]],
    )


def index_page(reports: Sequence[tuple[str, ReportData]]) -> str:
    """Return the page that leads to several reports.

    Args:
        reports: Each with the folder that it lies in.
    """
    template = _environment().get_template("index.html.jinja")
    return template.render(
        reports=reports,
        groups=_groups(reports[0][1]["requirements"]),
        verdicts=[{each["id"]: each["verdict"] for each in report["requirements"]} for _, report in reports],
        summaries=SUMMARIES_BY_NAME,
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # For the macros, which see nothing of what a page is given.
    cast("dict[str, Any]", environment.globals).update(symbols=SYMBOLS, heads=HEADS)
    cast("dict[str, Any]", environment.filters).update(ticks=_with_code, counted=counted, arguments=arguments_text)
    return environment


def _with_code(text: str) -> Markup:
    """Return a text of the spec, in which what stands between backticks is code."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  # it is escaped


def _source(name: str) -> str:
    return resources.files("runtimeinfo_conformance.reports").joinpath(name).read_text(encoding="utf-8")


def _groups(requirements: Iterable[RequirementData]) -> dict[str, list[RequirementData]]:
    """Return the requirements by the first part of their ids."""
    groups: dict[str, list[RequirementData]] = {}
    for each in requirements:
        groups.setdefault(each["id"].partition("-")[0], []).append(each)
    return groups


def _cards(report: ReportData) -> Iterator[tuple[str, str, list[RequirementData]]]:
    """Yield what is told at length, in sections with an id and a title."""

    def of(verdict: str) -> list[RequirementData]:
        return [each for each in report["requirements"] if each["verdict"] == verdict]

    yield "broken", "What is broken", by_cause(report)
    yield "waived", "What is waived", of("waived")
    yield "upcoming", "What a later spec demands", of("upcoming")


def _pictures(requirements: Iterable[RequirementData]) -> Iterator[tuple[str, Picture]]:
    for each in requirements:
        if each["failure"] is not None and each["failure"]["timeline"] is not None:
            yield each["id"], draw(each["failure"]["timeline"], each["id"])
