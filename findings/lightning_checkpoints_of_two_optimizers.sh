#!/usr/bin/env bash
# Lightning 2.6.6: with two optimizers `every_n_train_steps=4` saves every second batch, and 3 every third.
#
# Guess before: `ModelCheckpoint(every_n_train_steps=n)` saves every n batches, or every n optimizer steps, whatever n
# is.
# Seen: it looks once a batch whether `trainer.global_step` is a multiple of n, and with two optimizers that step grows
# by 2 a batch. So an odd n means n batches, and an even one n / 2: of 24 batches 3 saves every third, 4 every second, 5
# every fifth, and 6 every third. With three optimizers 2 saves every second batch, and 3 every batch.
# Met by: GANs and other trainings with several optimizers, whose checkpoints are planned by disk space or by time.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 lightning==2.6.6
cat > "$folder/finding.py" <<'PYTHON'
import logging
import os
import sys
import warnings

warnings.simplefilter("ignore")
import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Net(lightning.LightningModule):
    def __init__(self, optimizers):
        super().__init__()
        self.automatic_optimization = False
        self.layers = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(optimizers))

    def configure_optimizers(self):
        return [torch.optim.SGD(layer.parameters(), 0.1) for layer in self.layers]

    def training_step(self, batch, batch_idx):
        for layer, optimizer in zip(self.layers, self.optimizers(), strict=True):
            optimizer.zero_grad()
            self.manual_backward(layer(batch).mean())
            optimizer.step()


class Note(Callback):
    def __init__(self):
        self.batches = []

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        self.batches.append(trainer.fit_loop.total_batch_idx + 1)


def batches_at_which_it_saves(optimizers, every):
    note = Note()
    folder = os.path.join(sys.argv[1], f"{optimizers}-{every}")
    keep = ModelCheckpoint(folder, every_n_train_steps=every, save_top_k=-1)
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, callbacks=[keep, note], enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Net(optimizers), torch.utils.data.DataLoader(torch.ones(24, 1)))
    return note.batches


print(f"lightning {lightning.__version__}: of 24 batches, those after which a checkpoint is saved")
for optimizers, expected in ((2, {3: 3, 4: 2, 5: 5, 6: 3}), (3, {2: 2, 3: 1, 4: 4, 6: 2})):
    for every, distance in expected.items():
        batches = batches_at_which_it_saves(optimizers, every)
        print(f"{optimizers} optimizers, every_n_train_steps={every}: {batches}")
        assert batches == list(range(distance, 25, distance)), batches
assert lightning.__version__ == "2.6.6"
PYTHON
"$folder/env/bin/python" "$folder/finding.py" "$folder/checkpoints"
