"""What a faulty runner keeps from one run to the next."""

from __future__ import annotations

from typing import Any

from runtimeinfo import RuntimeInfoHook
from runtimeinfo_conformance.mutants._faults import ShownRunner
from runtimeinfo_conformance.mutants._mutant import Call, Fault
from runtimeinfo_conformance.plans import Plan


class LeftoverHistories:
    """Puts into the hub of each run as many values as there were runs before: its fault for one hook of a run."""

    def __init__(self) -> None:
        self._runs = 0

    def __call__(self, _plan: Plan, hook: object) -> Fault:
        """Make the fault."""

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            result = call(runner, given)
            if event == "before_run" and isinstance(hook, RuntimeInfoHook):
                # No end of them in a long search would only cost time.
                for _ in range(self._runs % 5):
                    runner.message_hub.update_scalar("left/over", 1.0)
                self._runs += 1
            return result

        return fault


class LeftoverCounters:
    """Lets each run begin with the iterations of the run before: its fault for one hook of a run."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._offset = 0
        self._last = 0

    def __call__(self, plan: Plan, _hook: object) -> Fault:
        """Make the fault."""
        if plan is not self._plan:  # a run makes one for each of its hooks
            self._plan, self._offset = plan, self._last

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if event == "after_run":
                self._last = runner.iter % 5
            return call(ShownRunner(runner, iter=runner.iter + self._offset), given)

        return fault


def histories_of_the_first(_plan: Plan, hook: object) -> Fault:
    """Let a training that is made again begin with the histories of the first one."""
    held: dict[str, list[float]] = {}

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        result = call(runner, given)
        if isinstance(hook, RuntimeInfoHook):
            hub = runner.message_hub
            if event == "before_run":
                for key, values in held.items():
                    for value in values:
                        hub.update_scalar(key, value)
            elif event == "after_run":
                held.update({key: history.data[0].tolist() for key, history in hub.log_scalars.items()})
        return result

    return fault


def counters_of_the_first(_plan: Plan, _hook: object) -> Fault:
    """Let a training that is made again go on with the counters of the first one."""
    before = {"iter": 0, "epoch": 0}
    last: dict[str, int] = {}

    def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        if event == "before_run" and last:
            before.update(last)
        shown = {name: getattr(runner, name) + value for name, value in before.items()}
        if event == "after_run":
            last.update(shown)
        return call(ShownRunner(runner, **shown), given)

    return fault
