"""Which of the processes of a distributed run this one is."""

from __future__ import annotations

import os
import sys
from typing import Any


def global_rank() -> int:
    """Return the rank among all processes of the run: PyTorch's, or else that of the launcher, or else 0.

    PyTorch is asked only if somebody has loaded it, and its process group is up. A launcher such as torchrun says
    the rank in the environment variable RANK; one that is no number is none.

    Example:
        >>> global_rank()
        0
    """
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    said = os.environ.get("RANK", "").strip()
    return int(said) if said.isdecimal() else 0
