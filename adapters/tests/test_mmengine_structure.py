"""mmengine's own hub, runner, hooks and priorities have the structure that the protocol took from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from typing_extensions import get_protocol_members

import runtimeinfo
from runtimeinfo import Priority, RunnerError
from runtimeinfo.authoring import check_runner, check_train_runner, get_priority
from runtimeinfo.spec import ABORT, HOOK_POINTS

pytest.importorskip("mmengine", reason="mmengine is not installed")

# Importing mmengine.runner compiles with it.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.*is deprecated:DeprecationWarning")

WHAT_AN_ADAPTER_ADDS = {"framework_name", "framework_version"}

# Its log_scalars is the hub's own dictionary, from which our hook takes back what it has to.
WHAT_ITS_HUB_LACKS = {"drop_latest", "pop_scalar"}


def members(protocol: type) -> set[str]:
    """Return the names of the properties that a protocol and its bases ask for."""
    return {name for base in protocol.__mro__ for name, member in vars(base).items() if isinstance(member, property)}


@pytest.fixture
def runner(tmp_path: Path) -> Any:
    from mmengine.model import BaseModel
    from mmengine.optim import OptimWrapper
    from mmengine.runner import Runner

    class Model(BaseModel):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, inputs: torch.Tensor, mode: str) -> dict[str, torch.Tensor]:
            return {"loss": (self.weight * inputs).sum()}

    model = Model()
    return Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=torch.utils.data.DataLoader([{"inputs": torch.ones(1)}] * 4, batch_size=2),
        train_cfg={"by_epoch": True, "max_epochs": 1},
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)),
        experiment_name=tmp_path.name,
        log_level="ERROR",
    )


def test_its_hub_is_a_hub_that_takes_nothing_back() -> None:
    from mmengine.logging import MessageHub

    hub = MessageHub("structure")
    assert get_protocol_members(runtimeinfo.MessageHub) - set(dir(hub)) == WHAT_ITS_HUB_LACKS
    assert isinstance(hub, runtimeinfo.InfoReader)
    assert not isinstance(hub, runtimeinfo.authoring.SupportsPopScalar)
    assert not isinstance(hub, runtimeinfo.authoring.SupportsDeviceScalars)
    hub.update_scalar("train/loss", 1.0)
    assert isinstance(hub.get_scalar("train/loss"), runtimeinfo.ScalarHistory)


def test_its_runner_has_all_but_the_frameworks_name_and_version(runner: Any) -> None:
    assert members(runtimeinfo.TrainRunner) > WHAT_AN_ADAPTER_ADDS
    assert {name for name in members(runtimeinfo.TrainRunner) if not hasattr(runner, name)} == WHAT_AN_ADAPTER_ADDS
    assert isinstance(runner, runtimeinfo.authoring.TrainState)
    assert isinstance(runner.cfg, runtimeinfo.authoring.Config)
    assert get_protocol_members(runtimeinfo.MessageHub) - set(dir(runner.message_hub)) == WHAT_ITS_HUB_LACKS
    assert isinstance(runner.optim_wrapper, runtimeinfo.authoring.HasLearningRates)
    assert isinstance(runner.train_dataloader, runtimeinfo.authoring.TrainDataLoader)


def test_a_runner_asks_a_hook_for_its_priority_as_it_registers_it(runner: Any, tmp_path: Path) -> None:
    """That is how our hook meets its runner; nothing that mmengine promises comes before ``train()``."""
    from mmengine.runner import Runner

    from runtimeinfo_adapters.mmengine import RuntimeInfoHook

    class Asked(RuntimeInfoHook):
        met: list[Any] = []  # noqa: RUF012

        def meet(self, runner: Any) -> None:
            self.met.append(runner)

    runner.register_hook(Asked())
    assert Asked.met
    assert all(each is runner for each in Asked.met)
    Asked.met.clear()
    built = Runner(
        model=runner.model,
        work_dir=str(tmp_path / "built"),
        default_hooks={"runtime_info": Asked()},
        experiment_name=f"{tmp_path.name}-built",
        log_level="ERROR",
    )
    assert Asked.met
    assert all(each is built for each in Asked.met)


def test_its_members_are_of_the_right_types_when_it_trains(runner: Any) -> None:
    from mmengine.hooks import Hook

    problems: list[str] = []

    class Checks(Hook):  # type: ignore[misc]
        def before_train(self, runner: Any) -> None:
            check_train_runner(runner)
            with pytest.raises(RunnerError) as caught:
                check_runner(runner)
            problems.extend(caught.value.problems)

    runner.register_hook(Checks())
    runner.train()
    assert {problem.partition(":")[0] for problem in problems} == WHAT_AN_ADAPTER_ADDS
    assert (runner.epoch, runner.iter, runner.max_epochs, runner.max_iters) == (1, 2, 1, 2)


def test_the_hook_points_are_its_own_and_on_exception() -> None:
    from mmengine.hooks import Hook

    generic = {"before_epoch", "after_epoch", "before_iter", "after_iter"}
    points = {name for name in dir(Hook) if name.startswith(("before_", "after_"))} - generic
    assert points == HOOK_POINTS.keys() - {ABORT}
    assert len(points) == 22
    assert runtimeinfo.authoring.hook_methods(Hook()).keys() == points


def test_the_priorities_are_its_own() -> None:
    from mmengine.runner import Priority as TheirPriority
    from mmengine.runner import get_priority as their_get_priority

    assert {level.name: level.value for level in TheirPriority} == {level.name: level.value for level in Priority}
    for priority in (*TheirPriority, *(level.name for level in TheirPriority), 0, 33, 100):
        assert get_priority(priority) == their_get_priority(priority)
