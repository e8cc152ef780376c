"""The automaton over the grammar: it checks a stream of events, or mends it."""

from __future__ import annotations

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


# What `feed` answers nearly always; made once, since it is asked for twice an iteration.
_RAW_STEPS = {event: (Step(event, Origin.RAW),) for event in EVENTS}

# Plain copies: to look something up through a read-only view costs twice as much.
_PARENTS = {event: frozenset(GRAMMAR[scope].inside) for event, scope in OPENS.items()}
_CLOSES = dict(CLOSES)


class Lifecycle:
    """Where a run is in the grammar.

    `advance` is strict: an illegal event raises, and changes nothing. `feed` takes what real frameworks emit,
    and returns a legal stream: it closes what was left open, opens what is missing, and drops a
    close that has nothing to close.

    Example:
        >>> lifecycle = Lifecycle()
        >>> [step.event for step in lifecycle.feed("before_train_iter")]
        ['before_run', 'before_train', 'before_train_epoch', 'before_train_iter']
        >>> [(step.event, step.origin.value) for step in lifecycle.feed("after_train")]
        [('after_train_iter', 'synthesized'), ('after_train_epoch', 'synthesized'), ('after_train', 'raw')]

    Source: LIFE-01, LIFE-05, FAIL-03.
    """

    def __init__(self) -> None:
        self._stack: list[str] = []
        # For each open scope: whether it holds the child that it must hold.
        self._complete: list[bool] = []
        # Set by `on_exception`, and kept while scopes close: those closes are the abnormal end.
        self._aborting = False
        # Set by `on_exception` until the first close: the exception leaves at least the innermost scope.
        self._must_close = False

    @property
    def open_scopes(self) -> tuple[str, ...]:
        """The open scopes, outermost first."""
        return tuple(self._stack)

    @property
    def stage(self) -> str | None:
        """What ``loop_stage`` has to be: the stage of the innermost scope that has one."""
        stages = (GRAMMAR[scope].stage for scope in reversed(self._stack))
        return next((stage for stage in stages if stage is not None), None)

    @property
    def aborting(self) -> bool:
        """Whether the last events belong to an abnormal end."""
        return self._aborting

    def is_open(self, scope: str) -> bool:
        """Tell whether a scope is open.

        Example:
            >>> lifecycle = Lifecycle()
            >>> lifecycle.advance("before_run")
            >>> lifecycle.is_open("run"), lifecycle.is_open("train")
            (True, False)

        Source: LIFE-01.
        """
        return scope in self._stack

    def objection(self, event: str) -> str | None:
        """Say why an event may not come now; None means that it may.

        Example:
            >>> Lifecycle().objection("before_train")
            "it must come directly inside 'run', but no scope is open"

        Source: LIFE-01.
        """
        if self._is_legal(event):
            return None
        top = self._stack[-1] if self._stack else None
        if event in OPENS:
            return self._objection_to_opening(OPENS[event], top)
        if event in CLOSES:
            return self._objection_to_closing(CLOSES[event], top)
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
        if not self._is_legal(event):
            return False
        self._apply(event)
        return True

    def plan(self, event: str) -> tuple[Step, ...]:
        """Return the legal steps to which an event amounts here, without going on.

        Empty for a close that has nothing to close. `on_exception` unwinds everything that is open.

        Raises:
            LifecycleError: If there is no such event.

        Source: LIFE-05, FAIL-03.
        """
        if event == ABORT:
            return self._plan_abort(keep=0, announce=True)
        if self._is_legal(event):
            return _RAW_STEPS[event]
        if event in CLOSES and CLOSES[event] not in self._stack:
            return ()
        if event not in _RAW_STEPS:
            self.advance(event)  # raises
        scratch = Lifecycle()
        scratch._stack, scratch._complete = self._stack[:], self._complete[:]
        scratch._aborting, scratch._must_close = self._aborting, self._must_close
        return (*scratch._make_legal(event), Step(event, Origin.RAW))

    def feed(self, event: str) -> tuple[Step, ...]:
        """Go on by any event, and return the legal steps that make it so, as `plan` does.

        Raises:
            LifecycleError: If there is no such event.

        Source: LIFE-05, FAIL-03.
        """
        steps = self.plan(event)
        for step in steps:
            self._apply(step.event)
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
        steps = self._plan_abort(keep=keep, announce=announce)
        for step in steps:
            self._apply(step.event)
        self._aborting = bool(steps) and bool(self._stack)
        return steps

    def _is_legal(self, event: str) -> bool:
        top = self._stack[-1] if self._stack else None
        parents = _PARENTS.get(event)
        if parents is not None:
            return top in parents and not self._must_close
        closed = _CLOSES.get(event)
        if closed is not None:
            return closed == top and (self._complete[-1] or self._aborting)
        return event in FREE_EVENTS or (event == ABORT and top is not None)

    def _objection_to_opening(self, name: str, top: str | None) -> str:
        if self._must_close:
            return "after on_exception the innermost scope must close first"
        parents = " or ".join("no scope" if parent is None else repr(parent) for parent in GRAMMAR[name].inside)
        return f"it must come directly inside {parents}, but {_where(top)}"

    def _objection_to_closing(self, name: str, top: str | None) -> str:
        if top != name:
            return f"it closes {name!r}, but {_where(top)}"
        return f"{name!r} must have held at least one {GRAMMAR[name].at_least_one!r}"

    def _apply(self, event: str) -> None:
        """Go on by an event that is known to be legal."""
        if event in OPENS:
            name = OPENS[event]
            if self._stack and GRAMMAR[self._stack[-1]].at_least_one == name:
                self._complete[-1] = True
            self._stack.append(name)
            self._complete.append(GRAMMAR[name].at_least_one is None)
            self._aborting = self._must_close = False
        elif event in CLOSES:
            self._stack.pop()
            self._complete.pop()
            self._must_close = False
            self._aborting = self._aborting and bool(self._stack)
        elif event == ABORT:
            self._aborting = self._must_close = True

    def _plan_abort(self, *, keep: int, announce: bool) -> tuple[Step, ...]:
        closes = [Step(f"after_{scope}", Origin.ABORT) for scope in reversed(self._stack[keep:])]
        return (Step(ABORT, Origin.RAW), *closes) if closes and announce else tuple(closes)

    def _make_legal(self, event: str) -> list[Step]:
        """Close and open scopes until an event is legal; return what that took."""
        steps: list[Step] = []
        if event in CLOSES:
            while self._stack[-1] != CLOSES[event]:
                self._close_innermost(steps)
            self._complete_innermost(steps)
            return steps
        if self._must_close:
            self._close_innermost(steps)
        while True:
            missing = missing_between(self._stack[-1] if self._stack else None, OPENS[event])
            if missing is not None:
                break
            self._close_innermost(steps)
        for scope in missing:
            self._synthesize(f"before_{scope}", steps)
        return steps

    def _close_innermost(self, steps: list[Step]) -> None:
        self._complete_innermost(steps)
        self._synthesize(f"after_{self._stack[-1]}", steps)

    def _complete_innermost(self, steps: list[Step]) -> None:
        """Give a scope the child that it must hold, empty."""
        if not (self._complete[-1] or self._aborting):
            child = GRAMMAR[self._stack[-1]].at_least_one
            self._synthesize(f"before_{child}", steps)
            self._synthesize(f"after_{child}", steps)

    def _synthesize(self, event: str, steps: list[Step]) -> None:
        self._apply(event)
        steps.append(Step(event, Origin.SYNTHESIZED))


def _where(top: str | None) -> str:
    return "no scope is open" if top is None else f"the innermost open scope is {top!r}"


def _remedy(event: str) -> str:
    if event not in EVENTS:
        return f"There are {', '.join(EVENTS)}"
    return "Emit what belongs before it, or feed() it, which puts that in"
