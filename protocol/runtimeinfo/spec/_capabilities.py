"""The capabilities that a runner can declare, beyond training."""

from __future__ import annotations

from types import MappingProxyType

CAPABILITIES = MappingProxyType(
    {
        "val": "It validates during training, and emits the events of a validation.",
        "val_before": "It can validate once more before the first epoch.",
        "val_inside": "It can validate during an epoch, after every n-th batch.",
        "val_after": "It can validate once more after the training.",
        "val_loaders": "It can validate over several loaders, one after the other.",
        "test": "It tests after the training, and emits the events of a test.",
        "outputs": "It hands what a training step returns to after_train_iter.",
        "metrics": "It hands the metrics of a validation or test to after_val_epoch and after_test_epoch.",
        "metainfo": "Its train_dataloader has the user's own dataset, with metainfo if that has any.",
        "unsized": "It trains on a loader without a length.",
        "changing_length": "It trains on a loader that has another length in another epoch.",
        "batch_begin": "It calls handlers of its user's as a training batch begins.",
        "scheduler": "It changes the learning rate between iterations.",
        "optimizers": "It trains with several named optimizers.",
        "accumulation": "It makes one optimizer step for several batches.",
        "iterations": "It can be asked for a number of iterations in place of a number of epochs.",
        "early_stop": "It can stop a training before it has had all its epochs, after any iteration.",
        "again": "It can train twice, from the start each time, with the same trainer or the same callback.",
        "resume": "It saves a checkpoint at the end of an epoch, the hub's state included, and goes on from it.",
        "share": "It lets other processes see its run: a worker by current_hub(), any other one by its board.",
        "resume_mid_epoch": "It can also save after an iteration in the middle of an epoch, and goes on from there.",
        "beside": "It can train in several threads of a process at the same time.",
        "nested": "It can train once more inside a training, in the same thread.",
        "in_turn": "Its trainings can be stepped by their caller, several of them in turn in one thread.",
    }
)
"""Every capability that a subject can declare, and what declaring it promises."""
