"""What the judge of hubs tells apart: hubs as third parties write them, right and wrong."""

from __future__ import annotations

import copy
import pickle
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from simple_hub import SimpleHistory, SimpleHub

from runtimeinfo.authoring import is_scalar, scalar_value
from runtimeinfo_conformance import HubSubject
from runtimeinfo_conformance.judges._hub_elsewhere import ElsewhereError, load_elsewhere
from runtimeinfo_conformance.judges._hub_model import HubModel, compared_entries, is_same_info
from runtimeinfo_conformance.judges.hub import _broken_states, judge_hub
from runtimeinfo_conformance.plans import HubOp, HubPlan
from runtimeinfo_conformance.search import fixed_plans, slow_plans


def broken(hub: Any, *ops: HubOp) -> set[str]:
    """Return the rules that a hub breaks on some operations, or on all fixed plans."""
    subject = HubSubject("hub", "1", make=hub)
    plans = [HubPlan(ops)] if ops else [*fixed_plans(subject), *slow_plans(subject)]
    return {id for plan in plans for id, finding in judge_hub(subject, plan) if not finding.holds}


# -- infos


@pytest.mark.parametrize(
    ("published", "found"),
    [
        (1, True),
        (True, 1),
        (1, 1.0),
        (0.0, -0.0),
        (2**53 + 1, float(2**53 + 1)),
        ((1, 2), [1, 2]),
        ([1], [True]),
        ({"a": 1}, {"a": 1.0}),
        (np.str_("a"), "a"),
        (np.float32(1), 1.0),
        (np.arange(2), np.arange(2.0)),
        (None, 0),
    ],
)
def test_similar_values_are_not_the_same(published: Any, found: Any) -> None:
    assert not is_same_info(published, found)
    assert is_same_info(published, copy.deepcopy(published))
    assert is_same_info(found, copy.deepcopy(found))


def test_nan_and_objects_without_equality_are_the_same_as_themselves() -> None:
    thing = SimpleNamespace(a=1)
    assert is_same_info(float("nan"), float("nan"))
    assert is_same_info(thing, thing)
    assert is_same_info(test_similar_values_are_not_the_same, test_similar_values_are_not_the_same)


def test_a_long_history_is_shown_where_it_differs() -> None:
    expected = [(float(value), 1) for value in range(5000)]
    assert compared_entries(0, "loss", expected, list(expected)).holds
    finding = compared_entries(0, "loss", expected, expected[:4096])
    assert finding.expected == {"loss": {"length": 5000, "entries 4096 to 4098": expected[4096:4099]}}
    assert finding.observed == {"loss": {"length": 4096, "entries 4096 to 4098": []}}


# -- several threads


class _ReadsAndWritesBack(SimpleHub):
    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        self._set_flags([key], resumed)
        history = SimpleHistory()
        if key in self.log_scalars:
            history.entries.extend(self.log_scalars[key].entries)
        history.append(scalar_value(value), count)
        self.log_scalars[key] = history


class _CreatesTwice(SimpleHub):
    def update_scalars(self, log_dict: dict[str, Any], resumed: bool = True) -> None:
        for key in log_dict:
            if key not in self.log_scalars and is_scalar(log_dict[key]):
                self.log_scalars[key] = SimpleHistory()
        super().update_scalars(log_dict, resumed)


class _CopiesInfos(SimpleHub):
    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        self._set_flags([key], resumed)
        self.runtime_info = {**self.runtime_info, key: value}


THREADS = HubOp("publish_in_threads", "train/loss")


@pytest.mark.parametrize("hub", [_ReadsAndWritesBack, _CreatesTwice, _CopiesInfos])
def test_updates_that_collide_are_found_each_time(hub: Any) -> None:
    assert [broken(hub, THREADS) for _ in range(3)] == [{"HUB-16"}] * 3


def test_a_lock_helps() -> None:
    class Locked(_ReadsAndWritesBack):
        def __init__(self, name: str = "") -> None:
            super().__init__(name)
            self._lock = threading.Lock()

        def update_scalar(self, *args: Any, **kwargs: Any) -> None:
            with self._lock:
                super().update_scalar(*args, **kwargs)

    assert [broken(Locked, THREADS) for _ in range(3)] == [set()] * 3


# -- another process


def test_a_state_loads_in_another_interpreter() -> None:
    hub = SimpleHub()
    hub.update_info("epoch", (1, "a"))
    hub.update_scalar("loss", 0.1, count=4)
    loaded = load_elsewhere(SimpleHub, pickle.dumps(hub.state_dict()))
    assert loaded == HubModel({"epoch": (1, "a")}, {"loss": [(0.1, 4)]})


def test_a_hub_that_cannot_be_found_there_sends_its_state_there_and_back() -> None:
    class Local(SimpleHub):
        pass

    assert broken(Local, HubOp("update_info", value=1), HubOp("load_elsewhere")) == set()


def test_failure_in_the_child_is_reported() -> None:
    with pytest.raises(ElsewhereError, match="UnpicklingError"):
        load_elsewhere(SimpleHub, b"not a pickle")


# -- states


def test_each_part_of_a_state_is_broken_in_turn() -> None:
    states = [repr(state).replace(hex(id(state)), "") for state in _broken_states({"a": [1, 2], "b": {"c": 3}})]
    assert len(states) == 2 + 2 * 2 + 1 + 2 * 2 + 1 + 2
    assert "{'a': [1], 'b': {'c': 3}}" in states
    assert "{'b': {'c': 3}}" in states
    assert "{'a': ['damaged', 2], 'b': {'c': 3}}" in states
    assert "{'a': [1, 2], 'b': {}}" in states


class _LoadsAsItReads(SimpleHub):
    def load_state_dict(self, state_dict: Any) -> None:
        for key, history in state_dict["scalars"].items():
            self.log_scalars[key] = copy.deepcopy(history)
        super().load_state_dict(state_dict)


def test_a_half_loaded_state_of_another_hub_shows() -> None:
    assert broken(_LoadsAsItReads, HubOp("load_damaged")) == {"HUB-13"}
    assert broken(_LoadsAsItReads, HubOp("load_broken")) == {"HUB-21"}


# -- right hubs that are written in another way


class _Snapshots(SimpleHub):
    def get_scalar(self, key: str) -> SimpleHistory:
        return copy.deepcopy(super().get_scalar(key))

    def get_info(self, key: str, default: Any = None) -> Any:
        return copy.deepcopy(super().get_info(key, default))


class _RefusesCopies(SimpleHub):
    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a hub is not copied")


class _SavesBytes(SimpleHub):
    def state_dict(self) -> dict[str, Any]:
        return {"bytes": pickle.dumps(super().state_dict())}

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(pickle.loads(state_dict["bytes"]))


@pytest.mark.parametrize("hub", [SimpleHub, _Snapshots, _RefusesCopies, _SavesBytes])
def test_right_hubs_keep_every_rule(hub: Any) -> None:
    assert broken(hub) == set()
