"""Writes plans that together have each three values of their fields: ``runtimeinfo_conformance/search/covering.txt``.

python conformance_tests/quality/write_covering.py
"""

from pathlib import Path

from runtimeinfo_conformance import search
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.search import fixed_plans, measure_coverage, search_choices, slow_plans
from runtimeinfo_conformance.search._choices import Filling, write_choice
from runtimeinfo_conformance.subjects import pytorch

FILE = Path(search.__file__).parent / "covering.txt"

CANDIDATES = 5  # for each plan; with more, minutes find a few triples more


def main() -> None:
    """Write the file, and print what it covers."""
    subject = pytorch.subject()
    always = fixed_plans(subject)
    most = PROFILES["ci"].plans - len(always) - len(slow_plans(subject))
    choices = list(search_choices(subject.capabilities, always, most, CANDIDATES))
    lines = ["# Written by conformance_tests/quality/write_covering.py", *map(write_choice, choices)]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    filling = Filling()
    print(measure_coverage([*always, *map(filling.fill, choices)], subject.capabilities))


if __name__ == "__main__":
    main()
