"""Write docs/adapters.md and its badge: what each adapter can do, and its verdict from the conformance kit.

python docs/adapters_matrix.py
"""

import datetime as dt
import importlib
import pkgutil
import warnings
from collections.abc import Iterator
from pathlib import Path

from adapter_features import HEADING, feature_table
from badges import badge_of_the_adapters
from resumes import ADAPTERS, resumes_of, table

from runtimeinfo.spec import CAPABILITIES, SPEC_VERSION
from runtimeinfo_conformance import Subject, subjects
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.reports import ReportData, report_data

PAGE = Path(__file__).resolve().parent / "adapters.md"

SYMBOLS = {"pass": "✓", "fail": "✗", "warn": "!", "not applicable": "·", "not executed": "?", "untestable": "~"}


def main() -> None:
    """Write the page."""
    reports = list(checked())
    PAGE.write_text("\n".join(lines(reports)) + "\n", encoding="utf-8")
    badge, picture = badge_of_the_adapters(reports)
    badge.write_text(picture, encoding="utf-8")
    print(f"wrote {PAGE.name}: {', '.join(report['subject']['name'] for report in reports)}")


def checked() -> Iterator[ReportData]:
    """Yield the report on each bundled runner."""
    for module in pkgutil.iter_modules(subjects.__path__):
        if module.name.startswith("_"):
            continue
        subject = importlib.import_module(f"{subjects.__name__}.{module.name}").subject()
        if isinstance(subject, Subject):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the frameworks' own
                yield report_data(check(subject, PROFILES["ci"]))


def lines(reports: list[ReportData]) -> Iterator[str]:
    """Yield the lines of the page."""
    names = [report["subject"]["name"] for report in reports]
    yield "# The adapters"
    yield ""
    yield (
        f"Written by `make adapters` on {dt.datetime.now(tz=dt.UTC).date()}, from the reports of the conformance kit "
        f"under the profile `ci`, spec {SPEC_VERSION}. Each adapter runs its real framework."
    )
    yield ""
    yield f"| | {' | '.join(names)} |"
    yield f"|---|{'---|' * len(names)}"
    yield f"| version | {' | '.join(report['subject']['version'] for report in reports)} |"
    yield f"| verdict | {' | '.join(report['verdict'] for report in reports)} |"
    yield ""
    yield HEADING
    yield ""
    yield "<!-- features:begin -->"
    yield feature_table()
    yield "<!-- features:end -->"
    yield ""
    yield "## After a stop and a resume"
    yield ""
    yield (
        "Real trainings, each stopped in one way and resumed from a checkpoint that was made at one point. ✓: at every "
        "batch of the resumed training, and after it, `epoch` and `iter` of the hub are the framework's own; ·: the "
        "framework has no such stop, or no checkpoint there. `adapters/tests/test_resumes.py` runs the same trainings."
    )
    yield ""
    yield "<!-- resumes:begin -->"
    yield from table({name: list(resumes_of(name)) for name in ADAPTERS})
    yield "<!-- resumes:end -->"
    yield ""
    yield (
        "What a framework gives a resumed training to see is its own matter, where it has a loop: the second table "
        "counts the items of the interrupted epoch that were never seen, and those that were seen twice, over both "
        "trainings."
    )
    yield ""
    yield "## Capabilities"
    yield ""
    yield "What a framework cannot give is not declared, and what depends on it does not apply."
    yield ""
    yield f"| | {' | '.join(names)} |"
    yield f"|---|{':---:|' * len(names)}"
    for capability in CAPABILITIES:
        cells = ["✓" if capability in report["subject"]["capabilities"] else "·" for report in reports]
        yield f"| [`{capability}`](spec.md#capabilities) | {' | '.join(cells)} |"
    yield ""
    yield "## Requirements"
    yield ""
    yield f"{', '.join(f'{symbol} {verdict}' for verdict, symbol in SYMBOLS.items())}."
    yield ""
    yield f"| | level | {' | '.join(names)} |"
    yield f"|---|---|{':---:|' * len(names)}"
    for rows in zip(*(report["requirements"] for report in reports), strict=True):
        if rows[0]["party"] == "runner":
            cells = [SYMBOLS.get(row["verdict"], row["verdict"]) for row in rows]
            id = rows[0]["id"]
            yield f"| [{id}](spec.md#{id.lower()}) | {rows[0]['level']} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
