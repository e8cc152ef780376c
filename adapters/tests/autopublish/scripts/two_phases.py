"""A head that is trained on a frozen body, and then all of the model with another optimizer, over one loader."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(18)
torch.set_num_threads(1)

loader = DataLoader(TensorDataset(torch.randn(20, 3), torch.randn(20, 1)), batch_size=5, shuffle=True)
body, head = nn.Linear(3, 6), nn.Linear(6, 1)
model = nn.Sequential(body, nn.ReLU(), head)

all_steps = 0
all_epochs = 0


def run_phase(optimizer, epochs):
    global all_steps, all_epochs
    steps = 0
    last_loss = None
    lr = optimizer.param_groups[0]["lr"]
    for epoch in range(epochs):
        for x, y in loader:
            # The second phase is a training that counts from 0, or the rest of the first one.
            truth = {"stage": "train", "epoch": [epoch, all_epochs], "lr": lr}
            probe("draw", steps=steps, **truth, iter=[steps, all_steps], loss=last_loss if steps else [before, None])
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            last_loss = loss.item()
            steps += 1
            probe("step", steps=steps, **truth, iter=[steps - 1, all_steps], loss=last_loss)
            all_steps += 1
        all_epochs += 1
    print(f"{epochs} epochs with {lr}: {last_loss:.4f}")
    return last_loss


before = None
body.requires_grad_(False)
before = run_phase(torch.optim.Adam(head.parameters(), lr=0.01), 2)
body.requires_grad_(True)
run_phase(torch.optim.SGD(model.parameters(), lr=0.001), 2)
