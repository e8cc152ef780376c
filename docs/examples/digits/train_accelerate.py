"""The same over Accelerate: the lines with `loop` and `val` are those of the plain loop, around what was prepared."""

import torch
from accelerate import Accelerator
from components import Accuracy, EpochSampler, WarmedUpLoss
from data import digits, network
from torch.utils.data import DataLoader

from runtimeinfo_adapters.accelerate import attach


def main(epochs: int = 5) -> float:
    """Train, and return the accuracy on the validation data."""
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    train_data, val_data = digits()
    model, criterion, accuracy = network(), WarmedUpLoss(), Accuracy()
    model, optimizer, train_loader, val_loader = accelerator.prepare(
        model,
        torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9),
        DataLoader(train_data, batch_size=32, sampler=EpochSampler(len(train_data))),
        DataLoader(val_data, batch_size=100),
    )

    print("digits, with Accelerate")
    score = 0.0
    loop = attach(accelerator, optimizer, train_loader, max_epochs=epochs, seed=0, experiment_name="digits")
    with loop.run():
        for _ in loop.epochs():
            for images, labels in loop.train():
                with accelerator.accumulate(model):
                    loss = criterion(model(images), labels)
                    accelerator.backward(loss)
                    optimizer.step()
                    optimizer.zero_grad()
                loop.log(loss=loss)
            with loop.val() as val, torch.no_grad():
                for images, labels in val.batches(val_loader):
                    accuracy.update(*accelerator.gather_for_metrics((model(images), labels)))
                score = accuracy.compute()
                val.log_metrics(accuracy=score)

    history = loop.message_hub.get_scalar("train/loss")
    first, last = history.data[0][0], float(history.mean(44))
    print(f"  {loop.iter} iterations, loss {first:.3f} -> {last:.3f}")
    return score


if __name__ == "__main__":
    main()
