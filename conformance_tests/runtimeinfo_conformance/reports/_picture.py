"""The picture of a run: its scopes as nested boxes, an event a line, and the event in question marked.

Time goes down, so that each event has room for its name, also on a phone. A run longer than the picture is drawn
as a whole in a strip above it. Only places are computed here; `picture.svg.jinja` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from runtimeinfo.spec import CLOSES, OPENS
from runtimeinfo_conformance.reports._data import Counter, EventData, TimelineData
from runtimeinfo_conformance.reports._text import arguments_text, counter_text

_CONTEXT = 9  # events shown on either side of the marked one

# In pixels.
_LINE = 22
_INDENT = 9
_HEAD = 24
_MARGIN = 18
_CHARACTER = 7.3
_GAP = 14
_BEYOND = 0.25
_LONGEST = 14  # characters of a stage or a counter; the table has all of them

HEADS = ("event", "stage", "runner", "hub")
"""The titles of the columns."""


class Span(NamedTuple):
    """A scope: how deep it lies, and from which event to which (that one excluded)."""

    scope: str
    depth: int
    begin: int
    end: int

    @property
    def stage(self) -> str:
        """The stage that gives it its colour."""
        return self.scope.partition("_")[0]


class Box(NamedTuple):
    """A rectangle."""

    stage: str
    x: float
    y: float
    width: float
    height: float


class Line(NamedTuple):
    """An event with what is written beside it."""

    y: float
    event: str
    stage: str
    runner: str
    hub: str
    is_marked: bool
    note: str


@dataclass(frozen=True)
class Picture:
    """The places of everything in a picture.

    Attributes:
        width: Of the picture.
        height: Of the picture.
        columns: Where the columns of the text begin.
        boxes: The scopes.
        lines: The events.
        before: How many events come before the first line.
        after: How many come after the last.
        strip: The whole run as a strip of unit squares; empty if the picture has all of it.
        strip_width: Its width.
        strip_height: Its height.
        strip_window: Which part of it the picture shows.
        strip_mark: Where the marked event is in it, or None.
        title: What it is.
        description: What can be seen, for those who cannot see it.
    """

    width: float
    height: float
    columns: tuple[float, ...]
    boxes: list[Box]
    lines: list[Line]
    before: int
    after: int
    strip: list[Box]
    strip_width: int
    strip_height: int
    strip_window: tuple[int, int]
    strip_mark: int | None
    title: str
    description: str


def draw(timeline: TimelineData, requirement: str) -> Picture:
    """Return the picture of a run in which a requirement was broken."""
    events = timeline["events"]
    at = _position(events, timeline["offending"])
    middle = len(events) - 1 if at is None else at
    first, last = max(0, middle - _CONTEXT), min(len(events), middle + _CONTEXT + 1)
    window = events[first:last]
    spans = scope_spans(events)
    before = window[0]["index"] if window else 0
    after = timeline["total"] - 1 - window[-1]["index"] if window else timeline["total"]
    top = _HEAD + (_LINE if before else 0)
    depth = max((len(event["scopes"]) for event in window), default=0)
    left = _MARGIN + depth * _INDENT + 6
    lines = [_line(event, timeline, top + place * _LINE) for place, event in enumerate(window)]
    # No wider than the texts need: on a phone the picture shrinks, and its letters with it.
    texts = [HEADS, *((line.event, line.stage, line.runner, line.hub) for line in lines)]
    widths = [max(len(text) for text in column) * _CHARACTER + _GAP for column in zip(*texts, strict=True)]
    columns = tuple(round(left + sum(widths[:place]), 1) for place in range(len(widths)))
    width = round(left + sum(widths) - _GAP / 2, 1)
    bottom = top + len(window) * _LINE
    # How far a box that goes on beyond the picture sticks out there, in lines.
    over_top, over_bottom = _BEYOND if before else 0, _BEYOND if after else 0
    whole = len(window) == len(events)
    return Picture(
        width=width,
        height=bottom + (_LINE if after else 0) + 4,
        columns=columns,
        boxes=[
            Box(
                span.stage,
                x=_MARGIN + span.depth * _INDENT,
                y=top + max(span.begin - first, -over_top) * _LINE + 1,
                width=width - _MARGIN - span.depth * _INDENT,
                height=(
                    (min(span.end - first, len(window) + over_bottom) - max(span.begin - first, -over_top)) * _LINE - 2
                ),
            )
            for span in spans
            if span.begin < last and span.end > first
        ],
        lines=lines,
        before=before,
        after=after,
        strip=[] if whole else [Box(s.stage, s.begin, s.depth, s.end - s.begin, 1) for s in spans],
        strip_width=len(events),
        strip_height=max((len(event["scopes"]) for event in events), default=0),
        strip_window=(first, last),
        strip_mark=at,
        title=f"Timeline of the run that breaks {requirement}",
        description=_description(timeline, at),
    )


def scope_spans(events: list[EventData]) -> list[Span]:
    """Return the scopes of a run, outer ones before those inside."""
    spans: list[Span] = []
    opened: list[tuple[str, int]] = []

    def close(keep: int, end: int) -> None:
        while len(opened) > keep:
            scope, begin = opened.pop()
            spans.append(Span(scope, len(opened), begin, end))

    for position, event in enumerate(events):
        scopes = event["scopes"]
        keep = 0
        while keep < min(len(opened), len(scopes)) and opened[keep][0] == scopes[keep]:
            keep += 1
        if scopes and OPENS.get(event["event"]) == scopes[-1]:
            keep = min(keep, len(scopes) - 1)
        close(keep, position)
        opened.extend((scope, position) for scope in scopes[keep:])
        if scopes and CLOSES.get(event["event"]) == scopes[-1]:
            close(len(scopes) - 1, position + 1)
    close(0, len(events))
    return sorted(spans, key=lambda span: (span.depth, span.begin))


def _line(event: EventData, timeline: TimelineData, y: float) -> Line:
    return Line(
        y=y,
        event=event["event"],
        stage=_short(event["stage"]),
        runner=_both(event["runner_epoch"], event["runner_iter"]),
        hub=_both(event["hub_epoch"], event["hub_iter"]),
        is_marked=event["index"] == timeline["offending"],
        note=_note(event, timeline),
    )


def _position(events: list[EventData], index: int | None) -> int | None:
    return next((position for position, event in enumerate(events) if event["index"] == index), None)


def _both(epoch: Counter, iteration: Counter) -> str:
    return f"{_short(epoch)}/{_short(iteration)}"


def _short(value: Counter) -> str:
    text = " ".join(counter_text(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _note(event: EventData, timeline: TimelineData) -> str:
    """Return further remarks on an event."""
    if event["index"] == timeline["fault"]:
        return (
            "the plan raises here"
            if timeline["moment"] is None
            else f"the plan raises after it, in {timeline['moment']}"
        )
    if event["objection"] is not None:
        return f"illegal here: {event['objection']}"
    return arguments_text(event) if event["index"] == timeline["offending"] else ""


def _description(timeline: TimelineData, at: int | None) -> str:
    total = f"{timeline['total']} events"
    if at is None:
        return f"{total}. The run as a whole is at fault."
    event = timeline["events"][at]
    inside = " inside ".join(reversed(event["scopes"])) or "no scope"
    return (
        f"{total}. Event {event['index'] + 1}, {event['event']}, is marked. It comes in {inside}; the stage is "
        f"{event['stage'] or 'not set'}; epoch and iteration are {_both(event['runner_epoch'], event['runner_iter'])} "
        f"by the runner and {_both(event['hub_epoch'], event['hub_iter'])} by the hub."
    )
