#!/usr/bin/env bash
# torchao 0.18.0 with torch 2.13.0: a learning rate that was read from an optimizer of torchao changes later.
#
# Guess before: `optimizer.param_groups[0]["lr"]` is a number, as it is where the learning rate was given as one, and a
# list of the rates that is kept in the loop shows the schedule.
# Seen: torchao turns the number into a tensor, and schedulers fill that tensor in place. Each read gives the same
# object, so that all entries of the list are the rate of the end. What `scheduler.get_last_lr()` gives is copied, and
# keeps its value. A number that user code assigns, as in a warm-up by hand, makes the next `step()` raise a
# RuntimeError.
# Met by: trackers and histories that keep the value until they write it, or pass it to another thread.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 torchao==0.18.0
cat > "$folder/finding.py" <<'PYTHON'
import os
import warnings

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # to compile a step for four numbers needs a C++ compiler
warnings.simplefilter("ignore")
from importlib.metadata import version

import torch
from torchao.optim import AdamW8bit


def train(make):
    parameter = torch.nn.Parameter(torch.ones(4))
    optimizer = make([parameter], lr=0.5)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    from_groups, from_scheduler = [], []
    for _ in range(4):
        from_groups.append(optimizer.param_groups[0]["lr"])
        from_scheduler.append(scheduler.get_last_lr()[0])
        parameter.grad = torch.ones(4)
        optimizer.step()
        scheduler.step()
    optimizer.param_groups[0]["lr"] = 0.5
    try:
        optimizer.step()
        assigned = "works"
    except RuntimeError as error:
        assigned = f"RuntimeError: {error}"
    return [float(rate) for rate in from_groups], [float(rate) for rate in from_scheduler], assigned


print(f"torchao {version('torchao')}, torch {torch.__version__}: the rates noted at the 4 steps")
seen = {make.__name__: train(make) for make in (torch.optim.AdamW, AdamW8bit)}
for name, (from_groups, from_scheduler, assigned) in seen.items():
    print(f"{name}: from param_groups {from_groups}, from get_last_lr() {from_scheduler}")
    print(f"  after an assignment of 0.5: {assigned}")
halved = [0.5, 0.25, 0.125, 0.0625]
assert version("torchao") == "0.18.0"
assert torch.__version__.startswith("2.13.0")
assert seen["AdamW"] == (halved, halved, "works")
assert seen["AdamW8bit"][:2] == ([0.03125] * 4, halved)
assert seen["AdamW8bit"][2].startswith("RuntimeError: lr was changed to a non-Tensor object")
PYTHON
"$folder/env/bin/python" "$folder/finding.py" 2>/dev/null
