"""Train with Accelerate: prepared loaders, evaluations between the epochs, and accumulation."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import torch
from accelerate import Accelerator
from compare import compare
from torch.utils.data import DataLoader

how = sys.argv[1]


def data(batches: int) -> Any:
    return DataLoader(torch.arange(4.0 * batches).reshape(-1, 2) / 10, batch_size=2)


def train(accumulation: int = 1, fails_at: int | None = None) -> Any:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulation)
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    prepared: tuple[Any, ...] = accelerator.prepare(model, optimizer, data(4), data(2), scheduler)
    model, optimizer, train_loader, val_loader, scheduler = prepared
    losses: list[float] = []
    for epoch in range(3):
        model.train()
        for batch in train_loader:
            lr = optimizer.param_groups[0]["lr"]
            place = "train" if len(losses) >= accumulation else "first step"
            # Of several batches to one step, which loss belongs to the step cannot be known. So the first one is not
            # told: whether there will be others is known from the second step on.
            more = {"losses": losses[1:]} if accumulation == 1 and len(losses) != 1 else {}
            compare(place, stage="train", epoch=epoch, iter=len(losses), lr=lr, **more)
            with accelerator.accumulate(model):
                loss = model(batch).square().mean()
                accelerator.backward(loss)
                if len(losses) == fails_at:
                    raise ValueError("the data is broken")
                optimizer.step()
                optimizer.zero_grad()
            losses.append(round(loss.item(), 5))
        scheduler.step()
        model.eval()
        with torch.no_grad():
            for batch in val_loader:
                compare("evaluation", stage=None, epoch=epoch + 1, iter=len(losses))
                accelerator.gather_for_metrics(model(batch))
    print(losses)
    return weakref.ref(accelerator.unwrap_model(model))


torch.manual_seed(0)
train()
train(accumulation=2)
folds = []
for _ in range(2):
    folds.append(train())
    gc.collect()
    print("alive:", sum(fold() is not None for fold in folds))
if how == "fail":
    train(fails_at=5)
