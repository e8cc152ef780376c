#!/usr/bin/env bash
# mmengine 0.10.7: a TypeError that a hook raises comes out of the training as another exception, without its traceback.
#
# Guess before: it comes out as it was raised, as every other exception of a hook does.
# Seen: `Runner.call_hook` raises a new TypeError `from None`. Its traceback ends in mmengine, so that no line of the hook
# shows, not even as the context; a subclass becomes a plain TypeError, and its attributes are lost. A ValueError of the
# same hook comes out as it is. So user code cannot catch its own exception, nor tell it from a hook with a wrong
# signature.
# Met by: mistakes inside a hook, such as `None + 1`; exceptions of libraries that inherit from TypeError.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 mmengine==0.10.7 setuptools==80.9.0
cat > "$folder/finding.py" <<'PYTHON'
import logging
import sys
import tempfile
import traceback
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
import mmengine
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner


class UnitError(TypeError):
    def __init__(self, unit):
        super().__init__(f"a loss has no unit {unit}")
        self.unit = unit


class ShapeError(ValueError):
    pass


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


class Check(Hook):
    def __init__(self, error):
        self.error = error

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        raise self.error


def raised_by_training(error):
    runner = Runner(
        Net(),
        work_dir=tempfile.mkdtemp(),
        train_dataloader=torch.utils.data.DataLoader(torch.ones(2, 1)),
        train_cfg={"by_epoch": True, "max_epochs": 1},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        custom_hooks=[Check(error)],
        default_scope="mmengine",
        experiment_name=type(error).__name__,
    )
    try:
        runner.train()
    except Exception as caught:
        return caught


print("mmengine", mmengine.__version__, "torch", torch.__version__.split("+")[0], "Python", sys.version.split()[0])
unit, shape = UnitError("m"), ShapeError("two of three")
caught, other = raised_by_training(unit), raised_by_training(shape)
lines = "".join(traceback.format_exception(caught))
print("of the ValueError the very exception comes out:", other is shape)
print("of the TypeError the very exception comes out:", caught is unit)
print("it is a", type(caught).__name__, "with the attribute:", hasattr(caught, "unit"))
print("its traceback has a line of the hook:", "in after_train_iter" in lines)
print("the context is suppressed:", caught.__suppress_context__ and caught.__cause__ is None)
seen = (other is shape, caught is unit, type(caught) is TypeError, "in after_train_iter" in lines)
sys.exit(0 if seen == (True, False, True, False) else 1)
PYTHON
cd "$folder"
"$folder/env/bin/python" finding.py
