"""itertools.cycle over a DataLoader, which draws from it in the first pass only."""

import itertools

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(2)
torch.set_num_threads(1)

TOTAL = 14

loader = DataLoader(TensorDataset(torch.randn(20, 3), torch.randn(20, 1)), batch_size=4)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

last_loss = None
last_lr = None
for step, (inputs, targets) in enumerate(itertools.cycle(loader)):
    if step == TOTAL:
        break
    epoch = step // len(loader)
    lr = optimizer.param_groups[0]["lr"]
    # The rate is in force here, but without a draw it is told only by the step.
    told_lr = lr if step < len(loader) else [lr, last_lr, None]
    probe("draw", steps=step, stage=["train", None], epoch=epoch, iter=step, lr=told_lr, loss=last_loss)
    loss = (model(inputs) - targets).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    last_lr = lr
    last_loss = loss.item()
    probe("step", steps=step + 1, stage=["train", None], epoch=epoch, iter=step, lr=lr, loss=last_loss)
    scheduler.step()

print(f"{TOTAL} steps, loss {last_loss:.4f}")
probe("end", steps=TOTAL, epoch=[2, None], iter=[TOTAL - 1, TOTAL, None], lr=[last_lr, None], loss=[last_loss, None])
