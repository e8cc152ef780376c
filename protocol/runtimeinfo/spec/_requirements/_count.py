"""COUNT: iterations and epochs."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

COUNT = (
    rule(
        "COUNT-01",
        "MUST",
        "At before_train_iter, iter MUST be the number of training iterations completed so far.",
        "A schedule over iter starts at 0 and never skips or repeats a value.",
        example=(
            "2 epochs of 3 batches: iter is 0, 1, 2, 3, 4, 5 at the six before_train_iter. Starting anew in the second "
            "epoch breaks it."
        ),
    ),
    rule(
        "COUNT-02",
        "MUST",
        "At after_train_iter, iter MUST still be what it was at the before_train_iter of that iteration.",
        "What is published during an iteration carries one number.",
        example=(
            "At the after_train_iter of the first batch iter is still 0; at the before_train_iter of the second it is "
            "1."
        ),
    ),
    rule(
        "COUNT-03",
        "MUST",
        "At before_train_epoch, epoch MUST be the number of training epochs completed so far.",
        "A sampler that shuffles by epoch gets each order once.",
        example="3 epochs: epoch is 0, 1, 2 at the three before_train_epoch. Counting from 1 breaks it.",
    ),
    rule(
        "COUNT-04",
        "MUST",
        "At after_train_epoch, epoch MUST still be what it was at the before_train_epoch of that epoch.",
        "What is published during an epoch carries one number.",
        example=(
            "At the after_train_epoch of the first epoch, epoch is 0. A counter that is raised before the event shows "
            "1."
        ),
    ),
    rule(
        "COUNT-05",
        "MUST",
        "From before_train on, at each event of the grammar, the hub's iter MUST equal the runner's.",
        "There is one truth, and a component without the runner sees it.",
        example=(
            "A validation after the third batch: the runner's iter is 3, and so is the hub's; the 2 of the last "
            "before_train_iter breaks it."
        ),
    ),
    rule(
        "COUNT-06",
        "MUST",
        "From before_train on, at each event of the grammar, the hub's epoch MUST equal the runner's.",
        "There is one truth, and a component without the runner sees it.",
        example=(
            "A validation after the first epoch: the runner's epoch is 1, and so is the hub's; the 0 of the last "
            "before_train_epoch breaks it."
        ),
    ),
    rule(
        "COUNT-07",
        "MUST",
        "From before_train on, the hub's max_epochs MUST be the number of epochs that the training was asked for; "
        "None if it was not asked for a number.",
        "A component can tell how much of the training lies behind.",
        example=(
            "Asked for 10 epochs, and stopped after 4: max_epochs is 10 throughout. Asked for 500 iterations instead: "
            "it is None."
        ),
    ),
    rule(
        "COUNT-08",
        "MUST",
        "From before_train on, the hub's max_iters MUST be the number of iterations of the whole training; None if "
        "it is not known: never -1, infinity, or a huge number.",
        "A component that divides by it gets a fraction, or can see that there is none.",
        example=(
            "10 epochs of 100 batches: max_iters is 1000, not 100; resumed after 600, the training makes 400 more. 10 "
            "epochs over a stream without a length: it is None."
        ),
    ),
    rule(
        "COUNT-09",
        "MUST",
        "Whatever trains MUST have all members of TrainRunner, of the right types, at before_train.",
        "What is missing is said once, at the beginning, and all at once.",
        example=(
            "A runner without optim_wrapper, whose epoch is the string '3': one RunnerError at before_train lists both."
        ),
    ),
    rule(
        "COUNT-10",
        "MUST",
        "iter MUST count batches, also when one optimizer step is made for several of them.",
        "The same schedule means the same under any framework.",
        example=(
            "8 batches, and an optimizer step after every 4: iter goes from 0 to 7. The number of steps would say 0 "
            "and 1."
        ),
        needs="accumulation",
    ),
    rule(
        "COUNT-11",
        "MUST",
        "A validation MUST change neither iter nor epoch.",
        "Validating more often does not change the training.",
        example="A validation of 20 batches, after 50 of training: iter is 50 at before_val, and 50 at after_val.",
        needs="val",
    ),
    rule(
        "COUNT-12",
        "MUST",
        "At after_train, iter MUST be the number of training iterations completed in all, and epoch that of training "
        "epochs, those before a resume included; the last epoch of a training that was stopped early, or asked for "
        "iterations, may count or not.",
        "A training does not end in epoch 3 of 2.",
        example=(
            "2 epochs of 3 batches, saved after the third batch and resumed: at after_train epoch is 2 and iter is 6, "
            "as without the resume. An epoch of 3 breaks it."
        ),
        since="0.2",
    ),
    rule(
        "COUNT-13",
        "MUST",
        "Where the epochs have different numbers of batches, at each before_train_iter the hub's max_iters MUST be the "
        "iterations before this epoch and those of as many epochs like it as are left, or that of all if it is known; "
        "None if neither is.",
        "The part of a training that is done never passes 1.",
        example=(
            "3 epochs of 2, 4 and 6 batches: max_iters is 6, then 2 + 2 * 4 = 10, then 2 + 4 + 6 = 12. The 6 of the "
            "first epoch breaks it in the second: iter reaches 6 there."
        ),
        needs="changing_length",
        since="0.2",
    ),
    rule(
        "COUNT-14",
        "MUST",
        "As a training batch begins, and in its step, current_hub() MUST answer with the iter and the epoch of this "
        "iteration, whichever handler of that moment asks.",
        "What a schedule computes from iter is not off by one.",
        example=(
            "A handler asks for iter as each of 4 batches begins: it is told 0, 1, 2, 3. To publish iter in a later "
            "handler of that moment breaks it: 0, 0, 1, 2."
        ),
        needs="batch_begin",
        since="0.2",
    ),
    rule(
        "COUNT-15",
        "MUST",
        "From before_train on, at each event of the grammar, iter MUST be the number of training iterations completed "
        "so far, and epoch that of training epochs: an iteration is completed when its after_train_iter is over, an "
        "epoch when its after_train_epoch is. The last epoch of a training that was stopped early, or asked for "
        "iterations, may count or not.",
        "A hook can read the counters at any event.",
        example=(
            "2 epochs of 3 batches, each validated: at the first before_val_iter iter is 3, and epoch is 1. If the "
            "third of 4 accumulated batches raises, iter stays 2."
        ),
        since="0.3",
    ),
)
