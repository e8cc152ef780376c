"""What a history holds in memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable


def bytes_per_value(make: Callable[[], object], length: int) -> float:
    """Return what a history of this length keeps, for each of its values."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        history = make()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        del history
        return (after - before) / length
    finally:
        tracemalloc.stop()
