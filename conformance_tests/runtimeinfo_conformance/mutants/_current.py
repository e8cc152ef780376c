"""Faults in the view of a component: a missing run, or one that differs from the hub."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from runtimeinfo import InfoReader, MissingScalarError, ScalarHistory, use_hub
from runtimeinfo.spec import FREE_EVENTS
from runtimeinfo_conformance.mutants._mutant import Call, Fault, MakeFault
from runtimeinfo_conformance.plans import Plan


class Answers:
    """A reader with the given infos, and the histories of a hub or none."""

    def __init__(self, infos: dict[str, Any], get_scalar: Callable[[str], ScalarHistory] | None = None) -> None:
        self._infos = infos
        self._get_scalar = get_scalar

    def get_info(self, key: str, default: Any = None) -> Any:
        """Return an info."""
        return self._infos.get(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        """Return a history."""
        if self._get_scalar is None:
            raise MissingScalarError(f"no scalar {key!r}", key=key, requirement="HUB-07")
        return self._get_scalar(key)


def find_nothing(_event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Let hooks find an empty reader."""
    with use_hub(Answers({})):
        return call(runner, given)


def find_no_history(_event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Let hooks find a reader with infos only."""
    with use_hub(Answers(infos_of(runner.message_hub))):
        return call(runner, given)


class EnteredForHooksOnly:
    """Fault that hides the run from code outside hooks."""

    def __init__(self) -> None:
        self._between = ExitStack()

    def __call__(self, _plan: Plan, _hook: object) -> Fault:
        """Return the fault for one hook of a run."""

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            self._between.close()
            result = call(runner, given)
            if event != "after_run":
                self._between.enter_context(use_hub(Answers({})))
            return result

        return fault


class BehindInIterations:
    """Fault that shows the previous iteration to code outside hooks."""

    def __init__(self) -> None:
        self._between = ExitStack()
        self._is_inside = False

    def __call__(self, _plan: Plan, _hook: object) -> Fault:
        """Return the fault for one hook of a run."""

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            self._between.close()
            result = call(runner, given)
            # A checkpoint may follow before the code of the iteration runs.
            self._is_inside = event == "before_train_iter" or (self._is_inside and event in FREE_EVENTS)
            if self._is_inside:
                hub = runner.message_hub
                stale = {**infos_of(hub), "iter": (hub.get_info("iter") or 0) - 1}
                self._between.enter_context(use_hub(Answers(stale, hub.get_scalar)))
            return result

        return fault


def find_what_was_at(event_noted: str) -> MakeFault:
    """Let hooks find the infos from a certain event at all later events."""

    def make(_plan: Plan, _hook: object) -> Fault:
        noted: list[InfoReader] = []

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if event == event_noted:
                noted[:] = [Answers(infos_of(runner.message_hub), runner.message_hub.get_scalar)]
            elif noted:
                with use_hub(noted[0]):
                    return call(runner, given)
            return call(runner, given)

        return fault

    return make


def infos_of(hub: Any) -> dict[str, Any]:
    return {key: hub.get_info(key) for key in hub.runtime_info}
