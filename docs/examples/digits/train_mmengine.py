"""The same under mmengine's Runner: one line of its config makes it publish, and the components stay as they are."""

import tempfile

from components import Accuracy, EpochSampler, WarmedUpLoss
from data import digits, network
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader


class Classifier(BaseModel):
    """The network and its loss, in the form that mmengine wants."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.criterion = network(), WarmedUpLoss()

    def forward(self, images, labels, mode="tensor"):
        """Return the loss in training, and logits with labels in a validation."""
        logits = self.network(images)
        if mode == "loss":
            return {"loss": self.criterion(logits, labels)}
        return [(logits, labels)]


class AccuracyMetric(BaseMetric):
    """The metric, in the form that mmengine wants."""

    default_prefix = "digits"

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = Accuracy()

    def process(self, _data_batch, data_samples) -> None:
        """Count a batch."""
        for logits, labels in data_samples:
            self.accuracy.update(logits, labels)
        self.results.append(None)

    def compute_metrics(self, _results) -> dict[str, float]:
        """Return the accuracy."""
        return {"accuracy": self.accuracy.compute()}


def main(epochs: int = 5) -> float:
    """Train, and return the accuracy on the validation data."""
    print("digits, with mmengine's Runner")
    train_data, val_data = digits()
    with tempfile.TemporaryDirectory() as work_dir:
        runner = Runner(
            Classifier(),
            work_dir,
            train_dataloader=DataLoader(train_data, batch_size=32, sampler=EpochSampler(len(train_data))),
            train_cfg={"by_epoch": True, "max_epochs": epochs},
            optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.2, "momentum": 0.9}},
            val_dataloader=DataLoader(val_data, batch_size=100),
            val_cfg={},
            val_evaluator=Evaluator([AccuracyMetric()]),
            default_hooks={"runtime_info": {"type": "runtimeinfo_adapters.mmengine.RuntimeInfoHook"}},
            randomness={"seed": 0},
            experiment_name="digits",
            log_level="ERROR",
        )
        runner.train()
        for handler in runner.logger.handlers:  # mmengine leaves its log file open
            handler.close()
    hub = runner.message_hub
    history = hub.get_scalar("train/loss")
    first, last = history.data[0][0], float(history.mean(44))
    print(f"  {runner.iter} iterations, loss {first:.3f} -> {last:.3f}")
    return float(hub.get_scalar("val/digits/accuracy").current())


if __name__ == "__main__":
    main()
