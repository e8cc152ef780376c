"""All four sinks at once, under real frameworks: their files agree with the values that the training computed."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import CSVWriter, JSONLWriter, ProgressBar, TensorBoardWriter

Hooks = list[Any]

BATCHES, EPOCHS = 3, 2


class Computed:
    """The model's part of each training, with a record of what it computes."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.accuracies: list[float] = []

    def loss(self, weight: Any) -> Any:
        loss = (weight - len(self.losses)).square().sum() / 3
        self.losses.append(loss.item())
        return loss

    def accuracy(self) -> float:
        self.accuracies.append(1 / (len(self.accuracies) + 3))
        return self.accuracies[-1]


def plain_loop(hooks: Hooks, computed: Computed, folder: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    loop: Loop[Any] = Loop(optimizer, range(BATCHES), max_epochs=EPOCHS, hooks=hooks)
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                optimizer.zero_grad()
                loss = computed.loss(weight)
                loss.backward()
                optimizer.step()
                loop.log(loss=loss)
            with loop.val() as val:
                val.log_metrics(acc=computed.accuracy())


def mmengine(hooks: Hooks, computed: Computed, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmengine imports what PyTorch has deprecated
        from mmengine.evaluator import BaseMetric, Evaluator
        from mmengine.logging import MessageHub as SeedHub
        from mmengine.model import BaseModel
        from mmengine.runner import Runner

    class Model(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, inputs: Any, mode: str = "tensor") -> Any:
            return {"loss": computed.loss(self.weight)} if mode == "loss" else [inputs]

    class Metric(BaseMetric):
        def process(self, data_batch: Any, data_samples: Any) -> None:
            self.results.append(0)

        def compute_metrics(self, results: Any) -> dict[str, Any]:
            return {"acc": computed.accuracy()}

    loader = {
        "batch_size": 1,
        "num_workers": 0,
        "dataset": [{"inputs": torch.zeros(1)}] * BATCHES,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
    }
    runner = Runner(
        model=Model(),
        work_dir=str(folder),
        experiment_name="sinks",
        train_dataloader=loader,
        val_dataloader=loader,
        train_cfg={"by_epoch": True, "max_epochs": EPOCHS},
        val_cfg={},
        val_evaluator=Evaluator([Metric()]),
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        default_hooks={
            "runtime_info": {"type": "runtimeinfo_adapters.mmengine.RuntimeInfoHook", "hooks": hooks},
            "checkpoint": None,
        },
        log_level="ERROR",
    )
    runner.train()
    assert isinstance(runner.message_hub, SeedHub)
    assert not isinstance(runner.message_hub, MessageHub)


def lightning(hooks: Hooks, computed: Computed, folder: Path) -> None:
    from lightning.pytorch import LightningModule, Trainer

    from runtimeinfo_adapters.lightning import RuntimeInfoCallback

    class Model(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return computed.loss(self.weight)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("acc", torch.tensor(computed.accuracy(), dtype=torch.float64), batch_size=1)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[RuntimeInfoCallback(hooks=hooks)],
    )
    trainer.fit(Model(), DataLoader(torch.zeros(BATCHES)), DataLoader(torch.zeros(1)))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _clean(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.ERROR, "lightning.pytorch")
    yield
    if "mmengine" in sys.modules:
        from mmengine.logging import MessageHub as SeedHub
        from mmengine.logging import MMLogger
        from mmengine.registry import DefaultScope
        from mmengine.visualization import Visualizer

        for logger in MMLogger._instance_dict.values():
            for handler in list(logger.handlers):
                handler.close()
                logger.removeHandler(handler)
        for manager in (SeedHub, MMLogger, Visualizer, DefaultScope):
            manager._instance_dict.clear()
    MessageHub._instances.clear()
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:The '.*dataloader' does not have many workers")
@pytest.mark.parametrize("train", [plain_loop, mmengine, lightning])
def test_sinks_write_the_values_that_the_training_computed(
    train: Callable[[Hooks, Computed, Path], None], tmp_path: Path
) -> None:
    computed, shown = Computed(), io.StringIO()
    writers = (
        JSONLWriter(tmp_path / "each.jsonl", interval=1),
        CSVWriter(tmp_path / "each.csv", interval=1),
        JSONLWriter(tmp_path / "mean.jsonl", interval=BATCHES, reduce="mean"),
        TensorBoardWriter(tmp_path / "tensorboard", interval=1),
    )
    train([*writers, ProgressBar(file=shown)], computed, tmp_path / "work")

    iterations = BATCHES * EPOCHS
    assert len(computed.losses) == iterations
    rows = [json.loads(line) for line in writers[0].path.read_text().splitlines()]
    of = {stage: [row for row in rows if row["loop_stage"] == stage] for stage in ("train", "val")}
    assert len(of["train"]) + len(of["val"]) == len(rows)
    if train is mmengine:  # its timer publishes after the sinks: the time of the last iteration is left over
        rest = of["train"].pop()
        assert set(rest) - {"iter", "epoch", "loop_stage", "time", "run_id"} == {"train/time"}
    assert len({row["run_id"] for row in rows}) == 1
    assert [row["train/loss"] for row in of["train"]] == computed.losses
    assert [row["train/lr"] for row in of["train"]] == [0.1] * iterations
    assert [(row["iter"], row["epoch"]) for row in of["train"]] == [(i, i // BATCHES) for i in range(iterations)]
    assert [row["val/acc"] for row in of["val"]] == computed.accuracies
    assert [row["iter"] for row in of["val"]] == [BATCHES, 2 * BATCHES]
    assert not any("train/loss" in row for row in of["val"])
    assert not any("val/acc" in row for row in of["train"])

    with writers[1].path.open(newline="") as file:
        cells = [{key: cell for key, cell in row.items() if cell} for row in csv.DictReader(file)]
    differs = {"time", "run_id" if train is mmengine else "time", "cfg"}  # mmengine's own hub has no run id
    assert [{key: value for key, value in row.items() if key not in differs} for row in cells] == [
        {key: str(value) for key, value in row.items() if key not in differs} for row in rows
    ]

    means = [json.loads(line) for line in writers[2].path.read_text().splitlines()]
    found = [row["train/loss"] for row in means if "train/loss" in row]
    expected = [sum(computed.losses[at : at + BATCHES]) / BATCHES for at in range(0, iterations, BATCHES)]
    assert found == pytest.approx(expected)

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(writers[3].path)).Reload()
    points = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert points == [(at, pytest.approx(loss)) for at, loss in enumerate(computed.losses)]
    assert [event.step for event in events.Scalars("val/acc")] == [BATCHES, 2 * BATCHES]
    assert "cfg/text_summary" in events.Tags()["tensors"]

    (line,) = shown.getvalue().splitlines()
    assert re.match(rf"train: 100% {iterations}/{iterations} \[.*, epoch={EPOCHS}/{EPOCHS}, ", line)
    assert f"loss={computed.losses[-1]:.4g}" in line
    assert f"val/acc={computed.accuracies[-1]:.4g}" in line
    assert all(math.isfinite(row["time"]) for row in rows)


def test_the_package_loads_neither_tensorboard_nor_tqdm() -> None:
    code = """if True:
        import sys
        import runtimeinfo_adapters.sinks as sinks
        print([name for name in ("torch", "tensorboard", "tqdm", "mmengine") if name in sys.modules])
        for missing, make in (("tqdm", sinks.ProgressBar), ("tensorboard", lambda: sinks.TensorBoardWriter("x"))):
            sys.modules[missing] = None
            try:
                make()
            except ModuleNotFoundError as error:
                print(error)
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        "[]",
        "ProgressBar needs tqdm: pip install 'runtimeinfo[progress]'",
        "TensorBoardWriter needs tensorboard: pip install 'runtimeinfo[tensorboard]'",
    ]
