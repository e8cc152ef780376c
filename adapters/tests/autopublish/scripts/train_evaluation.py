"""Evaluations over the loader that trains: after each epoch and within one, with no_grad around or in the loop."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(15)
torch.set_num_threads(1)

loader = DataLoader(TensorDataset(torch.randn(20, 3), torch.randint(0, 2, (20,))), batch_size=4, shuffle=True)
criterion = nn.CrossEntropyLoss()


def evaluate(model, truth):
    """Return the accuracy, with no_grad around the loop."""
    model.eval()
    hits = 0
    with torch.no_grad():
        for x, y in loader:
            probe("evaluation", **truth)
            hits += (model(x).argmax(1) == y).sum().item()
    model.train()
    return hits / len(loader.dataset)


def evaluate_inside(model, truth):
    """Return the accuracy, with no_grad in the loop: the batches are drawn as those of a training are."""
    hits = 0
    for x, y in loader:
        probe("evaluation, no_grad inside", **truth)
        with torch.no_grad():
            hits += (model(x).argmax(1) == y).sum().item()
    return hits / len(loader.dataset)


def train(lr, evaluation):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    steps = 0
    last_loss = None
    not_training = {"stage": ["val", "test", None], "lr": [lr, None]}
    for epoch in range(3):
        for x, y in loader:
            probe("draw", steps=steps, stage="train", epoch=epoch, iter=steps, lr=lr, loss=last_loss)
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            last_loss = loss.item()
            probe("step", steps=steps, stage="train", epoch=epoch, iter=steps - 1, lr=lr, loss=last_loss)
            if steps % 4 == 0:
                truth = not_training | {"epoch": [epoch, None], "iter": [steps - 1, None], "loss": [last_loss, None]}
                evaluation(model, {"steps": steps} | truth)
        truth = not_training | {"epoch": [epoch + 1, None], "iter": [steps, None], "loss": [last_loss, None]}
        accuracy = evaluation(model, {"steps": steps} | truth)
        print(f"{evaluation.__name__} epoch {epoch}: loss {last_loss:.4f} accuracy {accuracy:.2f}")
    probe("end", steps=steps, stage=None, epoch=[3, None], iter=[steps, None], lr=[lr, None], loss=[last_loss, None])


train(0.1, evaluate)
train(0.3, evaluate_inside)
