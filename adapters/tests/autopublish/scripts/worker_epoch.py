"""An augmentation in the loader's workers that asks for the epoch, with workers of an epoch and with lasting ones."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, Dataset

from runtimeinfo import current_hub

torch.manual_seed(11)
torch.set_num_threads(1)


class NoisyPoints(Dataset):
    """Points, each with the epoch that its augmentation was told, -1 for none."""

    def __init__(self, points):
        self.points = points

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return self.points[index], current_hub().get_info("epoch", -1)


def train(persistent):
    dataset = NoisyPoints(torch.randn(16, 3))
    loader = DataLoader(dataset, batch_size=4, num_workers=1, prefetch_factor=2, persistent_workers=persistent)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 if persistent else 0.05)
    steps = 0
    last_loss = None
    for epoch in range(3):
        for x, seen in loader:
            told = {"worker_epoch": epoch, "seen": sorted(set(seen.tolist()))}
            lr = optimizer.param_groups[0]["lr"]
            probe("draw", steps=steps, stage="train", epoch=epoch, iter=steps, lr=lr, loss=last_loss, **told)
            loss = model(x).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            last_loss = loss.item()
            probe("step", steps=steps, stage="train", epoch=epoch, iter=steps - 1, lr=lr, loss=last_loss)
        print(f"persistent {persistent} epoch {epoch}: {last_loss:.4f}")
    probe("end", steps=steps, stage=None, epoch=3, iter=steps, lr=[lr, None], loss=[last_loss, None])


if __name__ == "__main__":
    train(persistent=False)
    train(persistent=True)
