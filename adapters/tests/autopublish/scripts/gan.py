"""Two optimizers in turn over one loader, as in PyTorch's DCGAN example."""

import torch
from probe import probe
from torch import nn
from torch.utils.data import DataLoader

torch.manual_seed(5)
torch.set_num_threads(1)

loader = DataLoader(torch.randn(24, 2), batch_size=4, shuffle=True)
generator = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
discriminator = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
criterion = nn.BCEWithLogitsLoss()
optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=0.004, betas=(0.5, 0.999))
optimizer_g = torch.optim.Adam(generator.parameters(), lr=0.001, betas=(0.5, 0.999))
schedule_d = torch.optim.lr_scheduler.ExponentialLR(optimizer_d, 0.7)
schedule_g = torch.optim.lr_scheduler.ExponentialLR(optimizer_g, 0.6)

batches = 0
last_loss = None
for epoch in range(3):
    for real in loader:
        rates = [optimizer_d.param_groups[0]["lr"], optimizer_g.param_groups[0]["lr"]]
        probe("draw", steps=2 * batches, stage="train", epoch=epoch, iter=batches, lr=rates, loss=last_loss)

        discriminator.zero_grad()
        loss_real = criterion(discriminator(real), torch.ones(len(real), 1))
        loss_real.backward()
        fake = generator(torch.randn(len(real), 3))
        loss_fake = criterion(discriminator(fake.detach()), torch.zeros(len(real), 1))
        loss_fake.backward()
        optimizer_d.step()
        step = {"stage": "train", "epoch": epoch, "iter": batches, "lr": rates}
        probe("step of the discriminator", steps=2 * batches + 1, **step, loss=loss_fake.item())

        generator.zero_grad()
        loss_g = criterion(discriminator(fake), torch.ones(len(real), 1))
        loss_g.backward()
        optimizer_g.step()
        last_loss = loss_g.item()
        probe("step", steps=2 * batches + 2, **step, loss=last_loss)
        batches += 1
    schedule_d.step()
    schedule_g.step()
    print(f"epoch {epoch}: D {loss_real.item() + loss_fake.item():.4f} G {last_loss:.4f}")

rates = [*rates, None]
probe("end", steps=2 * batches, stage=None, epoch=3, iter=batches, lr=rates, loss=[last_loss, None])
