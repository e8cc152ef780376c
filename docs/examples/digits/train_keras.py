"""The same under Keras, on PyTorch: `attach` is all that was added, and the components stay as they are."""

import os

import torch
from components import Accuracy, EpochSampler, WarmedUpLoss
from data import digits, network
from torch.utils.data import DataLoader

os.environ["KERAS_BACKEND"] = "torch"

import keras

from runtimeinfo_adapters.keras import attach


class Classifier(keras.Model):
    """The network, its loss and its metric, in the form that Keras wants."""

    def __init__(self) -> None:
        super().__init__()
        self.network = keras.layers.TorchModuleWrapper(network())
        self.criterion, self.accuracy = WarmedUpLoss(), Accuracy()

    def call(self, images):
        """Return the logits."""
        return self.network(images)

    def compute_loss(self, _images, labels, logits, _sample_weight):
        """Return the loss."""
        return self.criterion(logits, labels)

    def test_step(self, data):
        """Count a batch of a validation."""
        images, labels = data
        self.accuracy.update(self(images), labels)
        return {"accuracy": None}  # not yet: Keras asks for it below, after the last batch

    def get_metrics_result(self):
        """Return what a training logs, or the accuracy of a validation."""
        if self.accuracy.total:
            return {"accuracy": self.accuracy.compute()}
        return super().get_metrics_result()


def main(epochs: int = 5) -> float:
    """Train, and return the accuracy on the validation data."""
    torch.manual_seed(0)
    train_data, val_data = digits()
    train_loader = DataLoader(train_data, batch_size=32, sampler=EpochSampler(len(train_data)))
    val_loader = DataLoader(val_data, batch_size=100)
    model = Classifier()
    model.compile(optimizer=keras.optimizers.SGD(0.2, momentum=0.9))

    print("digits, with Keras")
    callback = attach(model, seed=0, experiment_name="digits")
    history = model.fit(train_loader, validation_data=val_loader, epochs=epochs, shuffle=False, verbose=0)

    losses = callback.message_hub.get_scalar("train/loss")
    first, last = losses.data[0][0], float(losses.mean(44))
    print(f"  {callback.message_hub.get_info('iter')} iterations, loss {first:.3f} -> {last:.3f}")
    return history.history["val_accuracy"][-1]


if __name__ == "__main__":
    main()
