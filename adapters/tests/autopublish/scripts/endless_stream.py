"""A stream without an end, from which a number of batches is taken; its workers, batches and length are its own."""

from itertools import islice

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

torch.manual_seed(19)
torch.set_num_threads(1)


class Stream(IterableDataset):
    def __iter__(self):
        while True:
            x = torch.randn(3)
            yield x, x.sum()


loader = DataLoader(Stream(), batch_size=4)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=12)

last_loss = None
for step, (x, y) in enumerate(islice(loader, 12)):
    lr = scheduler.get_last_lr()[0]
    probe("draw", steps=step, stage="train", epoch=0, iter=step, lr=lr, loss=last_loss)
    loss = nn.functional.smooth_l1_loss(model(x).squeeze(1), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    last_loss = loss.item()
    probe("step", steps=step + 1, stage="train", epoch=0, iter=step, lr=lr, loss=last_loss)
    scheduler.step()

print(f"loss {last_loss:.4f}")
# `islice` lets go of the iterator; a stream of which a part was taken has been passed, or not.
probe("end", steps=12, stage=None, epoch=[0, 1, None], iter=[11, 12, None], lr=[lr, None], loss=[last_loss, None])
