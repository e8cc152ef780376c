"""Lightning's Trainer with its strategy ddp_spawn, which pickles the trainer for each of two processes."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from runtimeinfo import current_hub
from runtimeinfo.authoring import on_any_event, resolve_hub
from runtimeinfo_adapters.lightning import attach


@on_any_event(by="note")
class Record:
    """Writes down, at the end of a rank's run, the events and what the hub then has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[str] = []

    def note(self, event: str, runner: Any, arguments: dict[str, Any]) -> None:
        self.events.append(event)
        if event == "after_run":
            hub, module = runner.message_hub, runner.trainer.lightning_module
            record = {
                "events": self.events,
                "seen": module.seen,
                "batches": module.batches,
                "losses": [float(loss) for loss in hub.get_scalar("train/loss").data[0]],
                "infos": {key: hub.get_info(key) for key in ("epoch", "iter", "max_epochs", "max_iters", "seed")},
            }
            (self.folder / f"{module.global_rank}.json").write_text(json.dumps(record), encoding="utf-8")


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[Any] = []
        self.batches: list[float] = []

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.seen.append([current_hub().get_info(key) for key in ("loop_stage", "epoch", "iter")])
        self.batches.append(batch.item())
        return self.weight.sum() * 0 + batch.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        strategy="ddp_spawn",
        devices=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    callback = attach(trainer, seed=3, hooks=[Record(Path(sys.argv[1]))])
    batches = DataLoader(torch.tensor([1.0, 2.0, 3.0, 4.0]), batch_size=1)
    trainer.fit(Module(), batches)
    hub = callback.message_hub
    left = {"seed": hub.get_info("seed"), "epoch": hub.get_info("epoch"), "is_current": resolve_hub() is hub}
    print(json.dumps(left))


if __name__ == "__main__":
    main()
