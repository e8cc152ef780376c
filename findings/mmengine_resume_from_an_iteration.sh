#!/usr/bin/env bash
# mmengine 0.10.7: a training by epochs that resumes from a checkpoint made inside an epoch trains beyond its max_iters.
#
# Guess before: it goes on with the batches that are left of the epoch, or at least ends at `max_iters`.
# Seen: the epoch begins again with its first batch, while `runner.iter` goes on from the checkpoint. With 4 batches an
# epoch and 3 epochs, a checkpoint at iteration 6 gives epochs of 4 batches from there: the training ends at iteration
# 14 of 12, two batches of that epoch are trained on twice, and a schedule by iterations is ahead of the epochs.
# Met by: `CheckpointHook(by_epoch=False)` under an `EpochBasedTrainLoop`; progress bars and schedules by max_iters.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 mmengine==0.10.7 setuptools==80.9.0
cat > "$folder/finding.py" <<'PYTHON'
import functools
import logging
import sys
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
import mmengine
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner

torch.load = functools.partial(torch.load, weights_only=False)  # its checkpoints hold more than weights
seen = []


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode="loss"):
        return {"loss": self.layer(inputs).square().mean()}

    def train_step(self, data, optim_wrapper):
        loss, logged = self.parse_losses(self(data))
        optim_wrapper.update_params(loss)
        return logged


class Note(Hook):
    def __init__(self, stop_at=None):
        self.stop_at = stop_at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        seen.append((runner.epoch, runner.iter, batch_idx))
        if runner.iter == self.stop_at:
            raise RuntimeError("stopped")


def train(name, stop_at=None, resume=False):
    runner = Runner(
        Net(),
        work_dir=sys.argv[1],
        experiment_name=name,
        train_dataloader=torch.utils.data.DataLoader(torch.ones(8, 1), batch_size=2),
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        train_cfg={"by_epoch": True, "max_epochs": 3},
        default_hooks={"checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": 1}, "logger": None},
        custom_hooks=[Note(stop_at)],
        resume=resume,
    )
    try:
        runner.train()
    except RuntimeError as error:
        assert str(error) == "stopped"
    return runner


train("first", stop_at=6)
before = len(seen)
runner = train("second", resume=True)
print(f"mmengine {mmengine.__version__}: (epoch, iter, batch) of the resumed training: {seen[before:]}")
print(f"it ended at iter {runner.iter} of {runner.max_iters}")
assert mmengine.__version__ == "0.10.7"
assert seen[before] == (1, 6, 0)
assert (runner.iter, runner.max_iters) == (14, 12)
PYTHON
"$folder/env/bin/python" "$folder/finding.py" "$folder/run"
