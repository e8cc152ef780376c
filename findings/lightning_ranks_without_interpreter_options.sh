#!/usr/bin/env bash
# Lightning 2.6.6: of the ranks that its launcher starts, only the first one has the options of the interpreter.
#
# Expected: `python -O -X utf8 train.py` with two devices trains with `-O` and UTF-8 mode on both ranks: the launcher
# runs the same command once more.
# Seen: it runs the interpreter with the script and its arguments alone. Rank 0 runs no assertion and is in UTF-8 mode;
# rank 1 runs them and is not. An assertion that fails ends some ranks only, and `-W error` or `-X importtime` hold for
# one of them.
# Met by: users who start DDP with options, or measure or debug the ranks with them. The environment
# (PYTHONOPTIMIZE, PYTHONUTF8, PYTHONWARNINGS) reaches all ranks.
#
# It needs Python 3.11 and a package index, and the CPU build of PyTorch where one is offered. It fails if the behaviour
# changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 lightning==2.6.6
cat > "$folder/train.py" <<'PYTHON'
import sys

import lightning
import torch
from torch.utils.data import DataLoader


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, index):
        return self.layer(batch).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

    def on_train_end(self):
        line = f"rank {self.global_rank}: -O {sys.flags.optimize}, assertions {__debug__}, UTF-8 {sys.flags.utf8_mode}"
        print(line, flush=True)


quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", **quiet)
trainer.fit(Model(), DataLoader(torch.randn(8, 2), batch_size=2))
PYTHON
cd "$folder"
env -u PYTHONOPTIMIZE PYTHONUTF8=0 OMP_NUM_THREADS=1 env/bin/python -O -X utf8 train.py 2> errors > output || { cat errors; exit 1; }
grep "^rank" output | sort
grep -qx "rank 0: -O 1, assertions False, UTF-8 1" output
grep -qx "rank 1: -O 0, assertions True, UTF-8 0" output
