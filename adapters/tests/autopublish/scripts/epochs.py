"""Epochs over a DataLoader, with a schedule by epoch and a validation under no_grad."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
torch.set_num_threads(1)

train_set = TensorDataset(torch.randn(38, 4), torch.randn(38, 1))
val_set = TensorDataset(torch.randn(12, 4), torch.randn(12, 1))
train_loader = DataLoader(train_set, batch_size=8, shuffle=True)
val_loader = DataLoader(val_set, batch_size=4)

model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
criterion = nn.MSELoss()

steps = 0
last_loss = None
for epoch in range(3):
    model.train()
    for inputs, targets in train_loader:
        lr = optimizer.param_groups[0]["lr"]
        probe("draw", steps=steps, stage="train", epoch=epoch, iter=steps, lr=lr, loss=last_loss)
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        last_loss = loss.item()
        steps += 1
        probe("step", steps=steps, stage="train", epoch=epoch, iter=steps - 1, lr=lr, loss=last_loss)

    model.eval()
    val_loss = 0.0
    with torch.no_grad():
        for inputs, targets in val_loader:
            probe("val", steps=steps, stage=["val", None], epoch=epoch + 1, iter=steps, lr=lr, loss=last_loss)
            val_loss += criterion(model(inputs), targets).item()
    print(f"epoch {epoch}: loss {last_loss:.4f} val {val_loss / len(val_loader):.4f} lr {lr}")
    scheduler.step()

probe("end", steps=steps, stage=None, epoch=3, iter=steps, lr=[lr, None], loss=[last_loss, None])
