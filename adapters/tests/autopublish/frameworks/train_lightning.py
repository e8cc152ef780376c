"""Train with Lightning, under the package name that is given, and end as it is said: `end`, `fail` or `interrupt`."""

from __future__ import annotations

import gc
import importlib
import logging
import sys
import tempfile
import warnings
import weakref
from typing import Any

import torch
from compare import compare
from torch.utils.data import DataLoader

package: Any = importlib.import_module(sys.argv[1])
how = sys.argv[2]
logging.getLogger(sys.argv[1]).setLevel(logging.ERROR)
warnings.filterwarnings("ignore")
folder = tempfile.mkdtemp()


class Module(package.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.losses: list[float] = []
        self.epochs = self.before = 0
        self.fails_at: int | None = None

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        done = len(self.losses)
        # Read from the optimizer, and not from a schedule: this is the rate of the step.
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        compare("train", stage="train", epoch=self.epochs, iter=self.before + done, lr=lr, losses=self.losses)
        if done == self.fails_at:
            raise KeyboardInterrupt if how == "interrupt" else ValueError("the data is broken")
        loss = self.layer(batch).square().mean()
        self.losses.append(round(float(loss), 5))
        return loss

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        if not self.trainer.sanity_checking:
            compare("val", stage="val", epoch=self.epochs, iter=len(self.losses))

    def test_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        compare("test", stage="test", epoch=self.epochs, iter=len(self.losses))

    def on_train_epoch_end(self) -> None:
        self.epochs += 1

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]


class Trainer(package.Trainer):
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        print("a trainer of a library fits")
        return super().fit(*args, **kwargs)


def data(batches: int) -> Any:
    return DataLoader(torch.arange(4.0 * batches).reshape(-1, 2) / 10, batch_size=2)


def make(kind: Any = package.Trainer, **options: Any) -> Any:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return kind(accelerator="cpu", default_root_dir=folder, num_sanity_val_steps=1, **quiet, **options)


torch.manual_seed(0)
module = Module()
trainer = make(max_epochs=2)
trainer.fit(module, data(3), data(1))
print(
    [round(loss, 3) for loss in module.losses],
    trainer.callbacks and [type(each).__name__ for each in trainer.callbacks],
)
trainer.fit_loop.max_epochs = 3
trainer.fit(module, data(3), data(1))
trainer.test(module, data(1), verbose=False)
saved = trainer.checkpoint_callback.best_model_path
print(sorted(torch.load(saved, weights_only=False)["callbacks"]))
print(sorted(name for name in vars(trainer) if callable(vars(trainer)[name])))

module = Module()
module.epochs, module.before = 3, 9  # as the checkpoint says
make(max_epochs=4).fit(module, data(3), ckpt_path=saved)
print([round(loss, 3) for loss in module.losses])

folds = []
for _ in range(2):
    module = Module()
    trainer = make(Trainer, max_epochs=1, enable_checkpointing=False)
    trainer.fit(module, data(2))
    folds.append(weakref.ref(module))
    del module, trainer
    gc.collect()
    print("alive:", sum(fold() is not None for fold in folds))

module = Module()
module.fails_at = 1
trainer = make(max_epochs=1, enable_checkpointing=False)
try:
    trainer.fit(module, data(2))
except BaseException as error:
    print(repr(error), "after", trainer.global_step)
compare("after a failure", stage=None, epoch=None, iter=None)
if how != "end":
    module = Module()
    module.fails_at = 1
    make(max_epochs=1, enable_checkpointing=False).fit(module, data(2))
