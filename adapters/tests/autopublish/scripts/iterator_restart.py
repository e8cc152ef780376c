"""A number of iterations over an iterator that is made again when it is exhausted, as in detectron2."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(1)
torch.set_num_threads(1)

MAX_ITER = 17

loader = DataLoader(TensorDataset(torch.randn(20, 3), torch.randint(0, 2, (20,))), batch_size=4, shuffle=True)
model = nn.Linear(3, 2)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda it: min(1.0, (it + 1) / 6))

data_iter = iter(loader)
passes = 0
last_loss = None
for iteration in range(MAX_ITER):
    try:
        inputs, targets = next(data_iter)
    except StopIteration:
        passes += 1
        data_iter = iter(loader)
        inputs, targets = next(data_iter)
    lr = scheduler.get_last_lr()[0]
    probe("draw", steps=iteration, stage="train", epoch=passes, iter=iteration, lr=lr, loss=last_loss)

    loss = nn.functional.cross_entropy(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    last_loss = loss.item()
    probe("step", steps=iteration + 1, stage="train", epoch=passes, iter=iteration, lr=lr, loss=last_loss)
    scheduler.step()
    if (iteration + 1) % 5 == 0:
        print(f"iter {iteration + 1}/{MAX_ITER} loss {last_loss:.4f} lr {lr:.5f}")

# The iterator still lives: no caller can know that no batch will be drawn from it again.
done = [MAX_ITER - 1, MAX_ITER, None]
probe("end", steps=MAX_ITER, epoch=[passes, None], iter=done, lr=[lr, None], loss=[last_loss, None])
