"""Gradients of four batches for each step, and a step for what is left over after the last batch of an epoch."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(3)
torch.set_num_threads(1)

ACCUMULATE = 4

loader = DataLoader(TensorDataset(torch.randn(36, 3), torch.randn(36, 1)), batch_size=4, shuffle=True)  # 9 batches
model = nn.Linear(3, 1)
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)

steps = 0
batches = 0
for epoch in range(3):
    for i, (inputs, targets) in enumerate(loader):
        lr = optimizer.param_groups[0]["lr"]
        probe("draw", steps=steps, stage="train", epoch=epoch, iter=batches, lr=lr)
        loss = nn.functional.mse_loss(model(inputs), targets)
        (loss / ACCUMULATE).backward()
        if (i + 1) % ACCUMULATE == 0:
            optimizer.step()
            steps += 1
            probe("step", steps=steps, stage="train", epoch=epoch, iter=batches, lr=lr)
            scheduler.step()
            optimizer.zero_grad()
        batches += 1
    if len(loader) % ACCUMULATE:
        lr = optimizer.param_groups[0]["lr"]
        optimizer.step()
        steps += 1
        # After the last batch a step looks as one of a loop without a loader does.
        probe("left over", steps=steps, epoch=[epoch + 1, None], iter=[batches, None], lr=[lr, None])
        scheduler.step()
        optimizer.zero_grad()
    print(f"epoch {epoch}: {steps} steps, loss {loss.item():.4f}")

probe("end", steps=steps, stage=None, epoch=[3, None], iter=[batches, None], lr=[lr, None])
