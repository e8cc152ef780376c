"""A plain PyTorch loop, instrumented: the lines with `loop` and `val` are all that was added to it."""

import torch
from components import Accuracy, EpochSampler, WarmedUpLoss
from data import digits, network
from torch.utils.data import DataLoader

from runtimeinfo_adapters.pytorch import Loop


def main(epochs: int = 5) -> float:
    """Train, and return the accuracy on the validation data."""
    torch.manual_seed(0)
    train_data, val_data = digits()
    model, criterion, accuracy = network(), WarmedUpLoss(), Accuracy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    train_loader = DataLoader(train_data, batch_size=32, sampler=EpochSampler(len(train_data)))
    val_loader = DataLoader(val_data, batch_size=100)

    print("digits, with a plain PyTorch loop")
    score = 0.0
    loop = Loop(optimizer, train_loader, max_epochs=epochs, seed=0, experiment_name="digits")
    with loop.run():
        for _ in loop.epochs():
            for images, labels in loop.train():
                loss = criterion(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loop.log(loss=loss)
            with loop.val() as val, torch.no_grad():
                for images, labels in val.batches(val_loader):
                    accuracy.update(model(images), labels)
                score = accuracy.compute()
                val.log_metrics(accuracy=score)

    history = loop.message_hub.get_scalar("train/loss")
    first, last = history.data[0][0], float(history.mean(44))
    print(f"  {loop.iter} iterations, loss {first:.3f} -> {last:.3f}")
    return score


if __name__ == "__main__":
    main()
