from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typing_extensions import get_protocol_members

from runtimeinfo import Runner, RunnerError, TrainRunner
from runtimeinfo.authoring import check_runner, check_train_runner

RUNNER_MEMBERS = ("cfg", "seed", "experiment_name", "framework_name", "framework_version", "message_hub")
TRAIN_MEMBERS = ("epoch", "iter", "max_epochs", "max_iters", "train_dataloader", "optim_wrapper")


def test_a_runner_that_has_everything_passes(runner: Any) -> None:
    check_runner(runner)
    check_train_runner(runner)


def test_validation_alone_needs_no_train_state(runner: Any) -> None:
    check_runner(runner.without_train_state())


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("seed", None),
        ("seed", -1),
        ("seed", np.int64(3)),
        ("experiment_name", None),
        ("experiment_name", ""),
        ("epoch", 0),
        ("epoch", np.int32(2)),
        ("iter", 10**9),
        ("max_epochs", None),
        ("max_iters", None),
        ("max_iters", 0),
    ],
)
def test_allowed_values_pass(runner: Any, member: str, value: object) -> None:
    setattr(runner, member, value)
    check_runner(runner)
    check_train_runner(runner)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("cfg", None),
        ("cfg", "lr = 0.1"),
        ("cfg", SimpleNamespace(pretty_text=None)),
        ("cfg", SimpleNamespace(pretty_text=lambda: "lr = 0.1")),
        ("seed", "7"),
        ("seed", 7.0),
        ("seed", True),
        ("experiment_name", 7),
        ("framework_name", None),
        ("framework_version", (1, 2)),
        ("message_hub", None),
        ("message_hub", {}),
    ],
)
def test_a_wrong_member_of_a_runner_is_named(runner: Any, member: str, value: object) -> None:
    setattr(runner, member, value)
    check_train_runner(runner)
    with pytest.raises(RunnerError) as caught:
        check_runner(runner)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"{member}: must be ")
    assert caught.value.problems[0].endswith(f", but is {value!r}")
    assert caught.value.requirement == "META-06"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("epoch", None),
        ("epoch", -1),
        ("epoch", True),
        ("epoch", 1.0),
        ("iter", "3"),
        ("iter", np.float64(3)),
        ("iter", torch.tensor(3)),
        ("max_epochs", -1),
        ("max_epochs", float("inf")),
        ("max_iters", -1),
        ("max_iters", 1e6),
        ("train_dataloader", []),
        ("optim_wrapper", None),
    ],
)
def test_a_wrong_member_of_a_train_runner_is_named(runner: Any, member: str, value: object) -> None:
    setattr(runner, member, value)
    check_runner(runner)
    with pytest.raises(RunnerError) as caught:
        check_train_runner(runner)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"{member}: must be ")
    assert caught.value.requirement == "COUNT-09"


@pytest.mark.parametrize(
    "missing", ["get_info", "update_info", "update_info_dict", "pop_info", "get_scalar", "update_scalar"]
)
def test_a_hub_without_one_of_the_methods_is_refused(runner: Any, missing: str) -> None:
    methods = {name: getattr(runner.message_hub, name) for name in dir(runner.message_hub) if name[0] != "_"}
    runner.message_hub = SimpleNamespace(**methods)
    check_runner(runner)
    delattr(runner.message_hub, missing)
    with pytest.raises(RunnerError, match="message_hub: must be a MessageHub"):
        check_runner(runner)


@pytest.mark.parametrize(
    ("check", "members", "protocol"),
    [(check_runner, RUNNER_MEMBERS, "Runner"), (check_train_runner, TRAIN_MEMBERS, "TrainRunner")],
)
def test_one_error_lists_everything_that_is_missing(check: Any, members: tuple[str, ...], protocol: str) -> None:
    with pytest.raises(RunnerError) as caught:
        check(object())
    assert [problem.partition(":")[0] for problem in caught.value.problems] == list(members)
    assert all("missing" in problem for problem in caught.value.problems)
    text = str(caught.value)
    assert text.startswith(f"object does not keep the contract of {protocol}:\n  - {members[0]}: missing (")
    assert text.endswith(f"[{caught.value.requirement}]")
    assert text.count("\n  - ") == len(members)


def test_missing_and_wrong_members_are_named_together(runner: Any) -> None:
    del runner.epoch
    runner.max_iters = -1
    with pytest.raises(RunnerError) as caught:
        check_train_runner(runner)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["epoch", "max_iters"]


def test_an_error_of_the_runners_own_comes_out_unchanged() -> None:
    class Broken:
        @property
        def cfg(self) -> object:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        check_runner(Broken())


def test_every_member_of_the_protocols_has_a_rule(runner: Any) -> None:
    for protocol, check in ((Runner, check_runner), (TrainRunner, check_train_runner)):
        members = get_protocol_members(protocol) - (set() if protocol is Runner else get_protocol_members(Runner))
        with pytest.raises(RunnerError) as caught:
            check(object())
        assert {problem.partition(":")[0] for problem in caught.value.problems} == members
