"""A hub that cannot share itself, shared by the hook."""

from __future__ import annotations

import contextlib
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import MessageHub as SeedHub

from runtimeinfo import RuntimeInfoHook
from runtimeinfo.authoring import Dispatcher
from runtimeinfo.board import board_files, read_board
from runtimeinfo_adapters import FrameworkRunner, MessageHub
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sharing import SharingHook

ODD = [0.5, -1, 0, 2**200, math.inf, -math.inf, math.nan, 1e308, 5e-324]


class View(FrameworkRunner):
    framework_name, framework_version = "plain", "1.0"


class Looking:
    """A hook that looks at the board as another process does, once all that publish have."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def before_train_epoch(self, runner: Any) -> None:
        self.seen += [read_board(path) for path in board_files()]

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.seen += [read_board(path) for path in board_files()]


def test_mmengines_hub_is_shared_during_a_run_and_not_after_it() -> None:
    looking = Looking()
    hub = SeedHub("seed")
    loop = Loop(train_loader=[1, 2], max_epochs=2, hub=hub, hooks=[looking])
    with loop.run():
        for _ in loop.epochs():
            for batch in loop.train():
                loop.log(loss=batch / 2)
    assert [board.infos["iter"] for board in looking.seen] == [0, 0, 1, 2, 2, 3]
    assert [board.infos["epoch"] for board in looking.seen] == [0, 0, 0, 1, 1, 1]
    assert all(board.is_current and board.infos["loop_stage"] == "train" for board in looking.seen)
    assert [board.scalars["train/loss"].value for board in looking.seen[3:4]] == [1.0]
    assert board_files() == []


def test_sharing_ends_with_a_run_that_fails() -> None:
    loop = Loop(train_loader=[1], max_epochs=1, hub=SeedHub("failing"))
    shared = 0
    with contextlib.suppress(ZeroDivisionError), loop.run():
        shared = len(board_files())
        raise ZeroDivisionError
    assert shared == 1
    assert board_files() == []


@given(st.lists(st.tuples(st.sampled_from(ODD), st.integers(1, 3)), min_size=1, max_size=4))
def test_any_value_of_another_hub_is_shown_without_failing(values: list[tuple[float, int]]) -> None:
    hub = SeedHub("odd")
    hook, runner = SharingHook(), type("Runner", (), {"message_hub": hub})()
    hook.on_event("before_run", runner, {})
    for value, count in values:
        hub.update_scalar("loss", value, count)
        hook.on_event("before_train_epoch", runner, {})
    (path,) = board_files()
    shown = read_board(path).scalars["loss"]
    hook.on_event("after_run", runner, {})
    value, count = values[-1]
    assert shown.value == float(value) or math.isnan(value)
    if 1e-300 < abs(value) < 10:
        assert shown.count == count


def test_reference_hub_needs_no_sharing_hook() -> None:
    for hub, needed in ((MessageHub("own"), 0), (SeedHub("other"), 1)):
        hooks = View(hub=hub).emitter.dispatcher.hooks
        assert sum(isinstance(hook, SharingHook) for hook in hooks) == needed
    hook = SharingHook()
    runner = type("Runner", (), {"message_hub": MessageHub("own")})()
    hook.on_event("before_run", runner, {})
    assert board_files() == []
    hook.on_event("before_train_epoch", runner, {})
    hook.on_event("after_run", runner, {})


def test_hook_runs_after_the_publishing_hook_in_any_order() -> None:
    looking, publishing = Looking(), RuntimeInfoHook()
    view = View(hub=SeedHub("order"), hooks=[looking, publishing])
    kinds = [type(hook) for hook in view.emitter.dispatcher.hooks]
    assert kinds == [RuntimeInfoHook, SharingHook, Looking]
    assert Dispatcher([SharingHook()]).hooks[0].priority == RuntimeInfoHook.priority
