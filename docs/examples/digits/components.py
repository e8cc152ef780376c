"""Three components of a training. All they know of it, they read from `current_hub()`.

None of them is given a runner, a config or an epoch; none of them knows which framework trains.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.data import Sampler

from runtimeinfo import current_hub


class WarmedUpLoss(nn.Module):
    """Cross entropy with label smoothing which fades out as the training goes on: its weight follows iter/max_iters."""

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar, for logits of shape (N, 10) and labels of shape (N,)."""
        hub = current_hub()
        done = hub.get_info("iter", 0) / (hub.get_info("max_iters") or 1)
        smoothing = 0.2 * (1 - done)
        return nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)


class EpochSampler(Sampler[int]):
    """Shuffles differently in each epoch, and the same way in each run: the order follows `epoch` and `seed`."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __iter__(self) -> Iterator[int]:
        hub = current_hub()
        generator = torch.Generator().manual_seed(1000 * hub.get_info("seed", 0) + hub.get_info("epoch", 0))
        yield from torch.randperm(self.length, generator=generator).tolist()

    def __len__(self) -> int:
        return self.length


class Accuracy:
    """Counts what is right, and prints it with the stage that it was counted in."""

    def __init__(self) -> None:
        self.right = self.total = 0

    def update(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Count a batch."""
        self.right += int((logits.argmax(1) == labels).sum())
        self.total += len(labels)

    def compute(self) -> float:
        """Return the accuracy since the last call, from 0 to 1, and start again."""
        accuracy = self.right / self.total
        hub = current_hub()
        print(f"  stage {hub.get_info('loop_stage')}, iter {hub.get_info('iter')}: accuracy {accuracy:.3f}", flush=True)
        self.right = self.total = 0
        return accuracy
