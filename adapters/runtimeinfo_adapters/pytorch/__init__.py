"""The adapter for plain PyTorch: instrument a loop that you have, without handing it over.

    from runtimeinfo_adapters.pytorch import Loop

    loop = Loop(optimizer, train_loader, max_epochs=3, seed=0, cfg=vars(args), experiment_name="digits")
    with loop.run():
        for epoch in loop.epochs():
            for batch in loop.train():
                ...
                loop.log(loss=loss)
            with loop.val() as val:
                for batch in val.batches(val_loader):
                    ...
                val.metrics(acc=acc)

However the loop is left, every scope closes.
"""

from runtimeinfo_adapters.pytorch._evaluation import Evaluation
from runtimeinfo_adapters.pytorch._learning_rates import LearningRates
from runtimeinfo_adapters.pytorch._loop import Loop

__all__ = ["Evaluation", "LearningRates", "Loop"]
