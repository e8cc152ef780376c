"""The perturbation matrix: which judge notices that one field of a right run is changed.

python conformance_tests/quality/perturbations.py            measures, on all plans, and prints the page
python conformance_tests/quality/perturbations.py --write    writes it to docs/perturbations.md

Each run is one of the PyTorch subject. One field of one of its records is changed at a time, and all judges look at
the changed run. A change that none of them notices is a hole. Each hole is named below, with the reason why no rule
speaks of it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from changes import Cell, perturbations

from runtimeinfo_conformance.judges import JUDGES, Case
from runtimeinfo_conformance.observation import Leg, execute
from runtimeinfo_conformance.plans import Fault, Plan
from runtimeinfo_conformance.subjects import pytorch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "perturbations.md"

_RICH = Plan(
    max_epochs=2,
    batches=2,
    val_batches=1,
    test_batches=1,
    outputs=(("text", "text"), ("loss", "float")),
    metrics=(("matrix", "vector"), ("acc", "float"), ("changing", "changing")),
    metainfo={"classes": ["cat", "dog"]},
    schedule=True,
    groups=2,
)

_SMALL = replace(_RICH, max_epochs=1)

SAMPLE: tuple[Plan, ...] = (
    replace(_RICH, batches=1),
    replace(_SMALL, val_before=True),
    replace(_SMALL, resume_after=0, resume_batch=1),
    replace(_SMALL, fault=Fault("train_step", 1)),
    replace(_SMALL, batches=1, fault=Fault("before_val_iter", 0, "interrupt")),
    replace(_SMALL, stop_after=1),
)
"""The plans of the test: each kind of event in each phase, in a few seconds."""

PLANS: tuple[Plan, ...] = (
    *SAMPLE,
    _RICH,
    replace(_RICH, val_loaders=2, val_after=True),
    replace(_RICH, val_interval=1, optimizers=("a", "b")),
    replace(_RICH, accumulation=2),
    replace(_RICH, sized=False),
    replace(_RICH, iterations=3),
    replace(_RICH, lengths=(1, 3)),
    replace(_RICH, repeat=True),
    replace(_RICH, again=True, schedule=False, test_batches=None),
    replace(_RICH, resume_after=1),
    replace(_RICH, batches=3, resume_after=0, resume_batch=1, stopped_by="stop"),
    replace(_RICH, resume_after=1, resume_batch=2, outputs=()),
    replace(_RICH, iterations=3, resume_after=0, resume_batch=1, stopped_by="iterations"),
    replace(_SMALL, batches=0),
    replace(_SMALL, val_batches=0),
    *(replace(_SMALL, company=company) for company in ("strangers", "around", "beside", "nested", "in_turn", "forked")),
    *(
        replace(_SMALL, fault=fault)
        for fault in (
            Fault("before_run"),
            Fault("before_train", 0, "interrupt"),
            Fault("before_train_epoch"),
            Fault("train_data", 1, "interrupt"),
            Fault("before_train_iter", 1),
            Fault("after_train_iter", 0, "interrupt"),
            Fault("after_train_epoch"),
            Fault("before_val"),
            Fault("val_data"),
            Fault("after_val_epoch", 0, "interrupt"),
            Fault("after_val"),
            Fault("after_train"),
            Fault("before_test_iter", 0, "interrupt"),
            Fault("test_data"),
            Fault("after_test"),
            Fault("after_run", 0, "interrupt"),
        )
    ),
)
"""The plans of the page."""


class Excuse(NamedTuple):
    """A kind of hole that is known, as patterns over its cells.

    Attributes:
        field: What is changed, and how.
        events: At which events; several patterns, with blanks between them.
        phase: In which phase.
        reason: Why no rule speaks of it.
    """

    field: str
    events: str
    phase: str
    reason: str

    def covers(self, cell: Cell) -> bool:
        """Tell whether a cell is a hole of this kind."""
        return (
            fnmatchcase(cell.field, self.field)
            and any(fnmatchcase(cell.event, pattern) for pattern in self.events.split())
            and fnmatchcase(cell.phase, self.phase)
        )


_LAST_EVENTS = "after_train before_test* after_test* after_run"

_BEFORE_TRAINING = "before_run before_val_* after_val_* on_exception after_run"

_INFOS_AFTER_RESUME = "before_run before_train* before_val* after_train_iter after_val_iter"

EXCUSES: tuple[Excuse, ...] = (
    Excuse("argument data_batch: None", "*_iter", "*", "a batch that cannot be had is None: LIFE-09, LIFE-14"),
    Excuse(
        "argument outputs: another",
        "after_val_iter after_test_iter",
        "*",
        "no rule says what a step of a validation or test returns",
    ),
    *(
        Excuse(field, _BEFORE_TRAINING, "beginning", "the counters are demanded from before_train on: COUNT-15")
        for field in ("epoch: *", "iter: *", "runner's *: another")
    ),
    *(
        Excuse(field, "before_run", "beginning", "a checkpoint may have been loaded, or none yet: META-08, RESUME-02")
        for field in ("history *", "info dataset_meta: *", "info max_*: *")
    ),
    *(
        Excuse("info val/matrix: *", _INFOS_AFTER_RESUME, phase, "of a resume the histories are demanded: RESUME-02")
        for phase in ("beginning", "resumed", "cut short")
    ),
    *(
        Excuse(
            "history val/*: one fewer, from here on",
            "before_train",
            phase,
            "the last validation may come after the training was saved: RESUME-02",
        )
        for phase in ("resumed", "cut short")
    ),
    Excuse(
        "info max_iters: *",
        "before_train before_train_epoch before_val* before_test* after_*",
        "changing lengths",
        "where epochs have different lengths, the total is demanded at before_train_iter: COUNT-13",
    ),
    Excuse(
        "event: swapped with the next",
        "after_train_epoch",
        "normal",
        "an exception cannot be announced before a hook at this event has raised it",
    ),
    Excuse(
        "epoch: one less",
        _LAST_EVENTS,
        "cut short",
        "the last epoch of a training that is cut short may count or not: COUNT-12, COUNT-15",
    ),
    Excuse(
        "info max_iters: another",
        _LAST_EVENTS,
        "cut short",
        "how long a training is that was asked to stop is open: COUNT-08",
    ),
    *(
        Excuse(
            f"history train/lr: {change}",
            "on_exception after_*",
            "closing",
            "the rate of an iteration that failed may be taken back at any close: SCALAR-11",
        )
        for change in ("one fewer", "one fewer, from here on", "removed")
    ),
    *(
        Excuse(field, "after_run", "*", "the board may be gone at after_run already: SHARE-01, SHARE-06")
        for field in ("shared *: another", "shared: nothing", "shared: not readable", "shared: modes")
    ),
    Excuse(
        "shared train/lr: another",
        "after_train_epoch",
        "closing",
        "the rate of the only iteration was taken back, and nothing is left to share: SCALAR-11",
    ),
    Excuse("boards left behind", "end", "in company", "another process is told of one of several runs: SHARE-01"),
    *(
        Excuse(
            f"{stage} item: * on the board",
            "between*",
            "*",
            "SHARE-01 speaks of events, SHARE-02 and SHARE-07 of training batches",
        )
        for stage in ("val", "test")
    ),
    *(
        Excuse(
            f"train item: {info} on the board",
            "between*",
            "*",
            "with a training batch the epoch is demanded, and bounds for the iter: SHARE-02, SHARE-07",
        )
        for info in ("loop_stage", "max_*", "iter")
    ),
    Excuse(
        "train item: epoch on the board",
        "between*",
        "cut short",
        "a training that is asked for iterations may be one epoch",
    ),
    *(
        Excuse(field, "between*", phase, "no iteration comes of it: the run fails, or passes over it after a resume")
        for field, phase in (
            ("train item: epoch on the board", "closing"),
            ("train item: epoch on the board", "resumed"),
            ("train item: not read", "closing"),
            ("train item: not read", "resumed"),
            ("val item: not read", "closing"),
            ("test item: not read", "closing"),
        )
    ),
    Excuse(
        "final *: another",
        "end",
        "*",
        "the rules speak of events; of the hub after the run only STAGE-06 and FAIL-06 do",
    ),
)
"""The holes that are known."""


@dataclass
class Matrix:
    """How often each change was tried, and how often a judge noticed it.

    Attributes:
        tried: By cell.
        noticed: By cell.
        missed: A plan on which it was not noticed, by cell.
        by: The requirements by which a field was noticed first.
    """

    tried: Counter[Cell] = field(default_factory=Counter[Cell])
    noticed: Counter[Cell] = field(default_factory=Counter[Cell])
    missed: dict[Cell, Plan] = field(default_factory=dict[Cell, Plan])
    by: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])

    def add(self, cell: Cell, plan: Plan, noticed_by: str | None) -> None:
        """Count a change."""
        self.tried[cell] += 1
        if noticed_by is None:
            self.missed.setdefault(cell, plan)
        else:
            self.noticed[cell] += 1
            self.by.setdefault(cell.field, {})[noticed_by] = None

    def holes(self) -> dict[Excuse | None, list[Cell]]:
        """Return the cells in which something went unnoticed, by what excuses them."""
        holes: dict[Excuse | None, list[Cell]] = {}
        for cell in self.missed:
            excuse = next((each for each in EXCUSES if each.covers(cell)), None)
            holes.setdefault(excuse, []).append(cell)
        return holes

    def problems(self, *, on_all_plans: bool) -> Iterator[str]:
        """Yield each hole that is not named, and on all plans also each name of a hole that is not there."""
        holes = self.holes()
        for cell in sorted(holes.get(None, ())):
            found = f"noticed {self.noticed[cell]} of {self.tried[cell]} times"
            yield f"{cell.field} at {cell.event}, {cell.phase}: {found}, not on {self.missed[cell]!r}"
        for excuse in EXCUSES if on_all_plans else ():
            if excuse not in holes:
                yield f"{excuse.field} at {excuse.events}, {excuse.phase}: named, and there is no such hole"


def measure(plans: Iterable[Plan]) -> Matrix:
    """Run plans on the PyTorch subject, change each field of what was observed, and judge each change."""
    matrix, subject, look = Matrix(), pytorch.subject(), _Look()
    for plan in plans:
        legs = execute(subject, plan)
        for index, leg in enumerate(legs):
            objection = look.at(leg, "nothing")
            if objection is not None:
                raise SystemExit(f"{plan!r}: {objection} is broken in a run that is right")
            later = [each for each in legs[index + 1 :] if each.previous is leg or each.first is leg]
            for cell, changed in perturbations(leg):
                following = (_following(changed, leg, each) for each in later)
                noticed = (look.at(each, cell.field) for each in (changed, *following))
                matrix.add(cell, plan, next((id for id in noticed if id is not None), None))
    return matrix


def _following(changed: Leg, leg: Leg, later: Leg) -> Leg:
    """Return a leg that resumes or repeats another one, as if that one had been changed."""
    return replace(later, previous=changed) if later.previous is leg else replace(later, first=changed)


class _Look:
    """Lets the judges look at legs, the one that has noticed the last change of a field before the others."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def at(self, leg: Leg, changed: str) -> str | None:
        """Return the requirement that is broken, or None."""
        if leg.raised is not None and leg.planned is None:
            return "the check"  # it says that the subject broke, whatever the judges say
        case = Case(leg)
        last = self._last.get(changed)
        for id in [*([] if last is None else [last]), *JUDGES]:
            if any(not finding.holds for finding in JUDGES[id](case)):
                self._last[changed] = id
                return id
        return None


def page(matrix: Matrix) -> str:
    """Return the page."""
    lines = [*_summary(matrix), "", *_named(matrix), "", *_fields(matrix)]
    return "\n".join(lines) + "\n"


def _summary(matrix: Matrix) -> Iterator[str]:
    holes = matrix.holes()
    yield "# What the judges notice"
    yield ""
    yield (
        "A judge that looks once where its rule says *from ... on* is not missed until a framework is wrong at the "
        "second event. So runs that are right are changed, one field of one record at a time, and all judges look at "
        "each change: every info, counter, argument and history at every event, also while a run ends abnormally and "
        "after a resume; events that are lost, doubled or late; and what components and other processes find between "
        "events. Written by `conformance_tests/quality/perturbations.py`."
    )
    yield ""
    yield "| | |"
    yield "|---|---:|"
    yield f"| runs of the PyTorch subject | {len(PLANS)} plans |"
    yield f"| changes | {sum(matrix.tried.values()):,} |"
    yield f"| noticed | {sum(matrix.noticed.values()):,} |"
    yield f"| cells: a field, an event, a phase | {len(matrix.tried):,} |"
    yield f"| cells in which each change is noticed | {len(matrix.tried) - len(matrix.missed):,} |"
    yield f"| cells with a hole that is named below | {len(matrix.missed) - len(holes.get(None, ())):,} |"
    yield f"| cells with a hole that is not | {len(holes.get(None, ())):,} |"


def _named(matrix: Matrix) -> Iterator[str]:
    holes = matrix.holes()
    yield "## What goes unnoticed, and why"
    yield ""
    yield "| change | at | phase | noticed | reason |"
    yield "|---|---|---|---:|---|"
    for excuse in EXCUSES:
        cells = holes.get(excuse, [])
        noticed = sum(matrix.noticed[cell] for cell in cells)
        tried = sum(matrix.tried[cell] for cell in cells)
        phase = excuse.phase.replace("*", "any")
        events = " ".join(f"`{pattern}`" for pattern in excuse.events.replace("between*", "between events").split("\n"))
        yield f"| `{excuse.field}` | {events} | {phase} | {noticed:,} of {tried:,} | {excuse.reason} |"


def _fields(matrix: Matrix) -> Iterator[str]:
    yield "## What is noticed, by field"
    yield ""
    yield "| change | at the beginning | in the run | closing | noticed first by |"
    yield "|---|---:|---:|---:|---|"
    for name in dict.fromkeys(cell.field for cell in sorted(matrix.tried)):
        counts = {"beginning": (0, 0), "": (0, 0), "closing": (0, 0)}
        for cell, tried in matrix.tried.items():
            if cell.field == name:
                phase = cell.phase if cell.phase in counts else ""
                counts[phase] = (counts[phase][0] + matrix.noticed[cell], counts[phase][1] + tried)
        shown = [f"{noticed:,} of {tried:,}" if tried else "" for noticed, tried in counts.values()]
        yield f"| {name} | {' | '.join(shown)} | {', '.join(sorted(matrix.by.get(name, {}))) or 'none'} |"


def main() -> int:
    """Measure, print or write, and return the exit code: 1 if there is a hole that is not named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--sample", action="store_true", help="only the plans of the test")
    options = parser.parse_args()
    matrix = measure(SAMPLE if options.sample else PLANS)
    if options.write:
        PAGE.write_text(page(matrix), encoding="utf-8")
        print(f"wrote {PAGE.name}")
    else:
        print(page(matrix))
    problems = list(matrix.problems(on_all_plans=not options.sample))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
