"""Accelerate's prepared model and loaders, in two processes."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from recording import ACCUMULATION, EPOCHS, Data, Model, Script
from torch.utils.data import DataLoader

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.accelerate import attach


def train(script: Script, name: str, *, epochs: int = EPOCHS, resume: bool = False, dispatch: bool = False) -> None:
    hub = MessageHub(name)
    with script.phase(name, hub) as phase:
        config = DataLoaderConfiguration(dispatch_batches=dispatch)
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=ACCUMULATION, dataloader_config=config)
        model = Model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        loaders = DataLoader(Data(), batch_size=2), DataLoader(Data(7), batch_size=2)
        parts: tuple[Any, ...] = accelerator.prepare(model, optimizer, *loaders)
        model, optimizer, train_loader, val_loader = parts
        # By itself, an optimizer step of a prepared scheduler is one for each process.
        accelerator.register_for_checkpointing(scheduler)
        loop = attach(accelerator, optimizer, train_loader, max_epochs=epochs, seed=3, hub=hub, hooks=phase.hooks)
        if resume:
            accelerator.load_state(script.folder / "checkpoint")
        gathered = 0
        with loop.run():
            for _ in loop.epochs():
                for batch in loop.train():
                    phase.step(batch, optimizer.param_groups[0]["lr"])
                    with accelerator.accumulate(model):
                        loss = model(batch)
                        accelerator.backward(loss)
                        optimizer.step()
                        optimizer.zero_grad()
                    phase.computed(loss)
                    loop.log(loss=loss)
                scheduler.step()
                if name == "train" and loop.epoch == 0:
                    accelerator.save_state(script.folder / "checkpoint")
                with loop.val() as val, torch.no_grad():
                    losses = []
                    for batch in val.batches(val_loader):
                        losses.append(model(batch))
                        gathered += len(accelerator.gather_for_metrics(batch))
                    own = torch.stack(losses).mean()
                    val.log_metrics(own=own, mean=accelerator.reduce(own, "mean"))
        phase.more["gathered"] = gathered


def main() -> None:
    script = Script()
    try:
        train(script, "train")
        train(script, "resume", epochs=EPOCHS + 1, resume=True)
        train(script, "dispatched", epochs=1, dispatch=True)
        train(script, "raise")
    finally:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
