"""The resumed flag of a popped key, and the traces that a refused state leaves in a hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from runtimeinfo import MessageHub
from runtimeinfo_conformance.judges._hub_model import HubModel, answer, compared_contents, contents
from runtimeinfo_conformance.judges._judge import Finding, RuleFinding, broken, ok

Make = Callable[[str], MessageHub]
"""Creates a hub with a name."""

_LOCAL = "local"


class Whole(NamedTuple):
    """The contents of a hub, and of a hub that has loaded its state, or None if the state does not load."""

    now: HubModel
    saved: HubModel | None


def whole(make: Make, hub: MessageHub) -> Whole:
    """Read a hub and its state."""
    try:
        fresh = make("conformance-whole")
        fresh.load_state_dict(hub.state_dict())
        saved = contents(fresh)
    except Exception:  # noqa: BLE001  # HUB-11 says it
        saved = None
    return Whole(contents(hub), saved)


def compared_wholes(at: int, before: Whole, after: Whole) -> Finding:
    """Compare a hub and its state with an earlier reading of both."""
    now = compared_contents(at, before.now, after.now)
    if not now.holds or before.saved is None:
        return now
    if after.saved is None:
        return broken(at, "a state that loads", "a state that does not")
    saved = compared_contents(at, before.saved, after.saved)
    if saved.holds:
        return saved
    return broken(at, {"in a state": saved.expected}, {"in a state": saved.observed})


def fill(hub: MessageHub, number: int) -> MessageHub:
    """Publish some infos and scalars. Different numbers share some keys and have others to themselves.

    One info and one scalar are resumable for number 1 only.
    """
    for key in ("epoch", f"info {number}", "loop_stage"):
        hub.update_info(key, [number, key])
    for key in ("train/loss", f"scalar {number}", "val/acc"):
        hub.update_scalar(key, float(number))
        hub.update_scalar(key, number + 0.5, count=3)
    hub.update_info(f"{_LOCAL} info", number, resumed=number == 1)
    hub.update_scalar(f"{_LOCAL} scalar", float(number), resumed=number == 1)
    return hub


def flags_as_before(requirement: str, at: int, hub: MessageHub) -> Iterator[RuleFinding]:
    """Publish to the hub filled with number 2 after it has refused a state of number 1. Its flags must be unchanged.

    A key that only the state had counts as new.
    """
    given = {"resumed": False}
    for key in (f"{_LOCAL} info", "info 1"):
        yield _published(requirement, at, key, answer(lambda: hub.update_info(key, 7, **given)))  # noqa: B023  # called here
    for key in (f"{_LOCAL} scalar", "scalar 1"):
        yield _published(requirement, at, key, answer(lambda: hub.update_scalar(key, 7.0, **given)))  # noqa: B023  # likewise


def _published(requirement: str, at: int, key: str, answered: Any) -> RuleFinding:
    if answered is None:
        return RuleFinding(requirement, ok(at))
    return RuleFinding(requirement, broken(at, {f"{key} with resumed=False": "accepted"}, {key: answered}))


def judge_popped(make: Make, key: str, at: int) -> Iterator[RuleFinding]:
    """Publish a key, pop it, and publish it with the other flag.

    A hub may refuse that. If it accepts, its state must follow the new flag.
    """
    for first in (True, False):
        for publish, pop in _WAYS:
            hub = make("conformance-popped")
            publish(hub, key, first)
            pop(hub, key)
            flag = not first
            if answer(lambda: publish(hub, key, flag)) is not None:  # noqa: B023  # called here
                flag = first
                again = answer(lambda: publish(hub, key, flag))  # noqa: B023  # likewise
                yield RuleFinding("HUB-08", Finding(at, {key: "accepted"}, {key: again or "accepted"}))
            before = whole(make, hub)
            if before.saved is not None:
                is_saved = key in before.saved.infos or key in before.saved.scalars
                finding = Finding(at, {f"{key} is saved": flag}, {f"{key} is saved": is_saved})
                yield RuleFinding("HUB-11" if flag else "HUB-12", finding)
            refused = answer(lambda: publish(hub, key, not flag))  # noqa: B023  # likewise
            yield RuleFinding("HUB-08", Finding(at, {key: "refused"}, {key: "refused" if refused else "accepted"}))
            yield RuleFinding("HUB-08", compared_wholes(at, before, whole(make, hub)))


def _update_info(hub: MessageHub, key: str, resumed: bool) -> None:
    hub.update_info(key, 1, resumed=resumed)


def _update_info_dict(hub: MessageHub, key: str, resumed: bool) -> None:
    hub.update_info_dict({key: 1, f"{key}/other": 0}, resumed=resumed)


def _update_scalar(hub: MessageHub, key: str, resumed: bool) -> None:
    hub.update_scalar(key, 1.0, resumed=resumed)


def _update_scalars(hub: MessageHub, key: str, resumed: bool) -> None:
    hub.update_scalars({key: 1.0}, resumed=resumed)


def _pop_info(hub: MessageHub, key: str) -> None:
    for each in (key, f"{key}/other"):
        hub.pop_info(each)


def _pop_scalar(hub: MessageHub, key: str) -> None:
    hub.pop_scalar(key)


_WAYS = (
    (_update_info, _pop_info),
    (_update_info_dict, _pop_info),
    (_update_scalar, _pop_scalar),
    (_update_scalars, _pop_scalar),
)
