# /// script
# dependencies = ["darts==0.48.1", "lightning==2.6.6", "torch==2.13.0"]
# ///
"""NBEATS of Darts, which trains in a Trainer of pytorch-lightning and is fitted twice."""

import numpy as np
from compare import MODE, Comparison
from darts import TimeSeries
from darts.models import NBEATSModel
from pytorch_lightning.callbacks import Callback

comparison = Comparison(iterations_per_epoch=4)


class Count(Callback):
    def on_train_start(self, trainer, module):
        comparison.begin()
        if not module._forward_pre_hooks:  # the second fit trains the same module
            comparison.ask_before_forward(
                module, lambda: [each["lr"] for each in self.trainer.optimizers[0].param_groups]
            )
        self.trainer = trainer

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        comparison.finished(outputs["loss"])


callbacks = [Count()]
if MODE == "attached":
    from runtimeinfo_adapters.lightning import RuntimeInfoCallback

    callbacks = [RuntimeInfoCallback(), *callbacks]
model = NBEATSModel(
    input_chunk_length=8,
    output_chunk_length=4,
    n_epochs=2,
    batch_size=8,
    num_stacks=1,
    num_blocks=1,
    num_layers=1,
    layer_widths=8,
    random_state=0,
    pl_trainer_kwargs={"callbacks": callbacks, "accelerator": "cpu", "enable_progress_bar": False},
)
series = TimeSeries.from_values(np.random.default_rng(0).normal(size=43).astype("float32"))
model.fit(series)
model.fit(series)
