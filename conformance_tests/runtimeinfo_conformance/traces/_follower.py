"""Following the events of a trace through the grammar, and judging each."""

from __future__ import annotations

import dataclasses
from typing import Any

from runtimeinfo.spec import ABORT, CLOSES, FREE_EVENTS
from runtimeinfo_conformance.traces._automaton import Automaton, Place, Step
from runtimeinfo_conformance.traces._counts import Counts, Record
from runtimeinfo_conformance.traces._report import TraceReport

_UNTIL_EPOCH = ("before_run", "before_train")


class Follower:
    """Follows the events of a trace, and judges each by what came before.

    What it remembers does not grow with the trace: where it is in the grammar, and the counters.

    Args:
        report: Where to put what it finds.

    Source: LIFE-01, LIFE-02, LIFE-05, STAGE-01 to STAGE-06, FAIL-02, FAIL-03.
    """

    def __init__(self, report: TraceReport) -> None:
        self._report = report
        self._rules = report.rules
        self._legal = report.rules["LIFE-01"]
        self._counts = Counts(report)
        self._automaton = Automaton()
        self.forget()

    def forget(self) -> None:
        """Forget everything: what comes next begins a run, or nothing."""
        self._place: Place = self._automaton.start
        self._counts.forget()
        self._left_open: set[str] = set()  # the scopes of this run whose close did not come
        self._announced: Any = None
        self._before_exception: Place | None = None  # only until the next event
        self._stray: int | None = None  # the line of an on_exception outside of any run

    def begin_amid(self, record: Record) -> None:
        """Begin in the middle of a training.

        Args:
            record: The first event: a before_train_epoch, which can be nowhere else.
        """
        self.forget()
        for event in _UNTIL_EPOCH:
            self._place = self._automaton.step(self._place, event).place
        self._counts.begin_amid(record)

    def see(self, line: int, record: Record) -> None:
        """Judge an event.

        Args:
            line: The number of its line.
            record: The event, which has to be one of those there are.
        """
        event: str = record["e"]
        step = self._place.steps.get(event) or self._automaton.step(self._place, event)
        if step.is_plain and self._stray is None:
            self._legal.occurrences += 1
        else:
            unusual = self._see_unusual(line, record, step)
            if unusual is None:
                return
            step = unusual
        self._place = step.place
        if step.stage_rule is not None:
            rule = self._rules[step.stage_rule]
            rule.occurrences += 1
            if record.get("s") != step.stage:
                rule.violate(line, event, _say_stage(step.stage), _say_stage(record.get("s")))
        self._counts.see(line, record, aborting=step.aborting, legal=step.objection is None)

    def end(self, line: int, *, in_order: bool) -> None:
        """Judge what is open when no more events of the same hook come.

        Args:
            line: The number of the last line.
            in_order: Whether the trace says that this is the end, or breaks off.
        """
        self._admit_stray()
        if in_order:
            self._end_amid(line, "the end")
        elif self._place.scopes:
            self._report.note(
                line,
                f"the trace breaks off inside {' > '.join(self._place.scopes)}: the process was killed, or is still at "
                "work; whether these scopes were closed is not judged",
            )
        self.forget()

    # -- what is unusual: the frame of a run, what is illegal, an abnormal end

    def _see_unusual(self, line: int, record: Record, step: Step) -> Step | None:
        """Judge such an event; return the step that it amounts to, or None if there is no more to be said of it."""
        event: str = record["e"]
        if event in FREE_EVENTS:
            if event == "after_load_checkpoint":  # which may bring other counters
                self._counts.count_anew()
            return None
        if self._stray is not None and event == "after_run":
            self._note_hidden(line, "before_run")
            self._stray = None
            return None
        self._admit_stray()
        if event == "before_run":
            return self._begin_run(line)
        if event == ABORT:
            return self._see_exception(line, record, step)
        before, self._before_exception = self._before_exception, None
        if self._place.aborting:
            step = self._unwind(line, event, step, before)
        else:
            self._judge_legal(line, event, step)
        if step.aborting and event in CLOSES:
            self._counts.judge_unwinding(line, record)
        if step.objection is not None:
            # Which event is missing, or is one too many, is not known; so neither is what was counted.
            self._counts.count_anew()
            self._left_open.update(step.left_open)
        if event == "after_run" and self._place.scopes:
            self._end_run(line)
        return step

    def _judge_legal(self, line: int, event: str, step: Step) -> None:
        self._legal.occurrences += 1
        if step.objection is None:
            return
        self._legal.violate(line, event, "a legal event", f"illegal: {step.objection}")
        if not self._place.scopes:
            rule = self._rules["LIFE-02"]
            rule.occurrences += 1
            rule.violate(line, event, "before_run", event)

    def _begin_run(self, line: int) -> Step:
        self._end_amid(line, "before_run")
        self.forget()
        self._report.runs += 1
        self._legal.occurrences += 1
        self._rules["LIFE-02"].occurrences += 1
        return self._automaton.step(self._automaton.start, "before_run")

    def _end_run(self, line: int) -> None:
        self._rules["LIFE-02"].occurrences += 1
        rule = self._rules["LIFE-05"]
        rule.occurrences += 1
        if self._left_open:
            rule.violate(line, "after_run", "no scope left open", f"left open: {', '.join(sorted(self._left_open))}")

    def _end_amid(self, line: int, what: str) -> None:
        """Judge a run that is over without its after_run, if there is one."""
        scopes = self._place.scopes
        if not scopes:
            return
        left_open = f"left open: {', '.join((*scopes, *sorted(self._left_open.difference(scopes))))}"
        broken = [("LIFE-02", "after_run", what), ("LIFE-05", "no scope left open", left_open)]
        if self._place.aborting:
            broken.append(("FAIL-03", f"after_{scopes[-1]}", what))
        for id, expected, observed in broken:
            self._rules[id].occurrences += 1
            self._rules[id].violate(line, what, expected, observed)

    # -- abnormal ends

    def _see_exception(self, line: int, record: Record, step: Step) -> Step | None:
        if not self._place.scopes:
            self._stray = line
            return None
        self._legal.occurrences += 1
        rule = self._rules["FAIL-02"]
        rule.occurrences += 1
        announced = record.get("x")
        if self._place.aborting and announced is not None and announced == self._announced:
            rule.violate(line, ABORT, "announced once", "announced again")
        else:
            self._before_exception = self._place
        self._announced = announced
        self._counts.see_exception(record)
        return step

    def _unwind(self, line: int, event: str, step: Step, before: Place | None) -> Step:
        """Judge an event that follows on_exception; `before` is the place before it if it follows at once."""
        if event not in CLOSES and step.objection is None:  # somebody has handled the exception
            self._legal.occurrences += 1
            return step
        if step.objection is not None and before is not None and event in CLOSES:
            found = self._automaton.around_hidden(before, event)
            if found is not None:
                hidden, place = found
                self._note_hidden(line, hidden)
                return dataclasses.replace(step, place=place, objection=None)
        rule = self._rules["FAIL-03"]
        rule.occurrences += 1
        if step.objection is not None:
            rule.violate(line, event, step.expected or "nothing", event)
        return step

    def _note_hidden(self, line: int, event: str) -> None:
        self._report.note(
            line,
            f"before on_exception there was no {event}: a hook that runs before the trace's raised at it, or it is "
            "missing; that is not judged",
        )

    def _admit_stray(self) -> None:
        """Judge an on_exception outside of any run, once it is clear that no hidden event explains it."""
        if self._stray is None:
            return
        line, self._stray = self._stray, None
        for id, expected in (("LIFE-01", "a legal event"), ("LIFE-02", "before_run")):
            self._rules[id].occurrences += 1
            observed = "illegal: no scope is open" if id == "LIFE-01" else ABORT
            self._rules[id].violate(line, ABORT, expected, observed)


def _say_stage(stage: Any) -> str:
    return "no stage" if stage is None else f"stage {stage!r}"
