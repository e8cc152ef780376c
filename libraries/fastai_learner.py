# /// script
# dependencies = ["fastai==2.8.12", "torch==2.13.0"]
# ///
"""A Learner of fastai, with the one-cycle schedule and a validation after each epoch. It has no adapter."""

import torch
from compare import Comparison
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import Learner  # with the schedules
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader

comparison = Comparison(iterations_per_epoch=5)


class Count(Callback):
    def before_batch(self):
        if self.training:
            comparison.ask([each["lr"] for each in self.opt.hypers])

    def after_batch(self):
        if self.training:
            comparison.finished(self.loss.detach())


torch.manual_seed(0)
items = [(torch.randn(4), torch.randn(1)) for _ in range(20)]
loaders = DataLoaders(DataLoader(items, bs=4, shuffle=True), DataLoader(items[:8], bs=4))
learner = Learner(loaders, torch.nn.Linear(4, 1), loss_func=torch.nn.functional.mse_loss, cbs=[Count()])
learner.remove_cb(ProgressCallback)
learner.fit_one_cycle(2)
