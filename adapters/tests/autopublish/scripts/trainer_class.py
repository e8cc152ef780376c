"""A trainer with callbacks: gradient clipping, a moving average of the weights, and validations in mid-epoch."""

import torch
from probe import probe
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset


class Callback:
    def on_batch_begin(self, trainer): ...
    def on_backward_end(self, trainer): ...
    def on_step_end(self, trainer): ...
    def on_batch_end(self, trainer): ...
    def on_epoch_end(self, trainer): ...


class ClipGradients(Callback):
    def on_backward_end(self, trainer):
        nn.utils.clip_grad_norm_(trainer.model.parameters(), 0.5)


class MovingAverage(Callback):
    def __init__(self, model):
        self.averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))

    def on_step_end(self, trainer):
        self.averaged.update_parameters(trainer.model)


class Schedule(Callback):
    def on_batch_end(self, trainer):
        trainer.scheduler.step()


class Validate(Callback):
    def __init__(self, loader, every, average):
        self.loader, self.every, self.average = loader, every, average

    def on_batch_end(self, trainer):
        if trainer.steps % self.every == 0:
            self.average.averaged.eval()
            print(f"step {trainer.steps}: val {trainer.evaluate(self.average.averaged, self.loader):.4f}")


class Probe(Callback):
    def on_batch_begin(self, trainer):
        trainer.lr = trainer.optimizer.param_groups[0]["lr"]
        self.probe("draw", trainer, trainer.steps)

    def on_step_end(self, trainer):
        self.probe("step", trainer, trainer.steps - 1)

    def probe(self, place, trainer, done):
        counts = {"steps": trainer.steps, "stage": "train", "epoch": trainer.epoch, "iter": done}
        probe(place, **counts, lr=[trainer.lr, trainer.lr / 10], main_lr=trainer.lr, loss=trainer.last_loss)


class Trainer:
    def __init__(self, model, optimizer, scheduler, callbacks):
        self.model, self.optimizer, self.scheduler, self.callbacks = model, optimizer, scheduler, callbacks
        self.epoch = self.steps = 0
        self.last_loss = None

    def call(self, event):
        for callback in self.callbacks:
            getattr(callback, event)(self)

    def fit(self, loader, epochs):
        for self.epoch in range(epochs):
            self.model.train()
            for self.batch in loader:
                self.train_batch()
            self.call("on_epoch_end")

    def train_batch(self):
        self.call("on_batch_begin")
        x, y = self.batch
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        self.call("on_backward_end")
        self.optimizer.step()
        self.last_loss = loss.item()
        self.steps += 1
        self.call("on_step_end")
        self.call("on_batch_end")

    @torch.inference_mode()
    def evaluate(self, model, loader):
        losses = []
        for x, y in loader:
            # A validation in mid-epoch: the iteration that calls it is not finished.
            counts = {"steps": self.steps, "stage": ["val", None], "epoch": self.epoch, "iter": self.steps - 1}
            probe("val", **counts, lr=[self.lr, self.lr / 10], main_lr=self.lr, loss=self.last_loss)
            losses.append(nn.functional.cross_entropy(model(x), y).item())
        return sum(losses) / len(losses)


def main():
    torch.manual_seed(12)
    torch.set_num_threads(1)
    train_loader = DataLoader(TensorDataset(torch.randn(24, 4), torch.randint(0, 3, (24,))), 4, shuffle=True)
    val_loader = DataLoader(TensorDataset(torch.randn(8, 4), torch.randint(0, 3, (8,))), 4)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.ReLU(), nn.Linear(8, 3))
    groups = [{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 0.005}]
    optimizer = torch.optim.AdamW(groups, lr=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)
    average = MovingAverage(model)
    callbacks = [Probe(), ClipGradients(), average, Validate(val_loader, 4, average), Schedule()]
    trainer = Trainer(model, optimizer, scheduler, callbacks)
    trainer.fit(train_loader, epochs=3)
    rates = [trainer.lr, trainer.lr / 10, None]
    counts = {"steps": trainer.steps, "stage": None, "epoch": 3, "iter": trainer.steps}
    probe("end", **counts, lr=rates, loss=[trainer.last_loss, None])


if __name__ == "__main__":
    main()
