"""Reduce what all ranks of a distributed run have published, and put a hub into a distributed checkpoint.

`reduce` gives the mean, sum, minimum and maximum of each scalar; `PackedState` is an entry for
`torch.distributed.checkpoint`. Both need PyTorch. To import this module does not load it: a run of several ranks has
done so.

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
from runtimeinfo_adapters.distributed._packed import PackedState
from runtimeinfo_adapters.distributed._reduce import Reducer, reduce

__all__ = ["PackedState", "ReducedScalar", "Reducer", "reduce"]

require_torch()
