#!/usr/bin/env bash
# Transformers 5.24.0 with Accelerate 1.15.0: a deep copy of a Trainer that has trained goes through the motions of a
# training, and its model does not move.
#
# Guess before: `copy.deepcopy(trainer)` trains its own copy of the model, whether the trainer has trained or not; if a
# copy were broken, `train()` would raise.
# Seen: the copy of a fresh trainer does train. The copy of a trained one makes all its steps, counts them in
# `state.global_step`, returns a loss, and leaves every weight of its model as it was; the original does not move either.
# The original itself trains on when `train()` is called a second time, so it is the copy.
# Met by: folds, warm starts and searches that copy a trainer between two stages.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 transformers==5.24.0 accelerate==1.15.0
cat > "$folder/finding.py" <<'PYTHON'
import contextlib
import copy
import io
import os
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import accelerate
import torch
import transformers


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x):
        return {"loss": self.layer(x).square().mean()}


arguments = transformers.TrainingArguments(
    tempfile.mkdtemp(), report_to=[], use_cpu=True, num_train_epochs=1, per_device_train_batch_size=2,
    disable_tqdm=True, save_strategy="no", learning_rate=0.5,
)


def moved(trainer):
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train()
    return any(not torch.equal(old, new) for old, new in zip(before, trainer.model.parameters(), strict=True))


original = transformers.Trainer(Net(), arguments, train_dataset=[{"x": torch.ones(2)}] * 8)
fresh_copy = copy.deepcopy(original)
seen = {"copy of a fresh trainer": moved(fresh_copy), "original": moved(original)}
trained_copy = copy.deepcopy(original)
seen["copy of a trained trainer"] = moved(trained_copy)
seen["original, trained again"] = moved(original)

print(f"transformers {transformers.__version__}, accelerate {accelerate.__version__}, torch {torch.__version__}")
for name, has_moved in seen.items():
    print(f"{name}: {'weights changed' if has_moved else 'weights as before'}")
print(f"steps that the copy of the trained trainer has counted: {trained_copy.state.global_step}")
assert seen == {
    "copy of a fresh trainer": True,
    "original": True,
    "copy of a trained trainer": False,
    "original, trained again": True,
}
assert trained_copy.state.global_step == 4
PYTHON
"$folder/env/bin/python" -W ignore "$folder/finding.py"
