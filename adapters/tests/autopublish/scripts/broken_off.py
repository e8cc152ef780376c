"""Passes that end with break: a limit of steps after which training goes on again, and a limit of batches."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(13)
torch.set_num_threads(1)


class Training:
    """Trains up to a number of steps, and again from there on."""

    def __init__(self, lr):
        self.loader = DataLoader(TensorDataset(torch.randn(20, 3), torch.randn(20, 1)), batch_size=4, shuffle=True)
        self.model = nn.Linear(3, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr)
        self.lr = lr
        self.steps = self.finished = self.broken = 0
        self.last_loss = None

    @property
    def passes(self):
        # A pass that was left by break may count as finished, or not: both are right, as long as it is not clear.
        return self.finished if not self.broken else [self.finished, self.finished + self.broken, None]

    def step(self, x, y):
        told = {"stage": "train", "epoch": self.passes, "lr": self.lr}
        probe("draw", steps=self.steps, **told, iter=self.steps, loss=self.last_loss)
        loss = nn.functional.mse_loss(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        self.last_loss = loss.item()
        probe("step", steps=self.steps, **told, iter=self.steps - 1, loss=self.last_loss)

    def train_until(self, steps):
        while self.steps < steps:
            for x, y in self.loader:
                self.step(x, y)
                if self.steps == steps:
                    self.broken += 1
                    break
            else:
                self.finished += 1
        # The iterator is gone, so that no batch is drawn any more.
        done = [self.steps - 1, self.steps, None]
        probe("broken off", steps=self.steps, stage=None, epoch=self.passes, iter=done, lr=[self.lr, None])
        print(f"{self.steps} steps: {self.last_loss:.4f}")

    def train_some_batches(self, epochs, limit):
        for epoch in range(epochs):
            for i, (x, y) in enumerate(self.loader):
                if i >= limit:  # the batch was drawn and is not trained on
                    self.broken += 1
                    break
                self.step(x, y)
            counts = {"epoch": [epoch, epoch + 1, None], "iter": [self.steps, None], "lr": [self.lr, None]}
            probe("limit", steps=self.steps, stage=None, **counts)
        print(f"{self.steps} steps: {self.last_loss:.4f}")


training = Training(0.1)
training.train_until(7)
training.train_until(16)
Training(0.2).train_some_batches(epochs=3, limit=3)
