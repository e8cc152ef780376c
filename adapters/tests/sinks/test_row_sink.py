"""The base of all sinks that write rows, seen through JSONLWriter. test_files.py has the simple cases."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo.spec import HOOK_POINTS
from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import JSONLWriter, Row
from runtimeinfo_adapters.sinks._row_sink import POSITION


def test_the_position_comes_first_and_nothing_takes_its_place() -> None:
    scalars: dict[str, int | float] = {"train/loss": 0.5, **dict.fromkeys(POSITION, 1.0)}
    cells = Row(7, 1, None, 0.25, scalars).cells()
    assert list(cells) == [*POSITION, "train/loss", "scalar/iter", "scalar/epoch", "scalar/loop_stage", "scalar/time"]
    assert [cells[name] for name in POSITION] == [7, 1, None, 0.25]


def rows(path: Path, *names: str) -> list[tuple[Any, ...]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [tuple(json.loads(line).get(name) for name in names) for line in lines]


def test_a_resumed_training_writes_new_values_only(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "metrics.jsonl"
    first = train([JSONLWriter(path, interval=1)], [{"loss": 1.0, "once": 1.0}, {"loss": 2.0}])
    resumed: Loop[Any] = Loop(train_loader=range(2), max_epochs=2, hooks=[JSONLWriter(path, interval=1)])
    resumed.load_state_dict(first.state_dict())
    with resumed.run():
        for _ in resumed.epochs():
            for _ in resumed.train():
                resumed.log(loss=3.0)
    assert resumed.message_hub.get_scalar("train/once").current() == 1.0  # it was loaded
    assert rows(path, "iter", "epoch", "train/loss", "train/once") == [
        (0, 0, 1.0, 1.0),
        (1, 0, 2.0, None),
        (2, 1, 3.0, None),
        (3, 1, 3.0, None),
    ]


def test_the_same_sink_over_the_same_hub_writes_nothing_twice(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    hub = MessageHub("shared")
    sink = JSONLWriter(tmp_path / "metrics.jsonl")
    train([sink], [{"loss": 1.0}], hub=hub)
    hub.update_scalar("train/loss", 9.0)  # outside of any run
    train([sink], [{"grad": 2.0}], hub=hub)
    assert rows(sink.path, "train/loss", "train/grad") == [(1.0, None), (None, 2.0)]


def test_updates_after_the_training_are_not_of_its_last_iteration(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    class Late:
        priority = "LOWEST"

        def after_test(self, runner):  # type: ignore[no-untyped-def]
            runner.message_hub.update_scalar("test/late", 1.0)

    sink = JSONLWriter(tmp_path / "metrics.jsonl")
    train([sink, Late()], [{"loss": 1.0}], test={"acc": 1.0})
    found = rows(sink.path, "iter", "loop_stage", "train/loss", "test/acc", "test/late")
    assert found == [(0, "train", 1.0, None, None), (1, "test", None, 1.0, None), (1, None, None, None, 1.0)]


@pytest.mark.parametrize("at", ["before_train_iter", "after_train_iter"])
def test_a_sink_that_is_registered_late_writes_from_then_on(at, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    sink = JSONLWriter(tmp_path / "metrics.jsonl", interval=1)

    def register(self: Any, runner: Any, batch_idx: int, **_: Any) -> None:
        if batch_idx == 1:
            runner.emitter.dispatcher.register(sink)

    late = type("Late", (), {at: register})()
    train([late], [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}])
    assert rows(sink.path, "iter", "train/loss")[-1] == (2, 3.0)


def test_a_sink_keeps_nothing_of_the_run_alive(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    sink = JSONLWriter(tmp_path / "metrics.jsonl")
    hub = weakref.ref(train([sink], [{"loss": 1.0}], hub=MessageHub("short-lived")).message_hub)
    MessageHub._instances.clear()
    gc.collect()
    assert hub() is None


def test_a_sink_never_writes_to_the_hub(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    def state(hooks: Any) -> Any:
        hub = MessageHub("read only", run_id="same")
        return train(hooks, [{"loss": 1.0}] * 3, val={"acc": 1.0}, hub=hub).message_hub.state_dict()

    assert str(state([JSONLWriter(tmp_path / "metrics.jsonl", interval=1)])) == str(state([]))


def test_methods_named_like_hook_points_are_hook_points() -> None:
    named = {name for name in dir(JSONLWriter) if name.startswith(("before_", "after_", "on_"))}
    assert named <= HOOK_POINTS.keys()
