"""Looks into the loader that trains: a batch to print its shape, a pass for the mean, a batch for a picture."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(16)
torch.set_num_threads(1)

loader = DataLoader(TensorDataset(torch.randn(16, 3) + 2, torch.randn(16, 1)), batch_size=4, shuffle=True)
test_loader = DataLoader(TensorDataset(torch.randn(8, 3) + 2, torch.randn(8, 1)), batch_size=4)

x, y = next(iter(loader))
print("shapes", tuple(x.shape), tuple(y.shape))

model = nn.Linear(3, 1)
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)

mean = torch.zeros(3)
for x, _ in loader:
    probe("statistics", steps=0, stage=None, epoch=[0, None], iter=[0, None], loss=None)
    mean += x.mean(0) / len(loader)

steps = 0
last_loss = None
for epoch in range(3):
    for x, y in loader:
        probe("draw", steps=steps, stage="train", epoch=epoch, iter=steps, lr=0.01, loss=last_loss)
        loss = nn.functional.mse_loss(model(x - mean), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
        last_loss = loss.item()
        probe("step", steps=steps, stage="train", epoch=epoch, iter=steps - 1, lr=0.01, loss=last_loss)
    picture, _ = next(iter(loader))
    probe("picture", steps=steps, epoch=[epoch + 1, None], iter=[steps, None], lr=[0.01, None], loss=[last_loss, None])
    print(f"epoch {epoch}: {last_loss:.4f}, picture of {len(picture)}")

test_loss = 0.0
for x, y in test_loader:  # a test that forgets no_grad
    probe("test", steps=steps, stage=["test", "val", None], epoch=[3, None], iter=[steps, None], loss=[last_loss, None])
    test_loss += nn.functional.mse_loss(model(x - mean), y).item() / len(test_loader)
print(f"test {test_loss:.4f}")
