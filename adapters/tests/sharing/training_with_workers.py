"""Trains with workers, and prints what these read while they made the batches.

It is run as ``training_with_workers.py FRAMEWORK START_METHOD PERSISTENT``, since a spawned worker has to import it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from runtimeinfo import current_hub

LENGTH, WORKERS, PREFETCH, EPOCHS = 14, 2, 2, 3


class Numbers(Dataset[Any]):
    """Its items say what `current_hub` says where they are made."""

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int) -> dict[str, Any]:
        reader = current_hub()
        read = [reader.get_info("epoch", -1), reader.get_info("iter", -1), reader.get_info("max_epochs", -1)]
        assert torch.utils.data.get_worker_info() is not None
        return {"x": torch.ones(1), "read": torch.tensor(read)}


def make_loader(start_method: str, *, is_persistent: bool) -> DataLoader[Any]:
    return DataLoader(
        Numbers(),
        num_workers=WORKERS,
        prefetch_factor=PREFETCH,
        persistent_workers=is_persistent,
        multiprocessing_context=start_method,
    )


def train_pytorch(loader: DataLoader[Any]) -> Iterator[list[int]]:
    from runtimeinfo_adapters.pytorch import Loop

    model = torch.nn.Linear(1, 1)
    loop = Loop(torch.optim.SGD(model.parameters(), lr=0.1), loader, max_epochs=EPOCHS)
    with loop.run():
        for _ in loop.epochs():
            for batch in loop.train():
                yield batch["read"][0].tolist()


def train_forked_before(loader: DataLoader[Any]) -> Iterator[list[int]]:
    """The workers are started, and have made batches, before there is any hub."""
    first = iter(loader)
    before = next(first)["read"][0].tolist()
    if before != [-1, -1, -1]:
        raise RuntimeError(f"read before there is a run: {before}")
    for _ in first:
        pass
    yield from train_pytorch(loader)


def train_by_hand(loader: DataLoader[Any]) -> Iterator[list[int]]:
    """Without a runner: user code publishes the epoch before it makes the iterator."""
    from runtimeinfo import use_hub
    from runtimeinfo_adapters import MessageHub

    hub = MessageHub("by-hand")
    completed = 0
    with use_hub(hub):
        hub.update_info("max_epochs", EPOCHS)
        for epoch in range(EPOCHS):
            hub.update_info("epoch", epoch)
            for batch in loader:
                hub.update_info("iter", completed)
                yield batch["read"][0].tolist()
                completed += 1


def train_lightning(loader: DataLoader[Any]) -> Iterator[list[int]]:
    import logging

    import lightning

    from runtimeinfo_adapters.lightning import attach

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    reads: list[list[int]] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            reads.append(batch["read"][0].tolist())
            return self.layer(batch["x"]).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    attach(trainer)
    trainer.fit(Module(), loader)
    yield from reads


def train_mmengine(loader: DataLoader[Any]) -> Iterator[list[int]]:
    """With mmengine's own hub, which knows nothing of boards."""
    import logging
    import tempfile

    from mmengine.model import BaseModel
    from mmengine.optim import OptimWrapper
    from mmengine.runner import Runner

    from runtimeinfo_adapters.mmengine import RuntimeInfoHook

    reads: list[list[int]] = []

    class Model(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def forward(self, x: Any, read: Any, mode: str = "tensor") -> Any:
            reads.append(read[0].tolist())
            return {"loss": self.layer(x).sum()}

    logging.disable(logging.ERROR)
    model = Model()
    runner = Runner(
        model=model,
        work_dir=tempfile.mkdtemp(),
        train_dataloader=loader,
        train_cfg={"by_epoch": True, "max_epochs": EPOCHS},
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)),
        default_hooks={
            "runtime_info": RuntimeInfoHook(),
            **dict.fromkeys(("timer", "logger", "checkpoint", "sampler_seed", "param_scheduler")),
        },
        log_level="ERROR",
    )
    runner.train()
    yield from reads


TRAINERS = {
    "pytorch": train_pytorch,
    "forked_before": train_forked_before,
    "by_hand": train_by_hand,
    "lightning": train_lightning,
    "mmengine": train_mmengine,
}


if __name__ == "__main__":
    framework, start_method, persistent = sys.argv[1:]
    reads = list(TRAINERS[framework](make_loader(start_method, is_persistent=persistent == "persistent")))
    print(json.dumps(reads))
