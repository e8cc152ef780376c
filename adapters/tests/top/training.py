"""A training of minutes: epochs of 30 iterations of 20 ms, each with a validation."""

import time

import torch

from runtimeinfo_adapters.pytorch import Loop


def main() -> None:
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    batches = [torch.randn(4, 8) for _ in range(30)]
    loop = Loop(optimizer, batches, max_epochs=100, experiment_name="digits/[red]résumé")
    with loop.run():
        for _epoch in loop.epochs():
            for batch in loop.train():
                loss = model(batch).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loop.log(loss=loss)
                time.sleep(0.02)
            with loop.val() as val:
                time.sleep(0.4)
                val.log_metrics(acc=loop.epoch / 100)


if __name__ == "__main__":
    main()
