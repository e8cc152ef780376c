"""A step that is compiled as a whole, with its backward and the step of its optimizer."""

import logging

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(9)
torch.set_num_threads(1)
torch._logging.set_logs(dynamo=logging.ERROR)  # a warning has the time and the process in it

loader = DataLoader(TensorDataset(torch.randn(20, 3), torch.randn(20, 1)), batch_size=4)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)


@torch.compile(backend="eager")
def train_step(x, y):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


steps = 0
last_loss = None
for epoch in range(3):
    for x, y in loader:
        lr = optimizer.param_groups[0]["lr"]
        probe("draw", steps=steps, stage="train", epoch=epoch, iter=steps, lr=lr, loss=last_loss)
        last_loss = train_step(x, y).item()
        steps += 1
        probe("step", steps=steps, stage="train", epoch=epoch, iter=steps - 1, lr=lr, loss=last_loss)
    scheduler.step()
    print(f"epoch {epoch}: loss {last_loss:.4f}")

probe("end", steps=steps, stage=None, epoch=3, iter=steps, lr=[lr, None], loss=[last_loss, None])
