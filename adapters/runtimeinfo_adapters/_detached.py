"""A value without its autograd graph."""

from __future__ import annotations

from typing import Any


def detached(value: Any) -> Any:
    """Return a value without its autograd graph; one that has none is returned as it is.

    Whoever keeps an output would keep the graph, and all of its activations, with it.
    """
    return value.detach() if getattr(value, "requires_grad", False) else value
