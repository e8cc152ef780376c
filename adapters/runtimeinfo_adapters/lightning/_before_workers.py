"""The moment before Lightning starts the workers of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast


def tell_before_workers(loop: Any, tell: Callable[[], None]) -> None:
    """Call a function each time before a fit loop makes its iterator, until `tell_no_longer`.

    Its workers begin at once, and only then does Lightning announce the training.

    Args:
        loop: Lightning's fit loop.
        tell: The function.

    Source: SHARE-02.
    """
    tell_no_longer(loop)
    original = loop.setup_data

    def setup_data() -> None:
        tell()
        original()

    loop.setup_data = setup_data


def tell_no_longer(loop: Any) -> None:
    """Leave a fit loop as it was."""
    cast("dict[str, Any]", vars(loop)).pop("setup_data", None)
