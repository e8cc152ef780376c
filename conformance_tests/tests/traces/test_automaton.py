from __future__ import annotations

import random

from runtimeinfo.spec import EVENTS, Lifecycle
from runtimeinfo_conformance.traces._automaton import Automaton, Place


def test_it_goes_where_the_lifecycle_goes() -> None:
    automaton, rng = Automaton(), random.Random(0)
    for _ in range(200):
        place, lifecycle = automaton.start, Lifecycle()
        for _ in range(60):
            legal = [event for event in EVENTS if lifecycle.objection(event) is None]
            event = rng.choice(legal if rng.random() < 0.8 else EVENTS)
            step = automaton.step(place, event)
            assert step.objection == lifecycle.objection(event)
            assert step.expected == (f"after_{place.scopes[-1]}" if place.scopes else None)
            if step.objection is None:
                lifecycle.advance(event)
            else:
                lifecycle.feed(event)
            place = step.place
            assert (place.scopes, place.aborting) == (lifecycle.open_scopes, lifecycle.aborting)
            assert step.stage == lifecycle.stage


def test_there_are_finitely_many_places() -> None:
    automaton = Automaton()
    known: set[Place] = set()
    new = [automaton.start]
    while new:
        place = new.pop()
        if place not in known:
            known.add(place)
            new += [automaton.step(place, event).place for event in EVENTS]
    assert 20 < len(known) < 500


def test_an_event_that_nobody_saw_is_found() -> None:
    automaton = Automaton()
    place = automaton.walk(automaton.start, "before_run", "before_train", "before_train_epoch")
    assert place is not None
    found = automaton.around_hidden(place, "after_train_iter")
    assert found is not None
    assert (found[0], found[1].scopes) == ("before_train_iter", ("run", "train", "train_epoch"))
    found = automaton.around_hidden(place, "after_train")
    assert found is not None
    assert (found[0], found[1].scopes) == ("after_train_epoch", ("run",))
    assert automaton.around_hidden(place, "after_run") is None
    assert automaton.walk(place, "before_train") is None
