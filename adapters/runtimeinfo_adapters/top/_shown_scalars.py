"""Which scalars of a run are shown, and in which order."""

from __future__ import annotations

from collections.abc import Iterable


def shown_scalars(keys: Iterable[str]) -> list[str]:
    """Return the keys of scalars in the order in which they are shown.

    Learning rates come first: what begins with ``train/lr``, or, if there is none, what has ``lr`` in its last part.
    Then what belongs to training, to validation and to testing, then everything else; of each first what has ``loss``
    in its name, and otherwise as it was first published.

    Example:
        >>> shown_scalars(["val/acc", "time", "train/time", "train/loss", "train/lr"])
        ['train/lr', 'train/loss', 'train/time', 'val/acc', 'time']
    """
    all_keys = list(keys)
    rates = learning_rates(all_keys)
    stages = ("train/", "val/", "test/")

    def place(key: str) -> tuple[int, bool]:
        if key in rates:
            return -1, False
        stage = next((index for index, stage in enumerate(stages) if key.startswith(stage)), len(stages))
        return stage, "loss" not in key

    return sorted(all_keys, key=place)


def learning_rates(keys: Iterable[str]) -> set[str]:
    """Return which of the keys are those of learning rates."""
    all_keys = list(keys)
    usual = {key for key in all_keys if key.startswith("train/lr")}
    return usual or {key for key in all_keys if "lr" in key.rpartition("/")[2]}
