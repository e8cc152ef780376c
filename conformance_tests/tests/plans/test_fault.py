from __future__ import annotations

import inspect
from typing import Any

import pytest

from runtimeinfo_conformance import Fault
from runtimeinfo_conformance.plans import BASE_KINDS, FAULT_KINDS, PlanError, can_raise, make_error


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_an_error_is_of_a_class_that_a_user_may_raise(kind: Any) -> None:
    errors = [make_error(kind) for _ in range(30)]
    assert {isinstance(error, Exception) for error in errors} == {kind not in BASE_KINDS}
    for error in errors:
        assert not type(error).__module__.startswith("runtimeinfo")
        assert not any(word in str(error) for word in ("plan", "kit", "conformance"))
        assert error.__traceback__ is error.__cause__ is error.__context__ is None


@pytest.mark.parametrize("kind", ["custom", "custom_base"])
def test_a_class_made_on_the_fly_is_another_one_each_time(kind: Any) -> None:
    kinds = {type(make_error(kind)) for _ in range(20)}
    assert len(kinds) == 20
    assert all(inspect.getmodule(kind) is None or kind.__module__ == "__main__" for kind in kinds)


def test_no_two_errors_of_a_kind_say_the_same() -> None:
    assert len({str(make_error("error")) for _ in range(50)}) > 40


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("train_data", "stop_iteration"),
        ("val_data", "index_error"),
        ("test_data", "stop_iteration"),
        ("train_step", "stop_iteration"),
        ("train_step", "attribute_error"),
    ],
)
def test_other_output_is_not_a_fault(event: str, kind: Any) -> None:
    assert not can_raise(event, kind)
    with pytest.raises(PlanError, match=f"^kind='{kind}' does not go with '{event}'"):
        Fault(event, kind=kind)


def test_between_two_events_no_hook_raises() -> None:
    with pytest.raises(PlanError, match=r"^hook goes with an event, and 'train_step' is between two"):
        Fault("train_step", hook="first")
