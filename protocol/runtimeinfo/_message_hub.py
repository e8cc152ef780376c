"""The interfaces of a hub: what a component reads, and what a hook writes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, SupportsFloat, runtime_checkable


@runtime_checkable
class ScalarHistory(Protocol):
    """Every value that was published under one key, each with a count.

    `mean` weighs with the counts: a value is the sum over ``count`` samples.

    Source: HUB-05, HUB-06, HUB-10.
    """

    @property
    def data(self) -> tuple[Any, Any]:
        """The values and their counts: two arrays of shape ``(n,)``, oldest first."""
        ...

    def current(self) -> SupportsFloat:
        """Return the latest value; raise `ValueError` if there is none."""
        ...

    def mean(self, window_size: int | None = None) -> SupportsFloat:
        """Return the sum of the last values over the sum of their counts; None means all of them."""
        ...

    def min(self, window_size: int | None = None) -> SupportsFloat:
        """Return the smallest of the last values; None means all of them."""
        ...

    def max(self, window_size: int | None = None) -> SupportsFloat:
        """Return the largest of the last values; None means all of them."""
        ...

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        """Return a statistic by the name it was registered under; raise `KeyError` if there is none."""
        ...


@runtime_checkable
class InfoReader(Protocol):
    """All that a component may depend on.

    Example:
        >>> from runtimeinfo import current_hub
        >>> def loss_weight() -> float:
        ...     reader = current_hub()
        ...     return reader.get_info("iter", 0) / (reader.get_info("max_iters") or 1)
        >>> loss_weight()  # nobody is training here
        0.0

    Source: HUB-01, HUB-02, HUB-04, HUB-07.
    """

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return the info last published under a key, or the default."""
        ...

    def get_scalar(self, key: str) -> ScalarHistory:
        """Return the history of a scalar; raise `KeyError` if nobody has published it."""
        ...


@runtime_checkable
class MessageHub(InfoReader, Protocol):
    """Where a run publishes: the latest value of each info, the whole history of each scalar.

    ``resumed`` says of a key whether it goes into `state_dict`. It cannot change for a key.

    Source: HUB-01 to HUB-15.
    """

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        """Publish an info; the last write wins."""
        ...

    def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None:
        """Publish several infos."""
        ...

    def pop_info(self, key: str, default: Any = None) -> Any:
        """Remove an info and return it, or the default."""
        ...

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        """Append a value to the history of a scalar."""
        ...

    def update_scalars(self, log_dict: dict[str, Any], resumed: bool = True) -> None:
        """Append to several; a value may be ``dict(value=..., count=...)``."""
        ...

    @property
    def log_scalars(self) -> Mapping[str, ScalarHistory]:
        """Every scalar's history by its key."""
        ...

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        """Every info by its key."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what is resumable, in a form that `load_state_dict` takes."""
        ...

    def load_state_dict(self, state_dict: Any) -> None:
        """Take over a saved state; what is here and not there stays."""
        ...


@runtime_checkable
class SupportsPopScalar(Protocol):
    """A hub which can forget a scalar. Optional: mmengine's hub has no such method."""

    def pop_scalar(self, key: str) -> None:
        """Remove the history of a scalar, if there is one."""
        ...


@runtime_checkable
class SupportsSharing(Protocol):
    """A hub which other processes can read. Optional: mmengine's hub has no such thing.

    Source: SHARE-01.
    """

    def sharing(self) -> AbstractContextManager[object]:
        """Return a context inside of which other processes find this hub as the current one of this process."""
        ...

    @property
    def board_path(self) -> Path | None:
        """The board that it is shared on, or None while it is not."""
        ...
