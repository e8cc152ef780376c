"""Semi-supervised training over a labelled and an unlabelled loader: zipped, then with an iterator each."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(10)
torch.set_num_threads(1)

labelled = DataLoader(TensorDataset(torch.randn(12, 3), torch.randn(12, 1)), batch_size=4, shuffle=True)
unlabelled = DataLoader(torch.randn(28, 3), batch_size=4, shuffle=True)


def compute_loss(model, x, y, u):
    consistency = (model(u) - model(u + 0.1 * torch.randn_like(u))).pow(2).mean()
    return nn.functional.mse_loss(model(x), y) + 0.5 * consistency


def train_zipped():
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = 0
    last_loss = None
    for epoch in range(3):
        # The unlabelled loader is never exhausted, and gives one batch more than is trained on.
        for u, (x, y) in zip(unlabelled, labelled, strict=False):
            probe("draw", steps=steps, stage="train", epoch=epoch, iter=steps, lr=0.1, loss=last_loss)
            loss = compute_loss(model, x, y, u)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            last_loss = loss.item()
            probe("step", steps=steps, stage="train", epoch=epoch, iter=steps - 1, lr=0.1, loss=last_loss)
        print(f"epoch {epoch}: {last_loss:.4f}")
    return last_loss


def train_by_iterators():
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    last_loss = None
    labelled_iter, unlabelled_iter = iter(labelled), iter(unlabelled)
    for step in range(12):
        try:
            x, y = next(labelled_iter)
        except StopIteration:
            labelled_iter = iter(labelled)
            x, y = next(labelled_iter)
        try:
            u = next(unlabelled_iter)
        except StopIteration:
            unlabelled_iter = iter(unlabelled)
            u = next(unlabelled_iter)
        # One loader has been passed step // 3 times, the other one step // 7 times.
        probe("draw", steps=step, stage="train", iter=step, lr=0.2, loss=last_loss)
        loss = compute_loss(model, x, y, u)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last_loss = loss.item()
        probe("step", steps=step + 1, stage="train", iter=step, lr=0.2, loss=last_loss)
    return last_loss


print(f"zipped {train_zipped():.4f}")
print(f"by iterators {train_by_iterators():.4f}")
