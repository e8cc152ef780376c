"""Batches from a function, the rate set in the body, and several backwards for a step, as in nanoGPT."""

import math

import torch
from probe import probe
from torch import nn

torch.manual_seed(17)
torch.set_num_threads(1)

STEPS, WARMUP, MICRO_STEPS = 10, 3, 2
data = torch.randint(0, 11, (200,))


def get_batch():
    starts = torch.randint(len(data) - 9, (4,))
    x = torch.stack([data[i : i + 8] for i in starts])
    y = torch.stack([data[i + 1 : i + 9] for i in starts])
    return x, y


def get_lr(step):
    if step < WARMUP:
        return 0.01 * (step + 1) / WARMUP
    return 0.001 + 0.0045 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


model = nn.Sequential(nn.Embedding(11, 8), nn.Linear(8, 11))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

x, y = get_batch()
last_lr = None
for step in range(STEPS):
    lr = get_lr(step)
    for group in optimizer.param_groups:
        group["lr"] = lr
    start_lr = [lr, last_lr, None] if step else [lr, None]
    probe("start", steps=step, stage=["train", None], epoch=None, iter=step, lr=start_lr)
    for _ in range(MICRO_STEPS):
        loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten()) / MICRO_STEPS
        x, y = get_batch()  # the next batch is on its way while this one is trained on
        loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    count = [step, step + 1]  # without a loader, an iteration is finished with its step
    probe("step", steps=step + 1, stage=["train", None], epoch=None, iter=count, lr=lr)
    last_lr = lr
    print(f"step {step}: loss {loss.item() * MICRO_STEPS:.4f}, lr {lr:.5f}")

probe("end", steps=STEPS, epoch=None, iter=[STEPS - 1, STEPS, None], lr=[lr, None])
