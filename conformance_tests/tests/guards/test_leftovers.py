from __future__ import annotations

import abc
import copy
import functools
import gc
import pickle
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest

import runtimeinfo
import runtimeinfo_adapters
from runtimeinfo_conformance import judges
from runtimeinfo_conformance.guards import Guard, Watch
from runtimeinfo_conformance.judges import count
from runtimeinfo_conformance.observation import _model, _recorder, _user_hooks

HUB: Any = runtimeinfo_adapters.MessageHub
HOOK: Any = runtimeinfo.RuntimeInfoHook


def nothing(*_: Any, **__: Any) -> Any:
    return None


def spread(history: Any) -> float:
    return 0.0


def judge_of(id: str) -> Any:
    return judges.JUDGES[id]


# Each patch, its name in the message, and a look at the present value.
PATCHES: list[tuple[Callable[[], object], str, Callable[[], object]]] = [
    (
        lambda: setattr(HUB, "update_info", nothing),
        "replaced runtimeinfo_adapters.MessageHub.update_info ",
        lambda: vars(HUB)["update_info"],
    ),
    (
        lambda: setattr(HUB, "runtime_info", {}),
        "replaced runtimeinfo_adapters.MessageHub.runtime_info ",
        lambda: vars(HUB)["runtime_info"],
    ),
    (
        lambda: delattr(HUB, "update_scalar"),
        "removed runtimeinfo_adapters.MessageHub.update_scalar ",
        lambda: vars(HUB)["update_scalar"],
    ),
    (
        lambda: setattr(HUB, "__getattribute__", object.__getattribute__),
        "added runtimeinfo_adapters.MessageHub.__getattribute__ ",
        lambda: "__getattribute__" in vars(HUB),
    ),
    (lambda: setattr(HUB, "extra", 1), "added runtimeinfo_adapters.MessageHub.extra ", lambda: hasattr(HUB, "extra")),
    (
        lambda: setattr(HUB.__mro__[1], "get_instance", classmethod(nothing)),
        "replaced runtimeinfo_adapters.NamedInstances.get_instance ",
        lambda: vars(HUB.__mro__[1])["get_instance"],
    ),
    (
        lambda: setattr(HOOK, "priority", "LOW"),
        "replaced runtimeinfo.RuntimeInfoHook.priority ",
        lambda: HOOK.priority,
    ),
    (
        lambda: setattr(runtimeinfo.authoring.Dispatcher, "dispatch", nothing),
        "replaced runtimeinfo.authoring.Dispatcher.dispatch ",
        lambda: runtimeinfo.authoring.Dispatcher.dispatch,
    ),
    (
        lambda: setattr(runtimeinfo.spec.Lifecycle, "stage", property(nothing)),
        "replaced runtimeinfo.spec.Lifecycle.stage ",
        lambda: vars(runtimeinfo.spec.Lifecycle)["stage"],
    ),
    (
        lambda: setattr(runtimeinfo.spec.Position, "stage", "val"),
        "replaced runtimeinfo.spec.Position.stage ",
        lambda: vars(runtimeinfo.spec.Position)["stage"],
    ),
    (
        lambda: setattr(runtimeinfo_adapters.ScalarHistory, "mean", nothing),
        "replaced runtimeinfo_adapters.ScalarHistory.mean ",
        lambda: runtimeinfo_adapters.ScalarHistory.mean,
    ),
    (
        lambda: setattr(_recorder.Recorder, "note", nothing),
        "replaced runtimeinfo_conformance.Recorder.note ",
        lambda: _recorder.Recorder.note,
    ),
    (
        lambda: setattr(_recorder.Probe, "note", nothing),
        "replaced runtimeinfo_conformance.Probe.note ",
        lambda: _recorder.Probe.note,
    ),
    (
        lambda: setattr(_model, "correct", nothing),
        "replaced runtimeinfo_conformance.observation._model.correct ",
        lambda: vars(_model)["correct"],
    ),
    (
        lambda: setattr(judges.Finding, "holds", True),
        "replaced runtimeinfo_conformance.Finding.holds ",
        lambda: vars(judges.Finding)["holds"],
    ),
    (
        lambda: setattr(_recorder, "_rates", nothing),
        "replaced runtimeinfo_conformance.observation._recorder._rates ",
        lambda: vars(_recorder)["_rates"],
    ),
    (
        lambda: setattr(count, "sorted", nothing),
        "added runtimeinfo_conformance.judges.count.sorted ",
        lambda: hasattr(count, "sorted"),
    ),
    (
        lambda: judges.JUDGES.update({"COUNT-01": nothing}),
        "replaced runtimeinfo_conformance.judges.JUDGES['COUNT-01'] ",
        lambda: judge_of("COUNT-01"),
    ),
    (
        lambda: judges.JUDGES.pop("COUNT-02"),
        "removed runtimeinfo_conformance.judges.JUDGES['COUNT-02'] ",
        lambda: judge_of("COUNT-02"),
    ),
]


def watched(guard: Guard, run: Callable[[], object]) -> Watch:
    with guard.watching() as watch:
        run()
    return watch


@pytest.mark.parametrize(("patch", "name", "now"), PATCHES, ids=[name.strip() for _, name, _ in PATCHES])
def test_a_patch_is_noted_and_undone(
    guard: Guard, patch: Callable[[], object], name: str, now: Callable[[], object]
) -> None:
    before = now()
    watch = watched(guard, patch)
    assert now() is before
    assert watch.problem is not None
    assert watch.problem.kind == "tampering"
    assert f"it {name}" in str(watch.problem)
    assert "All is put back" in str(watch.problem)
    assert watched(guard, lambda: None).problem is None


def test_a_patch_of_a_hook_is_noted_and_undone(guard: Guard) -> None:
    kind: Any = _user_hooks.hook_classes()[0]  # with another name in each process
    before = kind.after_run
    message = str(watched(guard, lambda: setattr(kind, "after_run", nothing)).problem)
    assert f"{kind.__name__}.after_run " in message
    assert kind.after_run is before


def test_the_first_of_many_patches_are_named(guard: Guard) -> None:
    def run() -> None:
        for name in ("update_info", "update_info_dict", "pop_info", "get_info", "get_scalar"):
            setattr(HUB, name, nothing)

    message = str(watched(guard, run).problem)
    assert message.count("replaced runtimeinfo_adapters.MessageHub.") == 3
    assert ", and 2 more while it ran" in message


def test_a_patch_that_is_undone_in_the_run_is_legal(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> None:
        with mock.patch.object(HUB, "update_info", nothing), monkeypatch.context() as patch:
            patch.delattr(HUB, "pop_info")
            patch.setattr(HUB, "get_instance", nothing)

    assert watched(guard, run).problem is None


def test_a_patch_from_before_the_guard_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HUB, "update_info", nothing)
    guard = Guard()
    assert watched(guard, lambda: None).problem is None
    assert HUB.update_info is nothing


@pytest.fixture
def history() -> Generator[Any]:
    registered = dict(runtimeinfo_adapters.ScalarHistory.statistics_methods)
    yield runtimeinfo_adapters.ScalarHistory
    runtimeinfo_adapters.ScalarHistory.statistics_methods.clear()
    runtimeinfo_adapters.ScalarHistory.statistics_methods.update(registered)


def test_normal_use_of_the_classes_is_not_a_patch(guard: Guard, history: Any) -> None:
    def run() -> None:
        class Mine(HUB):
            def update_info(self, *arguments: Any, **named: Any) -> None:
                super().update_info(*arguments, **named)

        hook = HOOK()
        hook.priority = "LOW"  # an instance is the subject's own
        hub = Mine("guards-mine")
        hub.update_info("epoch", 1)
        hub.update_info = functools.partial(nothing)
        copy.copy(HUB("guards-copied"))
        pickle.dumps(history())
        history.register_statistics(spread)
        abc.update_abstractmethods(HUB)
        isinstance(hub, runtimeinfo.MessageHub)
        HUB._is_protocol = False
        _ = HUB.__annotations__, HOOK.__annotations__
        vars(count).setdefault("__warningregistry__", {})

    try:
        assert watched(guard, run).problem is None
    finally:
        del HUB._is_protocol


# -- threads


class Stop(threading.Event):
    def begin_thread(self, **arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=wait_for_stop, args=(self,), **arguments)
        thread.start()
        return thread


def wait_for_stop(stop: threading.Event) -> None:
    stop.wait()


@pytest.fixture
def stop() -> Generator[Stop]:
    before = set(threading.enumerate())
    stop = Stop()
    yield stop
    stop.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()


@pytest.fixture
def used(guard: Guard) -> Guard:
    for _ in range(2):
        watched(guard, lambda: None)
    return guard


@pytest.mark.usefixtures("short_grace")
def test_a_thread_that_is_left_alive_is_a_problem(used: Guard, stop: Stop) -> None:
    watch = watched(used, lambda: stop.begin_thread(name="poller"))
    assert watch.problem is not None
    assert watch.problem.kind == "threads"
    assert f"the thread 'poller' with the target {__name__}.wait_for_stop" in str(watch.problem)
    assert "keeps the process from ending" in str(watch.problem)
    assert [thread.name for thread in used.leftover_threads()] == ["poller"]
    assert watched(used, lambda: None).problem is None  # the next run has nothing to do with it


@pytest.mark.usefixtures("short_grace")
def test_a_thread_that_has_ended_is_not_left_over(used: Guard, stop: Stop) -> None:
    thread = None

    def run() -> None:
        nonlocal thread
        thread = stop.begin_thread()

    watched(used, run)
    stop.set()
    assert thread is not None
    thread.join()
    assert used.leftover_threads() == []


@pytest.mark.usefixtures("short_grace")
def test_threads_of_the_first_runs_are_legal(guard: Guard, stop: Stop) -> None:
    for _ in range(2):
        assert watched(guard, lambda: stop.begin_thread(name="built once")).problem is None
    assert [thread.name for thread in guard.leftover_threads()] == ["built once"] * 2
    assert watched(guard, stop.begin_thread).problem is not None


def test_a_daemon_thread_is_remembered_and_not_a_problem(used: Guard, stop: Stop) -> None:
    assert watched(used, lambda: stop.begin_thread(name="prefetch", daemon=True)).problem is None
    assert used.daemon_threads == {"prefetch"}
    assert used.leftover_threads() == []


@pytest.mark.usefixtures("long_grace")
def test_a_thread_that_is_about_to_end_is_awaited(used: Guard) -> None:
    def run() -> None:
        threading.Thread(target=time.sleep, args=(0.2,)).start()

    assert watched(used, run).problem is None
    assert used.leftover_threads() == []


@pytest.mark.usefixtures("short_grace")
def test_a_timer_is_named_by_its_function(used: Guard) -> None:
    timer = threading.Timer(1000, wait_for_stop)
    watch = watched(used, timer.start)
    timer.cancel()
    timer.join()
    assert f"{__name__}.wait_for_stop" in str(watch.problem)


@pytest.mark.usefixtures("short_grace")
def test_a_thread_of_a_custom_class_is_named_by_its_class(used: Guard, stop: Stop) -> None:
    class Poller(threading.Thread):
        def run(self) -> None:
            stop.wait()

    assert "Poller.run" in str(watched(used, Poller().start).problem)


def test_a_pool_from_before_the_run_can_grow(used: Guard, stop: Stop) -> None:
    with ThreadPoolExecutor(max_workers=3) as pool:
        pool.submit(stop.wait)
        assert watched(used, lambda: pool.submit(stop.wait)).problem is None
        stop.set()


@pytest.mark.usefixtures("short_grace")
def test_a_pool_that_is_not_shut_down_is_a_problem(used: Guard) -> None:
    kept: list[ThreadPoolExecutor] = []

    def run() -> None:
        pool = ThreadPoolExecutor(thread_name_prefix="saver")
        pool.submit(int).result()
        kept.append(pool)

    watch = watched(used, run)
    kept[0].shutdown()
    assert "'saver_0' of an executor that was not shut down" in str(watch.problem)


@pytest.mark.usefixtures("long_grace")
def test_a_pool_that_is_collected_with_its_runner_is_legal(used: Guard) -> None:
    class Runner:
        def __init__(self) -> None:
            self.itself = self  # only the garbage collector ends it
            self.pool = ThreadPoolExecutor()

    gc.disable()
    try:
        assert watched(used, lambda: Runner().pool.submit(int).result()).problem is None
    finally:
        gc.enable()


def test_threads_from_before_the_run_are_legal(used: Guard, stop: Stop) -> None:
    stop.begin_thread()
    assert watched(used, lambda: None).problem is None
    assert used.leftover_threads() == []
