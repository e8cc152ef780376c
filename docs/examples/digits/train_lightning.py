"""The same under Lightning's Trainer: `attach` makes it publish, and the components stay as they are."""

import torch
from components import Accuracy, EpochSampler, WarmedUpLoss
from data import digits, network
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from runtimeinfo_adapters.lightning import attach


class Classifier(LightningModule):
    """The network, its loss and its metric, in the form that Lightning wants."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.criterion, self.accuracy = network(), WarmedUpLoss(), Accuracy()

    def training_step(self, batch, _batch_idx):
        """Return the loss."""
        images, labels = batch
        return self.criterion(self.network(images), labels)

    def validation_step(self, batch, _batch_idx) -> None:
        """Count a batch."""
        images, labels = batch
        self.accuracy.update(self.network(images), labels)

    def on_validation_epoch_end(self) -> None:
        """Log the accuracy."""
        self.log("accuracy", self.accuracy.compute())

    def configure_optimizers(self):
        """Return the optimizer."""
        return torch.optim.SGD(self.parameters(), lr=0.2, momentum=0.9)


def main(epochs: int = 5) -> float:
    """Train, and return the accuracy on the validation data."""
    print("digits, with Lightning's Trainer")
    torch.manual_seed(0)
    train_data, val_data = digits()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    callback = attach(trainer, seed=0, experiment_name="digits")
    trainer.fit(
        Classifier(),
        DataLoader(train_data, batch_size=32, sampler=EpochSampler(len(train_data))),
        DataLoader(val_data, batch_size=100),
    )
    hub = callback.message_hub
    history = hub.get_scalar("train/loss")
    first, last = history.data[0][0], float(history.mean(44))
    print(f"  {callback.runner.iter} iterations, loss {first:.3f} -> {last:.3f}")
    return float(hub.get_scalar("val/accuracy").current())


if __name__ == "__main__":
    main()
