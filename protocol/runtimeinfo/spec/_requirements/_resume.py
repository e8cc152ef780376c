"""RESUME: what a resumed training begins with."""

from __future__ import annotations

from runtimeinfo.spec._requirements._rule import rule

RESUME = (
    rule(
        "RESUME-01",
        "MUST",
        "A resumed training MUST begin with the counters that the saved one ended with.",
        "A schedule goes on where it stopped.",
        example=(
            "Saved after 2 epochs of 100 batches: at the before_train of the resumed training, epoch is 2 and iter is "
            "200."
        ),
        needs="resume",
    ),
    rule(
        "RESUME-02",
        "MUST",
        "A resumed training MUST continue the histories that the saved one had published.",
        "A curve has no gap, and no second start.",
        example=(
            "train/loss had 200 values when it was saved: at the before_train of the resumed training it has the same "
            "200, and the next one is the 201st."
        ),
        needs="resume",
    ),
    rule(
        "RESUME-03",
        "MUST",
        "A training that is resumed in mid-epoch MUST go on in that epoch, with the batch after the last one that was "
        "completed.",
        "No batch is seen twice, and none is left out.",
        example=(
            "Saved after 40 of the 100 batches of the third epoch: the resumed training opens that epoch anew, with "
            "epoch 2, and its first batch there is the 41st, with iter 240."
        ),
        needs="resume resume_mid_epoch",
        since="0.2",
    ),
    rule(
        "RESUME-04",
        "MUST",
        "In an epoch that goes on after a resume, batch_idx MUST go on as well.",
        "A hook that acts every n-th batch of an epoch keeps its rhythm.",
        example=(
            "An epoch of 5 batches, saved after the second one: the first iteration after the resume has the batch_idx "
            "2. To begin with 0 again breaks it."
        ),
        needs="resume resume_mid_epoch",
        since="0.2",
    ),
)
