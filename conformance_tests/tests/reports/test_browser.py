"""The page in a real browser: it needs Chromium with its driver, and selenium; axe-core comes with axe-core-python."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo_conformance._verdict import Report, Verdict
from runtimeinfo_conformance.reports import write_reports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
except ImportError:
    webdriver = None  # type: ignore[assignment]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="there is no chromium with its chromedriver"),
    pytest.mark.skipif(webdriver is None, reason="selenium is not installed"),
]

FLAGS = (
    "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "disable-dev-shm-usage",
)  # fmt: skip

PHONE = 360

AXE = importlib.util.find_spec("axe_core_python")

# The texts, with what they are drawn on. Fills that let something through are laid over one another, as the browser
# does it; a text in a picture lies on all that was drawn before it in its place.
PAIRS = """
const parse = colour => {
    const parts = colour.match(/[\\d.]+/g).map(Number);
    return parts.length < 4 ? [...parts, 1] : parts;
};
const over = (top, below) => below.map((part, index) => top[index] * top[3] + part * (1 - top[3])).slice(0, 3);
const behind = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
        const colour = parse(getComputedStyle(each).backgroundColor);
        if (colour[3]) layers.unshift(colour);
        if (colour[3] === 1) break;
    }
    return layers.reduce((below, top) => over(top, below), [255, 255, 255]);
};
const html = [...document.querySelectorAll('body *:not(svg *)')].filter(
    each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim())
).map(each => [each.outerHTML.slice(0, 80), over(parse(getComputedStyle(each).color), behind(each)), behind(each)]);
const pictures = [...document.querySelectorAll('svg text')].map(text => {
    const svg = text.ownerSVGElement, place = text.getBoundingClientRect();
    const drawn = [...svg.querySelectorAll('rect, text')];
    const below = drawn.slice(0, drawn.indexOf(text)).filter(each => {
        const box = each.getBoundingClientRect();
        return each.tagName === 'rect' && box.left < place.right && box.right > place.left
            && box.top < place.bottom - 2 && box.bottom > place.top + 2;
    }).map(each => {
        const style = getComputedStyle(each);
        if (style.fill === 'none') return [0, 0, 0, 0];
        const colour = parse(style.fill);
        return [...colour.slice(0, 3), colour[3] * Number(style.fillOpacity)];
    });
    const paper = below.reduce((under, top) => over(top, under), behind(svg));
    return [text.outerHTML.slice(0, 80), over(parse(getComputedStyle(text).fill), paper), paper];
});
return [...html, ...pictures];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('profile')}", "window-size=1120,1400"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory,
    failing: Report,
    conformant: Report,
    troubled: Report,
    failing_hub: Report,
    hostile: Report,
) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    reports = {
        "failing": failing, "conformant": conformant, "troubled": troubled, "hub": failing_hub, "hostile": hostile,
    }  # fmt: skip
    for name, report in reports.items():
        write_reports(report, folder / name)
    write_reports(list(reports.values()), folder / "several")
    return folder


@pytest.fixture(params=["failing", "conformant", "troubled", "hub", "hostile", "several"])
def any_page(request: pytest.FixtureRequest, pages: Path) -> str:
    return (pages / request.param / ("index.html" if request.param == "several" else "report.html")).as_uri()


@pytest.fixture
def page(browser: Any, pages: Path) -> Any:
    """The report of a subject that fails, on a desktop in daylight."""
    emulate(browser)
    browser.get((pages / "failing" / "report.html").as_uri())
    return browser


def emulate(browser: Any, width: int = 0, scheme: str = "light") -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 812, "deviceScaleFactor": 2, "mobile": True}
    if width:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    else:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def open_all(browser: Any) -> None:
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")


def colour_of(browser: Any, name: str) -> list[float]:
    colour: str = browser.execute_script("return getComputedStyle(document.body)[arguments[0]]", name)
    return [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]


def requests_of(browser: Any) -> list[str]:
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]


def test_a_page_loads_without_a_word_and_asks_for_nothing_else(browser: Any, any_page: str) -> None:
    emulate(browser)
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(any_page)
    assert browser.get_log("browser") == []
    assert {url for url in requests_of(browser) if not url.startswith("data:")} == {any_page}
    assert browser.find_element(By.TAG_NAME, "h1").is_displayed()


@pytest.mark.parametrize("width", [320, PHONE, 768])
def test_nothing_is_wider_than_the_screen(browser: Any, any_page: str, width: int) -> None:
    emulate(browser, width)
    browser.get(any_page)
    open_all(browser)
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_there_is_a_row_for_each_requirement(page: Any, failing: Report) -> None:
    rows = page.find_elements(By.CSS_SELECTOR, "table.requirements tr.requirement")
    shown = {row.get_attribute("id"): row.text for row in rows}
    assert shown.keys() == {result.requirement.id for result in failing.results}
    for result in failing.results:
        assert result.verdict.value in shown[result.requirement.id]


def test_the_picture_has_the_marked_event(page: Any) -> None:
    page.find_element(By.CSS_SELECTOR, "#STAGE-05 a").click()
    marked = page.find_element(By.CSS_SELECTOR, "#failure-STAGE-05 svg.picture .marked")
    assert marked.is_displayed()
    assert marked.find_element(By.TAG_NAME, "text").text == "after_test"
    boxes = page.find_elements(By.CSS_SELECTOR, "#failure-STAGE-05 svg.picture .box")
    assert len(boxes) > 4
    assert all(box.size["height"] > 0 and box.size["width"] > 0 for box in boxes)
    assert page.find_element(By.CSS_SELECTOR, "#failure-STAGE-05 svg.strip").is_displayed()
    assert page.find_elements(By.CSS_SELECTOR, "#failure-STAGE-05 svg.strip .here")


def test_expected_and_observed_are_shown_together(page: Any) -> None:
    expected, observed = page.find_elements(By.CSS_SELECTOR, "details[open] .facing > div")[:2]
    assert (expected.find_element(By.TAG_NAME, "h4").text, observed.find_element(By.TAG_NAME, "h4").text) == (
        "Expected",
        "Observed",
    )
    assert expected.location["y"] == observed.location["y"]
    assert expected.location["x"] < observed.location["x"]


def test_the_keyboard_reaches_and_opens_a_failure(page: Any) -> None:
    closed = page.find_element(By.CSS_SELECTOR, "details.failure:not([open]) > summary")
    for _ in range(40):
        page.switch_to.active_element.send_keys(Keys.TAB)
        if page.switch_to.active_element == closed:
            break
    assert page.switch_to.active_element == closed
    assert page.execute_script("return getComputedStyle(arguments[0]).outlineStyle", closed) == "solid"
    closed.send_keys(Keys.ENTER)
    assert closed.find_element(By.XPATH, "..").get_attribute("open") is not None


def test_the_first_tab_offers_to_skip_to_the_results(page: Any) -> None:
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    skip = page.switch_to.active_element
    assert skip.get_attribute("class") == "skip"
    assert skip.location["x"] >= 0
    skip.send_keys(Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "main"


def test_dark_mode_is_dark(page: Any) -> None:
    light, text = colour_of(page, "backgroundColor"), colour_of(page, "color")
    emulate(page, scheme="dark")
    assert colour_of(page, "color") != text
    assert luminance(colour_of(page, "backgroundColor")) < 0.1 < luminance(light)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_told_from_what_is_behind_them(browser: Any, any_page: str, scheme: str) -> None:
    emulate(browser, scheme=scheme)
    browser.get(any_page)
    open_all(browser)
    pairs = browser.execute_script(PAIRS)
    assert len(pairs) > 50
    if "failing" in any_page:
        assert sum("<text" in element for element, _, _ in pairs) > 40
    for element, colour, behind in pairs:
        lighter, darker = sorted((luminance(colour), luminance(behind)), reverse=True)
        # WCAG 2.2, 1.4.3, level AA
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (element, colour, behind)


@pytest.mark.skipif(AXE is None, reason="axe-core-python is not installed")
@pytest.mark.parametrize(("scheme", "width"), [("light", PHONE), ("dark", 0)])
def test_axe_has_no_objection(browser: Any, any_page: str, scheme: str, width: int) -> None:
    from axe_core_python.selenium import Axe

    emulate(browser, width, scheme)
    browser.get(any_page)
    open_all(browser)
    result = Axe().run(browser)
    assert len(result["passes"]) > 10
    assert [(each["id"], each["nodes"][0]["html"]) for each in result["violations"]] == []


def test_letters_in_a_picture_are_no_smaller_on_a_phone_than_can_be_read(browser: Any, pages: Path) -> None:
    emulate(browser, PHONE)
    for kind in ("failing", "troubled", "hostile"):
        browser.get((pages / kind / "report.html").as_uri())
        open_all(browser)
        scales = browser.execute_script(
            "return [...document.querySelectorAll('svg.picture')].map(each => each.getScreenCTM().a)"
        )
        assert scales
        assert min(scales) * 12 >= 10


def test_headings_come_in_order(browser: Any, any_page: str) -> None:
    browser.get(any_page)
    open_all(browser)
    levels = [int(each.tag_name[1]) for each in browser.find_elements(By.CSS_SELECTOR, "h1, h2, h3, h4, h5, h6")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("width", [0, PHONE])
def test_a_cell_of_the_matrix_leads_to_its_row(page: Any, width: int) -> None:
    emulate(page, width)
    cell = page.find_element(By.CSS_SELECTOR, "nav a[href='#STAGE-05']")
    assert cell.text.split() == ["STAGE-", "05", "✗", "fail"]
    cell.click()
    row = page.find_element(By.CSS_SELECTOR, "tr:target")
    assert row.get_attribute("id") == "STAGE-05"
    assert page.execute_script("return arguments[0].getBoundingClientRect().top < innerHeight", row)
    row.find_element(By.TAG_NAME, "a").click()
    assert page.find_element(By.CSS_SELECTOR, "#failure-STAGE-05").is_displayed()


@pytest.mark.parametrize("width", [0, PHONE])
def test_the_accessibility_tree_names_what_matters(page: Any, failing: Report, width: int) -> None:
    emulate(page, width)
    open_all(page)
    page.execute_cdp_cmd("Accessibility.enable", {})
    nodes = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n["ignored"]}
    roles = {role for role, _ in named}
    assert {"banner", "main", "contentinfo", "navigation", "rowheader", "columnheader"} <= roles
    for result in failing.of(Verdict.FAIL):
        pictures = {name for role, name in named if role in {"image", "img"}}
        title = f"Timeline of the run that breaks {result.requirement.id}"
        assert any(title in name for name in pictures)
    assert ("table", "Each requirement of the spec and the verdict on it") in named


def luminance(colour: list[float]) -> float:
    """Return the relative luminance of red, green and blue up to 255. Source: WCAG 2.2."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
