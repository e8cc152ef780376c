"""Trainings of each framework: bare, with our adapter, and with the framework's own log of one loss.

Each is a real training by the framework's own loop. A training step does next to nothing, and ticks the clock.
`worker.py` calls the function of a framework by its name, in this tree and in those of earlier commits.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
from timing import Clock
from torch import Tensor, nn

Training = Callable[[Clock], None]

OWN_LOGS = {
    "PyTorch": "TensorBoard add_scalar",
    "mmengine": "its RuntimeInfoHook",
    "Lightning": "self.log",
    "Transformers": "logging_steps=1",
    "Accelerate": "accelerator.log",
    "Ignite": "RunningAverage",
    "Keras": "a callback that reads logs",
}
"""The frameworks, and what the own log of each is called."""


def _loss() -> tuple[nn.Parameter, torch.optim.Optimizer]:
    weight = nn.Parameter(torch.ones(()))
    return weight, torch.optim.SGD([weight], lr=0.1)


def _pytorch() -> dict[str, Training]:
    from torch.utils.tensorboard import SummaryWriter

    from runtimeinfo_adapters.pytorch import Loop

    def bare(clock: Clock) -> None:
        weight, _ = _loss()
        for _ in range(clock.iterations):
            clock.tick()
            weight * 2.0

    def ours(clock: Clock) -> None:
        weight, optimizer = _loss()
        loop = Loop(optimizer, range(clock.iterations), max_epochs=1)
        with loop.run():
            for _ in loop.train():
                clock.tick()
                loop.log(loss=weight * 2.0)

    def own(clock: Clock) -> None:
        weight, optimizer = _loss()
        with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
            for iteration in range(clock.iterations):
                clock.tick()
                writer.add_scalar("lr", optimizer.param_groups[0]["lr"], iteration)
                writer.add_scalar("loss", weight * 2.0, iteration)

    return {"bare": bare, "ours": ours, "own": own}


def _mmengine() -> dict[str, Training]:
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    class Model(BaseModel):
        def __init__(self, clock: Clock) -> None:
            super().__init__()
            self.weight, self.clock = nn.Parameter(torch.ones(())), clock

        def forward(self, *_: Any, **__: Any) -> None:
            """Not called: train_step does it all."""

        def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
            self.clock.tick()
            return {"loss": self.weight * 2.0}

    others = dict.fromkeys(("timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"))

    def training(hook: dict[str, Any] | None) -> Training:
        def train(clock: Clock) -> None:
            with tempfile.TemporaryDirectory() as folder:
                runner = Runner(
                    Model(clock),
                    folder,
                    train_dataloader=torch.utils.data.DataLoader([0] * clock.iterations, batch_size=None),
                    train_cfg={"by_epoch": True, "max_epochs": 1},
                    optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
                    default_hooks={**others, "runtime_info": hook},
                    experiment_name=f"bench-{id(clock)}",
                    log_level="ERROR",
                )
                runner.train()
                for handler in runner.logger.handlers:  # mmengine leaves its log file open
                    handler.close()

        return train

    ours = {"type": "runtimeinfo_adapters.mmengine.RuntimeInfoHook", "replace_hub": True}
    return {"bare": training(None), "ours": training(ours), "own": training({"type": "RuntimeInfoHook"})}


def _lightning() -> dict[str, Training]:
    from lightning.pytorch import LightningModule, Trainer

    from runtimeinfo_adapters.lightning import RuntimeInfoCallback

    class Model(LightningModule):
        automatic_optimization = False

        def __init__(self, clock: Clock, logs: bool) -> None:
            super().__init__()
            self.weight, self.clock, self.logs = nn.Parameter(torch.ones(())), clock, logs

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.clock.tick()
            loss = self.weight * 2.0
            if self.logs:
                self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def training(callbacks: Callable[[], list[Any]], *, logs: bool = False) -> Training:
        def train(clock: Clock) -> None:
            Trainer(
                accelerator="cpu",
                max_epochs=1,
                callbacks=callbacks(),
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            ).fit(Model(clock, logs), torch.utils.data.DataLoader(torch.zeros(clock.iterations, 1), batch_size=None))

        return train

    return {
        "bare": training(list),
        "ours": training(lambda: [RuntimeInfoCallback()]),
        "own": training(list, logs=True),
    }


def _transformers() -> dict[str, Training]:
    import transformers

    from runtimeinfo_adapters.transformers import attach

    class Model(nn.Module):
        def __init__(self, clock: Clock) -> None:
            super().__init__()
            self.weight, self.clock = nn.Parameter(torch.ones(())), clock

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            self.clock.tick()
            return {"loss": self.weight * x.sum()}

    def training(*, ours: bool = False, logs: bool = False) -> Training:
        def train(clock: Clock) -> None:
            with tempfile.TemporaryDirectory() as folder:
                trainer = transformers.Trainer(
                    Model(clock),
                    transformers.TrainingArguments(
                        folder,
                        num_train_epochs=1,
                        per_device_train_batch_size=1,
                        optim="sgd",
                        logging_strategy="steps" if logs else "no",
                        logging_steps=1,
                        save_strategy="no",
                        disable_tqdm=True,
                        report_to=[],
                        use_cpu=True,
                    ),
                    train_dataset=[{"x": torch.ones(1)}] * clock.iterations,  # type: ignore[arg-type]
                )
                trainer.remove_callback(transformers.PrinterCallback)
                if ours:
                    attach(trainer)
                trainer.train()

        return train

    return {"bare": training(), "ours": training(ours=True), "own": training(logs=True)}


def _accelerate() -> dict[str, Training]:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker, on_main_process

    from runtimeinfo_adapters.accelerate import attach

    class Nowhere(GeneralTracker):
        """Keeps nothing: measured is the way to it."""

        name = "nowhere"
        requires_logging_directory = False
        tracker = None

        @on_main_process
        def store_init_configuration(self, values: dict[str, Any]) -> None:
            pass

        @on_main_process
        def log(self, values: dict[str, Any], step: int | None = None) -> None:
            pass

    def prepared(clock: Clock, accelerator: Any) -> tuple[nn.Parameter, Any, Any]:
        weight, optimizer = _loss()
        loader = torch.utils.data.DataLoader(torch.zeros(clock.iterations, 1), batch_size=None)
        return weight, *accelerator.prepare(optimizer, loader)

    def bare(clock: Clock) -> None:
        weight, _, loader = prepared(clock, Accelerator(cpu=True))
        for _ in loader:
            clock.tick()
            weight * 2.0

    def ours(clock: Clock) -> None:
        accelerator = Accelerator(cpu=True)
        weight, optimizer, loader = prepared(clock, accelerator)
        loop = attach(accelerator, optimizer, loader, max_epochs=1)
        with loop.run():
            for _ in loop.train():
                clock.tick()
                loop.log(loss=weight * 2.0)

    def own(clock: Clock) -> None:
        accelerator = Accelerator(cpu=True, log_with=Nowhere())
        weight, optimizer, loader = prepared(clock, accelerator)
        accelerator.init_trackers("bench")
        for iteration, _ in enumerate(loader):
            clock.tick()
            loss = weight * 2.0
            accelerator.log({"loss": loss.item(), "lr": optimizer.param_groups[0]["lr"]}, step=iteration)

    return {"bare": bare, "ours": ours, "own": own}


def _ignite() -> dict[str, Training]:
    from ignite.engine import Engine
    from ignite.metrics import RunningAverage

    from runtimeinfo_adapters.ignite import attach

    def trainer_of(clock: Clock) -> tuple[Engine, torch.optim.Optimizer]:
        weight, optimizer = _loss()

        def step(engine: Engine, batch: Any) -> Tensor:
            clock.tick()
            return weight * 2.0

        return Engine(step), optimizer

    def bare(clock: Clock) -> None:
        trainer_of(clock)[0].run(range(clock.iterations), max_epochs=1)

    def ours(clock: Clock) -> None:
        trainer, optimizer = trainer_of(clock)
        attach(trainer, optimizer=optimizer)
        trainer.run(range(clock.iterations), max_epochs=1)

    def own(clock: Clock) -> None:
        trainer, _ = trainer_of(clock)
        RunningAverage(output_transform=lambda loss: loss.detach()).attach(trainer, "loss")
        trainer.run(range(clock.iterations), max_epochs=1)

    return {"bare": bare, "ours": ours, "own": own}


def _keras() -> dict[str, Training]:
    import keras

    from runtimeinfo_adapters.keras import RuntimeInfoCallback

    class Model(keras.Model):  # type: ignore[misc]
        def __init__(self, clock: Clock) -> None:
            super().__init__()
            self.weight, self.clock = nn.Parameter(torch.ones(())), clock

        def call(self, inputs: Any) -> Any:
            return inputs

        def train_step(self, data: Any) -> dict[str, Tensor]:
            self.clock.tick()
            return {"loss": (self.weight * 2.0).detach()}

    class Listener(keras.callbacks.Callback):  # type: ignore[misc]
        """Does nothing. Without a callback for batches, Keras calls its callbacks in other threads."""

        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            pass

    class Reader(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            float(logs["loss"]) if logs else None

    def training(callbacks: Callable[[], list[Any]]) -> Training:
        def train(clock: Clock) -> None:
            model = Model(clock)
            model.compile(optimizer="sgd")
            data = torch.utils.data.DataLoader([(torch.zeros(1), torch.zeros(1))] * clock.iterations, batch_size=1)
            model.fit(data, epochs=1, callbacks=callbacks(), verbose=0)

        return train

    return {
        "bare": training(lambda: [Listener()]),
        "ours": training(lambda: [RuntimeInfoCallback()]),
        "own": training(lambda: [Reader()]),
    }
