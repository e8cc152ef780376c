"""The adapter for Transformers: a callback of its Trainer, and the wrapper that gives it what no callback hears of.

    from runtimeinfo_adapters.transformers import attach

    trainer = Trainer(model, args, train_dataset=..., eval_dataset=...)
    attach(trainer)
    trainer.train()

Or, where the Trainer is built out of reach, ``callbacks=[RuntimeInfoCallback()]``: then there is no loss, a
validation is seen only when it is over, and an exception closes no scope.
"""

from runtimeinfo_adapters.transformers._attach import attach
from runtimeinfo_adapters.transformers._callback import RuntimeInfoCallback
from runtimeinfo_adapters.transformers._runner import TransformersRunner

__all__ = ["RuntimeInfoCallback", "TransformersRunner", "attach"]
