from __future__ import annotations

import inspect
from typing import Any

import pytest
from simple_hub import SimpleHistory, SimpleHub

from runtimeinfo import MessageHub, ScalarHistory
from runtimeinfo_conformance import HubSubject
from runtimeinfo_conformance.judges._hub_arguments import _PARAMETERS, called
from runtimeinfo_conformance.judges.hub import judge_hub
from runtimeinfo_conformance.plans import ArgumentStyle, HubOp, HubPlan
from runtimeinfo_conformance.search import fixed_plans

Calls = list[tuple[str, tuple[Any, ...], dict[str, Any]]]


class Notes:
    def __init__(self) -> None:
        self.calls: Calls = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))


def test_all_methods_with_arguments_are_called_in_each_style() -> None:
    methods = {
        name
        for protocol in (MessageHub, ScalarHistory)
        for name, member in inspect.getmembers(protocol, inspect.isfunction)
        if not name.startswith("_") and len(inspect.signature(member).parameters) > 1
    }
    assert methods - {"statistics"} == _PARAMETERS.keys()


@pytest.mark.parametrize(
    ("style", "calls"),
    [
        (
            "usual",
            [
                ("update_scalar", ("loss", 0.5), {"resumed": False}),
                ("get_info", ("epoch",), {}),
                ("mean", (2,), {}),
                ("statistics", ("min", 2), {}),
            ],
        ),
        (
            "by_place",
            [
                ("update_scalar", ("loss", 0.5, 1, False), {}),
                ("get_info", ("epoch", None), {}),
                ("mean", (2,), {}),
                ("statistics", ("min", 2), {}),
            ],
        ),
        (
            "by_name",
            [
                ("update_scalar", (), {"key": "loss", "value": 0.5, "resumed": False}),
                ("get_info", (), {"key": "epoch"}),
                ("mean", (), {"window_size": 2}),
                ("statistics", ("min",), {"window_size": 2}),
            ],
        ),
    ],
)
def test_a_style_says_how_arguments_are_given(style: ArgumentStyle, calls: Calls) -> None:
    notes = Notes()
    hub = called(notes, style)
    hub.update_scalar("loss", 0.5, resumed=False)
    hub.get_info("epoch")
    hub.mean(2)
    hub.statistics("min", 2)
    assert notes.calls == calls


def broken(make: Any) -> set[str]:
    subject = HubSubject("hub", "1", make=make)
    return {id for plan in fixed_plans(subject) for id, finding in judge_hub(subject, plan) if not finding.holds}


class DropsNames(SimpleHistory):
    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        return super().statistics(method_name, *args)


class HasViews(SimpleHub):
    kind: type[SimpleHistory] = DropsNames

    def get_scalar(self, key: str) -> SimpleHistory:
        view = self.kind()
        view.entries = super().get_scalar(key).entries
        return view


def test_a_window_by_name_that_statistics_drops_is_noticed() -> None:
    class Right(HasViews):
        kind = SimpleHistory

    assert broken(Right) == set()
    assert broken(HasViews) == {"HUB-25"}


class OtherNames(SimpleHub):
    def pop_info(self, name: str, otherwise: Any = None) -> Any:
        return super().pop_info(name, otherwise)


def test_parameters_have_the_names_of_the_protocol() -> None:
    assert broken(OtherNames) == {"HUB-03"}
    by_place = HubPlan((HubOp("update_info", value=7), HubOp("pop_info")), arguments="by_place")
    subject = HubSubject("other names", "1", make=OtherNames)
    assert all(finding.holds for _, finding in judge_hub(subject, by_place))
