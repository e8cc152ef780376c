"""The Trainer of Transformers, in two processes."""

from __future__ import annotations

import os
from typing import Any

import torch
from recording import ACCUMULATION, EPOCHS, Data, Model, Phase, Script
from transformers import Trainer, TrainingArguments
from transformers.utils import logging

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.transformers import attach


class Named(torch.nn.Module):
    """The model as Transformers wants it: its inputs and its outputs have names."""

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self.model = Model()
        self.phase = phase

    def forward(self, items: torch.Tensor, labels: Any = None) -> dict[str, torch.Tensor]:
        loss = self.model(items)
        if self.training:
            self.phase.computed(loss)
        return {"loss": loss, "logits": items}


class OurTrainer(Trainer):
    """Notes what a step begins with; the phase is in the model."""

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if model.training:
            self.model.phase.step(inputs["items"], self.optimizer.param_groups[0]["lr"])
        return super().compute_loss(model, inputs, *args, **kwargs)


def collate(items: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    batch = torch.stack(items)
    return {"items": batch, "labels": torch.where(batch % 3 == 0, -100, 1)}  # every third one is not trained on


def count_items(prediction: Any) -> dict[str, float]:
    """Return how many items there are of all ranks."""
    return {"items": float(len(set(prediction.predictions.flatten())))}


def share(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> torch.Tensor:
    """Return the loss as the models of Transformers do: divided by the items of the optimizer step, of all ranks."""
    return outputs["loss"] * labels.ne(-100).sum() / num_items_in_batch


def train(script: Script, name: str, *, epochs: int = EPOCHS, resume: bool = False, loss: Any = None) -> None:
    hub = MessageHub(name)
    with script.phase(name, hub) as phase:
        arguments = TrainingArguments(
            str(script.folder / "train"),
            num_train_epochs=epochs,
            per_device_train_batch_size=2,
            per_device_eval_batch_size=2,
            gradient_accumulation_steps=ACCUMULATION,
            learning_rate=0.1,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=4,
            optim="sgd",
            seed=3,
            eval_strategy="epoch",
            save_strategy="epoch" if name == "train" else "no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            ddp_backend="gloo",
            dataloader_pin_memory=False,
        )
        trainer = OurTrainer(
            Named(phase),
            arguments,
            data_collator=collate,
            train_dataset=Data(),
            eval_dataset=Data(7),
            compute_metrics=count_items,
            compute_loss_func=loss,
        )
        attach(trainer, hub=hub, hooks=phase.hooks)
        trainer.train(resume_from_checkpoint=str(script.folder / "train" / "checkpoint-3") if resume else None)
        phase.more["process_index"] = trainer.args.process_index


def main() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    script = Script()
    logging.set_verbosity_error()
    train(script, "train")
    train(script, "resume", epochs=EPOCHS + 1, resume=True)
    train(script, "shares", epochs=1, loss=share)
    train(script, "raise")


if __name__ == "__main__":
    main()
