"""The adapter for plain PyTorch: the `Loop` of `runtimeinfo_adapters.loop`.

    from runtimeinfo_adapters.pytorch import Loop

A loop of another library, or of none, uses the same class: neither module loads PyTorch.
"""

from runtimeinfo_adapters.loop import Evaluation, FinishedLoopWarning, Loop, TrainPass

__all__ = ["Evaluation", "FinishedLoopWarning", "Loop", "TrainPass"]
