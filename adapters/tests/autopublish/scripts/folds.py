"""Cross-validation: each fold has its own model, optimizer and loaders, and counts from 0."""

import gc
import weakref

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

torch.manual_seed(7)
torch.set_num_threads(1)

FOLDS = 3

dataset = TensorDataset(torch.randn(30, 3), torch.randn(30, 1))
order = torch.randperm(30).tolist()
scores = []
models = []
for fold in range(FOLDS):
    held_out = order[fold::FOLDS]
    train_loader = DataLoader(Subset(dataset, [i for i in order if i not in held_out]), batch_size=5, shuffle=True)
    val_loader = DataLoader(Subset(dataset, held_out), batch_size=5)
    model = nn.Linear(3, 1)
    models.append(weakref.ref(model))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 / 2**fold)
    steps = 0
    last_loss = None
    for epoch in range(2):
        for x, y in train_loader:
            lr = optimizer.param_groups[0]["lr"]
            probe("draw", steps=steps, stage="train", epoch=epoch, iter=steps, lr=lr, loss=last_loss)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            steps += 1
            last_loss = loss.item()
            probe("step", steps=steps, stage="train", epoch=epoch, iter=steps - 1, lr=lr, loss=last_loss)
    with torch.no_grad():
        errors = []
        for x, y in val_loader:
            probe("val", steps=steps, stage=["val", None], epoch=2, iter=steps, lr=lr, loss=last_loss)
            errors.append(nn.functional.mse_loss(model(x), y).item())
    scores.append(sum(errors) / len(errors))
    print(f"fold {fold}: {scores[-1]:.4f}")

del model, optimizer, loss
gc.collect()
print(f"mean {sum(scores) / FOLDS:.4f}, models alive: {sum(m() is not None for m in models)}")
