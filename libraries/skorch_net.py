# /// script
# dependencies = ["skorch==1.4.0", "torch==2.13.0"]
# ///
"""A NeuralNetRegressor of skorch, with its usual split for the validation. It has no adapter."""

import numpy as np
import torch
from compare import Comparison
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback

comparison = Comparison(iterations_per_epoch=4)


class Count(Callback):
    def on_batch_begin(self, net, batch=None, training=None, **_):
        if training:
            comparison.ask([each["lr"] for each in net.optimizer_.param_groups])

    def on_batch_end(self, net, batch=None, training=None, loss=None, **_):
        if training:
            comparison.finished(loss.detach())


torch.manual_seed(0)
numbers = np.random.default_rng(0)
net = NeuralNetRegressor(
    torch.nn.Linear(4, 1), max_epochs=3, batch_size=8, lr=0.05, callbacks=[("count", Count())], verbose=0
)
net.fit(numbers.normal(size=(40, 4)).astype("float32"), numbers.normal(size=(40, 1)).astype("float32"))
