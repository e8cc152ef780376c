"""SHARE: what other processes see."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

SHARE = (
    rule(
        "SHARE-01",
        "MUST",
        "In a worker process of the process that trains, be it forked or spawned, current_hub() MUST read the run: at "
        "each event it gives loop_stage, epoch, iter, max_epochs and max_iters as the run's hub has them.",
        "The same line of a component is right everywhere, and nobody has to hand anything over.",
        example=(
            "A data set whose __getitem__ asks current_hub().get_info('epoch') gets the epoch with num_workers=4, just "
            "as with num_workers=0."
        ),
        needs="share",
        since="0.2",
    ),
    rule(
        "SHARE-02",
        "MUST",
        "While a worker of a DataLoader makes a training batch, the epoch that it reads MUST be the one that the "
        "batch is for.",
        "A schedule by epochs (an augmentation, a curriculum) works in a worker. It takes that the epoch is published "
        "before the iterator of its batches is made: if the iterator of the third epoch is made before the second one "
        "has counted, its workers read 1.",
        example=(
            "Two workers that fetch ahead: each batch of the third epoch is made by a worker that reads 2, also the "
            "first one, and also with persistent_workers=True."
        ),
        needs="share",
        since="0.2",
    ),
    rule(
        "SHARE-03",
        "MUST",
        "Another process MUST find the latest value of each scalar, and each info that is plain data of at most 16 "
        "KiB, as the hub had them when epoch, loop_stage, max_epochs or max_iters was published last.",
        "Who looks on from outside sees losses and learning rates, and may trust them.",
        example=(
            "At the second before_train_epoch another process finds in train/loss that of the first epoch's last "
            "iteration. A picture among the metrics may be missing."
        ),
        needs="share",
        since="0.2",
    ),
    rule(
        "SHARE-04",
        "MUST",
        "What is read together MUST be of one moment, also while the run writes.",
        "Nobody sees the epoch of one iteration beside the iter of another.",
        example="At the end of an epoch of 10 iterations nobody reads epoch 1 and iter 0.",
        needs="share",
        since="0.2",
        untestable="It takes a reader at full speed beside the writer, for minutes. The tests of the board do that.",
    ),
    rule(
        "SHARE-05",
        "MUST",
        "A board and its folder MUST be the user's own and closed to others; no link is followed, and no file is taken "
        "over that was there before.",
        "A shared machine stays safe: nobody reads another user's losses, or makes another user's run write elsewhere.",
        example="The folder has mode 0700, the board 0600. A board that is a link is not opened.",
        needs="share",
        since="0.2",
    ),
    rule(
        "SHARE-06",
        "MUST",
        "When a run has ended, however it did, its board MUST be gone, and current_hub() in a worker answers as if "
        "nobody published; a board that its process could not take away is told to be stale.",
        "What is seen is a run that is there.",
        example="After an exception in training the folder holds no board of this process any more.",
        needs="share",
        since="0.2",
    ),
    rule(
        "SHARE-07",
        "MUST",
        "While a worker of a DataLoader makes the batch of a training iteration, the iter that it reads MUST be at "
        "most num_workers * prefetch_factor + accumulation + 1 below that iteration's, and not above it, where "
        "accumulation is how many batches make an optimizer step.",
        "The workers fetch ahead, by a number that is known. One more is for the iteration that is published only once "
        "its batch is there, and a framework may itself fetch a batch ahead, or the batches of an optimizer step.",
        example=(
            "Two workers, prefetch_factor=2: the batch of iteration 100 is made by a worker that reads 94 to 100; 91 "
            "to 100 where four batches make an optimizer step."
        ),
        needs="share",
        since="0.2",
    ),
)
