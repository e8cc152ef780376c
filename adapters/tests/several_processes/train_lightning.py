"""Lightning's Trainer with its strategy ddp, in two processes."""

from __future__ import annotations

import logging
import signal
import warnings
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from recording import ACCUMULATION, EPOCHS, Data, Model, Phase, Script
from torch.utils.data import DataLoader

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.lightning import attach


class Module(LightningModule):
    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self.model = Model()
        self.phase = phase

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.phase.more["handles_sigterm"] = callable(signal.getsignal(signal.SIGTERM))
        self.phase.step(batch, self.optimizers().param_groups[0]["lr"])
        loss: torch.Tensor = self.model(batch)
        self.phase.computed(loss)
        self.log("train_mean", loss, on_epoch=True, sync_dist=True)
        return loss

    def validation_step(self, batch: torch.Tensor, batch_idx: int, dataloader_idx: int) -> None:
        loss = self.model(batch)
        self.log("own", loss)
        self.log("mean", loss, sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]


def train(script: Script, name: str, *, epochs: int = EPOCHS, resume: bool = False) -> None:
    hub = MessageHub(name)
    with script.phase(name, hub) as phase:
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            strategy="ddp",
            devices=2,
            accumulate_grad_batches=ACCUMULATION,
            callbacks=[ModelCheckpoint(script.folder / name, "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        attach(trainer, seed=3, hub=hub, hooks=phase.hooks)
        loaders = [DataLoader(Data(6), batch_size=2), DataLoader(Data(4), batch_size=2)]
        path = script.folder / "train" / "epoch=0.ckpt" if resume else None
        trainer.fit(Module(phase), DataLoader(Data(), batch_size=2), loaders, ckpt_path=path)


def main() -> None:
    script = Script()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    train(script, "train")
    train(script, "resume", epochs=EPOCHS + 1, resume=True)
    train(script, "raise")


if __name__ == "__main__":
    main()
