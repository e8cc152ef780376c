"""What a training iterates over, in the form that the protocol asks for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from runtimeinfo.authoring import TrainDataLoader


def with_dataset(loader: Any) -> TrainDataLoader:
    """Return a loader as it is, or something that has it as its dataset if it has none.

    Example:
        >>> with_dataset([1.0, 2.0]).dataset
        [1.0, 2.0]

    Source: META-07.
    """
    return cast("TrainDataLoader", loader if hasattr(loader, "dataset") else SimpleNamespace(dataset=loader))


def length_of(loader: Any) -> int | None:
    """Return how many batches a loader has; None if it has no length.

    Example:
        >>> length_of([1.0, 2.0]), length_of(iter([1.0]))
        (2, None)

    Source: COUNT-08.
    """
    try:
        return len(loader)
    except (TypeError, NotImplementedError):  # loaders without a length raise the one or the other
        return None
