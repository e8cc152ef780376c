"""Writes the smallest plan that shows each fault: ``runtimeinfo_conformance/search/killers.txt``.

A plan that is in the file already is kept as long as it shows its fault, which takes a tenth of the time.

python conformance_tests/quality/write_killers.py [--all]
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtimeinfo_conformance import search
from runtimeinfo_conformance._judging import find_killer
from runtimeinfo_conformance._subject import AnySubject
from runtimeinfo_conformance.mutants import HUB_MUTANTS, RUNNER_MUTANTS
from runtimeinfo_conformance.search import draw_plans, killers, shrink, slow_plans
from runtimeinfo_conformance.subjects import pytorch, reference_hub

FILE = Path(search.__file__).parent / "killers.txt"

SEARCH = 1000  # plans
SHRINK = 1000


def main() -> None:
    """Write the file."""
    if not FILE.exists():
        FILE.touch()  # a search reads it
    lines = list(entries())
    FILE.write_text("# Written by conformance_tests/quality/write_killers.py\n" + "\n".join(lines) + "\n")
    print(f"wrote {len(lines)} plans into {FILE.name}")


def entries() -> Iterator[str]:
    """Yield a line for each fault."""
    runner, hub = pytorch.subject(), reference_hub.subject()
    runner_plans, hub_plans = draw_plans(runner, SEARCH), [*draw_plans(hub, SEARCH), *slow_plans(hub)]
    known: dict[Any, Any] = {} if "--all" in sys.argv else dict(killers())
    for mutant in RUNNER_MUTANTS:
        before = known.get((mutant.requirement, mutant.name))
        plan = smallest(mutant.applied_to(runner), mutant.requirement, runner_plans, before)
        yield f"{mutant.requirement}\t{mutant.name}\t{plan!r}"
    for broken in HUB_MUTANTS:
        before = known.get((broken.requirement, broken.name))
        plan = smallest(broken.subject(), broken.requirement, hub_plans, before)
        yield f"{broken.requirement}\t{broken.name}\t{plan!r}"


def smallest(subject: AnySubject, requirement: str, plans: list[Any], before: Any = None) -> Any:
    """Return the smallest plan found that breaks a requirement; the one that was found before, if it still does."""
    if before is not None and find_killer(subject, requirement, [before]) is not None:
        return before
    found = find_killer(subject, requirement, plans)
    if found is None:
        raise SystemExit(f"no plan shows {subject.name}")
    plan: Any = found.plan
    return shrink(plan, lambda each: find_killer(subject, requirement, [each]) is not None, SHRINK)


if __name__ == "__main__":
    main()
