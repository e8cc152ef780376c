"""Which engine of Ignite trains: the one whose process function reaches an optimizer, and steps it."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import torch

from runtimeinfo_adapters.autopublish._ignite_roles import optimizers_of


def make_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1)], lr=0.1)


of_module = make_optimizer()
several = [make_optimizer(), make_optimizer()]


def step_global(engine: Any, batch: Any) -> None:
    of_module.step()


def step_by_function(engine: Any, batch: Any) -> None:
    step_global(engine, batch)


def step_several(engine: Any, batch: Any) -> None:
    for each in several:
        each.step()


def step_given(engine: Any, batch: Any, *, optimizer: Any) -> None:
    optimizer.step()


def read_rate(engine: Any, batch: Any) -> float:
    rate: float = of_module.param_groups[0]["lr"]
    return rate


def test_optimizers_in_globals_closures_and_functions_are_found() -> None:
    optimizer = make_optimizer()

    def step_closure(engine: Any, batch: Any) -> None:
        def closure() -> float:
            optimizer.zero_grad()
            return 0.0

        optimizer.step(closure)

    assert optimizers_of(step_closure) == {"optimizer": optimizer}
    assert optimizers_of(step_global) == {"of_module": of_module}
    assert optimizers_of(step_by_function) == {"of_module": of_module}
    assert optimizers_of(step_several) == {"several": several[0], "several-1": several[1]}
    assert optimizers_of(functools.partial(step_given, optimizer=optimizer)) == {"optimizer": optimizer}


class Learner:
    def __init__(self) -> None:
        self.optimizer = make_optimizer()
        self.parts = SimpleNamespace(critic=make_optimizer())

    def train(self, engine: Any, batch: Any) -> None:
        self.optimizer.step()

    def train_parts(self, engine: Any, batch: Any) -> None:
        self._step()

    def _step(self) -> None:
        self.parts.critic.step()

    def evaluate(self, engine: Any, batch: Any) -> None:
        self.step_count = 1

    def __call__(self, engine: Any, batch: Any) -> None:
        self.optimizer.step()


def test_optimizers_of_objects_are_those_that_the_method_mentions() -> None:
    learner = Learner()
    assert optimizers_of(learner.train) == {"optimizer": learner.optimizer}
    assert optimizers_of(learner.train_parts) == {"critic": learner.parts.critic}
    assert optimizers_of(learner) == {"optimizer": learner.optimizer}
    assert optimizers_of(learner.evaluate) == {}


def test_optimizer_of_the_engine_is_found() -> None:
    engine = SimpleNamespace(optimizer=make_optimizer(), other=make_optimizer())

    def step_of_engine(engine: Any, batch: Any) -> None:
        engine.optimizer.step()

    assert optimizers_of(step_of_engine, engine) == {"optimizer": engine.optimizer}


def test_function_that_steps_nothing_does_not_train() -> None:
    assert optimizers_of(read_rate) == {}
    assert optimizers_of(torch.nn.Linear(1, 1)) == {}
    assert optimizers_of(len) == {}
