"""Hubs in the place of those that mmengine made for its runners, and what mmengine then hands out by name."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from runtimeinfo import MessageHub
from runtimeinfo_adapters._adapter import Target


class _Place(NamedTuple):
    """A hub that was put into a runner, in the place of another one."""

    hub: Target
    runner: Target
    replaced: Target


_lock = threading.Lock()
_places: list[_Place] = []
"""Oldest first; changed under the lock, because each thread may have its own runner."""


def _places_of(hub: Any) -> list[_Place]:
    return [place for place in _places if place.hub.get() is hub]


def belongs_to_another(hub: Any, runner: Any) -> bool:
    """Return whether a hub was put into another runner: mmengine hands it out again to one of the same name."""
    places = _places_of(hub)
    return bool(places) and not any(place.runner.get() is runner for place in places)


def holds_another_run(hub: Any, runner: Any) -> bool:
    """Return whether a run has published to the hub of a runner that has not trained yet."""
    if belongs_to_another(hub, runner):
        return True
    loop: Any = getattr(runner, "_train_loop", runner)
    has_trained = getattr(loop, "iter", 0) > 0
    return not has_trained and any(hub.get_info(f"{name}_version") for name in ("mmengine", "runtimeinfo"))


def exchange_hub(runner: Any, before: Any, after: MessageHub) -> None:
    """Put a hub in the place of another one, wherever mmengine hands it out."""
    _set_hub(runner, before, after)
    # All code that asks mmengine for the hub by name, or for the current one, gets this one: also where another runner
    # of the same name has put its own there.
    with _lock:
        earlier = [before, *(place.hub.get() for place in _places if place.replaced.get() is before)]
        for instances in _registries(before, after):
            for name, instance in instances.items():
                if any(instance is each for each in earlier):
                    instances[name] = after
        _places[:] = [each for each in _places if each.hub.get() is not None and each.runner.get() is not None]
        _places.append(_Place(Target(after), Target(runner), Target(before)))


def put_hub_back(runner: Any, before: Any) -> None:
    """Take back what `exchange_hub` did: mmengine then hands out the newest hub that is still in its place."""
    ours: Any = runner.message_hub
    mine = next((place for place in _places_of(ours) if place.runner.get() is runner), None)
    if mine is None:  # the user has put another one there since
        return
    _set_hub(runner, ours, before)
    with _lock:
        _places.remove(mine)
        origin = mine.replaced
        _places[:] = [place._replace(replaced=origin) if place.replaced.get() is ours else place for place in _places]
        in_place = [place.hub.get() for place in _places if place.replaced.get() is origin.get()]
        newest = in_place[-1] if in_place else origin.get() or before
        for instances in _registries(before, ours):
            for name, instance in instances.items():
                if instance is ours:
                    instances[name] = newest


def _set_hub(runner: Any, before: Any, after: Any) -> None:
    runner.message_hub = after
    # Optimizer wrappers have looked their hub up when they were built.
    wrapper: Any = getattr(runner, "optim_wrapper", None)
    for each in (wrapper, *getattr(wrapper, "optim_wrappers", {}).values()):
        if getattr(each, "message_hub", None) is before:
            each.message_hub = after


def _registries(*hubs: Any) -> Iterator[dict[str, Any]]:
    """Iterate over the tables in which mmengine keeps its hubs by name: each class of hubs has its own."""
    for kind in dict.fromkeys((*map(type, hubs), hub_class())):
        yield getattr(kind, "_instance_dict", {})


def hub_class() -> Any:
    """Return mmengine's class of hubs; None if mmengine is not loaded."""
    return getattr(sys.modules.get("mmengine.logging"), "MessageHub", None)
