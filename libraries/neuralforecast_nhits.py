# /// script
# dependencies = ["neuralforecast==3.3.0", "lightning==2.6.6", "torch==2.13.0"]
# ///
"""NHITS of NeuralForecast, which trains by steps in a Trainer of pytorch-lightning, with copies of the callbacks."""

import numpy as np
import pandas as pd
from compare import MODE, Comparison
from neuralforecast import NeuralForecast
from neuralforecast.models import NHITS
from pytorch_lightning.callbacks import Callback

comparison = Comparison()


class Count(Callback):
    def on_train_start(self, trainer, module):
        comparison.ask_before_forward(module, lambda: [each["lr"] for each in trainer.optimizers[0].param_groups])

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        comparison.finished(outputs["loss"])

    def __deepcopy__(self, memo):
        return self


numbers = np.random.default_rng(0)
frame = pd.concat(
    pd.DataFrame({"unique_id": name, "ds": np.arange(60), "y": numbers.normal(size=60).cumsum()})
    for name in ("a", "b", "c")
)
callbacks = [Count()]
if MODE == "attached":
    from runtimeinfo_adapters.lightning import RuntimeInfoCallback

    callbacks = [RuntimeInfoCallback(), *callbacks]
model = NHITS(
    h=4,
    input_size=8,
    max_steps=12,
    batch_size=2,
    windows_batch_size=8,
    mlp_units=[[8, 8]] * 3,
    callbacks=callbacks,
    enable_progress_bar=False,
    accelerator="cpu",
)
NeuralForecast(models=[model], freq=1).fit(frame)
