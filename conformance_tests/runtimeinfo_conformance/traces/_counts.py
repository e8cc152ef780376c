"""Judgement of the counters of a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtimeinfo.spec import OPENS
from runtimeinfo_conformance.traces._report import RuleVerdict, TraceReport

Record = dict[str, Any]
"""An event as the trace has it: see `runtimeinfo_conformance.traces._format`."""


# A look-up through the read-only view costs twice as much.
_OPENS = frozenset(OPENS)


class Counts:
    """Count the events of a trace, and compare its counters with that.

    What it remembers does not grow: two counters, and the event at which the last scope of each kind opened.

    Args:
        report: The report to which the findings are added.

    Source: COUNT-01 to COUNT-06, COUNT-11, LIFE-08, FAIL-04.
    """

    def __init__(self, report: TraceReport) -> None:
        self._rules = report.rules
        self._hub_iter, self._hub_epoch = report.rules["COUNT-05"], report.rules["COUNT-06"]
        self._handlers: dict[str, Callable[[int, Record], None]] = {
            "before_train": self._adopt,
            "before_train_epoch": self._see_train_epoch,
            "after_train_epoch": self._see_end_of_train_epoch,
            "before_train_iter": self._see_train_iter,
            "after_train_iter": self._see_end_of_train_iter,
            "after_val": self._see_end_of_val,
            "before_val_epoch": self._see_epoch,
            "before_test_epoch": self._see_epoch,
            **dict.fromkeys(("before_val_iter", "before_test_iter"), self._see_batch),
            **dict.fromkeys(("after_val_iter", "after_test_iter"), self._see_end_of_batch),
        }
        self.forget()

    def forget(self) -> None:
        """Forget everything: a run begins."""
        self.trains: bool = False
        self._openings: dict[str, Record] = {}
        self._batches: dict[str, Any] = {}  # the last batch_idx of the epoch, by the kind of iteration
        self._at_exception: tuple[Any, Any] = (None, None)
        self._last = ""
        self.forget_counters()

    def forget_counters(self) -> None:
        """Take the counters from the trace when they come next: their right values are not known."""
        self._epoch: int | None = None
        self._iter: int | None = None
        self._openings.clear()

    def begin_amid(self, record: Record) -> None:
        """Begin in the middle of a training, with an event of it."""
        self.forget()
        self._adopt(0, record)

    def see(self, line: int, record: Record, *, aborting: bool, legal: bool) -> None:
        """Judge what an event says of the counters.

        Args:
            line: The number of its line.
            record: The event.
            aborting: Whether it belongs to an abnormal end: then nothing is counted.
            legal: Whether it has its place: otherwise its meaning for the counters is not known.
        """
        event: str = record["e"]
        if legal:
            handler = self._handlers.get(event)
            if handler is not None and not (aborting and event in _COUNTED):
                handler(line, record)
        epoch, iteration = record.get("re"), record.get("ri")
        if event in _OPENS:
            self._openings[event] = record
        if self.trains:
            self._hub_iter.occurrences += 1
            self._hub_epoch.occurrences += 1
            if iteration != record.get("hi"):
                self._hub_iter.violate(line, event, f"iter {_say(iteration)}", f"iter {_say(record.get('hi'))}")
            if epoch != record.get("he"):
                self._hub_epoch.violate(line, event, f"epoch {_say(epoch)}", f"epoch {_say(record.get('he'))}")
        self._last = event

    def see_exception(self, record: Record) -> None:
        """Note the counters from which an abnormal end must not count on.

        A hook behind the trace's may have raised at the very close that was counted here last: then it does not
        count. Whether it was so only the runner knows.
        """
        if self._last == "after_train_iter" and self._iter is not None and record.get("ri") == self._iter - 1:
            self._iter -= 1
        if self._last == "after_train_epoch" and self._epoch is not None and record.get("re") == self._epoch - 1:
            self._epoch -= 1
        self._at_exception = record.get("re"), record.get("ri")

    def judge_unwinding(self, line: int, record: Record) -> None:
        """Judge that a close of an abnormal end has counted nothing."""
        if self.trains:
            rule = self._rules["FAIL-04"]
            rule.occurrences += 1
            now = record.get("re"), record.get("ri")
            if now != self._at_exception:
                rule.violate(line, record["e"], _say_both(self._at_exception), _say_both(now))

    # -- the training

    def _adopt(self, _line: int, record: Record) -> None:
        self.trains = True
        if self._epoch is None:
            self._epoch = _as_int(record.get("re"))
        if self._iter is None:
            self._iter = _as_int(record.get("ri"))

    def _see_train_epoch(self, line: int, record: Record) -> None:
        self._batches.pop("before_train_iter", None)
        epoch = record.get("re")
        if self._epoch is None:
            self._epoch = _as_int(epoch)
        else:
            self._judge("COUNT-03", line, record, "epoch", self._epoch, epoch)

    def _see_end_of_train_epoch(self, line: int, record: Record) -> None:
        opening = self._openings.pop("before_train_epoch", None)
        if opening is not None:
            self._judge("COUNT-04", line, record, "epoch", opening.get("re"), record.get("re"))
        if self._epoch is not None:
            self._epoch += 1

    def _see_train_iter(self, line: int, record: Record) -> None:
        iteration = record.get("ri")
        if self._iter is None:
            self._iter = _as_int(iteration)
        else:
            self._judge("COUNT-01", line, record, "iter", self._iter, iteration)
        self._see_batch(line, record)

    def _see_end_of_train_iter(self, line: int, record: Record) -> None:
        opening = self._openings.get("before_train_iter")
        if opening is not None:
            self._judge("COUNT-02", line, record, "iter", opening.get("ri"), record.get("ri"))
        if self._iter is not None:
            self._iter += 1
        self._see_end_of_batch(line, record)

    # -- validations, and epochs and batches of any kind

    def _see_end_of_val(self, line: int, record: Record) -> None:
        opening = self._openings.pop("before_val", None)
        if opening is not None:
            rule = self._rules["COUNT-11"]
            rule.occurrences += 1
            then, now = (opening.get("re"), opening.get("ri")), (record.get("re"), record.get("ri"))
            if then != now:
                rule.violate(line, record["e"], _say_both(then), _say_both(now))

    def _see_epoch(self, _line: int, record: Record) -> None:
        self._batches.pop(record["e"].replace("_epoch", "_iter"), None)

    def _see_batch(self, line: int, record: Record) -> None:
        event: str = record["e"]
        batch_idx = record.get("b")
        last = self._batches.get(event)
        if last is not None:
            self._judge("LIFE-08", line, record, "batch_idx", last + 1, batch_idx)
        self._batches[event] = _as_int(batch_idx)

    def _see_end_of_batch(self, line: int, record: Record) -> None:
        opening = self._openings.pop(f"before_{record['e'][6:]}", None)
        if opening is not None:
            self._judge("LIFE-08", line, record, "batch_idx", opening.get("b"), record.get("b"))

    def _judge(self, id: str, line: int, record: Record, what: str, expected: Any, observed: Any) -> None:
        rule: RuleVerdict = self._rules[id]
        rule.occurrences += 1
        if expected != observed:
            rule.violate(line, record["e"], f"{what} {_say(expected)}", f"{what} {_say(observed)}")


# The closes at which a normal end counts or compares.
_COUNTED = frozenset({"after_train_epoch", "after_train_iter", "after_val"})


def _as_int(value: Any) -> int | None:
    return value if type(value) is int else None


def _say(value: Any) -> str:
    return "not published" if value is None else str(value)


def _say_both(counters: tuple[Any, Any]) -> str:
    return f"epoch {_say(counters[0])}, iter {_say(counters[1])}"
