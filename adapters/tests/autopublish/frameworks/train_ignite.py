"""Train with Ignite: trainers that have the optimizer in a closure, a global or an object, and evaluators."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import torch
from compare import compare
from ignite.engine import Engine, Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Loss

how = sys.argv[1]


class Counts:
    def __init__(self, optimizer: Any = None, name: str = "lr") -> None:
        self.losses: list[float] = []
        self.epochs = 0
        self.optimizer, self.name = optimizer, name
        self.fails_at: int | None = None

    def read(self) -> None:
        done = len(self.losses)
        lr = {self.name: round(self.optimizer.param_groups[0]["lr"], 6)}
        compare("train", stage="train", epoch=self.epochs, iter=done, losses=self.losses, **lr)
        if done == self.fails_at:
            raise ValueError("the data is broken")


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.counts = Counts()
        self.is_outside = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        counts = self.counts
        if self.training:
            counts.read()
        elif self.is_outside:
            compare("outside", stage=None)
        else:
            compare("val", stage="val", epoch=counts.epochs, iter=len(counts.losses))
        return self.layer(x)


def data(batches: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.full((2, 2), i / 10), torch.ones(2, 1)) for i in range(batches)]


torch.manual_seed(0)
train_data, val_data = data(3), data(2)
model = Model()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model.counts.optimizer = optimizer
trainer = create_supervised_trainer(model, optimizer, torch.nn.functional.mse_loss)
evaluator = create_supervised_evaluator(model, metrics={"mse": Loss(torch.nn.functional.mse_loss)})


@trainer.on(Events.ITERATION_COMPLETED)
def note(engine: Engine) -> None:
    model.counts.losses.append(round(engine.state.output, 5))


@trainer.on(Events.EPOCH_COMPLETED)
def validate(engine: Engine) -> None:
    model.counts.epochs += 1
    evaluator.run(train_data)  # on the data that it was trained on: also a validation, whose metrics are not published
    evaluator.run(val_data)
    print(engine.state.epoch, round(evaluator.state.metrics["mse"], 5))
    compare("validated", mse=evaluator.state.metrics["mse"])


model.is_outside = True
evaluator.run(val_data)  # an evaluator runs first
model.is_outside = False
trainer.run(train_data, max_epochs=2)
trainer.run(train_data, max_epochs=3)  # it goes on
print(
    sorted(vars(trainer)), len(trainer._event_handlers[Events.STARTED]), len(evaluator._event_handlers[Events.STARTED])
)
model.is_outside = True
evaluator.run(val_data)  # which may be a test

# The optimizer is a global of the script, in a function that the step calls.
layer = torch.nn.Linear(2, 1)
generator_optimizer = torch.optim.SGD(layer.parameters(), lr=0.2)
critic_optimizer = torch.optim.SGD(layer.parameters(), lr=0.3)
counts = Counts(generator_optimizer, "generator_optimizer.lr")


def update(batch: Any) -> dict[str, Any]:
    counts.read()
    loss = layer(batch[0]).square().mean()
    generator_optimizer.zero_grad()
    loss.backward()
    generator_optimizer.step()
    critic_optimizer.step()
    counts.losses.append(round(loss.item(), 5))
    return {"loss": loss.item(), "names": ["a"]}


def step(engine: Engine, batch: Any) -> Any:
    return update(batch)


stepping = Engine(step)
stepping.add_event_handler(Events.EPOCH_COMPLETED, lambda: setattr(counts, "epochs", counts.epochs + 1))
print(stepping.run(train_data, max_epochs=2).output)


class Learner:
    """Trains and evaluates by methods of one object, which has the optimizer, and returns what is not published."""

    def __init__(self) -> None:
        self.model = torch.nn.Linear(2, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.counts = Counts(self.optimizer)
        self.stage: str | None = None

    def train(self, engine: Engine, batch: Any) -> Any:
        done, epochs = self.counts.losses, self.counts.epochs
        compare("train", stage="train", epoch=epochs, iter=len(done), lr=self.optimizer.param_groups[0]["lr"])
        self.model(batch[0]).square().mean().backward()
        self.optimizer.step()
        done.append(0.0)
        return torch.zeros(2), torch.ones(2)

    def evaluate(self, engine: Engine, batch: Any) -> Any:
        compare("evaluation", stage=self.stage)
        return self.model(batch[0])


learner = Learner()
training, evaluation = Engine(learner.train), Engine(learner.evaluate)
evaluation.run(val_data)
learner.stage, evaluated = "val", learner
training.add_event_handler(
    Events.EPOCH_COMPLETED, lambda: setattr(evaluated.counts, "epochs", evaluated.counts.epochs + 1)
)
training.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluation.run(val_data))
training.run(train_data, max_epochs=2)

folds = []
for _ in range(2):
    learner = Learner()
    training = Engine(learner.train)
    training.run(train_data, max_epochs=1)
    folds.append(weakref.ref(learner))
    del learner, training
    print("alive:", sum(fold() is not None for fold in folds))

counts.losses, counts.epochs, counts.fails_at = [], 0, 1
stepping = Engine(step)
try:
    stepping.run(train_data, max_epochs=2)
except ValueError as error:
    print(repr(error))
compare("after a failure", stage=None, epoch=None, iter=None)
if how == "fail":
    counts.losses = []
    Engine(step).run(train_data)
