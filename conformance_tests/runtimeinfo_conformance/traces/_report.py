"""What is said of a trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSION
from runtimeinfo_conformance._verdict import ExitCode
from runtimeinfo_conformance.traces._format import TraceHeader
from runtimeinfo_conformance.traces._rules import RULES

# The first few say what is wrong; a trace of a long run may have millions of the same.
_KEPT_VIOLATIONS = 3
_KEPT_NOTES = 20

TraceVerdict = Literal["pass", "fail", "not exercised"]
"""What is said of one requirement."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A line that breaks a requirement.

    Attributes:
        line: The number of the line, from 1.
        event: The event in it.
        expected: What the requirement demands.
        observed: What the line says.
    """

    line: int
    event: str
    expected: str
    observed: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.event}: expected {self.expected}, observed {self.observed}"


@dataclass(frozen=True, slots=True)
class Note:
    """Something about the trace that breaks no requirement, but limits what can be said.

    Attributes:
        line: The number of the line, from 1.
        text: What is the matter.
    """

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


@dataclass(slots=True)
class RuleVerdict:
    """What is said of one requirement.

    Attributes:
        occurrences: How often it mattered.
        violated: How often it was broken.
        violations: The first few of these.
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
        """Count a violation, and keep it if it is one of the first."""
        self.violated += 1
        if len(self.violations) < _KEPT_VIOLATIONS:
            self.violations.append(Violation(line, event, expected, observed))


@dataclass(slots=True)
class TraceReport:
    """All that is said of a trace.

    Attributes:
        header: The header of the file.
        rules: The verdict on each requirement that a trace decides, in the order of the spec.
        lines: How many lines it has.
        events: How many events were judged.
        runs: How many runs began.
        not_judged: How many events were passed over, after a damaged line.
        notes: The first notes.
        more_notes: How many notes there are beyond those.
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
        """The requirements that a trace decides, and that mattered nowhere in this one."""
        return tuple(id for id, rule in self.rules.items() if rule.verdict == "not exercised")

    @property
    def not_decidable(self) -> tuple[str, ...]:
        """The requirements on runners about which no trace says anything."""
        return tuple(id for id, rule in REQUIREMENTS.items() if id not in RULES and rule.party == "runner")

    @property
    def exit_code(self) -> ExitCode:
        """The verdict as a whole: `CONFORMANT` as far as could be judged, or `VIOLATED`."""
        return ExitCode.VIOLATED if self.violated else ExitCode.CONFORMANT

    def note(self, line: int, text: str) -> None:
        """Add a note, unless there are a lot of them."""
        if len(self.notes) < _KEPT_NOTES:
            self.notes.append(Note(line, text))
        else:
            self.more_notes += 1

    def describe(self, name: str) -> Iterator[str]:
        """Iterate over the lines of the report.

        Args:
            name: What the trace is called.
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
