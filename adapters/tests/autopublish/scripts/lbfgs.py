"""LBFGS on all data at once: a closure that the optimizer calls several times, and no loader."""

import torch
from probe import probe
from torch import nn

torch.manual_seed(6)
torch.set_num_threads(1)

x = torch.linspace(-1, 1, 20).unsqueeze(1)
y = x.sin() + 0.3 * x.pow(2)
model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)

calls = 0


def closure():
    global calls
    calls += 1
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    return loss


last_loss = None
last_lr = None
for step in range(8):
    lr = optimizer.param_groups[0]["lr"]
    told_lr = [lr, last_lr, None]
    probe("start", steps=step, stage=["train", None], epoch=None, iter=step, lr=told_lr, loss=last_loss)
    loss = optimizer.step(closure)  # the loss of the first call
    last_loss = loss.item()
    last_lr = lr
    count = [step, step + 1]  # without a loader, an iteration is finished with its step
    probe("step", steps=step + 1, stage=["train", None], epoch=None, iter=count, lr=lr, loss=last_loss)
    if step == 4:
        optimizer.param_groups[0]["lr"] = 0.25
    print(f"step {step}: loss {last_loss:.6f} after {calls} calls")

probe("end", steps=8, epoch=None, iter=[7, 8, None], lr=[lr, None], loss=[last_loss, None])
