"""Measures how far the kit can be trusted, and writes it down in docs/kit-quality.md.

python conformance_tests/quality/run.py            measures and prints
python conformance_tests/quality/run.py --write    and writes the page
python conformance_tests/quality/run.py --good N   only runs N drawn plans on each subject that is right
"""

import argparse
import multiprocessing
import os
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from detection import automatic, coverage, curated
from good_subjects import search_good
from page import Quality, page
from stability import distinct_reports

from runtimeinfo_conformance._profile import PROFILES, Profile

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kit-quality.md"

SEEDS = 5
RUNS = 20


def main() -> int:
    """Measure, print or write, and return the exit code: 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--good", type=int, metavar="N")
    options = parser.parse_args()
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        if options.good is not None:
            seed = secrets.randbelow(2**32)
            print(f"seed {seed}")
            profile = Profile("good", plans=options.good, canary_plans=PROFILES["ci"].canary_plans)
            return 0 if all(each.is_green for each in search_good(pool, profile, seed)) else 1
        begin = time.monotonic()
        quality = Quality(
            # First, because the processes have run hundreds of faults later.
            good=search_good(pool, PROFILES["ci"]),
            curated=curated(pool, SEEDS),
            automatic=automatic(pool),
            coverage=coverage(),
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


if __name__ == "__main__":
    sys.exit(main())
