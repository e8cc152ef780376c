"""Train with Transformers: a Trainer, and one of a library that overrides its methods."""

from __future__ import annotations

import gc
import logging
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

import torch
from compare import compare
from transformers import Trainer, TrainerCallback, TrainingArguments

how = sys.argv[1]
logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
logging.getLogger("httpx").setLevel(logging.ERROR)


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.losses: list[float] = []
        self.epochs = self.done = 0
        self.optimizer: Any = None
        self.fails_at: int | None = None

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        done = self.done + len(self.losses)
        if self.training:
            lr = self.optimizer.param_groups[0]["lr"]
            compare("train", stage="train", epoch=self.epochs, iter=done, lr=round(lr, 9), losses=self.losses)
            if done == self.fails_at:
                raise ValueError("the data is broken")
        else:
            compare("val", stage="val", epoch=self.epochs, iter=done)
        loss = (self.layer(x) - labels).square().mean()
        if self.training:
            self.losses.append(round(float(loss), 5))
        return {"loss": loss, "logits": loss.detach().reshape(1)}


class Counts(TrainerCallback):
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        kwargs["model"].optimizer = kwargs["optimizer"]
        model, done = kwargs["model"], state.global_step  # where a training is resumed
        model.losses, model.epochs, model.done = [], done // 3, done

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        kwargs["model"].epochs += 1


class Overriding(Trainer):
    """As libraries do it: what trains is wrapped, and so is the step."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        compare("before the training", stage=None)
        print("a trainer of a library trains")
        output = super().train(*args, **kwargs)
        compare("after the training", stage=None)
        return output

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return super().training_step(model, inputs, *args, **kwargs)


class Detached(Trainer):
    """It has its own loop, in which no event of the Trainer comes."""

    def train(self, *args: Any, **kwargs: Any) -> None:
        for _ in range(2):
            compare("its own loop", stage=None, iter=None)


def data(size: int) -> list[dict[str, torch.Tensor]]:
    return [{"x": torch.tensor([i / 10, 1.0]), "labels": torch.tensor([1.0])} for i in range(size)]


def make(model: Any, kind: Any = Trainer, epochs: int = 2, **options: Any) -> Any:
    quiet = {"disable_tqdm": True, "report_to": [], "logging_strategy": "no", "use_cpu": True}
    args = TrainingArguments(
        output_dir=folder, num_train_epochs=epochs, per_device_train_batch_size=2, learning_rate=0.1, **quiet, **options
    )
    return kind(model=model, args=args, train_dataset=data(6), eval_dataset=data(2), callbacks=[Counts()])


folder = tempfile.mkdtemp()
torch.manual_seed(0)
model = Model()
trainer = make(model, eval_strategy="epoch", save_strategy="epoch")
trainer.train()
print(model.losses)
trainer.train()  # from its beginning
trainer.evaluate()
print(
    [
        sorted(each.name for each in Path(folder).iterdir()),
        sorted(each.name for each in (Path(folder) / "checkpoint-3").iterdir()),
    ]
)
print([type(each).__name__ for each in trainer.callback_handler.callbacks])
print(sorted(name for name in vars(trainer) if callable(vars(trainer)[name])))
resumed = make(Model(), save_strategy="no")
resumed.train(resume_from_checkpoint=f"{folder}/checkpoint-3")
print(resumed.model.losses)
folder = tempfile.mkdtemp()
make(Model(), Overriding, save_strategy="no").train()
make(Model(), Overriding, save_strategy="no", gradient_accumulation_steps=2).train()
make(Model(), Detached, save_strategy="no").train()

folds = []
for _ in range(2):
    model = Model()
    trainer = make(model, epochs=1, save_strategy="no")
    trainer.train()
    folds.append(weakref.ref(model))
    del model, trainer
    gc.collect()
    print("alive:", sum(fold() is not None for fold in folds))

model = Model()
model.fails_at = 1
try:
    make(model, epochs=1, save_strategy="no").train()
except ValueError as error:
    print(repr(error))
compare("after a failure", stage=None, epoch=None, iter=None)
if how == "fail":
    make(model, epochs=1, save_strategy="no").train()
