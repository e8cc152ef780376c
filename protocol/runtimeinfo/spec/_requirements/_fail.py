"""FAIL: abnormal ends."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

FAIL = (
    rule(
        "FAIL-01",
        "MUST",
        "An exception, KeyboardInterrupt included, MUST come out of the run as the very object that was raised.",
        "Nobody's error is swallowed or dressed up.",
        example=(
            "A step raises ValueError('the loss is NaN'): the caller of the run catches that very object. A "
            "RuntimeError raised from it is another one."
        ),
    ),
    rule(
        "FAIL-02",
        "MUST",
        "A run that ends with an exception MUST emit on_exception once, with that exception.",
        "A hook can tell a crash from an end.",
        example=(
            "A step raises ValueError('the loss is NaN'): on_exception comes once, with that object. Announced anew in "
            "each scope that it leaves, it comes too often."
        ),
    ),
    rule(
        "FAIL-03",
        "MUST",
        "After on_exception the open scopes MUST be closed, innermost first, and nothing else be emitted.",
        "What a hook acquires when a scope opens, it can release when the scope closes.",
        example=(
            "A step raises: on_exception, after_train_iter, after_train_epoch, after_train, after_run. A last "
            "validation in between breaks it."
        ),
    ),
    rule(
        "FAIL-04",
        "MUST",
        "An iteration or epoch that ends with an exception MUST NOT be counted.",
        "A resume repeats what was not completed.",
        example=(
            "The fifth batch raises: iter is 4 to the end, although an after_train_iter came for the fifth as well."
        ),
    ),
    rule(
        "FAIL-05",
        "MUST",
        "A close that belongs to an abnormal end MUST carry neither outputs nor metrics.",
        "Half a validation has no result.",
        example=(
            "A validation breaks off after 2 of 5 batches: its after_val_epoch carries metrics=None, not the mean over "
            "the two."
        ),
    ),
    rule(
        "FAIL-06",
        "MUST",
        "After an abnormal end the hub MUST hold no loop_stage.",
        "A notebook that goes on after an interrupt does not take itself for a training.",
        example="Ctrl-C in one cell of a notebook: in the next cell loop_stage is None, not 'train'.",
    ),
)
