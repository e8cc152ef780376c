"""Reduce what all ranks of a distributed run have published: mean, sum, minimum and maximum of each scalar.

It needs PyTorch, and works over `torch.distributed`. Nothing here loads PyTorch: a run of several ranks has done so.

Example:
    >>> from runtimeinfo_adapters import MessageHub
    >>> from runtimeinfo_adapters.distributed import reduce
    >>> hub = MessageHub("doc-distributed")
    >>> hub.update_scalar("train/loss", 6.0, count=2)
    >>> hub.update_scalar("train/loss", 2.0, count=2)
    >>> loss = reduce(hub)["train/loss"]  # of all ranks; here there is one
    >>> loss.mean, loss.min, loss.max, loss.count
    (2.0, 2.0, 6.0, 4)
"""

from runtimeinfo_adapters.distributed._aggregate import ReducedScalar
from runtimeinfo_adapters.distributed._group import require_torch
from runtimeinfo_adapters.distributed._reduce import Reducer, reduce

__all__ = ["ReducedScalar", "Reducer", "reduce"]

require_torch()
