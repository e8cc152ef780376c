"""The learning rates of one PyTorch optimizer, or of several by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from runtimeinfo import LoopError
from runtimeinfo.authoring import describe


class LearningRates:
    """Satisfies `runtimeinfo.authoring.HasLearningRates` with optimizers as they are.

    Args:
        optimizers: One optimizer, whose rates are called ``lr``; several by name, whose rates are
            ``<name>.lr``; or None for a loop that has none.

    Raises:
        LoopError: If it is something else.

    Example:
        >>> import torch
        >>> layers = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        >>> generator, critic = (torch.optim.SGD(layer.parameters(), lr=0.1) for layer in layers)
        >>> LearningRates({"generator": generator, "critic": critic}).get_lr()
        {'generator.lr': [0.1], 'critic.lr': [0.1]}

    Source: SCALAR-02, SCALAR-03.
    """

    def __init__(self, optimizers: Optimizer | Mapping[str, Optimizer] | None) -> None:
        if optimizers is None:
            named: dict[str, Optimizer] = {}
        elif isinstance(optimizers, Mapping):
            named = {f"{name}.lr": optimizer for name, optimizer in optimizers.items()}
        else:
            named = {"lr": optimizers}
        for name, optimizer in named.items():
            if not hasattr(optimizer, "param_groups"):
                raise LoopError(
                    f"optimizer{'' if name == 'lr' else f' {name[:-3]!r}'}: an optimizer has param_groups, "
                    f"but this is {describe(optimizer)}; give one optimizer, a dict of them by name, or None"
                )
        self._named = named

    def get_lr(self) -> dict[str, list[Any]]:
        """Return the rates as they are now: a number, or a tensor if the optimizer has one, for each param group."""
        return {name: [group["lr"] for group in optimizer.param_groups] for name, optimizer in self._named.items()}
