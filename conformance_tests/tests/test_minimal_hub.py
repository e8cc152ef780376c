"""A hub that has just what the protocol names, by itself and under a real runner."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from minimal_hub import MinimalHub, OlderHub
from typing_extensions import get_protocol_members

from runtimeinfo import MessageHub
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_conformance import Fault, HubSubject, Plan, Subject
from runtimeinfo_conformance._check import check
from runtimeinfo_conformance._judging import judge_plan
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import ExitCode, Tally
from runtimeinfo_conformance.plans import CHANGING_KIND
from runtimeinfo_conformance.search import fixed_plans
from runtimeinfo_conformance.subjects import pytorch

# A hub that has no more than that is not shared, and its state holds objects, which the subject's checkpoints do not.
CAPABILITIES = pytorch.subject().capabilities - {"share", "resume", "resume_mid_epoch"}

PLANS = [
    Plan(max_epochs=4, val_batches=1, metrics=(("acc", "float"), ("changing", CHANGING_KIND), ("matrix", "vector"))),
    Plan(batches=2, outputs=(("loss", "float"),), fault=Fault("after_train_iter")),
]


def test_its_members_are_those_of_the_protocol() -> None:
    public = {name for name in dir(MinimalHub) if not name.startswith("_")}
    assert public == get_protocol_members(MessageHub)
    assert isinstance(MinimalHub(), MessageHub)


def test_it_conforms() -> None:
    report = check(HubSubject("minimal", "1", make=MinimalHub), PROFILES["quick"])
    assert (report.exit_code, report.crash, report.survivors) == (ExitCode.CONFORMANT, None, ())


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> Subject:
    """Return the bundled loops, each with such a hub of its own."""

    def loop(*arguments: Any, **options: Any) -> Loop[Any]:
        return Loop(*arguments, hub=MinimalHub(), **options)

    monkeypatch.setattr(pytorch, "Loop", loop)
    return Subject("loops over minimal hubs", "1", run=pytorch.run, capabilities=CAPABILITIES)


def test_a_real_runner_conforms_with_it(loops: Subject) -> None:
    tally = Tally()
    for plan in [*PLANS, *fixed_plans(loops)[::5]]:
        judge_plan(loops, plan, tally)
    assert [(id, count.failure) for id, count in tally.counts.items() if count.failure] == []
    assert tally.crash is None
    assert all(tally.counts[id].occurrences for id in ("SCALAR-06", "SCALAR-08", "SCALAR-11"))


def test_a_hub_that_can_take_nothing_back_is_told_so() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    loop = Loop(torch.optim.SGD([parameter], lr=0.1), [1], max_epochs=1, hub=OlderHub())  # type: ignore[arg-type]  # it lacks two
    with loop.run():
        for metric in (0.5, "none"):
            with loop.val() as val, warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                val.log_metrics({"best": metric})
    (told,) = (str(each.message) for each in caught)
    assert told.startswith("the history 'val/best' stays, though its metric is not a scalar now: OlderHub has no pop_")
    assert told.endswith("Add it to the hub [HUB-26]")


def test_a_learning_rate_that_cannot_be_taken_back_is_told_of() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    loop = Loop(torch.optim.SGD([parameter], lr=0.1), [1], max_epochs=1, hub=OlderHub())  # type: ignore[arg-type]  # it lacks two
    with pytest.warns(UserWarning, match=r"^the learning rate of .* stays in 'train/lr': .*drop_latest.* \[HUB-27\]$"):
        train_and_fail(loop)
    assert loop.message_hub.get_scalar("train/lr").current() == 0.1


def train_and_fail(loop: Loop[int]) -> None:
    def train() -> None:
        with loop.run():
            for _ in loop.epochs():
                for _ in loop.train():
                    raise OSError("in the step")

    with pytest.raises(OSError, match="in the step"):
        train()
