from __future__ import annotations

from typing import Any

import pytest
from simple_hub import SimpleHub

from runtimeinfo_conformance import HubSubject
from runtimeinfo_conformance.judges._hub_flags import compared_wholes, fill, flags_as_before, judge_popped, whole
from runtimeinfo_conformance.judges.hub import judge_hub
from runtimeinfo_conformance.search import fixed_plans


def broken(make: Any) -> set[str]:
    subject = HubSubject("hub", "1", make=make)
    return {id for plan in fixed_plans(subject) for id, finding in judge_hub(subject, plan) if not finding.holds}


class ForgetsFlags(SimpleHub):
    def pop_info(self, key: str, default: Any = None) -> Any:
        if key not in self.log_scalars:
            self.flags.pop(key, None)
        return super().pop_info(key, default)

    def pop_scalar(self, key: str) -> None:
        if key not in self.runtime_info:
            self.flags.pop(key, None)
        super().pop_scalar(key)


def test_whether_a_flag_outlives_its_key_is_open() -> None:
    for make in (SimpleHub, ForgetsFlags):
        findings = list(judge_popped(make, "epoch", 3))
        assert {id for id, _ in findings} >= {"HUB-08"}
        assert all(finding.holds and finding.at == 3 for _, finding in findings)
    assert broken(ForgetsFlags) == set()


class SavesByTheFirstFlag(ForgetsFlags):
    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.first: dict[str, bool] = {}

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        super().update_info(key, value, resumed)
        self.first.setdefault(key, resumed)

    def state_dict(self) -> dict[str, Any]:
        flags, self.flags = self.flags, {**self.flags, **{key: self.first[key] for key in self.first}}
        try:
            return super().state_dict()
        finally:
            self.flags = flags


def test_a_state_that_goes_by_the_flag_of_a_popped_key_is_noticed() -> None:
    found = {id for id, finding in judge_popped(SavesByTheFirstFlag, "epoch", 0) if not finding.holds}
    assert found == {"HUB-11", "HUB-12"}
    assert broken(SavesByTheFirstFlag) >= found


class TakesFlagsFirst(SimpleHub):
    def load_state_dict(self, state_dict: Any) -> None:
        if isinstance(state_dict, dict) and isinstance(state_dict.get("info"), dict):
            self.flags.update(dict.fromkeys(state_dict["info"], True))
        super().load_state_dict(state_dict)


def test_flags_that_a_refused_state_leaves_are_noticed() -> None:
    hub = fill(TakesFlagsFirst("2"), 2)
    before = whole(TakesFlagsFirst, hub)
    state = fill(TakesFlagsFirst("1"), 1).state_dict()
    del state["scalars"]
    with pytest.raises(KeyError):
        hub.load_state_dict(state)
    assert before.now == whole(TakesFlagsFirst, hub).now
    assert not compared_wholes(0, before, whole(TakesFlagsFirst, hub)).holds  # a local info would be saved
    assert not all(finding.holds for _, finding in flags_as_before("HUB-21", 0, hub))
    assert broken(TakesFlagsFirst) == {"HUB-13", "HUB-21"}


def test_a_hub_that_has_refused_nothing_keeps_its_flags() -> None:
    hub = fill(SimpleHub("2"), 2)
    assert all(finding.holds for _, finding in flags_as_before("HUB-21", 0, hub))


def test_a_state_that_cannot_be_loaded_is_not_compared() -> None:
    class NoStates(SimpleHub):
        def load_state_dict(self, state_dict: Any) -> None:
            raise ValueError

    hub = NoStates("none")
    before = whole(NoStates, hub)
    assert before.saved is None
    assert compared_wholes(0, before, whole(NoStates, hub)).holds
    loads = whole(SimpleHub, SimpleHub())
    assert not compared_wholes(0, loads, before).holds
