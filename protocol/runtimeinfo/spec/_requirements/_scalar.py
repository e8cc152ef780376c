"""SCALAR: learning rates, outputs and metrics."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

SCALAR = (
    rule(
        "SCALAR-01",
        "MUST",
        "update_scalar MUST take every real number and every array of exactly one, and refuse everything else "
        "without changing the hub.",
        "What a scalar is does not depend on who asks.",
        example=(
            "`hub.update_scalar('loss', '0.5')` raises, and then `'loss' not in hub.log_scalars`. As a number it is "
            "taken: `hub.update_scalar('loss', 0.5)`."
        ),
        party="hub",
    ),
    rule(
        "SCALAR-02",
        "MUST",
        "At each before_train_iter the first value of each entry of get_lr() MUST be appended to train/<name>, once.",
        "The history of a learning rate has one value an iteration.",
        example=(
            "get_lr() returns {'lr': [0.1, 0.01]}: at before_train_iter 0.1 is appended to train/lr. A second hook "
            "that publishes it too appends it twice."
        ),
    ),
    rule(
        "SCALAR-03",
        "MUST",
        "The learning rate of an iteration MUST be the one in force before it, not the next one.",
        "A curve over the learning rate is not shifted by one.",
        example=(
            "A schedule that halves 1.0 after each batch: train/lr is 1.0, 0.5, 0.25. A scheduler that steps before "
            "the event makes it 0.5, 0.25, 0.125."
        ),
        needs="scheduler",
    ),
    rule(
        "SCALAR-04",
        "MUST",
        "At each after_train_iter every output that is a scalar MUST be appended to train/<key>, once.",
        "The history of a loss has one value an iteration.",
        example=(
            "A step returns {'loss': 0.7, 'acc': 0.5}: at its after_train_iter 0.7 is appended to train/loss, and 0.5 "
            "to train/acc."
        ),
        needs="outputs",
    ),
    rule(
        "SCALAR-05",
        "MUST",
        "An output that is no scalar MUST NOT become a scalar, and MUST NOT end the run.",
        "Information does not take a training down.",
        example=(
            "A step returns {'loss': 0.7, 'logits': a tensor of 16 x 10}: train/loss grows, there is no train/logits, "
            "and the training goes on."
        ),
        needs="outputs",
    ),
    rule(
        "SCALAR-06",
        "MUST",
        "At after_val_epoch every metric that is a scalar MUST be appended to val/<key>, once.",
        "The history of a metric has one value a validation.",
        example="Three validations, each with {'acc': ...} at its after_val_epoch: the history val/acc has 3 values.",
        needs="val metrics",
    ),
    rule(
        "SCALAR-07",
        "MUST",
        "At after_val_epoch every metric that is no scalar MUST become the info val/<key>.",
        "A confusion matrix can be read as well.",
        example=(
            "A validation with {'confusion': [[5, 1], [0, 6]]}: the info val/confusion is that list, and no history of "
            "this name begins."
        ),
        needs="val metrics",
    ),
    rule(
        "SCALAR-08",
        "MUST",
        "A metric that changes between scalar and other data MUST be found only where it was published last.",
        "Nobody reads a stale value.",
        example=(
            "val/best is 0.9, and after the next validation the string 'none': now it is an info, and "
            "get_scalar('val/best') raises KeyError."
        ),
        needs="val metrics",
    ),
    rule(
        "SCALAR-09",
        "MUST",
        "At after_test_epoch metrics MUST be published in the same way under test/<key>.",
        "A test reads like a validation.",
        example=(
            "A test with {'acc': 0.88, 'confusion': [[5, 1], [0, 6]]}: 0.88 is appended to test/acc, and the info "
            "test/confusion is the list."
        ),
        needs="test metrics",
    ),
    rule(
        "SCALAR-10",
        "SHOULD",
        "Publishing a value that lies on an accelerator SHOULD NOT wait for the accelerator.",
        "Information costs no speed.",
        example=(
            "A loss on the GPU is copied there, and read when somebody asks for it. Calling item() on it in each "
            "iteration waits each time."
        ),
        untestable="Whether a call waits shows only on a device; a conformance run has none in general.",
    ),
    rule(
        "SCALAR-11",
        "SHOULD",
        "The learning rate of an iteration that ended with an exception SHOULD NOT be in train/<name> when the run has "
        "ended.",
        "A history has a value for each iteration that counts, and a resume repeats none.",
        example=(
            "The third batch raises: when the run has ended, train/lr has 2 values, as train/loss has. The 3 that it "
            "had at the before_train_iter of that batch break it."
        ),
        since="0.2",
    ),
    rule(
        "SCALAR-12",
        "MUST",
        "At each before_train_iter get_lr() MUST hold the learning rate of every param group of every optimizer: those "
        "of an optimizer in the order of its groups, in one entry or in an entry each. The name of an entry MUST hold "
        "the name of its optimizer, if that has one.",
        "A rate is found under the name of what it drives.",
        example=(
            "The optimizers 'gen', of two param groups, and 'critic': get_lr() returns {'gen.lr': [0.1, 0.01], "
            "'critic.lr': [0.2]}. To leave out the 0.01, or to exchange the names, breaks it."
        ),
        needs="optimizers",
        since="0.3",
    ),
)
