#!/usr/bin/env bash
# Transformers 5.24.0: with gradient accumulation the batches left at a stream's end enlarge the first step of the next epoch.
#
# Expected: a stream (an `IterableDataset`) of 10 batches is trained as a map-style dataset of 10 is. With
# `gradient_accumulation_steps=4` each epoch makes 3 optimizer steps, of 4, 4 and 2 batches, whose gradients are averaged.
# Seen: the map-style dataset does that. The stream makes 2 steps an epoch. The last 2 batches are averaged among
# themselves, no step follows, and the gradient is neither used nor cleared: it is added to that of the next 4 batches.
# With a constant gradient of 1 and a learning rate of 1, every second step is 2 instead of 1, beginning with the third.
# The loss is constant, and `training_loss` counts the left batches twice as well. `max_grad_norm` hides the size of the
# step, not its cause. A stream that has a `__len__` is trained as the map-style dataset is.
# Met by: streams with `max_steps` and accumulation, where the number of batches is not a multiple of the accumulation.
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

BATCHES = [{"x": torch.ones(1)}] * 10


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(BATCHES)


class StreamWithLength(Stream):
    def __len__(self):
        return len(BATCHES)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):  # a loss of 1, whose gradient is 1
        return {"loss": (self.weight - self.weight.detach() + x).mean()}


class Note(transformers.TrainerCallback):
    def __init__(self):
        self.weights = [0.0]

    def on_step_end(self, args, state, control, model, **kwargs):
        self.weights.append(model.weight.item())


def train(dataset):
    arguments = transformers.TrainingArguments(
        sys.argv[1], max_steps=7, gradient_accumulation_steps=4, per_device_train_batch_size=1, optim="sgd",
        learning_rate=1.0, lr_scheduler_type="constant", max_grad_norm=0.0, logging_strategy="no", save_strategy="no",
        disable_tqdm=True, report_to=[], use_cpu=True,
    )
    note = Note()
    trainer = transformers.Trainer(Net(), arguments, train_dataset=dataset, callbacks=[note])
    with contextlib.redirect_stdout(io.StringIO()):
        loss = trainer.train().training_loss
    return [before - after for before, after in zip(note.weights, note.weights[1:])], loss


print(f"transformers {transformers.__version__}: the sizes of 7 optimizer steps, each of gradient 1, and training_loss")
seen = {}
for name, dataset in {"map-style": BATCHES, "stream": Stream(), "stream with a length": StreamWithLength()}.items():
    seen[name] = train(dataset)
    print(f"{name}: {seen[name][0]}, {seen[name][1]:.4f}")
assert transformers.__version__ == "5.24.0"
assert seen["map-style"] == seen["stream with a length"] == ([1.0] * 7, 1.0)
assert seen["stream"][0] == [1.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]
assert abs(seen["stream"][1] - 10 / 7) < 1e-6
PYTHON
"$folder/env/bin/python" "$folder/finding.py" "$folder/run"
