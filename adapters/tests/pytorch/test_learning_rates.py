from __future__ import annotations

from typing import Any

import pytest
import torch

from runtimeinfo import LoopError
from runtimeinfo.authoring import HasLearningRates, LearningRates


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(1))


def rates(loop: Any, key: str = "train/lr") -> list[float]:
    return [float(rate) for rate in loop.message_hub.get_scalar(key).data[0]]


def test_one_optimizer(make: Any) -> None:
    learning_rates = LearningRates(make.optimizer(0.25))
    assert isinstance(learning_rates, HasLearningRates)
    assert learning_rates.get_lr() == {"lr": [0.25]}


def test_named_optimizers(make: Any) -> None:
    loop = make(2, optimizer={"generator": make.optimizer(0.5), "critic": make.optimizer(0.25)}, max_epochs=1)
    assert loop.optim_wrapper.get_lr() == {"generator.lr": [0.5], "critic.lr": [0.25]}
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
    assert rates(loop, "train/generator.lr") == [0.5, 0.5]
    assert rates(loop, "train/critic.lr") == [0.25, 0.25]
    assert "train/lr" not in loop.message_hub.log_scalars


def test_the_first_of_several_param_groups_is_published(make: Any) -> None:
    groups = [{"params": [parameter()], "lr": 0.5}, {"params": [parameter()], "lr": 0.125}]
    loop = make(1, optimizer=torch.optim.SGD(groups), max_epochs=1)
    assert loop.optim_wrapper.get_lr() == {"lr": [0.5, 0.125]}
    with loop.run():
        list(loop.train())
    assert rates(loop) == [0.5]


def test_a_rate_that_is_a_tensor(make: Any) -> None:
    rate = torch.tensor(0.5)
    loop = make(2, optimizer=torch.optim.Adam([parameter()], lr=rate, foreach=False, capturable=False))
    with loop.run():
        for _ in loop.train():
            rate.mul_(0.5)
    assert rates(loop) == [0.5, 0.25]


@pytest.mark.parametrize("none", [None, {}])
def test_no_optimizer(make: Any, none: Any) -> None:
    loop = make(1, optimizer=none)
    with loop.run():
        list(loop.train())
    assert loop.message_hub.log_scalars == {}
    assert loop.told.story == "run(train(epoch(iter())))"


def test_the_rate_that_is_published_is_the_one_in_force(make: Any) -> None:
    optimizer = make.optimizer(1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    in_force = []
    loop = make(2, optimizer=optimizer, max_epochs=2)
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                in_force.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                scheduler.step()
                assert rates(loop)[-1] == in_force[-1]
    assert rates(loop) == in_force == [1.0, 0.5, 0.25, 0.125]


@pytest.mark.parametrize(
    ("optimizers", "message"),
    [
        (0.1, "optimizer: an optimizer has param_groups, but this is float"),
        ([], "optimizer: an optimizer has param_groups, but this is list"),
        ({"critic": None}, "optimizer 'critic': an optimizer has param_groups, but this is NoneType"),
    ],
)
def test_what_is_no_optimizer(optimizers: Any, message: str) -> None:
    with pytest.raises(LoopError) as caught:
        LearningRates(optimizers)
    assert str(caught.value) == f"{message}; give one optimizer, a dict of them by name, or None"
