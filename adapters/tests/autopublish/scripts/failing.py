"""A training that ends with an exception in the body of its loop."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(14)
torch.set_num_threads(1)

inputs = torch.randn(20, 3)
inputs[13] = float("nan")
loader = DataLoader(TensorDataset(inputs, torch.randn(20, 1)), batch_size=4)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)


def check(loss):
    if not torch.isfinite(loss):
        raise FloatingPointError(f"loss is {loss.item()}")


def train():
    steps = 0
    last_loss = None
    try:
        for epoch in range(2):
            for x, y in loader:
                probe("draw", steps=steps, stage="train", epoch=epoch, iter=steps, lr=0.01, loss=last_loss)
                loss = nn.functional.mse_loss(model(x), y)
                check(loss)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                steps += 1
                last_loss = loss.item()
                probe("step", steps=steps, stage="train", epoch=epoch, iter=steps - 1, lr=0.01, loss=last_loss)
                print(f"step {steps}: {last_loss:.4f}")
    finally:
        # The iteration has failed, so that it does not count; the iterator lives in the traceback.
        probe("failed", steps=steps, stage=["train", None], epoch=0, iter=steps, lr=[0.01, None], loss=last_loss)


train()
