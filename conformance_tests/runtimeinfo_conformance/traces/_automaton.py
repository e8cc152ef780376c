"""The lifecycle as a graph that remembers: what an event leads to is worked out once for each place."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from runtimeinfo.spec import ABORT, CLOSES, EVENTS, FREE_EVENTS, OPENS, Lifecycle, Origin
from runtimeinfo_conformance.judges.stage import rule_of_stage


@dataclass(slots=True, eq=False)
class Place:
    """Where a run is in the grammar.

    Attributes:
        lifecycle: The lifecycle there; never changed.
        scopes: The open scopes, outermost first.
        aborting: Whether the events that led here belong to an abnormal end.
        steps: Where each event leads, as far as somebody has asked: see `Automaton.step`.
    """

    lifecycle: Lifecycle
    scopes: tuple[str, ...]
    aborting: bool
    steps: dict[str, Step] = field(default_factory=dict[str, "Step"])


@dataclass(slots=True, eq=False)
class Step:
    """An event at a place.

    Attributes:
        place: Where it leads; if it is illegal, to where the lifecycle mends it.
        objection: Why it is illegal; None if it is not.
        expected: The close of what was the innermost open scope; None if none was open.
        left_open: The scopes that it passes over without their close.
        aborting: Whether it belongs to an abnormal end.
        stage: What loop_stage has to be.
        stage_rule: The requirement which says so; None if nothing is said of it here.
        is_plain: Whether nothing is to be said of it but what is said of every event.
    """

    place: Place
    objection: str | None
    expected: str | None
    left_open: tuple[str, ...]
    aborting: bool
    stage: str | None
    stage_rule: str | None
    is_plain: bool


class Automaton:
    """All places of the grammar that a trace comes to.

    There are finitely many, so this stays small however long the trace is; and to go on costs one look into a
    dictionary, where the lifecycle itself takes a microsecond or two.

    Example:
        >>> automaton = Automaton()
        >>> step = automaton.step(automaton.start, "before_run")
        >>> step.place.scopes, step.objection
        (('run',), None)
        >>> automaton.step(step.place, "after_train").objection
        "it closes 'train', but the innermost open scope is 'run'"

    Source: LIFE-01.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[object, ...], Place] = {}
        self.start: Place = self._place(Lifecycle())

    def step(self, place: Place, event: str) -> Step:
        """Return what an event amounts to at a place."""
        step = place.steps.get(event)
        if step is None:
            step = place.steps[event] = self._work_out(place, event)
        return step

    def walk(self, place: Place, *events: str) -> Place | None:
        """Return where some events lead; None if one of them is illegal."""
        for event in events:
            step = self.step(place, event)
            if step.objection is not None:
                return None
            place = step.place
        return place

    def around_hidden(self, place: Place, close: str) -> tuple[str, Place] | None:
        """Find an event which nobody saw at a place, so that on_exception and then a close are legal there.

        A hook that runs before the trace's may raise at an event: then the event is real, but not in the trace.

        Returns:
            The event, and where the close leads; None if there is no such event.

        Source: FAIL-03.
        """
        for hidden in (*OPENS, *CLOSES):
            after = self.walk(place, hidden, ABORT, close)
            if after is not None:
                return hidden, after
        return None

    def _work_out(self, place: Place, event: str) -> Step:
        objection = place.lifecycle.objection(event)
        after = copy.deepcopy(place.lifecycle)
        mended: list[str] = []
        if objection is None:  # not `feed`, which would unwind everything at on_exception
            after.advance(event)
        else:
            mended = [step.event for step in after.feed(event) if step.origin is Origin.SYNTHESIZED]
        next_place = self._place(after)
        aborting = next_place.aborting or (place.aborting and event in CLOSES)
        stage_rule = None
        if event not in FREE_EVENTS and not aborting and objection is None:
            stage_rule = rule_of_stage(event, after.stage)
        return Step(
            place=next_place,
            objection=objection,
            expected=f"after_{place.scopes[-1]}" if place.scopes else None,
            left_open=tuple(scope for scope in place.scopes if f"after_{scope}" in mended),
            aborting=aborting,
            stage=after.stage,
            stage_rule=stage_rule,
            is_plain=not (
                objection or aborting or place.aborting or event in FREE_EVENTS or event in {"before_run", "after_run"}
            ),
        )

    def _place(self, lifecycle: Lifecycle) -> Place:
        # Two lifecycles that object to the same events, in the same scopes, are at the same place.
        objections = tuple(lifecycle.objection(event) for event in EVENTS)
        key = (lifecycle.open_scopes, lifecycle.aborting, objections)
        if key not in self._places:
            self._places[key] = Place(lifecycle, lifecycle.open_scopes, lifecycle.aborting)
        return self._places[key]
