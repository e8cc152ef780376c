"""The same under PyTorch-Ignite: `attach` is all that was added, and the components stay as they are."""

import torch
from components import Accuracy, EpochSampler, WarmedUpLoss
from data import digits, network
from ignite.engine import Engine, Events, create_supervised_trainer
from torch.utils.data import DataLoader

from runtimeinfo_adapters.ignite import attach


def main(epochs: int = 5) -> float:
    """Train, and return the accuracy on the validation data."""
    torch.manual_seed(0)
    train_data, val_data = digits()
    model, accuracy = network(), Accuracy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    train_loader = DataLoader(train_data, batch_size=32, sampler=EpochSampler(len(train_data)))
    val_loader = DataLoader(val_data, batch_size=100)

    @torch.no_grad()
    def evaluate(_engine, batch) -> None:
        images, labels = batch
        accuracy.update(model(images), labels)

    trainer, evaluator = create_supervised_trainer(model, optimizer, WarmedUpLoss()), Engine(evaluate)

    @evaluator.on(Events.EPOCH_COMPLETED)
    def compute(engine) -> None:
        engine.state.metrics["accuracy"] = accuracy.compute()

    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run(val_loader))

    print("digits, with PyTorch-Ignite")
    callback = attach(trainer, optimizer=optimizer, evaluators={"val": evaluator}, seed=0, experiment_name="digits")
    trainer.run(train_loader, max_epochs=epochs)

    history = callback.message_hub.get_scalar("train/loss")
    first, last = history.data[0][0], float(history.mean(44))
    print(f"  {callback.message_hub.get_info('iter')} iterations, loss {first:.3f} -> {last:.3f}")
    return evaluator.state.metrics["accuracy"]


if __name__ == "__main__":
    main()
