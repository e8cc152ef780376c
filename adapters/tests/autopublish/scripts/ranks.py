"""A training on several ranks, each of which draws its part of the data: start it by torchrun."""

import os

import torch
import torch.distributed as dist
from probe import probe
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

torch.manual_seed(21)
torch.set_num_threads(1)
dist.init_process_group("gloo")
if "PROBE_FILE" in os.environ:
    os.environ["PROBE_FILE"] += f".{dist.get_rank()}"

dataset = TensorDataset(torch.randn(24, 3), torch.randn(24, 1))
sampler = DistributedSampler(dataset)
loader = DataLoader(dataset, batch_size=4, sampler=sampler)
model = DistributedDataParallel(nn.Linear(3, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

steps = 0
last_loss = None
for epoch in range(2):
    sampler.set_epoch(epoch)
    for x, y in loader:
        probe("draw", steps=steps, stage="train", epoch=epoch, iter=steps, lr=0.1, loss=last_loss)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        steps += 1
        last_loss = loss.item()
        probe("step", steps=steps, stage="train", epoch=epoch, iter=steps - 1, lr=0.1, loss=last_loss)
print(f"rank {dist.get_rank()} done")
dist.destroy_process_group()
