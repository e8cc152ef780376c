"""The automaton over the grammar, compiled into a table: it checks a stream of events, or makes it legal.

A run can be in some two hundred positions. Each one is made once, and knows every legal event and the position that the
event leads to, so that a legal event costs one look-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from runtimeinfo._errors import LifecycleError
from runtimeinfo.spec._grammar import ABORT, CLOSES, EVENTS, FREE_EVENTS, GRAMMAR, OPENS, missing_between


class Origin(Enum):
    """Where an event of a normalised stream comes from."""

    RAW = "raw"
    """It was fed, and legal."""

    SYNTHESIZED = "synthesized"
    """The framework left it out."""

    ABORT = "abort"
    """It closes a scope that ended abnormally: nothing is counted, and no metric is published."""


class Step(NamedTuple):
    """One event of a normalised stream."""

    event: str
    origin: Origin


class Position:
    """A place in the grammar, the same object each time that a run is there.

    Attributes:
        open_scopes: The open scopes, outermost first.
        stage: The stage of the innermost scope that has one, or None.
        complete: Whether the innermost scope holds the child that it must hold.
        aborting: Whether the last events belong to an abnormal end.
        must_close: Whether `on_exception` has just come: it leaves at least the innermost scope.
        after: The legal events, and the position that each one leads to.

    Example:
        >>> START.after["before_run"].open_scopes
        ('run',)

    Source: LIFE-01.
    """

    __slots__ = ("aborting", "after", "complete", "must_close", "open_scopes", "stage")

    open_scopes: tuple[str, ...]
    stage: str | None
    complete: bool
    aborting: bool
    must_close: bool
    after: Mapping[str, Position]

    def __init__(self, open_scopes: tuple[str, ...], complete: bool, aborting: bool, must_close: bool) -> None:
        stages = [stage for scope in open_scopes if (stage := GRAMMAR[scope].stage) is not None]
        self.open_scopes = open_scopes
        self.stage = stages[-1] if stages else None
        self.aborting = aborting
        # No other scope needs to remember it: what a scope must hold is all that it can hold, so a scope is complete
        # as soon as anything has opened inside.
        self.complete = complete
        self.must_close = must_close

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        # A copy is the position itself: positions are compared by identity.
        return _position, (self.open_scopes, self.complete, self.aborting, self.must_close)

    def __repr__(self) -> str:
        return f"<Position: {' > '.join(self.open_scopes) or 'no scope is open'}>"


_positions: dict[tuple[tuple[str, ...], bool, bool, bool], Position] = {}


def _position(
    open_scopes: tuple[str, ...], complete: bool = True, aborting: bool = False, must_close: bool = False
) -> Position:
    """Return the position with these properties. The first call creates it and everything that can follow it."""
    key = open_scopes, complete, aborting, must_close
    known = _positions.get(key)
    if known is None:
        known = _positions[key] = Position(*key)
        # A plain dict: a look-up through a read-only view costs twice as much, and every event makes one.
        known.after = _legal_events(known)
    return known


def _legal_events(position: Position) -> dict[str, Position]:
    scopes = position.open_scopes
    innermost = scopes[-1] if scopes else None
    after = dict.fromkeys(FREE_EVENTS, position)
    if innermost is not None:
        after[ABORT] = _position(scopes, position.complete, aborting=True, must_close=True)
        if position.complete or position.aborting:
            after[f"after_{innermost}"] = _closed(position)
    if not position.must_close:
        for event, scope in OPENS.items():
            if innermost in GRAMMAR[scope].inside:
                after[event] = _position((*scopes, scope), GRAMMAR[scope].at_least_one is None)
    return after


def _closed(position: Position) -> Position:
    """Return where a run is when the innermost scope has closed: the scope around it then holds something."""
    outer = position.open_scopes[:-1]
    return _position(outer, aborting=position.aborting and bool(outer))


START = _position(())
"""The position before a run."""

# What `feed` answers nearly always; made once, since it is asked for twice an iteration.
_RAW_STEPS = {event: (Step(event, Origin.RAW),) for event in EVENTS}


class Lifecycle:
    """Where a run is in the grammar.

    `advance` is strict: an illegal event raises, and changes nothing. `feed` takes what real frameworks emit,
    and returns a legal stream: it closes what was left open, opens what is missing, and drops a
    close that has nothing to close.

    Attributes:
        position: The place in the grammar. Set it to go on by an event that you have looked up in ``position.after``.

    Example:
        >>> lifecycle = Lifecycle()
        >>> [step.event for step in lifecycle.feed("before_train_iter")]
        ['before_run', 'before_train', 'before_train_epoch', 'before_train_iter']
        >>> [(step.event, step.origin.value) for step in lifecycle.feed("after_train")]
        [('after_train_iter', 'synthesized'), ('after_train_epoch', 'synthesized'), ('after_train', 'raw')]

    Source: LIFE-01, LIFE-05, FAIL-03.
    """

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position: Position = START

    @property
    def open_scopes(self) -> tuple[str, ...]:
        """The open scopes, outermost first."""
        return self.position.open_scopes

    @property
    def stage(self) -> str | None:
        """The value that ``loop_stage`` must have: the stage of the innermost scope that has one."""
        return self.position.stage

    @property
    def aborting(self) -> bool:
        """Whether the last events belong to an abnormal end."""
        return self.position.aborting

    def is_open(self, scope: str) -> bool:
        """Tell whether a scope is open.

        Example:
            >>> lifecycle = Lifecycle()
            >>> lifecycle.advance("before_run")
            >>> lifecycle.is_open("run"), lifecycle.is_open("train")
            (True, False)

        Source: LIFE-01.
        """
        return scope in self.position.open_scopes

    def objection(self, event: str) -> str | None:
        """Say why an event may not come now; None means that it may.

        Example:
            >>> Lifecycle().objection("before_train")
            "it must come directly inside 'run', but no scope is open"

        Source: LIFE-01.
        """
        position = self.position
        if event in position.after:
            return None
        innermost = position.open_scopes[-1] if position.open_scopes else None
        where = "no scope is open" if innermost is None else f"the innermost open scope is {innermost!r}"
        if event in OPENS:
            if position.must_close:
                return "after on_exception the innermost scope must close first"
            parents = GRAMMAR[OPENS[event]].inside
            named = " or ".join("no scope" if parent is None else repr(parent) for parent in parents)
            return f"it must come directly inside {named}, but {where}"
        if event in CLOSES:
            closed = CLOSES[event]
            if innermost != closed:
                return f"it closes {closed!r}, but {where}"
            return f"{closed!r} must have held at least one {GRAMMAR[closed].at_least_one!r}"
        return "no scope is open" if event == ABORT else "there is no such event"

    def advance(self, event: str) -> None:
        """Go on by one legal event.

        Raises:
            LifecycleError: If the event is illegal here; the lifecycle stays as it was.

        Source: LIFE-01.
        """
        if not self.try_advance(event):
            raise LifecycleError(
                f"{event} is illegal here: {self.objection(event)}. {_remedy(event)}",
                event=event,
                open_scopes=self.open_scopes,
                requirement="LIFE-01",
            )

    def try_advance(self, event: str) -> bool:
        """Go on by an event if it is legal here, and tell whether it was; else the lifecycle stays as it was.

        Example:
            >>> lifecycle = Lifecycle()
            >>> lifecycle.try_advance("before_train"), lifecycle.try_advance("before_run")
            (False, True)

        Source: LIFE-01.
        """
        after = self.position.after.get(event)
        if after is None:
            return False
        self.position = after
        return True

    def plan(self, event: str) -> tuple[Step, ...]:
        """Return the legal steps to which an event amounts here, without going on.

        Empty for a close that has nothing to close. `on_exception` unwinds everything that is open.

        Raises:
            LifecycleError: If there is no such event.

        Source: LIFE-05, FAIL-03.
        """
        position = self.position
        if event == ABORT:
            return _abort_steps(position, keep=0, announce=True)
        if event in position.after:
            return _RAW_STEPS[event]
        if event in CLOSES and CLOSES[event] not in position.open_scopes:
            return ()
        if event not in _RAW_STEPS:
            self.advance(event)  # raises
        return (*_leading_to(event, position), Step(event, Origin.RAW))

    def feed(self, event: str) -> tuple[Step, ...]:
        """Go on by any event, and return the legal steps that make it so, as `plan` does.

        Raises:
            LifecycleError: If there is no such event.

        Source: LIFE-05, FAIL-03.
        """
        steps = self.plan(event)
        for step in steps:
            self.position = self.position.after[step.event]
        return steps

    def abort(self, keep: int = 0, *, announce: bool = True) -> tuple[Step, ...]:
        """End abnormally all scopes but the outermost `keep`.

        Args:
            keep: How many scopes the exception does not leave, as far as is known yet.
            announce: False if this exception was announced when it left a scope further in.

        Returns:
            `on_exception` and the closes, innermost first; empty if no scope ends.

        Source: FAIL-02, FAIL-03.
        """
        position = self.position
        steps = _abort_steps(position, keep=keep, announce=announce)
        if steps:
            kept = position.open_scopes[:keep]
            self.position = _position(kept, aborting=bool(kept))
        elif not position.must_close:  # an `on_exception` that came leaves a scope, whatever `keep` says
            self.position = _position(position.open_scopes, position.complete)
        return steps


def _abort_steps(position: Position, *, keep: int, announce: bool) -> tuple[Step, ...]:
    closes = tuple(Step(f"after_{scope}", Origin.ABORT) for scope in reversed(position.open_scopes[keep:]))
    return (Step(ABORT, Origin.RAW), *closes) if closes and announce else closes


def _leading_to(event: str, position: Position) -> list[Step]:
    """Return the steps that close and open scopes until an event is legal."""
    steps: list[Step] = []

    def go(*events: str) -> None:
        nonlocal position
        for each in events:
            steps.append(Step(each, Origin.SYNTHESIZED))
            position = position.after[each]

    def complete() -> None:
        # A scope that lacks the child that it must hold gets one, empty.
        if not (position.complete or position.aborting):
            child = GRAMMAR[position.open_scopes[-1]].at_least_one
            go(f"before_{child}", f"after_{child}")

    def close() -> None:
        complete()
        go(f"after_{position.open_scopes[-1]}")

    if event in CLOSES:
        while position.open_scopes[-1] != CLOSES[event]:
            close()
        complete()
        return steps
    if position.must_close:
        close()
    while (missing := _missing(position, event)) is None:
        close()
    go(*(f"before_{scope}" for scope in missing))
    return steps


def _missing(position: Position, event: str) -> tuple[str, ...] | None:
    return missing_between(position.open_scopes[-1] if position.open_scopes else None, OPENS[event])


def _remedy(event: str) -> str:
    if event not in EVENTS:
        return f"There are {', '.join(EVENTS)}"
    return "Emit what belongs before it, or feed() it, which puts that in"
