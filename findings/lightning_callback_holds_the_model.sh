#!/usr/bin/env bash
# Lightning 2.6.6: after a fit every callback holds the model, so that to pickle or copy a callback pickles or copies it.
#
# Guess before: a callback without attributes of its own is a few bytes when pickled, before and after a fit, and does not
# keep a model alive.
# Seen: Lightning sets `log` and `log_dict` on each callback to bound methods of the module, and never takes them back.
# A pickled empty callback grows from some 40 bytes to the size of the model, a deep copy copies the model, and as long as the
# callback lives the model lives, also when trainer and model are deleted and the garbage is collected.
# Met by: callbacks that are kept for their results after a search over many models; callbacks copied for each fold.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 lightning==2.6.6
cat > "$folder/finding.py" <<'PYTHON'
import gc
import logging
import pickle
import weakref

import lightning.pytorch as pl
import torch

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1000, 1000)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Empty(pl.Callback):
    pass


callback, model = Empty(), Model()
before = len(pickle.dumps(callback))
trainer = pl.Trainer(
    max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, callbacks=[callback],
)
trainer.fit(model, torch.utils.data.DataLoader(torch.ones(2, 1000)))
after, attributes, alive = len(pickle.dumps(callback)), sorted(vars(callback)), weakref.ref(model)
del model, trainer
gc.collect()

print(f"lightning {pl.__version__}, torch {torch.__version__}")
print(f"attributes of an empty callback after a fit: {attributes}")
print(f"pickled: {before} bytes before, {after:,} after; the model's weights are {4 * (1000 * 1000 + 1000):,}")
print(f"model alive once it and its trainer are deleted: {alive() is not None}")
assert pl.__version__ == "2.6.6"
assert attributes == ["log", "log_dict"]
assert before < 100 and after > 4_000_000
assert alive() is not None
PYTHON
"$folder/env/bin/python" -W ignore "$folder/finding.py"
