"""The judgement of the events of a trace, each by its position in the grammar."""

from __future__ import annotations

from typing import Any

from runtimeinfo.spec import ABORT, CLOSES, EVENTS, FREE_EVENTS, GRAMMAR, START, Position
from runtimeinfo_conformance.judges.stage import rule_of_stage
from runtimeinfo_conformance.observation import RunModel, correct
from runtimeinfo_conformance.traces._counts import Counts, Record
from runtimeinfo_conformance.traces._report import TraceReport

_UNTIL_EPOCH = ("before_run", "before_train")

# Being legal is not all that is judged of these.
_UNUSUAL = FREE_EVENTS | {"before_run", "after_run", ABORT}

_STAGES = {scope.stage for scope in GRAMMAR.values()}


class Follower:
    """Follow the events of a trace, and judge each by the position that it meets.

    Its memory does not grow with the trace: it holds the model of the run.

    Args:
        report: The report to which the findings are added.

    Source: LIFE-01, LIFE-02, LIFE-05, STAGE-01 to STAGE-06, FAIL-02, FAIL-03.
    """

    def __init__(self, report: TraceReport) -> None:
        self._report = report
        self._rules = report.rules
        self._legal = report.rules["LIFE-01"]
        self._stage_rules = {
            stage: {event: report.rules[rule_of_stage(event, stage)] for event in EVENTS} for stage in _STAGES
        }
        self._model = RunModel()
        self._counts = Counts(report, self._model)
        self.forget()

    def forget(self) -> None:
        """Forget everything, so that the next event must begin a run."""
        self._model.reset()
        self._counts.forget()
        self._left_open: set[str] = set()  # the scopes of this run whose close is missing
        self._announced: Any = None
        self._before_exception: Position | None = None  # only until the next event
        self._stray: int | None = None  # the line of an on_exception outside of any run

    def begin_amid(self, record: Record) -> None:
        """Begin in the middle of a training.

        Args:
            record: The first event: a before_train_epoch, which is legal in one position only.
        """
        self.forget()
        for event in _UNTIL_EPOCH:
            self._model.advance(event)
        self._counts.begin_amid(record)

    def see(self, line: int, record: Record) -> None:
        """Judge an event.

        Args:
            line: The number of its line.
            record: The event, which must be one of `EVENTS`.
        """
        event: str = record["e"]
        model = self._model
        position = model.position
        after = position.after.get(event)
        if after is None or event in _UNUSUAL or after.aborting or position.aborting or self._stray is not None:
            self._see_unusual(line, record, after)
        else:
            self._legal.occurrences += 1
            model.position = after  # as `move` does, without a call at each event
            self._judge(line, record)

    def end(self, line: int, *, in_order: bool) -> None:
        """Judge the scopes that are open after the last event of a hook.

        Args:
            line: The number of the last line.
            in_order: Whether the trace marks its end; otherwise it breaks off.
        """
        self._admit_stray()
        if in_order:
            self._end_amid(line, "the end")
        elif scopes := self._model.position.open_scopes:
            self._report.note(
                line,
                f"the trace breaks off inside {' > '.join(scopes)}: the process was killed, or is still at work; "
                "whether these scopes were closed is not judged",
            )
        self.forget()

    def _go_on(self, line: int, record: Record, after: Position, *, legal: bool = True) -> None:
        """Go on to the position to which an event leads, and judge the event there."""
        self._model.move(record["e"], after)
        self._judge(line, record, legal=legal)

    def _judge(self, line: int, record: Record, *, legal: bool = True) -> None:
        """Judge the stage and the counters at an event, after the model has gone on."""
        model = self._model
        if legal and not model.aborting:
            expected, stage = model.position.stage, record.get("s")
            rule = self._stage_rules[expected][record["e"]]
            rule.occurrences += 1
            if stage != expected:
                rule.violate(line, record["e"], _format_stage(expected), _format_stage(stage))
        self._counts.see(line, record, legal=legal)

    # -- the unusual events: the frame of a run, illegal events, an abnormal end

    def _see_unusual(self, line: int, record: Record, after: Position | None) -> None:
        """Judge such an event; `after` is the position to which it leads, or None if it is illegal."""
        event: str = record["e"]
        if event in FREE_EVENTS:
            if event == "after_load_checkpoint":  # it can change the counters
                self._counts.forget_counters()
        elif self._stray is not None and event == "after_run":
            self._note_hidden(line, "before_run")
            self._stray = None
        else:
            self._admit_stray()
            if event == "before_run":
                self._begin_run(line)
                self._go_on(line, record, START.after[event])
            elif event == ABORT:
                self._see_exception(line, record, after)
            else:
                self._see_scope(line, record, after)

    def _see_scope(self, line: int, record: Record, after: Position | None) -> None:
        """Judge an event that opens or closes a scope."""
        event: str = record["e"]
        before, self._before_exception = self._before_exception, None
        position = self._model.position
        if position.aborting:
            after = self._unwind(line, event, after, before)
        else:
            self._judge_legal(line, event, after)
        legal = after is not None
        if after is None:
            # It is not known which event is missing or superfluous, and so not how many were counted.
            self._counts.forget_counters()
            correction = correct(position, event)
            self._left_open.update(correction.left_open)
            after = correction.after
        if position.aborting and event in CLOSES:
            self._counts.judge_unwinding(line, record)
        if event == "after_run" and position.open_scopes:
            self._end_run(line)
        self._go_on(line, record, after, legal=legal)

    def _judge_legal(self, line: int, event: str, after: Position | None) -> None:
        self._legal.occurrences += 1
        if after is not None:
            return
        objection = correct(self._model.position, event).objection
        self._legal.violate(line, event, "a legal event", f"illegal: {objection}")
        if not self._model.position.open_scopes:
            rule = self._rules["LIFE-02"]
            rule.occurrences += 1
            rule.violate(line, event, "before_run", event)

    def _begin_run(self, line: int) -> None:
        self._end_amid(line, "before_run")
        self.forget()
        self._report.runs += 1
        self._legal.occurrences += 1
        self._rules["LIFE-02"].occurrences += 1

    def _end_run(self, line: int) -> None:
        self._rules["LIFE-02"].occurrences += 1
        rule = self._rules["LIFE-05"]
        rule.occurrences += 1
        if self._left_open:
            rule.violate(line, "after_run", "no scope left open", f"left open: {', '.join(sorted(self._left_open))}")

    def _end_amid(self, line: int, what: str) -> None:
        """Judge a run that ends without after_run, if a run is open."""
        scopes = self._model.position.open_scopes
        if not scopes:
            return
        left_open = f"left open: {', '.join((*scopes, *sorted(self._left_open.difference(scopes))))}"
        broken = [("LIFE-02", "after_run", what), ("LIFE-05", "no scope left open", left_open)]
        if self._model.position.aborting:
            broken.append(("FAIL-03", f"after_{scopes[-1]}", what))
        for id, expected, observed in broken:
            self._rules[id].occurrences += 1
            self._rules[id].violate(line, what, expected, observed)

    # -- abnormal ends

    def _see_exception(self, line: int, record: Record, after: Position | None) -> None:
        if after is None:  # no scope is open
            self._stray = line
            return
        self._legal.occurrences += 1
        rule = self._rules["FAIL-02"]
        rule.occurrences += 1
        announced = record.get("x")
        position = self._model.position
        if position.aborting and announced is not None and announced == self._announced:
            rule.violate(line, ABORT, "announced once", "announced again")
        else:
            self._before_exception = position
        self._announced = announced
        self._counts.see_exception(record)
        self._go_on(line, record, after)

    def _unwind(self, line: int, event: str, after: Position | None, before: Position | None) -> Position | None:
        """Judge an event of an abnormal end; `before` is the position before on_exception if it follows at once.

        Returns:
            The position to which the event leads; None if it is illegal.
        """
        if event not in CLOSES and after is not None:  # the exception was handled
            self._legal.occurrences += 1
            return after
        if event in CLOSES and after is None and before is not None:
            found = find_hidden(before, event)
            if found is not None:
                hidden, after = found
                self._note_hidden(line, hidden)
                return after
        rule = self._rules["FAIL-03"]
        rule.occurrences += 1
        if after is None:
            rule.violate(line, event, f"after_{self._model.position.open_scopes[-1]}", event)
        return after

    def _note_hidden(self, line: int, event: str) -> None:
        self._report.note(
            line,
            f"before on_exception there was no {event}: a hook that runs before the trace's raised at it, or it is "
            "missing; that is not judged",
        )

    def _admit_stray(self) -> None:
        """Judge an on_exception outside of any run, now that no hidden event explains it."""
        if self._stray is None:
            return
        line, self._stray = self._stray, None
        for id, expected in (("LIFE-01", "a legal event"), ("LIFE-02", "before_run")):
            self._rules[id].occurrences += 1
            observed = "illegal: no scope is open" if id == "LIFE-01" else ABORT
            self._rules[id].violate(line, ABORT, expected, observed)


def find_hidden(position: Position, close: str) -> tuple[str, Position] | None:
    """Find an event that a trace lacks, after which on_exception and then a close are legal.

    If a hook that runs before the trace's raises at an event, the event has happened, but is not in the trace.

    Returns:
        The event, and the position to which the close leads; None if there is no such event.

    Source: FAIL-03.
    """
    for hidden, after in position.after.items():
        exception = after.after.get(ABORT)
        if exception is not None and close in exception.after:
            return hidden, exception.after[close]
    return None


def _format_stage(stage: Any) -> str:
    return "no stage" if stage is None else f"stage {stage!r}"
