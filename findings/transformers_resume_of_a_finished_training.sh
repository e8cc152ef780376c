#!/usr/bin/env bash
# Transformers 5.24.0: each resume of a training that has reached max_steps makes one optimizer step more.
#
# Guess before: `train(resume_from_checkpoint=True)` with the settings of a training that is finished makes no step, so
# that a job which is started again after its end changes nothing.
# Seen: the Trainer looks whether it has reached `max_steps` after a step only. In the middle of an epoch there is a
# batch left, so it takes a step first: 6 become 7, and the checkpoint of step 7 becomes 8.
# Met by: schedulers that restart a job until it exits with 0; an adapter that publishes the total, which then is passed.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 transformers==5.24.0 accelerate==1.15.0
cat > "$folder/finding.py" <<'PYTHON'
import os
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
import transformers
from transformers import Trainer, TrainingArguments


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x):
        return {"loss": self.layer(x).square().mean()}


made = []
for resume in (False, True, True):
    arguments = TrainingArguments(
        sys.argv[1],
        max_steps=6,
        per_device_train_batch_size=2,
        save_steps=1,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
    )
    trainer = Trainer(Net(), arguments, train_dataset=[{"x": torch.ones(2)}] * 8)
    trainer.train(resume_from_checkpoint=resume)
    made.append(trainer.state.global_step)

print(f"transformers {transformers.__version__}: max_steps=6, and after each train() global_step is {made}")
assert transformers.__version__ == "5.24.0"
assert made == [6, 7, 8]
PYTHON
"$folder/env/bin/python" "$folder/finding.py" "$folder/run"
