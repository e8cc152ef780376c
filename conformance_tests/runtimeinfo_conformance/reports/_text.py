"""A report as lines of text: how a requirement was broken, with the event in question marked, and the counts.

The terminal, pytest, Markdown and `CheckResult` show these lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeGuard, cast

from runtimeinfo.spec import CLOSES, OPENS

if TYPE_CHECKING:
    from runtimeinfo_conformance.reports._data import Counter, EventData, FailureData, ReportData, TimelineData

MOST_CHARACTERS = 4000
"""Longer texts are cut, and say so: one value can be a million elements long."""

COUNTED = ("pass", "fail", "warn", "waived", "not executed")
"""The verdicts that every rendering counts: those on what applies, is demanded and can be tested."""

TOO_LONG = "(the plan is too long for a command line)"
"""Stands in the place of the command that replays a plan, where there is none."""

_MOST_ENTRIES = 4  # of what was expected and observed
_CONTEXT = 6  # events shown on either side of the marked one

# What XML forbids, what a terminal obeys, lone surrogates, and the marks that turn the direction of reading.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def fit(text: str, most: int = MOST_CHARACTERS) -> str:
    r"""Return a text that every format can hold; what it cannot hold is written as an escape.

    Example:
        >>> print(fit("red \x1b[31m alert"))
        red \x1b[31m alert
        >>> fit("12345678", most=5)
        '12345 ... (3 characters more)'
    """
    cut = len(text) - most
    if cut > 0:
        text = f"{text[:most]} ... ({cut} characters more)"
    return _UNFIT.sub(lambda found: ascii(found.group())[1:-1], text)


def shown(value: object, most: int = MOST_CHARACTERS) -> str:
    """Return the repr of a value, also of one whose repr is broken."""
    try:
        return fit(repr(value), most)
    except Exception as error:  # noqa: BLE001  # whatever it is, the report has to be written
        return fit(f"<{type(value).__name__}: its repr raised {type(error).__name__}>", most)


def shown_beside(expected: object, observed: object) -> tuple[str, str]:
    """Return two different values as two different texts: without quotes and braces, as long as that tells them apart.

    Of many named entries only those are shown that differ.

    Example:
        >>> shown_beside("train", None)
        ('train', 'None')
        >>> shown_beside("None", None)
        ("'None'", 'None')
        >>> shown_beside({"epoch": 0, "iter": 1}, {"epoch": 1, "iter": 1})
        ('epoch 0, iter 1', 'epoch 1, iter 1')
    """
    if _is_named(expected) and _is_named(observed) and expected.keys() == observed.keys():
        differing = [key for key in expected if shown(expected[key]) != shown(observed[key])]
        keys = differing if differing and len(expected) > _MOST_ENTRIES else list(expected)
        plain = _entries(expected, keys), _entries(observed, keys)
    else:
        plain = _plain(expected), _plain(observed)
    return plain if plain[0] != plain[1] else (shown(expected), shown(observed))


def _is_named(value: object) -> TypeGuard[dict[str, object]]:
    """Tell whether a value is a plain dict of named entries. A subclass may have a broken method in it."""
    if type(value) is not dict:
        return False
    entries = cast("dict[object, object]", value)
    return bool(entries) and all(type(key) is str for key in entries)


def _entries(value: dict[str, object], keys: list[str]) -> str:
    return fit(", ".join(f"{key} {shown(value[key])}" for key in keys))


def _plain(value: object) -> str:
    return fit(value) if isinstance(value, str) else shown(value)


def counted(report: ReportData) -> dict[str, int]:
    """Return how many requirements got each verdict that is counted, in the order of the verdicts."""
    return {verdict: report["counts"][verdict] for verdict in COUNTED if report["counts"].get(verdict)}


def counts_line(report: ReportData) -> str:
    """Return the counts in a line."""
    return ", ".join(f"{count} {verdict}" for verdict, count in counted(report).items())


def failure_lines(failure: FailureData, hint: str = "") -> list[str]:
    """Return the plan, what was expected and observed, and the run or the operations around it.

    Args:
        failure: The failure.
        hint: The usual mistake; nothing is said if it is empty.
    """
    lines = [f"after:    {plan}  (before it, in the same process)" for plan in failure["after"]]
    lines += [
        f"plan:     {failure['plan']}",
        f"expected: {failure['expected']}",
        f"observed: {failure['observed']}",
    ]
    if hint:
        lines.append(f"hint:     {hint}")
    if failure["timeline"] is not None:
        lines += ["", *_timeline_lines(failure["timeline"])]
    for index, operation in enumerate(failure["operations"] or ()):
        lines.append(f"{'  -> ' if index == failure['at'] else '     '}{operation}")
    if failure["timeline"] is None and failure["at"] is not None:
        lines.append(f"          after operation {failure['at']}")
    return lines


def _timeline_lines(timeline: TimelineData) -> Iterator[str]:
    at, total = timeline["offending"], timeline["total"]
    first, last = (total - 4 * _CONTEXT, total) if at is None else (at - _CONTEXT, at + _CONTEXT + 1)
    window = [event for event in timeline["events"] if first <= event["index"] < last]
    if window and window[0]["index"]:
        yield f"     ... {window[0]['index']} events before"
    for event in window:
        yield f"{'  -> ' if event['index'] == at else '     '}{_event_line(event)}"
    after = total - 1 - window[-1]["index"] if window else total
    if after:
        yield f"     ... {after} events after"
    if timeline["raised"] is not None:
        yield f"     raised {timeline['raised']}"


def _event_line(event: EventData) -> str:
    # A scope's own events stand beside the scopes around it, and what comes inside of it stands deeper.
    depth = len(event["scopes"]) - (event["event"] in OPENS or event["event"] in CLOSES)
    runner = f"{counter_text(event['runner_epoch'])}/{counter_text(event['runner_iter'])}"
    hub = f"{counter_text(event['hub_epoch'])}/{counter_text(event['hub_iter'])}"
    line = (
        f"{'  ' * max(depth, 0)}{event['event']:<20} stage {event['stage'] or '-':<6} "
        f"epoch/iter: runner {runner}, hub {hub}"
    )
    arguments = arguments_text(event)
    return f"{line}  {arguments}" if arguments else line


def arguments_text(event: EventData) -> str:
    """Return the arguments of an event that are reported, as in a call."""
    return ", ".join(f"{name}={value}" for name, value in event["arguments"].items())


def counter_text(value: Counter) -> str:
    """Return a stage or a counter."""
    return "-" if value is None else str(value)
