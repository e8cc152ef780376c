from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from runtimeinfo import LoopError
from runtimeinfo.authoring import HasLearningRates, LearningRates
from runtimeinfo_adapters.loop import Loop


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
def test_non_optimizers_are_refused(optimizers: Any, message: str) -> None:
    with pytest.raises(LoopError) as caught:
        LearningRates(optimizers)
    assert str(caught.value) == f"{message}; give one optimizer, a dict of them by name, or None"


# -- of other frameworks, and of none


class StateOfOptax(NamedTuple):
    """What the state of optax's inject_hyperparams has; adapters/tests/hub/test_jax_values.py takes real ones."""

    hyperparams: dict[str, Any]
    hyperparams_states: dict[str, Any]


def published(source: Any, epochs: int = 1) -> dict[str, list[float]]:
    loop: Loop[Any] = Loop(source, range(3), max_epochs=epochs)
    with loop.run():
        for _ in loop.epochs():
            list(loop.train())
    return {key: history.data[0].tolist() for key, history in loop.message_hub.log_scalars.items()}


@pytest.mark.parametrize(
    "source",
    [
        lambda step: 0.5**step,
        np.vectorize(lambda step: 0.5**step),
        partial(lambda base, step: base**step, 0.5),
        lambda step, base=0.5: base**step,
        lambda *steps: 0.5 ** steps[0],
    ],
    ids=["lambda", "vectorize", "partial", "default", "star"],
)
def test_schedule_is_called_with_the_completed_iterations(source: Any) -> None:
    assert published(source, epochs=2) == {"train/lr": [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]}


def test_schedule_goes_on_after_a_resume() -> None:
    loop: Loop[Any] = Loop(lambda step: 0.5**step, range(3), max_epochs=2)
    with loop.run():
        list(loop.train())
    resumed: Loop[Any] = Loop(lambda step: 0.5**step, range(3), max_epochs=2)
    resumed.load_state_dict(loop.state_dict())
    with resumed.run():
        list(resumed.train())
    assert rates(resumed) == [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_function_without_arguments_and_an_optimizer_with_a_learning_rate_are_read_in_each_iteration() -> None:
    rate = [1.0]
    optimizer = SimpleNamespace(learning_rate=1.0)
    loop: Loop[Any] = Loop({"function": lambda: rate[0], "optimizer": optimizer}, range(3))
    with loop.run():
        for _ in loop.train():
            rate[0] /= 2
            optimizer.learning_rate /= 4
    assert rates(loop, "train/function.lr") == [1.0, 0.5, 0.25]
    assert rates(loop, "train/optimizer.lr") == [1.0, 0.25, 0.0625]


def test_learning_rate_that_is_a_number_to_python_only() -> None:
    class Variable:
        def __float__(self) -> float:
            return 0.5

    assert published(SimpleNamespace(learning_rate=Variable())) == {"train/lr": [0.5] * 3}


def test_numbers_in_a_mapping_can_be_replaced() -> None:
    given = {"generator": 0.5, "critic": np.float32(0.25)}
    loop: Loop[Any] = Loop(given, range(2))
    with loop.run():
        for _ in loop.train():
            given["generator"] = 0.125
    assert rates(loop, "train/generator.lr") == [0.5, 0.125]
    assert rates(loop, "train/critic.lr") == [0.25, 0.25]


def test_optimizers_of_pytorch_and_schedules_together(make: Any) -> None:
    assert published({"sgd": make.optimizer(0.5), "schedule": lambda step: step}) == {
        "train/sgd.lr": [0.5] * 3,
        "train/schedule.lr": [0, 1, 2],
    }


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: ((), [state]), lambda state: {"inner": state}])
def test_state_that_holds_the_rate(wrap: Any) -> None:
    assert published(lambda: wrap(StateOfOptax({"learning_rate": 0.5}, {}))) == {"train/lr": [0.5] * 3}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (object(), "optimizer: an optimizer has param_groups or a learning_rate, but this is object; give "),
        ([], "optimizer: an optimizer has param_groups or a learning_rate, but this is list; give "),
        ({"critic": "0.1"}, "optimizer 'critic': an optimizer has param_groups or a learning_rate, but this is str; "),
        (SimpleNamespace(learning_rate="optimal"), "optimizer: an optimizer has param_groups or a learning_rate, but "),
        (lambda step, loss: 0.1, "optimizer: .* takes the number of completed iterations, or nothing, but .* step, lo"),
    ],
)
def test_loop_refuses_an_optimizer_without_rates(source: Any, message: str) -> None:
    with pytest.raises(LoopError, match=message):
        Loop(source)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "optimizer: its function returned NoneType, which is neither a rate nor a state"),
        ((1, {"momentum": 0.9}), "optimizer: its function returned tuple, which is neither"),
        (StateOfOptax({"learning_rate": None}, {}), "optimizer: the learning_rate of its state is NoneType"),
        (StateOfOptax({"learning_rate": 0.1}, {"learning_rate": 1}), "follows from a schedule, .*: give the schedule"),
    ],
)
def test_function_that_returns_no_rate_is_refused_as_it_is_called(returned: Any, message: str) -> None:
    with pytest.raises(LoopError, match=message):
        published(lambda: returned)
