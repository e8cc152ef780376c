from __future__ import annotations

from runtimeinfo.spec import START, Position
from runtimeinfo_conformance.traces._follower import find_hidden


def position_after(*events: str) -> Position:
    position = START
    for event in events:
        position = position.after[event]
    return position


def test_an_event_that_is_not_in_the_trace_is_found() -> None:
    epoch = position_after("before_run", "before_train", "before_train_epoch")
    found = find_hidden(epoch, "after_train_iter")
    assert found is not None
    assert (found[0], found[1].open_scopes) == ("before_train_iter", ("run", "train", "train_epoch"))
    found = find_hidden(epoch, "after_train")
    assert found is not None
    assert (found[0], found[1].open_scopes) == ("after_train_epoch", ("run",))
    assert find_hidden(epoch, "after_run") is None
    assert "before_train" not in epoch.after
