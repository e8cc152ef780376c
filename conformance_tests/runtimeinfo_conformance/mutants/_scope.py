"""Faults in the choice of the current run: the wrong run answers, or none.

A runner meets these requirements through `use_hub` alone, so its faults are faults in the scope that `use_hub` enters.
Most of them put a scope with wrong answers on top of the correct one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from typing import Any, cast

from runtimeinfo import InfoReader, ScalarHistory, _scopes, use_hub
from runtimeinfo.authoring import resolve_hub
from runtimeinfo.board import BoardFinder
from runtimeinfo_conformance.mutants._current import Answers, infos_of
from runtimeinfo_conformance.mutants._mutant import Call, Fault, MakeFault
from runtimeinfo_conformance.observation import Recorder, _company, observer_of
from runtimeinfo_conformance.plans import Plan

_NO_RUN = Answers({})


class HubOfLatest:
    """Fault that makes the latest run the current one everywhere."""

    def __init__(self) -> None:
        self._latest: Any = None

    def __call__(self, _plan: Plan, hook: object) -> Fault:
        """Return the fault for one hook of a run."""

        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if event == "before_run":
                self._latest = runner.message_hub
            if not isinstance(observer_of(hook), Recorder) or self._latest is None:
                return call(runner, given)
            with use_hub(self._latest):
                return call(runner, given)

        return fault


def run_around_answers(_plan: Plan, hook: object) -> Fault:
    """Keep the outer run current inside a nested one."""
    around = resolve_hub()

    def fault(_event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
        if not isinstance(observer_of(hook), Recorder):
            return call(runner, given)
        with use_hub(around):
            return call(runner, given)

    return fault


class _FaultyScope:
    """A scope with wrong answers.

    Args:
        hub: The hub of the run.
        during: The reader that answers while the run is open.
        after: The reader that answers afterwards, by default the next scope's.
    """

    generator = thread = task = None
    is_in_task = is_over_generator = False

    def __init__(self, hub: Any, during: InfoReader, after: InfoReader | None = None) -> None:
        self.hub: Any = hub
        self._during = during
        self._after = after

    @property
    def is_open(self) -> bool:
        return _scopes.is_entered(self.hub)

    @property
    def answers(self) -> InfoReader:
        if self.is_open:
            return self._during
        return _scopes._LOOKS_FURTHER if self._after is None else self._after  # pyright: ignore[reportPrivateUsage]

    def is_of(self, _thread: object, _task: object) -> bool:
        return False


class _Latest:
    """Reader of the hub that was entered last in the process, in any thread."""

    def get_info(self, key: str, default: Any = None) -> Any:
        return self._hub().get_info(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        return self._hub().get_scalar(key)

    def _hub(self) -> InfoReader:
        scopes = _scopes._open_scopes  # pyright: ignore[reportPrivateUsage]
        return scopes[-1].hub if scopes else _NO_RUN


class _LatestOfParent:
    """Reader, in a worker process, of the hub that the parent process entered last."""

    def get_info(self, key: str, default: Any = None) -> Any:
        reader = BoardFinder(os.getppid()).reader()
        return default if reader is None else reader.get_info(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        return _NO_RUN.get_scalar(key)


def _in_scope(make_scope: Callable[[Any], _FaultyScope]) -> MakeFault:
    """Let the kit observe a run inside a faulty scope, created from the run's hub."""

    def make(_plan: Plan, hook: object) -> Fault:
        def fault(_event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if not isinstance(observer_of(hook), Recorder):
                return call(runner, given)
            context = copy_context()
            context.run(_put_on_top, make_scope(runner.message_hub))
            return context.run(call, runner, given)

        return fault

    return make


def _put_on_top(scope: Any) -> None:
    scopes = _scopes._in_this_context.get()  # pyright: ignore[reportPrivateUsage]
    _scopes._set_scopes((*scopes, scope))  # pyright: ignore[reportPrivateUsage]


latest_answers_all_threads = _in_scope(lambda hub: _FaultyScope(hub, during=_Latest()))
copies_never_end = _in_scope(lambda hub: _FaultyScope(hub, during=hub, after=hub))
copies_get_later_run = _in_scope(lambda hub: _FaultyScope(hub, during=hub, after=_Latest()))
copies_get_nothing = _in_scope(lambda hub: _FaultyScope(hub, during=hub, after=_NO_RUN))


def _find(find: Callable[[Any, Callable[[], InfoReader | None]], InfoReader | None], *events: str) -> MakeFault:
    """Replace the lookup of the current hub, for code without a scope, while a run is observed.

    Args:
        find: Called with the hub of the run and the correct lookup. Forked processes use it, too.
        events: The events at which it is replaced, by default all.
    """
    return _replaced(
        _scopes, "_find_own_hub", lambda runner, before: partial(find, runner.message_hub, before), *events
    )


def _replaced(module: Any, name: str, replacement: Callable[[Any, Any], Any], *events: str) -> MakeFault:
    """Replace an attribute of a module while a run is observed.

    Args:
        module: The module.
        name: The name of the attribute.
        replacement: Called with the runner and the attribute, it returns the new value.
        events: The events at which it is replaced, by default all.
    """

    def make(_plan: Plan, hook: object) -> Fault:
        def fault(event: str, call: Call, runner: Any, given: dict[str, Any]) -> object:
            if not isinstance(observer_of(hook), Recorder) or (events and event not in events):
                return call(runner, given)
            before = getattr(module, name)
            setattr(module, name, replacement(runner, before))
            try:
                return call(runner, given)
            finally:
                setattr(module, name, before)

        return fault

    return make


def _without_context(answer: Callable[[Any], InfoReader], *events: str) -> MakeFault:
    def find(hub: Any, right: Callable[[], InfoReader | None]) -> InfoReader | None:
        has_context = bool(_scopes._in_this_context.get())  # pyright: ignore[reportPrivateUsage]
        return right() if has_context else answer(hub)

    return _find(find, *events)


threads_always_get_it = _without_context(lambda hub: hub)
threads_never_get_it = _without_context(lambda _hub: _NO_RUN)
threads_never_get_it_in_a_test = _without_context(lambda _hub: _NO_RUN, "before_test_iter")
threads_never_get_it_in_the_end = _without_context(lambda _hub: _NO_RUN, "after_train", "after_run")
workers_get_latest = _find(lambda _hub, _right: _LatestOfParent())
workers_get_nothing = _find(lambda _hub, _right: _NO_RUN)
workers_outlive = _find(lambda hub, _right: Answers(infos_of(hub), hub.get_scalar))


class _CopiesTheHub:
    """Reader that follows the run like `current_hub()`, but pickles the current contents."""

    def get_info(self, key: str, default: Any = None) -> Any:
        return resolve_hub().get_info(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        return resolve_hub().get_scalar(key)

    def __reduce__(self) -> tuple[type[Answers], tuple[dict[str, Any]]]:
        held = {key: self.get_info(key) for key in ("experiment_name", "seed")}
        return Answers, (held,)


def current_hub_is(replacement: Callable[[], Any]) -> MakeFault:
    """Replace the reader that components get from `current_hub()`."""
    return _replaced(_company, "current_hub", lambda _runner, _before: replacement)


hub_itself_is_kept = current_hub_is(resolve_hub)
pickled_is_a_copy = current_hub_is(_CopiesTheHub)


def leave_nothing(run: Callable[[], object]) -> object:
    """Leave the caller without a current run after a run."""
    try:
        return run()
    finally:
        _put_on_top(_Leftover(_NO_RUN))


def leave_itself(run: Callable[[], object]) -> object:
    """Leave a stale run current for the caller after a run."""
    try:
        return run()
    finally:
        _put_on_top(_Leftover(Answers({"experiment_name": "left behind", "seed": 0})))


def leave_itself_if_it_fails(run: Callable[[], object]) -> object:
    """Leave a stale run current for the caller after a failed run."""
    try:
        return run()
    except BaseException:
        _put_on_top(_Leftover(Answers({"experiment_name": "left behind", "seed": 0})))
        raise


class _Leftover:
    """An open scope that is never left."""

    generator = thread = task = None
    is_in_task = is_over_generator = False
    is_open = True

    def __init__(self, hub: InfoReader) -> None:
        self.hub = self.answers = hub

    def is_of(self, _thread: object, _task: object) -> bool:
        return False


def stay_between_steps(run: Callable[[], object]) -> object:
    """Keep a stepped training current for its caller while it waits."""
    steps = run()
    return _staying(cast("Iterator[object]", steps)) if isinstance(steps, Iterator) else steps


def _staying(steps: Iterator[object]) -> Iterator[object]:
    stays: Any = _Leftover(_AtWorkOr(Answers({"experiment_name": "waiting", "seed": 0})))
    for step in steps:
        _put_on_top(stays)
        yield step
        scopes = _scopes._in_this_context.get()  # pyright: ignore[reportPrivateUsage]
        _scopes._set_scopes(tuple(each for each in scopes if each is not stays))  # pyright: ignore[reportPrivateUsage]


class _AtWorkOr:
    """Reader of the running generator's hub, or of a fallback."""

    def __init__(self, otherwise: InfoReader) -> None:
        self._otherwise = otherwise

    def get_info(self, key: str, default: Any = None) -> Any:
        return self._hub().get_info(key, default)

    def get_scalar(self, key: str) -> ScalarHistory:
        return self._hub().get_scalar(key)

    def _hub(self) -> InfoReader:
        scopes = list(_scopes._open_scopes)  # pyright: ignore[reportPrivateUsage]
        return _scopes._hub_at_work(scopes) or self._otherwise  # pyright: ignore[reportPrivateUsage]
