"""The report on a trace: the requirements that it decides, their verdicts and the notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSION
from runtimeinfo_conformance._verdict import ExitCode
from runtimeinfo_conformance.traces._format import TraceHeader

_BEGIN = "what a run begins with is taken from its before_train"
_STAGE = "at the events only, not between them"

RULES = MappingProxyType(
    {
        "LIFE-01": "",
        "LIFE-02": "",
        "LIFE-05": "only where the end is in the trace; a hook that raises at after_run hides it",
        "LIFE-08": "",
        "STAGE-01": _STAGE,
        "STAGE-02": _STAGE,
        "STAGE-03": _STAGE,
        "STAGE-04": _STAGE,
        "STAGE-05": _STAGE,
        "STAGE-06": _STAGE,
        "COUNT-01": _BEGIN,
        "COUNT-02": "",
        "COUNT-03": _BEGIN,
        "COUNT-04": "",
        "COUNT-05": "",
        "COUNT-06": "",
        "COUNT-11": "",
        "FAIL-02": "only that none is announced twice",
        "FAIL-03": "but for a close at which another hook may have raised",
        "FAIL-04": "only that nothing is counted from on_exception on",
    }
)
"""The requirements that a trace decides, in the order of the spec, each with the limits of that."""

# The first few are enough: a trace of a long run can have millions of the same.
_KEPT_VIOLATIONS = 3
_KEPT_NOTES = 20

TraceVerdict = Literal["pass", "fail", "not exercised"]
"""The verdict on one requirement."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A line that breaks a requirement.

    Attributes:
        line: The number of the line, from 1.
        event: The event in it.
        expected: The demand of the requirement.
        observed: The content of the line.
    """

    line: int
    event: str
    expected: str
    observed: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.event}: expected {self.expected}, observed {self.observed}"


@dataclass(frozen=True, slots=True)
class Note:
    """A remark on the trace that breaks no requirement, but limits the judgement.

    Attributes:
        line: The number of the line, from 1.
        text: The remark.
    """

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


@dataclass(slots=True)
class RuleVerdict:
    """The verdict on one requirement.

    Attributes:
        occurrences: The number of times that it applied.
        violated: The number of times that it was broken.
        violations: The first few violations.
    """

    occurrences: int = 0
    violated: int = 0
    violations: list[Violation] = field(default_factory=list[Violation])

    @property
    def verdict(self) -> TraceVerdict:
        """The verdict."""
        if self.violated:
            return "fail"
        return "pass" if self.occurrences else "not exercised"

    def violate(self, line: int, event: str, expected: str, observed: str) -> None:
        """Count a violation, and keep it if it is one of the first few."""
        self.violated += 1
        if len(self.violations) < _KEPT_VIOLATIONS:
            self.violations.append(Violation(line, event, expected, observed))


@dataclass(slots=True)
class TraceReport:
    """The report on a trace.

    Attributes:
        header: The header of the file.
        rules: The verdict on each requirement that a trace decides, in the order of the spec.
        lines: The number of lines.
        events: The number of events that were judged.
        runs: The number of runs that began.
        not_judged: The number of events that were skipped after damaged lines.
        notes: The first notes.
        more_notes: The number of further notes.
    """

    header: TraceHeader = field(default_factory=TraceHeader)
    rules: Mapping[str, RuleVerdict] = field(default_factory=lambda: {id: RuleVerdict() for id in RULES})
    lines: int = 0
    events: int = 0
    runs: int = 0
    not_judged: int = 0
    notes: list[Note] = field(default_factory=list[Note])
    more_notes: int = 0

    @property
    def violated(self) -> tuple[str, ...]:
        """The requirements that are broken."""
        return tuple(id for id, rule in self.rules.items() if rule.violated)

    @property
    def not_exercised(self) -> tuple[str, ...]:
        """The requirements that a trace decides, and that did not apply in this one."""
        return tuple(id for id, rule in self.rules.items() if rule.verdict == "not exercised")

    @property
    def not_decidable(self) -> tuple[str, ...]:
        """The requirements on runners that no trace decides."""
        return tuple(id for id, rule in REQUIREMENTS.items() if id not in RULES and rule.party == "runner")

    @property
    def exit_code(self) -> ExitCode:
        """The overall verdict: `CONFORMANT`, as far as a trace tells, or `VIOLATED`."""
        return ExitCode.VIOLATED if self.violated else ExitCode.CONFORMANT

    def note(self, line: int, text: str) -> None:
        """Add a note, or only count it if there are many."""
        if len(self.notes) < _KEPT_NOTES:
            self.notes.append(Note(line, text))
        else:
            self.more_notes += 1

    def describe(self, name: str) -> Iterator[str]:
        """Yield the lines of the report.

        Args:
            name: The name of the trace.
        """
        header = self.header
        yield (
            f"{name}: {header.framework} {header.framework_version}, experiment {header.experiment_name!r}, "
            f"spec {header.spec}"
        )
        yield f"{self.events:,} events of {self.runs:,} {'run' if self.runs == 1 else 'runs'} judged"
        yield ""
        for id, rule in self.rules.items():
            yield from _describe_rule(id, rule)
        yield ""
        yield f"not decidable from a trace: {', '.join(self.not_decidable)}"
        for note in self.notes:
            yield f"note: {note}"
        if self.more_notes:
            yield f"note: and {self.more_notes:,} more"
        if header.spec != SPEC_VERSION:
            yield f"note: it was written under spec {header.spec}, and is judged by {SPEC_VERSION}"
        yield ""
        yield f"{name}: {self._summary()}"

    def _summary(self) -> str:
        rest = f"; {self.not_judged:,} events were not judged" if self.not_judged else ""
        if self.violated:
            return f"not conformant: {', '.join(self.violated)}{rest}"
        return f"conformant, as far as a trace tells{rest}"


def _describe_rule(id: str, rule: RuleVerdict) -> Iterator[str]:
    count = f"{rule.occurrences:,}x" if rule.occurrences else ""
    if rule.violated:
        count = f"{rule.violated:,} of {rule.occurrences:,}"
    yield f"{id:<9} {REQUIREMENTS[id].level:<6} {rule.verdict:<13} {count:>22}  {RULES[id]}".rstrip()
    for violation in rule.violations:
        yield f"    {violation}"
    if rule.violated > len(rule.violations):
        yield f"    and {rule.violated - len(rule.violations):,} more"
    if rule.violated:
        yield f"    more: runtimeinfo explain {id}"
