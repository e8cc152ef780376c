from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

from runtimeinfo.spec import SPEC_VERSION
from runtimeinfo_conformance._verdict import Report, Verdict
from runtimeinfo_conformance.reports import report_data
from runtimeinfo_conformance.reports._data import by_cause
from runtimeinfo_conformance.reports._html import SYMBOLS, index_page, report_page

WAIVER_ISSUE = "https://example.org/myfw/issues/12"
VOID = {"meta", "link", "br", "hr", "img", "input", "rect", "path", "line"}


class Page(HTMLParser):
    """The elements of a page; what is left open or closed in the wrong order is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def page_of(report: Report) -> tuple[str, Page]:
    text = report_page(report_data(report))
    return text, Page(text)


def test_each_verdict_has_a_symbol_of_its_own() -> None:
    assert {each.value for each in Verdict} <= set(SYMBOLS)
    assert len(set(SYMBOLS.values())) == len(SYMBOLS)


def test_a_page_loads_nothing(each_report: Report) -> None:
    text, page = page_of(each_report)
    assert page.all("script", "iframe", "img", "object", "embed") == []
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    # A link loads nothing until it is followed.
    assert {a["href"] for a in page.all("a") if not (a["href"] or "").startswith("#")} <= {"report.json", WAIVER_ISSUE}
    assert "url(" not in text
    assert "@import" not in text
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_a_page_refers_to_no_address(conformant: Report, failing: Report, failing_hub: Report) -> None:
    for report in (conformant, failing, failing_hub):
        assert not re.search(r"https?:|//[a-z]", page_of(report)[0])


def test_there_is_a_row_for_each_requirement(each_report: Report) -> None:
    _, page = page_of(each_report)
    rows = [row for row in page.all("tr") if "requirement" in (row.get("class") or "").split()]
    assert {row["id"]: row["data-verdict"] for row in rows} == {
        result.requirement.id: result.verdict.value for result in each_report.results
    }


def test_each_cell_of_the_matrix_says_its_verdict_and_leads_to_its_row(each_report: Report) -> None:
    text, _ = page_of(each_report)
    (matrix,) = re.findall(r"<nav.*?</nav>", text, re.DOTALL)
    cells = {
        href: " ".join(re.sub(r"<[^>]*>", "", inner).split())
        for href, inner in re.findall(r'<a [^>]*href="#([^"]*)"[^>]*>(.*?)</a>', matrix, re.DOTALL)
    }
    groups = {id.partition("-")[0] for id in cells}
    results = {result.requirement.id: result for result in each_report.results}
    assert cells.keys() == {id for id in results if id.partition("-")[0] in groups}
    for id, shown in cells.items():
        verdict = results[id].verdict.value
        assert shown == f"{id} {SYMBOLS[verdict]} {verdict}"


def test_the_head_of_a_page_says_what_was_judged_by_what(waived: Report, conformant: Report) -> None:
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page_of(waived)[0]))
    assert re.sub("<[^>]*>", "", facts["Spec"]) == "0.1 (the newest is 0.3)"
    assert facts["Seed"] == "20250304"
    assert facts["Profile"] == "nightly"
    assert facts["Target"] == "<code>tests/test_conformance.py:test_conformance</code>"
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page_of(conformant)[0]))
    assert (facts["Spec"], facts["Seed"]) == (SPEC_VERSION, "none: the same plans each time")


def test_waived_and_upcoming_rules_are_described(waived: Report) -> None:
    text, page = page_of(waived)
    (card,) = re.findall(r'<div id="failure-STAGE-05">.*?</details>', text, re.DOTALL)
    assert "Waived: the test loop is being rewritten. Issue: " in card
    assert f'<a href="{WAIVER_ISSUE}" rel="noreferrer">' in card
    assert '<time datetime="2031-05-17">' in card
    (card,) = re.findall(r'<div id="failure-LIFE-12">.*?</details>', text, re.DOTALL)
    assert "demanded from spec 0.2 on; it does not hold yet" in card
    assert len([svg for svg in page.all("svg") if svg["class"] == "picture"]) == 2
    assert "it can do &#39;val&#39;, and does not declare it" in text
    assert "What is wrong with the waivers" not in text


def test_faulty_waivers_are_reported(troubled: Report) -> None:
    text, _ = page_of(troubled)
    assert "Not decided: a waiver is wrong" in text
    assert "<li>waivers.toml: FAIL-01 has expired on 2024-01-01</li>" in text


def test_each_failure_has_the_line_that_replays_it(waived: Report, failing: Report, failing_hub: Report) -> None:
    for report in (waived, failing, failing_hub):
        lines = [
            each["failure"]["replay"] for each in report_data(report)["requirements"] if each["failure"] is not None
        ]
        shown = re.findall(r'<pre class="replay"[^>]*>(.*?)</pre>', page_of(report)[0], re.DOTALL)
        assert sorted(html.unescape(line) for line in shown) == sorted(str(line) for line in lines)
        assert lines


def test_only_an_address_of_the_web_becomes_a_link(hostile: Report) -> None:
    text, page = page_of(hostile)
    assert "javascript:alert()" in text
    assert not any("javascript" in (a["href"] or "") for a in page.all("a"))


def test_text_between_backticks_is_code(failing_hub: Report) -> None:
    data = report_data(failing_hub)
    (each,) = [each for each in data["requirements"] if each["id"] == "HUB-01"]
    each["example"] = "`hub.get_info('<b>')` is `None`"
    text = report_page(data)
    shown = "<code>hub.get_info(&#39;&lt;b&gt;&#39;)</code> is <code>None</code>"
    assert text.count(f">For example: {shown}</p>") == 2


def test_headings_come_in_order(each_report: Report) -> None:
    _, page = page_of(each_report)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_table_has_a_caption(each_report: Report) -> None:
    _, page = page_of(each_report)
    assert len(page.all("caption")) == len(page.all("table")) >= 1


def test_inapplicable_rules_come_last(failing: Report, failing_hub: Report) -> None:
    for report, party in ((failing, "runner"), (failing_hub, "hub")):
        _, page = page_of(report)
        verdicts = [row["data-verdict"] for row in page.all("tr") if "data-verdict" in row]
        assert verdicts[0] != "not applicable", party
        assert verdicts[-1] == "not applicable", party


def test_every_id_is_unique_and_every_link_leads_somewhere(each_report: Report) -> None:
    _, page = page_of(each_report)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for a in page.all("a"):
        if (a["href"] or "").startswith("#"):
            assert (a["href"] or "")[1:] in ids
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(name) or "").split()) <= set(ids)


def test_a_screen_reader_finds_its_way(failing: Report) -> None:
    text, page = page_of(failing)
    assert page.all("html")[0]["lang"] == "en"
    for landmark in ("header", "main", "footer", "nav"):
        assert len(page.all(landmark)) == 1
    assert all(header.get("scope") for header in page.all("th"))
    assert len(page.all("h1")) == 1
    for svg in page.all("svg"):
        assert svg["role"] == "img"
        assert svg["aria-labelledby"]
    assert all(f">{verdict}<" in text or f" {verdict}<" in text for verdict in ("pass", "fail"))


def test_each_failure_has_its_picture_with_the_event_marked(failing: Report) -> None:
    text, page = page_of(failing)
    results = {result.requirement.id: result for result in failing.of(Verdict.FAIL, Verdict.WARN)}
    failed = [results.pop(each["id"]) for each in by_cause(report_data(failing))]
    assert results == {}
    pictures = re.findall(r'<svg class="picture".*?</svg>', text, re.DOTALL)
    assert len(pictures) == len(failed) > 1
    for picture, result in zip(pictures, failed, strict=True):
        root = ET.fromstring(picture)
        assert root.findtext("title") == f"Timeline of the run that breaks {result.requirement.id}"
        assert root.findtext("desc")
        assert result.failure is not None
        marked = [group for group in root.iter("g") if "marked" in (group.get("class") or "").split()]
        assert len(marked) == (result.failure.finding.at is not None)
    assert len(page.all("details")) >= len(failed)


def test_a_hub_has_its_operations_with_one_marked(failing_hub: Report) -> None:
    text, page = page_of(failing_hub)
    assert "<svg" not in text
    assert [item for item in page.all("li") if item.get("class") == "marked"]


def test_a_hostile_text_is_only_text(hostile: Report, unfit: re.Pattern[str]) -> None:
    text, page = page_of(hostile)
    assert "&lt;script&gt;" in text
    assert page.all("script") == []
    assert not unfit.search(text)
    text.encode()
    for picture in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(picture)


def test_the_index_leads_to_each_subject(failing: Report, hub: Report, hostile: Report) -> None:
    reports = [("a", report_data(failing)), ("b", report_data(hub)), ("c", report_data(hostile))]
    text = index_page(reports)
    page = Page(text)
    targets = {(a["href"] or "").partition("#")[0] for a in page.all("a")}
    assert targets == {"", "a/report.html", "b/report.html", "c/report.html"}
    rows = [row for row in page.all("tr") if row.get("class") == "requirement"]
    assert len(rows) == len(failing.results)
    assert all(header.get("scope") for header in page.all("th"))
    assert page.all("script") == []
