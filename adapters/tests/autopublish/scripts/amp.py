"""Mixed precision with a GradScaler, which skips the step of a batch whose scaled gradient overflows."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(4)
torch.set_num_threads(1)

inputs = torch.randn(24, 3)
targets = torch.randn(24, 1)
inputs[9] = 1e18  # the loss is finite, and the scaled gradient is not
loader = DataLoader(TensorDataset(inputs, targets), batch_size=4)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
scaler = torch.amp.GradScaler("cpu")

steps = 0
batches = 0
skipped = 0
last_loss = None
for epoch in range(3):
    for x, y in loader:
        lr = optimizer.param_groups[0]["lr"]
        # The loss of a skipped step is that of the last backward, whatever became of the step.
        drawn_loss = [last_loss, None] if skipped else last_loss
        probe("draw", steps=steps, stage="train", epoch=epoch, iter=batches, lr=lr, loss=drawn_loss)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            prediction = model(x)
        loss = nn.functional.mse_loss(prediction.float(), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scale = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        if scaler.get_scale() < scale:
            skipped += 1
            loss_now = [last_loss, loss.item(), None]
        else:
            steps += 1
            loss_now = loss.item()
        last_loss = loss.item()
        probe("step", steps=steps, stage="train", epoch=epoch, iter=batches, lr=lr, loss=loss_now)
        batches += 1
    scheduler.step()
    print(f"epoch {epoch}: {steps} steps, {skipped} skipped, loss {last_loss:.4g}, scale {scaler.get_scale():g}")

probe("end", steps=steps, stage=None, epoch=3, iter=batches, lr=[lr, None], loss=[last_loss, None])
