"""The adapter for Lightning: a callback, and a way to give it to a trainer that was built already.

    trainer = Trainer(max_epochs=3)
    attach(trainer, seed=0, experiment_name="digits")
    trainer.fit(model, train_loader, val_loader)

Or, in Lightning's own way, ``Trainer(callbacks=[RuntimeInfoCallback()])``. The only difference: Lightning turns
Ctrl-C into SystemExit(1), outside of the reach of any callback. From a trainer that was attached, the
KeyboardInterrupt comes out as it was.

What Lightning calls otherwise:

- Each of `fit`, `validate`, `test` and `predict` is a run. The sanity check is no validation.
- Lightning validates before it ends the epoch: that validation stands inside the epoch.
- A batch that is refused by returning -1 from ``on_train_batch_start`` has begun by then. It counts as an
  iteration, without outputs.
- Over several validation loaders Lightning makes one epoch. Here each one has its own, and its metrics lose
  Lightning's ``/dataloader_idx_0``.
- What ``self.log`` does not take (a confusion matrix, a text) is a metric too, if it was put into
  ``trainer.callback_metrics`` by the end of the validation.
"""

from runtimeinfo_adapters.lightning._attach import attach
from runtimeinfo_adapters.lightning._callback import RuntimeInfoCallback
from runtimeinfo_adapters.lightning._runner import LightningRunner

__all__ = ["LightningRunner", "RuntimeInfoCallback", "attach"]
