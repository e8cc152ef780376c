# /// script
# dependencies = ["scvi-tools==1.4.2", "torch==2.13.0"]
# ///
"""The SCVI model of scvi-tools, which trains in its subclass of Lightning's Trainer."""

import anndata
import numpy as np
import scvi
from compare import MODE, Comparison
from lightning.pytorch.callbacks import Callback

comparison = Comparison(iterations_per_epoch=3)


class Count(Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        comparison.finished(outputs["loss"])


scvi.settings.seed = 0
numbers = np.random.default_rng(0)
data = anndata.AnnData(numbers.poisson(3, (90, 20)).astype("float32"))
scvi.model.SCVI.setup_anndata(data)
model = scvi.model.SCVI(data, n_hidden=8, n_latent=2)


comparison.ask_before_forward(model.module, lambda: [1e-3])  # the rate of SCVI where none is given
callbacks = [Count()]
if MODE == "attached":
    from runtimeinfo_adapters.lightning import RuntimeInfoCallback

    callbacks = [RuntimeInfoCallback(), *callbacks]
model.train(max_epochs=2, batch_size=30, train_size=1.0, callbacks=callbacks, enable_progress_bar=False)
