"""The rank of this process in a distributed run."""

from __future__ import annotations

import os
import sys
from typing import Any


def global_rank() -> int:
    """Return the rank among all processes of the run: that of PyTorch, or else of the launcher, or else 0.

    PyTorch is asked only if it is loaded, and its process group set up. A launcher such as torchrun sets the
    environment variable RANK; a value that is not a number is ignored.

    Example:
        >>> global_rank()
        0
    """
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    said = os.environ.get("RANK", "").strip()
    return int(said) if said.isdecimal() else 0
