"""How a run ends abnormally in a faulty runner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtimeinfo.spec import CLOSES, HOOK_POINTS
from runtimeinfo_conformance.mutants._faults import ShownRunner
from runtimeinfo_conformance.mutants._mutant import Call
from runtimeinfo_conformance.plans import PlannedError


def lose(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Lose each close."""
    return None if event in CLOSES else call(runner, given)


def lose_stages(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Lose each close but that of the epoch, at which no stage is left."""
    return None if event in CLOSES and event != "after_train_epoch" else call(runner, given)


def keep_rates(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Append what is taken back of the learning rates once more."""
    if event != "after_train_epoch":
        return call(runner, given)
    hub = runner.message_hub
    before = {key: _values(hub, key) for key in (f"train/{name}" for name in runner.optim_wrapper.get_lr())}
    result = call(runner, given)
    for key, values in before.items():
        for value in values[len(_values(hub, key)) :]:
            hub.update_scalar(key, value)
    return result


def _values(hub: Any, key: str) -> list[float]:
    return hub.get_scalar(key).data[0].tolist() if key in hub.log_scalars else []


def count_it(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Count what was not completed, when the run is over."""
    return call(ShownRunner(runner, iter=runner.iter + 1) if event == "after_run" else runner, given)


def give_results(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
    """Hand out results with each close."""
    results = {"outputs", "metrics"}.intersection(HOOK_POINTS[event])
    return call(runner, {**given, **{name: {"half": 0.5} for name in results if event in CLOSES}})


def swallow(run: Callable[[], object]) -> object:
    """Swallow what was raised."""
    try:
        return run()
    except (PlannedError, KeyboardInterrupt):
        return None


def swallow_interrupts(run: Callable[[], object]) -> object:
    """Swallow an interrupt."""
    try:
        return run()
    except KeyboardInterrupt:
        return None


def dress_up(run: Callable[[], object]) -> object:
    """Raise another exception in its place."""
    try:
        return run()
    except PlannedError as error:
        raise RuntimeError("the training failed") from error
