"""The hub of the run that a component is part of, as something that the component can keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtimeinfo._errors import HubError
from runtimeinfo._message_hub import ScalarHistory
from runtimeinfo._scopes import NO_RUN, StandIn, get_innermost, resolve_hub
from runtimeinfo._worker_run import WorkerRunReader


class CurrentHub(StandIn):
    """Stands for the hub of the run in which it is used, also where it was kept, copied or pickled.

    `current_hub` returns the one object of this class. It has all members of `MessageHub`, and `tensor`.

    Source: HUB-02, SCOPE-01.
    """

    __slots__ = ()

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return the info last published under a key, or the default."""
        return get_innermost().answers.get_info(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        """Return the history of a scalar; raise `KeyError` if it is not published."""
        return get_innermost().answers.get_scalar(key)

    # No `__getattr__`, for whatever else a hub can do: with it, each read of a key takes half as long again.

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        """Publish an info to the run; nothing happens outside of any run, and a worker cannot publish."""
        _publish("update_info", key, value, resumed)

    def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None:
        """Publish several infos, as `update_info` does."""
        _publish("update_info_dict", info_dict, resumed)

    def pop_info(self, key: str, default: Any = None) -> Any:
        """Remove an info from the hub of the run and return it, or the default."""
        if key not in self.runtime_info:
            return default
        popped = _publish("pop_info", key, default)
        return default if isinstance(resolve_hub(), WorkerRunReader) else popped

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        """Append a value to the history of a scalar of the run. Outside of a run, behave as `update_info`."""
        _publish("update_scalar", key, value, count, resumed)

    def update_scalars(self, log_dict: dict[str, Any], resumed: bool = True) -> None:
        """Append to several scalars, as `update_scalar` does."""
        _publish("update_scalars", log_dict, resumed)

    @property
    def log_scalars(self) -> Mapping[str, ScalarHistory]:
        """Every scalar's history by its key; empty outside of any run."""
        return getattr(resolve_hub(), "log_scalars", {})

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        """Every info by its key; empty outside of any run."""
        return getattr(resolve_hub(), "runtime_info", {})

    def pop_scalar(self, key: str) -> None:
        """Remove the history of a scalar of the run, if there is one; where no run is, as `update_info`."""
        _publish("pop_scalar", key)

    def drop_latest(self, key: str) -> None:
        """Take back the latest value of a scalar of the run, if there is one; as `pop_scalar`."""
        _publish("drop_latest", key)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the run's hub; raise `HubError` outside of any run."""
        state: dict[str, Any] = _member("state_dict")()
        return state

    def load_state_dict(self, state_dict: Any) -> None:
        """Restore a state of the run's hub; raise `HubError` outside of any run."""
        _member("load_state_dict")(state_dict)

    def tensor(self, key: str, *, dtype: Any = None, device: Any = "cpu") -> Any:
        """Return an info of the run as a tensor of shape ``()`` that shows each later value: the hub's own `tensor`.

        The reference hub, `runtimeinfo_adapters.MessageHub`, has that method. Ask in each run: the tensor belongs to
        the hub of the run in which you ask.

        Raises:
            HubError: Outside of any run, in a worker, over a hub without such a method, and as the hub does.
        """
        return _member("tensor")(key, dtype=dtype, device=device)

    def __repr__(self) -> str:
        return f"<current hub: {resolve_hub()!r}>"

    def __reduce__(self) -> tuple[Callable[[], CurrentHub], tuple[()]]:
        return current_hub, ()


def _publish(method: str, *arguments: Any) -> Any:
    hub = resolve_hub()
    if hub is NO_RUN:
        return None
    if isinstance(hub, WorkerRunReader):
        hub.warn_that_it_only_reads(method)
        return None
    return _member(method)(*arguments)


def _member(name: str) -> Callable[..., Any]:
    hub = resolve_hub()
    try:
        member: Callable[..., Any] = getattr(hub, name)
    except AttributeError:
        raise HubError(f"{hub!r} has no {name}(): use it in a run whose hub has it, and not in a worker") from None
    return member


_CURRENT_HUB = CurrentHub()


def current_hub() -> CurrentHub:
    """Return the hub of the run that this code is part of.

    You can keep what it returns, also before there is a run, and in a dataset that travels to workers: each use is
    answered by the run in which it happens. That is the innermost `use_hub` of this thread, task or generator; in a
    worker process, the run whose thread has started the worker. A thread that has inherited no context is answered by
    the only run that was open in its lifetime. Where no run publishes, or where it cannot be known which one the code
    belongs to, every info is its default, and what is published goes nowhere.

    Example:
        >>> current_hub().get_info("epoch", 0)
        0

    Source: HUB-02, SHARE-01, SCOPE-01 to SCOPE-07.
    """
    return _CURRENT_HUB
