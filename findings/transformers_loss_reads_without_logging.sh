#!/usr/bin/env bash
# Transformers 5.24.0 with torch 2.13.0: a Trainer that logs nothing reads the loss from the device twice in each step.
#
# Guess before: with `logging_strategy="no"` a training step reads nothing back from the device, and an option that is
# named for logging has no effect.
# Seen: `logging_nan_inf_filter` is on by default, and works whether anything is logged or not. For each batch the
# Trainer evaluates `torch.isnan(loss) or torch.isinf(loss)` in Python: two reads of a tensor, each of which waits for
# the device where that is a GPU. With `logging_nan_inf_filter=False` there are none. With gradient accumulation they
# come with each batch, not with each optimizer step. The counts here are of the operation behind `bool(tensor)`, and
# are made on the CPU.
# Met by: trainings of small models on a fast GPU, whose logging was turned off to make the loop run ahead.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 transformers==5.24.0 accelerate==1.15.0
cat > "$folder/finding.py" <<'PYTHON'
import contextlib
import io
import os
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode


class Reads(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        # What bool(), float() and item() of a tensor call.
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*arguments, **(options or {}))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.on_forward = None

    def forward(self, x):
        self.on_forward()
        return {"loss": self.layer(x).square().mean()}


def reads_between_batches(**options):
    arguments = transformers.TrainingArguments(
        sys.argv[1], num_train_epochs=1, per_device_train_batch_size=1, optim="sgd", logging_strategy="no",
        save_strategy="no", disable_tqdm=True, report_to=[], use_cpu=True, **options,
    )
    model, counts = Net(), []
    trainer = transformers.Trainer(model, arguments, train_dataset=[{"x": torch.ones(2)}] * 8)
    with Reads() as reads, contextlib.redirect_stdout(io.StringIO()):
        model.on_forward = lambda: counts.append(reads.count)
        trainer.train()
    return [after - before for before, after in zip(counts, counts[1:])]


by_default = reads_between_batches()
accumulating = reads_between_batches(gradient_accumulation_steps=4)
unfiltered = reads_between_batches(logging_nan_inf_filter=False)
print(f'transformers {transformers.__version__}, torch {torch.__version__}, logging_strategy="no"')
print(f"reads from the device from one batch to the next: {by_default}")
print(f"with gradient_accumulation_steps=4: {accumulating}")
print(f"with logging_nan_inf_filter=False: {unfiltered}")
assert transformers.__version__ == "5.24.0"
assert torch.__version__.startswith("2.13.0")
assert by_default == accumulating == [2] * 7
assert unfiltered == [0] * 7
PYTHON
"$folder/env/bin/python" -W ignore "$folder/finding.py" "$folder/run"
