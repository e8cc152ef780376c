"""Trainings of a few steps under each framework, which call a function in the middle."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch

os.environ.setdefault("KERAS_BACKEND", "torch")


class _Rows(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return torch.ones(1)


def train(framework: str, hub: Any, body: Callable[[], None]) -> None:
    """Train, and call a function in the first step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        globals()[f"_{framework}"](hub, _once(body))


def _once(body: Callable[[], None]) -> Callable[[], None]:
    calls: list[None] = []

    def call() -> None:
        calls.append(None)
        if len(calls) == 1:
            body()

    return call


def _loader() -> Any:
    return torch.utils.data.DataLoader(_Rows(), batch_size=1)


def _lightning(hub: Any, body: Callable[[], None]) -> None:
    from lightning.pytorch import LightningModule, Trainer

    from runtimeinfo_adapters.lightning import attach

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Model(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            body()
            return self.layer(batch).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    attach(trainer, hub=hub, experiment_name=hub.get_info("experiment_name"))
    trainer.fit(Model(), _loader())


def _ignite(hub: Any, body: Callable[[], None]) -> None:
    from ignite.engine import Engine

    from runtimeinfo_adapters.ignite import attach

    logging.getLogger("ignite.engine.engine.Engine").setLevel(logging.CRITICAL)
    engine = Engine(lambda *_: body())
    attach(engine, hub=hub, experiment_name=hub.get_info("experiment_name"))
    engine.run([0, 1], max_epochs=1)


def _accelerate(hub: Any, body: Callable[[], None]) -> None:
    from accelerate import Accelerator

    from runtimeinfo_adapters.accelerate import attach

    loop = attach(
        Accelerator(cpu=True),
        train_loader=_loader(),
        max_epochs=1,
        hub=hub,
        experiment_name=hub.get_info("experiment_name"),
    )
    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                body()


def _keras(hub: Any, body: Callable[[], None]) -> None:
    import keras
    import numpy as np

    from runtimeinfo_adapters.keras import attach

    class Calls(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            body()

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    attach(model, hub=hub, experiment_name=hub.get_info("experiment_name"))
    model.fit(np.ones((2, 1)), np.ones((2, 1)), batch_size=1, verbose=0, callbacks=[Calls()])


def _transformers(hub: Any, body: Callable[[], None]) -> None:
    from transformers import PrinterCallback, Trainer, TrainingArguments

    from runtimeinfo_adapters.transformers import attach

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def forward(self, x: Any) -> Any:
            body()
            return {"loss": self.layer(x).sum()}

    class Rows(_Rows):
        def __getitem__(self, index: int) -> Any:
            return {"x": torch.ones(1)}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = Trainer(Model(), arguments, train_dataset=Rows())
        attach(trainer, hub=hub, experiment_name=hub.get_info("experiment_name"))
        trainer.remove_callback(PrinterCallback)
        trainer.train()
