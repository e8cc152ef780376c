"""The judgement of the counters of a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtimeinfo.spec import OPENS
from runtimeinfo_conformance.observation import RunModel
from runtimeinfo_conformance.traces._report import RuleVerdict, TraceReport

Record = dict[str, Any]
"""A line of a trace that holds an event: see `runtimeinfo_conformance.traces._format`."""

# A look-up through the read-only view costs twice as much.
_OPENS = frozenset(OPENS)


class Counts:
    """Compare the counters of a trace with the model's.

    Its memory does not grow with the trace: it holds the event at which the last scope of each kind opened.

    Args:
        report: The report to which the findings are added.
        model: The model of the run, whose counters it keeps up to date.

    Source: COUNT-01 to COUNT-06, COUNT-11, LIFE-08, FAIL-04.
    """

    def __init__(self, report: TraceReport, model: RunModel) -> None:
        self._model = model
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
        """Forget everything, because a run begins."""
        self.trains: bool = False
        self._openings: dict[str, Record] = {}
        self._batches: dict[str, Any] = {}  # the last batch_idx of the epoch, by the kind of iteration
        self._at_exception: tuple[Any, Any] = (None, None)
        self._last = ""
        self.forget_counters()

    def forget_counters(self) -> None:
        """Take the counters from the trace at their next event, because their right values are not known."""
        self._is_epoch_known: bool = False
        self._is_iter_known: bool = False
        self._openings.clear()

    def begin_amid(self, record: Record) -> None:
        """Begin in the middle of a training, with one of its events."""
        self.forget()
        self._adopt(0, record)

    def see(self, line: int, record: Record, *, legal: bool) -> None:
        """Judge the counters at an event.

        Args:
            line: The number of its line.
            record: The event.
            legal: Whether it is legal: otherwise its meaning for the counters is not known.
        """
        event: str = record["e"]
        if legal:
            handler = self._handlers.get(event)
            if handler is not None and not (self._model.aborting and event in _COUNTED):
                handler(line, record)
        epoch, iteration = record.get("re"), record.get("ri")
        if event in _OPENS:
            self._openings[event] = record
        if self.trains:
            self._hub_iter.occurrences += 1
            self._hub_epoch.occurrences += 1
            if iteration != record.get("hi"):
                self._hub_iter.violate(line, event, f"iter {_format(iteration)}", f"iter {_format(record.get('hi'))}")
            if epoch != record.get("he"):
                self._hub_epoch.violate(line, event, f"epoch {_format(epoch)}", f"epoch {_format(record.get('he'))}")
        self._last = event

    def see_exception(self, record: Record) -> None:
        """Note the counters at on_exception, which an abnormal end must not change.

        If a hook after the trace's raised at the close that was counted last, that close does not count. Only the
        runner knows whether this happened, so its counter decides.
        """
        model = self._model
        if self._last == "after_train_iter" and self._is_iter_known and record.get("ri") == model.iter - 1:
            model.iter -= 1
        if self._last == "after_train_epoch" and self._is_epoch_known and record.get("re") == model.epoch - 1:
            model.epoch -= 1
        self._at_exception = record.get("re"), record.get("ri")

    def judge_unwinding(self, line: int, record: Record) -> None:
        """Judge that a close of an abnormal end does not count."""
        if self.trains:
            rule = self._rules["FAIL-04"]
            rule.occurrences += 1
            now = record.get("re"), record.get("ri")
            if now != self._at_exception:
                rule.violate(line, record["e"], _format_counters(self._at_exception), _format_counters(now))

    # -- the training

    def _adopt(self, _line: int, record: Record) -> None:
        self.trains = True
        if not self._is_epoch_known:
            self._adopt_epoch(record.get("re"))
        if not self._is_iter_known:
            self._adopt_iter(record.get("ri"))

    def _adopt_epoch(self, value: Any) -> None:
        self._is_epoch_known = type(value) is int
        if self._is_epoch_known:
            self._model.epoch = value

    def _adopt_iter(self, value: Any) -> None:
        self._is_iter_known = type(value) is int
        if self._is_iter_known:
            self._model.iter = value

    def _see_train_epoch(self, line: int, record: Record) -> None:
        self._batches.pop("before_train_iter", None)
        epoch = record.get("re")
        if self._is_epoch_known:
            self._judge("COUNT-03", line, record, "epoch", self._model.epoch, epoch)
        else:
            self._adopt_epoch(epoch)

    def _see_end_of_train_epoch(self, line: int, record: Record) -> None:
        opening = self._openings.pop("before_train_epoch", None)
        if opening is not None:
            self._judge("COUNT-04", line, record, "epoch", opening.get("re"), record.get("re"))
        self._model.epoch += 1  # without effect as long as it is not known

    def _see_train_iter(self, line: int, record: Record) -> None:
        iteration = record.get("ri")
        if self._is_iter_known:
            self._judge("COUNT-01", line, record, "iter", self._model.iter, iteration)
        else:
            self._adopt_iter(iteration)
        self._see_batch(line, record)

    def _see_end_of_train_iter(self, line: int, record: Record) -> None:
        opening = self._openings.get("before_train_iter")
        if opening is not None:
            self._judge("COUNT-02", line, record, "iter", opening.get("ri"), record.get("ri"))
        self._model.iter += 1  # without effect as long as it is not known
        self._see_end_of_batch(line, record)

    # -- validations, and epochs and batches of any kind

    def _see_end_of_val(self, line: int, record: Record) -> None:
        opening = self._openings.pop("before_val", None)
        if opening is not None:
            rule = self._rules["COUNT-11"]
            rule.occurrences += 1
            then, now = (opening.get("re"), opening.get("ri")), (record.get("re"), record.get("ri"))
            if then != now:
                rule.violate(line, record["e"], _format_counters(then), _format_counters(now))

    def _see_epoch(self, _line: int, record: Record) -> None:
        self._batches.pop(record["e"].replace("_epoch", "_iter"), None)

    def _see_batch(self, line: int, record: Record) -> None:
        event: str = record["e"]
        batch_idx = record.get("b")
        last = self._batches.get(event)
        if last is not None:
            self._judge("LIFE-08", line, record, "batch_idx", last + 1, batch_idx)
        self._batches[event] = batch_idx if type(batch_idx) is int else None

    def _see_end_of_batch(self, line: int, record: Record) -> None:
        opening = self._openings.pop(f"before_{record['e'][6:]}", None)
        if opening is not None:
            self._judge("LIFE-08", line, record, "batch_idx", opening.get("b"), record.get("b"))

    def _judge(self, id: str, line: int, record: Record, what: str, expected: Any, observed: Any) -> None:
        rule: RuleVerdict = self._rules[id]
        rule.occurrences += 1
        if expected != observed:
            rule.violate(line, record["e"], f"{what} {_format(expected)}", f"{what} {_format(observed)}")


# The closes that count or compare, unless they belong to an abnormal end.
_COUNTED = frozenset({"after_train_epoch", "after_train_iter", "after_val"})


def _format(value: Any) -> str:
    return "not published" if value is None else str(value)


def _format_counters(counters: tuple[Any, Any]) -> str:
    return f"epoch {_format(counters[0])}, iter {_format(counters[1])}"
