"""Train with mmengine: a Runner that trains, validates and tests."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import torch
from compare import compare
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

how = sys.argv[1]


class Data(Dataset[Any]):
    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        return {"inputs": torch.full((2,), index / 10)}


class Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.losses: list[float] = []
        self.epochs = 0
        self.runner: Any = None
        self.stage = "val"
        self.fails_at: int | None = None

    def forward(self, inputs: Any, mode: str = "loss") -> Any:
        done = len(self.losses)
        if mode != "loss":
            compare("evaluation", stage=self.stage, epoch=self.epochs, iter=done)
            return [0.0]
        lr = round(self.runner.optim_wrapper.param_groups[0]["lr"], 6)
        compare("train", stage="train", epoch=self.epochs, iter=done, lr=lr, losses=self.losses)
        if done == self.fails_at:
            raise ValueError("the data is broken")
        loss = self.layer(torch.stack(list(inputs))).square().mean()
        self.losses.append(round(loss.item(), 5))
        return {"loss": loss}


class Metric(BaseMetric):
    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(1.0)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        return {"size": float(len(results))}


class Counts(Hook):
    priority = "LOWEST"

    def before_run(self, runner: Any) -> None:
        runner.model.runner = runner

    def after_train_epoch(self, runner: Any) -> None:
        runner.model.epochs += 1


def make(name: str, model: Any) -> Any:
    def loader(size: int) -> dict[str, Any]:
        return {"dataset": Data(size), "batch_size": 2, "sampler": {"type": "DefaultSampler", "shuffle": False}}

    return Runner(
        model=model,
        work_dir=folder,
        experiment_name=name,
        train_dataloader=loader(6),
        train_cfg={"by_epoch": True, "max_epochs": 2, "val_interval": 1},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        param_scheduler={"type": "ExponentialLR", "gamma": 0.5, "by_epoch": True},
        val_dataloader=loader(2),
        val_cfg={},
        val_evaluator=Evaluator(Metric()),
        test_dataloader=loader(2),
        test_cfg={},
        test_evaluator=Evaluator(Metric()),
        custom_hooks=[Counts()],
        default_hooks={"checkpoint": {"type": "CheckpointHook", "interval": -1, "save_last": False}},
        log_level="ERROR",
    )


folder = tempfile.mkdtemp()
torch.manual_seed(0)
model = Model()
runner = make("first", model)
hooks = [type(each).__qualname__ for each in runner.hooks]
runner.train()
model.stage = "test"
print(model.losses, runner.test())
print([type(each).__module__ for each in runner.hooks], hooks == [type(each).__qualname__ for each in runner.hooks])
print(sorted(name for name in vars(runner) if name in ("train", "val", "test")))
model = Model()
model.fails_at = 1
try:
    make("second", model).train()
except ValueError as error:
    print(repr(error))
compare("after a failure", stage=None, epoch=None, iter=None)
if how == "fail":
    model.losses = []
    make("third", model).train()
