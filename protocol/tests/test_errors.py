from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

import runtimeinfo
from runtimeinfo import (
    BoardError,
    DistributedError,
    EmptyHistoryError,
    HookError,
    HubError,
    KeysDifferError,
    LifecycleError,
    LoopError,
    MissingScalarError,
    RunnerError,
    RuntimeInfoError,
    ScalarTypeError,
    StateError,
    UnknownStatisticError,
)
from runtimeinfo import _errors as errors_module

BASES = {
    RuntimeInfoError: (Exception,),
    RunnerError: (RuntimeInfoError,),
    HookError: (RuntimeInfoError,),
    LifecycleError: (RuntimeInfoError,),
    LoopError: (RuntimeInfoError,),
    StateError: (RuntimeInfoError,),
    BoardError: (RuntimeInfoError,),
    DistributedError: (RuntimeInfoError, RuntimeError),
    KeysDifferError: (DistributedError,),
    HubError: (RuntimeInfoError,),
    ScalarTypeError: (HubError, TypeError),
    MissingScalarError: (HubError, KeyError),
    EmptyHistoryError: (HubError, ValueError),
    UnknownStatisticError: (HubError, KeyError),
}

EXAMPLES = [
    (RuntimeInfoError("no", requirement="LIFE-01"), {}),
    (RunnerError("no", problems=("seed", "cfg"), requirement="LIFE-01"), {"problems": ("seed", "cfg")}),
    (HookError("no", hook="it", point="before_run", requirement="LIFE-01"), {"hook": "it", "point": "before_run"}),
    (
        LifecycleError("no", event="after_run", open_scopes=("run",), requirement="LIFE-01"),
        {"event": "after_run", "open_scopes": ("run",)},
    ),
    (LoopError("no", requirement="LIFE-01"), {}),
    (StateError("no", field="log_scalars", requirement="LIFE-01"), {"field": "log_scalars"}),
    (BoardError("no", path=Path("4711-0.board"), requirement="LIFE-01"), {"path": Path("4711-0.board")}),
    (
        DistributedError("no", group="0", ranks=(0, 1), at_fault=(1,), timeout=2.0, requirement="LIFE-01"),
        {"group": "0", "ranks": (0, 1), "at_fault": (1,), "timeout": 2.0},
    ),
    (
        KeysDifferError("no", missing={1: ("loss",)}, group="0", ranks=(0, 1), requirement="LIFE-01"),
        {"missing": {1: ("loss",)}, "group": "0", "ranks": (0, 1), "at_fault": (1,), "timeout": None},
    ),
    (HubError("no", key="epoch", requirement="LIFE-01"), {"key": "epoch"}),
    (ScalarTypeError("no", key="epoch", requirement="LIFE-01"), {"key": "epoch"}),
    (MissingScalarError("no", key="epoch", requirement="LIFE-01"), {"key": "epoch"}),
    (EmptyHistoryError("no", key="epoch", requirement="LIFE-01"), {"key": "epoch"}),
    (UnknownStatisticError("no", key="epoch", requirement="LIFE-01"), {"key": "epoch"}),
]

each_example = pytest.mark.parametrize(("error", "data"), EXAMPLES, ids=lambda value: type(value).__name__)


def test_the_tree_is_as_documented() -> None:
    assert {kind: kind.__bases__ for kind in BASES} == BASES
    assert {type(error) for error, _ in EXAMPLES} == BASES.keys()


def test_every_error_of_the_package_is_in_the_tree_and_in_the_picture() -> None:
    exported = {
        value for value in vars(runtimeinfo).values() if isinstance(value, type) and issubclass(value, Exception)
    }
    assert exported - {runtimeinfo.SkippedOutputWarning} == BASES.keys()
    assert all(kind.__name__ in (errors_module.__doc__ or "") for kind in BASES)


@each_example
def test_an_error_carries_its_data(error: RuntimeInfoError, data: dict[str, object]) -> None:
    assert vars(error) == {"message": "no", "requirement": "LIFE-01", **data}


@each_example
def test_str_is_the_message_and_the_requirement(error: RuntimeInfoError, data: dict[str, object]) -> None:
    assert str(error) == "no [LIFE-01]"


@pytest.mark.parametrize("kind", [RuntimeInfoError, HubError, MissingScalarError, UnknownStatisticError])
def test_str_without_a_requirement_is_the_message_alone(kind: type[RuntimeInfoError]) -> None:
    # Not the repr in quotes, which is what a KeyError shows.
    assert str(kind("no such 'thing'")) == "no such 'thing'"


@each_example
def test_an_error_survives_the_way_out_of_a_worker_process(error: RuntimeInfoError, data: dict[str, object]) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert vars(again) == vars(error)
        assert again.args == error.args == ("no",)
        assert str(again) == str(error)


def test_missing_arguments_are_none_or_empty() -> None:
    assert RunnerError("no").problems == ()
    assert HookError("no", hook=None).point is None
    assert HubError("no").key is None
    assert RuntimeInfoError("no").requirement is None
