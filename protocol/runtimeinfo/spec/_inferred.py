"""What the values of an inferred run mean: of a training whose code publishes nothing."""

from __future__ import annotations

from types import MappingProxyType

INFERRED_VALUES = MappingProxyType(
    {
        "inferred": "True. Every inferred run has it, and no other one.",
        "loop_stage": (
            '"train" from the draw of a batch of the training loader to the end of its pass. It is absent in a '
            "validation, and where no loader is."
        ),
        "epoch": "The finished passes over the training loader.",
        "iter": (
            "The batches of the training loader whose iteration is finished: one is finished when the next one is "
            "drawn, or the pass ends. Where no loader is, the steps of the optimizer."
        ),
        "train/lr": (
            "The learning rate of the first param group: as the batch was drawn, and from the step on that of the "
            "step. Where no loader is, that of the last step. Of several optimizers it is "
            "`train/<class>.lr`, and `train/<class>-1.lr` for the second one of a class, in the order in which they "
            "were made."
        ),
        "train/loss": (
            "The scalar on which backward was called for the last step, without the scale of a GradScaler; of several "
            "calls within a step, the first."
        ),
    }
)
"""The meaning of each value that an inferred run can have, by its key. It has no other one but its metadata."""

INFERRED_RULES = (
    (
        "The *training loader* is the DataLoader whose batch was the last to be drawn, with gradients enabled, "
        "before the first step of the optimizer. Before that step nothing is said."
    ),
    (
        "Another loader follows it if a step is made on its first batch, and the same calls begin its pass, after the "
        "pass before has ended. `iter` then goes on. `epoch` goes on if the loader before was freed and both draw the "
        "same dataset as a whole, or by the same sampler. It is absent otherwise, because an epoch might be made of "
        "several loaders, and `loop_stage` is then absent until the step."
    ),
    (
        "A training begins with its first optimizer. An optimizer that is made before the first step belongs to "
        "it. One that is made after a step begins another training, and everything of the one before is withdrawn. "
        "If it drives parameters of an earlier one, `epoch` and `iter` are absent from then on."
    ),
    (
        "`epoch` and `iter` are absent if batches are drawn ahead of the iteration that trains on them, if steps "
        "are made on batches of several loaders in other ways, or on batches that were kept from an earlier pass; and "
        "if the passes of the training loader are made or drawn in several threads. `epoch` is absent after a pass "
        "that was broken off."
    ),
    (
        "An optimizer that makes no step in the first pass is not of the training, which is then said from the first "
        "step of the second pass on. If it makes a step later, `epoch`, `iter` and `loop_stage` are absent from then "
        "on."
    ),
    (
        "`epoch`, `iter` and `loop_stage` are absent from the next pass on if an optimizer has loaded a state after "
        "its first step, or the model has after a pass that was broken off: what follows a search for a learning rate "
        "begins to count again."
    ),
    (
        "`iter` is absent between a break and the next step. `epoch`, `iter` and `loop_stage` are absent in a "
        "further pass that makes no step, and in a pass over any loader amid one of the training loader."
    ),
    (
        "`train/loss` is absent if a step has several losses, as with gradient accumulation, where there are "
        "several optimizers, and where backward is given anything but one scalar."
    ),
    (
        "`loop_stage` is absent after `eval()` of a module that is trained, until the next batch of the pass is drawn, "
        "and in the first iteration of a pass that another function begins than the pass before."
    ),
    "Where a forked child goes on with a training of its parent, it has none of these values.",
    (
        "Of a step that is compiled with `fullgraph=True` nothing is known, so that its training has none of these "
        "values."
    ),
    "Where another run is open, the training is that run's, and nothing is inferred.",
)
"""Where a value of an inferred run is absent, because it might be wrong."""
