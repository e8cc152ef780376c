"""The same under Transformers' Trainer: `attach` makes it publish, and the components stay as they are."""

import tempfile

import torch
from components import Accuracy, EpochSampler, WarmedUpLoss
from data import digits, network
from torch import nn
from transformers import Trainer, TrainingArguments

from runtimeinfo_adapters.transformers import attach


class Classifier(nn.Module):
    """The network and its loss, in the form that Transformers wants."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.criterion = network(), WarmedUpLoss()

    def forward(self, images, labels):
        """Return the loss and the logits by name."""
        logits = self.network(images)
        return {"loss": self.criterion(logits, labels), "logits": logits}


class DigitsTrainer(Trainer):
    """A Trainer with a sampler of our own."""

    def _get_train_sampler(self, train_dataset=None):
        return EpochSampler(len(train_dataset or self.train_dataset))


def collate(items):
    """Return a batch by name."""
    images, labels = zip(*items, strict=True)
    return {"images": torch.stack(images), "labels": torch.stack(labels)}


def compute_metrics(prediction) -> dict[str, float]:
    """Return the accuracy."""
    accuracy = Accuracy()
    accuracy.update(torch.tensor(prediction.predictions), torch.tensor(prediction.label_ids))
    return {"accuracy": accuracy.compute()}


def main(epochs: int = 5) -> float:
    """Train, and return the accuracy on the validation data."""
    print("digits, with Transformers' Trainer")
    train_data, val_data = digits()
    with tempfile.TemporaryDirectory() as output_dir:
        trainer = DigitsTrainer(
            Classifier(),
            TrainingArguments(
                output_dir,
                run_name="digits",
                seed=0,
                num_train_epochs=epochs,
                per_device_train_batch_size=32,
                per_device_eval_batch_size=100,
                optim="sgd",
                optim_args="momentum=0.9",
                learning_rate=0.2,
                lr_scheduler_type="constant",
                eval_strategy="epoch",
                save_strategy="no",
                disable_tqdm=True,
                report_to=[],
                use_cpu=True,
            ),
            data_collator=collate,
            train_dataset=train_data,
            eval_dataset=val_data,
            compute_metrics=compute_metrics,
        )
        runtime_info = attach(trainer)
        trainer.train()
    hub = runtime_info.message_hub
    history = hub.get_scalar("train/loss")
    first, last = history.data[0][0], float(history.mean(44))
    print(f"  {runtime_info.runner.iter} iterations, loss {first:.3f} -> {last:.3f}")
    return float(hub.get_scalar("val/accuracy").current())


if __name__ == "__main__":
    main()
