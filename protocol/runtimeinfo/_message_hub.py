"""The interfaces of a hub: reading for components, writing for hooks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable


@runtime_checkable
class ScalarHistory(Protocol):
    """Every value that was published under one key, each with a count.

    `mean` weighs with the counts: a value is the sum over ``count`` samples. This is an interface, which cannot be
    instantiated; `runtimeinfo_adapters.ScalarHistory` implements it.

    Source: HUB-05, HUB-06, HUB-10.
    """

    if not TYPE_CHECKING:

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            if cls is ScalarHistory:
                raise TypeError(
                    "ScalarHistory is the interface of a history and cannot be instantiated: create a "
                    "runtimeinfo_adapters.ScalarHistory(), or pass any object that has its methods"
                )
            return _new(super().__new__, cls, args, kwargs)

    @property
    def data(self) -> tuple[Any, Any]:
        """The values and their counts: two arrays of shape ``(n,)``, oldest first."""
        ...

    def current(self) -> float:
        """Return the latest value; raise `ValueError` if there is none."""
        ...

    def mean(self, window_size: int | None = None) -> float:
        """Return the sum of the last values over the sum of their counts; None means all of them."""
        ...

    def min(self, window_size: int | None = None) -> float:
        """Return the smallest of the last values; None means all of them."""
        ...

    def max(self, window_size: int | None = None) -> float:
        """Return the largest of the last values; None means all of them."""
        ...

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        """Return the statistic that is registered under a name; raise `KeyError` if there is none."""
        ...


@runtime_checkable
class InfoReader(Protocol):
    """The methods on which a component can depend.

    Example:
        >>> from runtimeinfo import current_hub
        >>> def loss_weight() -> float:
        ...     reader = current_hub()
        ...     return reader.get_info("iter", 0) / (reader.get_info("max_iters") or 1)
        >>> loss_weight()  # without a training
        0.0

    Source: HUB-01, HUB-02, HUB-04, HUB-07.
    """

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return the info last published under a key, or the default."""
        ...

    def get_scalar(self, key: str) -> ScalarHistory:
        """Return the history of a scalar; raise `KeyError` if it is not published."""
        ...


@runtime_checkable
class MessageHub(InfoReader, Protocol):
    """The place where a run publishes: the latest value of each info, the history of each scalar.

    ``resumed`` tells whether a key goes into `state_dict`. It cannot change for a key. This is an interface, which
    cannot be instantiated; `runtimeinfo_adapters.MessageHub` implements it.

    Source: HUB-01 to HUB-27.
    """

    if not TYPE_CHECKING:

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            if cls is MessageHub:
                name = repr(args[0]) if args and isinstance(args[0], str) else "'name'"
                raise TypeError(
                    "MessageHub is the interface of a hub and cannot be instantiated: create a "
                    f"runtimeinfo_adapters.MessageHub({name}), or pass any object that has its methods"
                )
            return _new(super().__new__, cls, args, kwargs)

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
        """Append to several scalars; a value can be ``dict(value=..., count=...)``."""
        ...

    @property
    def log_scalars(self) -> Mapping[str, ScalarHistory]:
        """Every scalar's history by its key."""
        ...

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        """Every info by its key."""
        ...

    def pop_scalar(self, key: str) -> None:
        """Remove the history of a scalar, if there is one."""
        ...

    def drop_latest(self, key: str) -> None:
        """Take back the latest value of a scalar, if there is one."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the resumable infos and histories, in a form that `load_state_dict` accepts."""
        ...

    def load_state_dict(self, state_dict: Any) -> None:
        """Restore a saved state; a key that the state does not have stays as it is."""
        ...


@runtime_checkable
class SupportsPopScalar(Protocol):
    """A hub that can forget a scalar: every `MessageHub`, but not mmengine's hub.

    Source: HUB-26.
    """

    def pop_scalar(self, key: str) -> None:
        """Remove the history of a scalar, if there is one."""
        ...


@runtime_checkable
class SupportsDropLatest(Protocol):
    """A hub that can take back the latest value of a scalar: every `MessageHub`, but not mmengine's hub.

    Source: HUB-27.
    """

    def drop_latest(self, key: str) -> None:
        """Remove the latest value of a scalar, if there is one."""
        ...


@runtime_checkable
class SupportsDeviceScalars(Protocol):
    """A hub that takes tensors of one event that lie on an accelerator together. Optional.

    The hook gives the outputs of an iteration to such a hub in one call, and to any other with `update_scalar`. The
    method must do what `update_scalar` does with each of them. The hook looks for it in the class of the hub, so that
    a wrapper that passes unknown names on gets `update_scalar`.

    Source: SCALAR-10.
    """

    def update_device_scalars(self, tensors: Mapping[str, Any], /) -> None:
        """Append to several scalars; each value is one for which `runtimeinfo.authoring.lies_on_device` holds."""
        ...


@runtime_checkable
class SupportsSharing(Protocol):
    """A hub that other processes can read. Optional: mmengine's hub cannot be shared.

    Source: SHARE-01.
    """

    def sharing(self) -> AbstractContextManager[object]:
        """Return a context in which other processes can read this hub; `use_hub` enters it."""
        ...

    @property
    def board_path(self) -> Path | None:
        """The board that the hub is shared on, or None while it is not shared."""
        ...


def _new(new: Any, cls: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Create an instance of a class that inherits from an interface, as if the interface had no `__new__`."""
    if new is not object.__new__:
        return new(cls, *args, **kwargs)
    if (args or kwargs) and not any(_has_init(base) for base in cls.__mro__):
        raise TypeError(f"{cls.__name__}() takes no arguments")
    return new(cls)


def _has_init(cls: type[Any]) -> bool:
    # `typing` puts a placeholder into each protocol that has no `__init__`.
    return cls is not object and vars(cls).get("__init__", _PLACEHOLDER) not in (_PLACEHOLDER, object.__init__)


_PLACEHOLDER = vars(InfoReader).get("__init__")
