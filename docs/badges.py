"""The badges of README.md: each says what a file or a run says, and is written with it."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from runtimeinfo.spec import SPEC_VERSION
from runtimeinfo_conformance.reports import ReportData
from runtimeinfo_conformance.reports._badge import drawn

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "badges"

_GREEN, _RED, _BLUE = "#1a7f37", "#c0291c", "#1f5fa8"


def badges_of_the_project() -> Iterator[tuple[Path, str]]:
    """Yield each badge that repeats pyproject.toml, as its file and what it has to hold."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, message in (("python", project["requires-python"]), ("license", project["license"])):
        yield FOLDER / f"{name}.svg", drawn(name, message, _BLUE, f"{name}: {message}")


def badge_of_the_adapters(reports: list[ReportData]) -> tuple[Path, str]:
    """Return the badge that says how many adapters came out as conformant, as its file and what it has to hold."""
    conformant = sum(report["verdict"] == "conformant" for report in reports)
    message = f"{conformant} of {len(reports)} conformant, spec {SPEC_VERSION}"
    colour = _GREEN if conformant == len(reports) else _RED
    return FOLDER / "conformance.svg", drawn("adapters", message, colour, f"adapters: {message}")
