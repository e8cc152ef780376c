"""The learning rates of a trainer's optimizers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from runtimeinfo import RunnerError


class LearningRates:
    """Satisfies `runtimeinfo.authoring.HasLearningRates` with a list of optimizers.

    Args:
        optimizers: The optimizers. The rates of a single one are called ``lr``.
        names: Names of several, whose rates are called ``<name>.lr``. Without, they are named after their class,
            the second one of a class ``<class>-1``, as Lightning's LearningRateMonitor does.

    Raises:
        RunnerError: If there are names, but not as many as optimizers.

    Example:
        >>> import torch
        >>> first, second = (torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=0.1) for _ in range(2))
        >>> LearningRates([first, second]).get_lr()
        {'SGD.lr': [0.1], 'SGD-1.lr': [0.1]}
        >>> LearningRates([first, second], ("generator", "critic")).get_lr()
        {'generator.lr': [0.1], 'critic.lr': [0.1]}

    Source: SCALAR-02, SCALAR-03.
    """

    def __init__(self, optimizers: Sequence[Any], names: Sequence[str] = ()) -> None:
        if names and len(names) != len(optimizers):
            raise RunnerError(
                f"optimizer_names has {len(names)} names ({', '.join(names)}), but configure_optimizers() returned "
                f"{len(optimizers)}: give a name for each, in that order",
                requirement="SCALAR-02",
            )
        if not names and len(optimizers) == 1:
            self._keys = ["lr"]
        else:
            self._keys = [f"{name}.lr" for name in names or _by_class(optimizers)]
        self._optimizers = optimizers

    def get_lr(self) -> dict[str, list[Any]]:
        """Return the rates as they are now, of each param group."""
        return {
            key: [group["lr"] for group in optimizer.param_groups]
            for key, optimizer in zip(self._keys, self._optimizers, strict=True)
        }


def _by_class(optimizers: Sequence[Any]) -> list[str]:
    seen: Counter[str] = Counter()
    names: list[str] = []
    for optimizer in optimizers:
        kind = type(optimizer).__name__
        names.append(f"{kind}-{seen[kind]}" if seen[kind] else kind)
        seen[kind] += 1
    return names
