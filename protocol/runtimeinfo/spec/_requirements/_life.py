"""LIFE: the order and the number of events."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

LIFE = (
    rule(
        "LIFE-01",
        "MUST",
        "An event MUST come only where the grammar has a place for it.",
        "A hook can rely on the order of events, and keep its state on a stack.",
        example=(
            "A validation between two epochs is legal. A second before_train_epoch while the first epoch is still open "
            "is not."
        ),
    ),
    rule(
        "LIFE-02",
        "MUST",
        "A run MUST emit before_run before any other event of the grammar, and after_run after all of them.",
        "There is one place to set up, and one to clean up.",
        example=(
            "A call that trains and then tests: before_run in front, after_run at the very end. A test that is another "
            "call is another run. A before_val between runs breaks it."
        ),
    ),
    rule(
        "LIFE-03",
        "MUST",
        "Every training batch MUST get exactly one before_train_iter and one after_train_iter.",
        "Whoever counts these events counts the batches.",
        example=(
            "2 epochs of 3 batches: 6 times before_train_iter, 6 times after_train_iter. A batch that is skipped for a "
            "NaN loss gets its two events as well."
        ),
    ),
    rule(
        "LIFE-04",
        "MUST",
        "Every training epoch, also an empty one, MUST get exactly one before_train_epoch and one after_train_epoch.",
        "Whoever counts these events counts the epochs.",
        example=(
            "3 epochs over an empty loader: 3 pairs of before_train_epoch and after_train_epoch, and no iteration "
            "between them."
        ),
    ),
    rule(
        "LIFE-05",
        "MUST",
        "When a run has ended, however it did, every scope that it opened MUST have been closed.",
        "What a hook acquires when a scope opens, it can release when the scope closes.",
        example=(
            "An exception in the middle of a validation between two epochs: before it leaves the run, after_val_iter, "
            "after_val_epoch, after_val, after_train and after_run have come."
        ),
    ),
    rule(
        "LIFE-06",
        "MUST",
        "Every validation batch MUST get exactly one before_val_iter and one after_val_iter.",
        "Whoever counts these events counts the batches.",
        example="A validation of 3 batches after each of 2 epochs: 6 times before_val_iter, 6 times after_val_iter.",
        needs="val",
    ),
    rule(
        "LIFE-07",
        "MUST",
        "Every test batch MUST get exactly one before_test_iter and one after_test_iter.",
        "Whoever counts these events counts the batches.",
        example=(
            "A test of 3 batches: 3 times before_test_iter, 3 times after_test_iter. To announce the epoch alone is "
            "not enough."
        ),
        needs="test",
    ),
    rule(
        "LIFE-08",
        "MUST",
        "The two events of an iteration MUST carry the same batch_idx, and it MUST grow by one from an iteration "
        "to the next within an epoch.",
        "A hook can pair the events, and act every n-th batch.",
        example=(
            "In an epoch of 3 batches batch_idx goes 0, 0, 1, 1, 2, 2: each number at before_train_iter, and again at "
            "after_train_iter."
        ),
    ),
    rule(
        "LIFE-09",
        "SHOULD",
        "The events of a training iteration SHOULD carry the batch as data_batch; None where it cannot be had.",
        "A hook can look at the data, and is never shown the wrong data.",
        example=(
            "A loop that prefetches hands on the batch it trains on, or None. The batch that it has fetched for the "
            "next iteration breaks it."
        ),
    ),
    rule(
        "LIFE-10",
        "MUST",
        "A run MUST begin as if it were the first of its process: whatever ran before, the same training emits the "
        "same events and publishes the same information.",
        "A notebook that trains twice, a sweep, a test suite: no run inherits from another.",
        example=(
            "A notebook trains for 2 epochs, then once more from the start: at the second before_train, epoch and iter "
            "are 0 again, not what the first training ended with."
        ),
        since="0.2",
    ),
    rule(
        "LIFE-11",
        "MUST",
        "A validation over several loaders MUST give each loader an epoch of its own, in their order.",
        "Metrics belong to one data set.",
        example=(
            "Two loaders, of 3 and 2 batches: before_val, an epoch of 3 iterations, an epoch of 2, after_val. One "
            "epoch of 5 breaks it."
        ),
        needs="val val_loaders",
        since="0.2",
    ),
    rule(
        "LIFE-12",
        "MUST",
        "A training that is stopped early MUST end at the latest with the epoch in which it was asked to stop, close "
        "what is open as at any other end, and announce no exception.",
        "To stop early is not to fail.",
        example=(
            "10 epochs, stopped in the second one: after_train_epoch, after_train and after_run come, on_exception "
            "does not, and no third epoch begins."
        ),
        needs="early_stop",
        since="0.2",
    ),
    rule(
        "LIFE-13",
        "MUST",
        "A validation that is made during an epoch MUST stand inside that epoch, and leave it open.",
        "A hook can tell a validation during an epoch from one after it.",
        example=(
            "300 batches, and a validation after the 100th: after_val is followed by the before_train_iter of the "
            "101st, without an after_train_epoch between the two."
        ),
        needs="val val_inside",
        since="0.2",
    ),
    rule(
        "LIFE-14",
        "SHOULD",
        "The events of a validation or test iteration SHOULD carry the batch as data_batch; None where it cannot be "
        "had.",
        "A hook can look at the data, and is never shown the wrong data.",
        example=(
            "A hook that saves pictures of the worst predictions finds the batch at after_val_iter. The batch before "
            "it breaks it."
        ),
        needs="val",
        since="0.2",
    ),
    rule(
        "LIFE-15",
        "MUST",
        "From before_run to after_run, in the thread that runs the training, current_hub() MUST answer what the "
        "runner's message_hub answers.",
        "A component finds the run that it is part of without being handed anything.",
        example=(
            "A loss that asks current_hub() for iter is told this iteration. It breaks it to enter the hub for the "
            "hooks only, or not at all: then the loss gets its default."
        ),
        since="0.2",
    ),
    rule(
        "LIFE-16",
        "MUST",
        "Every validation that is due MUST be made: before and after the training and after each epoch, as was asked "
        "for. Not all of the last epoch need be: if it was stopped early, what is due from that iteration on may be "
        "left out; if iterations were asked for, the validation after it. So may that of an epoch whose last batch "
        "was the last one before a resume.",
        "A hook that keeps the best model sees every candidate.",
        example=(
            "3 epochs, and a validation after each: before_val comes 3 times, also over an empty loader. To leave out "
            "the last one because the training is over breaks it."
        ),
        needs="val",
        since="0.3",
    ),
)
