"""STAGE: the value of loop_stage."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

STAGE = (
    rule(
        "STAGE-01",
        "MUST",
        "Between before_train and after_train, outside of any validation or test, loop_stage MUST be 'train'.",
        "A component knows that it is being trained, whatever mode the model is in.",
        example=(
            "A model whose batch norm is frozen by eval() trains on: loop_stage is 'train' at each before_train_iter "
            "all the same."
        ),
    ),
    rule(
        "STAGE-02",
        "MUST",
        "Between before_val and after_val loop_stage MUST be 'val'.",
        "A component knows that it is being validated.",
        example=(
            "A metric that reads loop_stage at before_val_iter finds 'val', also in a validation in the middle of a "
            "training."
        ),
        needs="val",
    ),
    rule(
        "STAGE-03",
        "MUST",
        "From after_val on, loop_stage MUST be what it was before before_val.",
        "A validation leaves no trace in the stage.",
        example=(
            "Training, then a validation: loop_stage goes 'train', 'val', 'train'. Popping it instead leaves a "
            "training without a stage."
        ),
        needs="val",
    ),
    rule(
        "STAGE-04",
        "MUST",
        "Between before_test and after_test loop_stage MUST be 'test'.",
        "A component knows that it is being tested.",
        example=(
            "A test after the training: loop_stage is 'test' from before_test on. A test that is run as one more "
            "validation, with 'val', breaks it."
        ),
        needs="test",
    ),
    rule(
        "STAGE-05",
        "MUST",
        "From after_test on, loop_stage MUST be what it was before before_test.",
        "A test leaves no trace in the stage.",
        example=(
            "A test after each epoch of a training: loop_stage goes 'train', 'test', 'train'. After a test on its own "
            "there is none."
        ),
        needs="test",
    ),
    rule(
        "STAGE-06",
        "MUST",
        "Outside of training, validation and test the hub MUST hold no loop_stage.",
        "A model used for inference after its training does not take itself for one in training.",
        example=(
            "An augmentation that asks once the training is over gets None for loop_stage. A 'train' left over makes "
            "it augment what the model shall predict."
        ),
    ),
)
