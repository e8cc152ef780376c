"""Measures how far the kit can be trusted, and writes it down in docs/kit-quality.md.

python conformance_tests/quality/run.py            measures and prints
python conformance_tests/quality/run.py --write    and writes the page
python conformance_tests/quality/run.py --good N   only runs N drawn plans on each subject that is right
"""

import argparse
import secrets
import sys
import time
from pathlib import Path

from detection import automatic, curated
from good_subjects import good_subjects
from page import Quality, page
from stability import distinct_reports

from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._profile import PROFILES, Profile
from runtimeinfo_conformance._verdict import Report

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kit-quality.md"

SEEDS = 20
RUNS = 20


def main() -> int:
    """Measure, print or write, and return the exit code: 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--good", type=int, metavar="N")
    options = parser.parse_args()
    if options.good is not None:
        return 1 if any(report.exit_code for _, report in search_good(options.good)) else 0
    begin = time.monotonic()
    quality = Quality(
        curated=list(curated(SEEDS)),
        automatic=list(automatic()),
        good=[(structure, tell(check(subject, PROFILES["ci"]))) for structure, subject in good_subjects()],
        runs=RUNS,
        distinct=len(distinct_reports(RUNS)),
        seeds=SEEDS,
        minutes=(time.monotonic() - begin) / 60,
    )
    if options.write:
        PAGE.write_text(page(quality), encoding="utf-8")
        print(f"wrote {PAGE.name}")
    else:
        print(page(quality))
    problems = list(quality.problems())
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def search_good(plans: int) -> list[tuple[str, Report]]:
    """Search subjects that are right for false alarms, with a seed that is printed."""
    seed = secrets.randbelow(2**32)
    print(f"seed {seed}")
    profile = Profile("good", plans=plans, canary_plans=PROFILES["ci"].canary_plans)
    return [(structure, tell(check(subject, profile, seed=seed))) for structure, subject in good_subjects()]


def tell(report: Report) -> Report:
    """Say that a subject is done."""
    print(f"{report.subject.name}: {report.exit_code.name}, {report.plans} plans, {report.seconds:.0f} s", flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main())
