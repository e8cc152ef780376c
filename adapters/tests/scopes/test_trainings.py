"""Several trainings in one process: the code of each, wherever it stands, is answered by its own run."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import torch

from runtimeinfo import current_hub, use_hub
from runtimeinfo_adapters import MessageHub

sys.path.insert(0, str(Path(__file__).parent))
try:
    from trainings import FRAMEWORKS, Steps, Training, in_threads, tempfile
finally:
    sys.path.pop(0)

pytestmark = [
    # Lightning 2.6 on torch 2.13, where it combines loaders
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
    # mmengine 0.10.7, of two runners in one second
    pytest.mark.filterwarnings("ignore:<class 'mmengine:UserWarning"),
]

NAMES = list(FRAMEWORKS)
LOOPS = ("pytorch", "accelerate")  # whose training is code of the user
PLACES = ("callback", "collate_fn", "dataset", "evaluation", "gradient hook", "lr lambda", "optimizer hook", "sampler")
HAS_NOT = {
    "pytorch": {"evaluation"},
    "accelerate": {"evaluation"},
    "keras": {"optimizer hook"},
    "mmengine": {"evaluation", "lr lambda"},
    "mmengine by iterations": {"evaluation", "lr lambda"},
}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert current_hub().get_info("experiment_name") is None
    gc.collect()  # a leaked scope or worker would be noticed by a later test only


def check(*trained: Training) -> None:
    for training in trained:
        assert training.wrong == [], training.name
        assert {"dataset", "step", "callback"} <= training.asked.keys(), training.name
        assert training.hub().get_info("loop_stage") is None


@pytest.mark.parametrize("name", NAMES)
def test_trainings_in_two_threads_are_answered_by_their_own_runs(name: str) -> None:
    both = [FRAMEWORKS[name](f"{name} {number}") for number in range(2)]
    meet = threading.Barrier(2, timeout=60)

    def take_turns(_: str) -> None:
        with suppress(threading.BrokenBarrierError):  # the other one has ended
            meet.wait()

    def run(training: Training) -> None:
        training.before = take_turns  # each place is reached while the other training is at the same
        try:
            training.run()
        finally:
            meet.abort()

    in_threads(run, both)
    check(*both)
    assert both[0].asked == both[1].asked


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name in NAMES for place in PLACES if place not in HAS_NOT.get(name, ())]
)
def test_a_training_inside_another_is_answered_by_its_own_run(name: str, place: str) -> None:
    # One of the same framework, and one of another.
    within = [
        FRAMEWORKS[each](f"inside {each} {number}") for number, each in enumerate((name, NAMES[NAMES.index(name) - 1]))
    ]
    outside = FRAMEWORKS[name](f"outside {name} 9")
    left = list(within)

    def train(at: str) -> None:
        if at == place and left:
            with torch.inference_mode(False), torch.enable_grad():
                left.pop().run()

    outside.before = train
    outside.run()
    assert place in outside.asked
    check(outside, *within)


@pytest.mark.parametrize("names", [("pytorch", "pytorch"), ("accelerate", "accelerate"), ("pytorch", "accelerate")])
def test_trainings_stepped_in_turn_are_answered_by_their_own_runs(names: tuple[str, str]) -> None:
    both = [FRAMEWORKS[name](f"{name} {number}") for number, name in enumerate(names)]
    for _ in zip_longest(*(training.steps for training in both)):
        assert current_hub().get_info("experiment_name") is None  # neither is at work here
    check(*both)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LOOPS])
def test_a_fit_between_the_steps_of_others_is_answered_by_its_own_run(name: str) -> None:
    first, second, fit = (
        FRAMEWORKS["pytorch"]("first 1"),
        FRAMEWORKS["accelerate"]("second 2"),
        FRAMEWORKS[name]("fit 3"),
    )
    turns = zip_longest(first.steps, second.steps)
    next(turns)

    def step(_: str) -> None:
        with torch.inference_mode(False), torch.enable_grad():
            next(turns, None)

    fit.before = step
    fit.run()
    assert next(turns, None) is None
    check(first, second, fit)


@pytest.mark.parametrize("name", LOOPS)
def test_loops_stepped_by_hand_are_answered_by_their_own_runs(name: str) -> None:
    """As the cells of a notebook do it: without a generator, and without a `with` statement around the steps."""
    both = [FRAMEWORKS[name](f"{name} {number}") for number in range(2)]
    steps: list[Steps] = [training.steps for training in both]
    with ExitStack() as runs:
        epochs = []
        for each in steps:
            runs.enter_context(each.loop.run())
            epochs.append(each.loop.epochs())
        for _ in range(2):
            batches = []
            for each, numbers in zip(steps, epochs, strict=True):
                next(numbers)
                each.training.ask("callback")
                batches.append(iter(each.loop.train()))
            for _ in range(2):
                for each, drawn in zip(steps, batches, strict=True):
                    each.step(next(drawn))
            for drawn in batches:
                assert next(drawn, None) is None
        for each, numbers in zip(reversed(steps), reversed(epochs), strict=True):
            assert next(numbers, None) is None
            each.training.ask("callback")
    check(*both)


def test_engines_interrupted_in_turn_are_answered_by_their_own_runs() -> None:
    from ignite.engine import Events

    both = [FRAMEWORKS["ignite"](f"ignite {number}") for number in range(2)]
    for training in both:
        training.trainer.add_event_handler(Events.ITERATION_COMPLETED, training.trainer.interrupt)
    around = FRAMEWORKS["pytorch"]("around 9")
    for _ in around.steps:
        for training in both:
            training.run()
    check(around, *both)
    assert [training.hub().get_info("iter") for training in both] == [4, 4]


def test_threads_of_autograd_are_answered_by_the_only_run_or_by_none() -> None:
    """A backward inside another runs in a thread of PyTorch from a depth of 60 on."""
    main, told = threading.get_ident(), set[tuple[bool, Any]]()

    class Deep(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: torch.Tensor, depth: int) -> torch.Tensor:
            context.depth = depth
            return x.clone()

        @staticmethod
        def backward(context: Any, *gradients: Any) -> Any:
            told.add((threading.get_ident() == main, current_hub().get_info("experiment_name")))
            if context.depth:
                begin_backward(context.depth - 1)
            return gradients[0], None

    def begin_backward(depth: int) -> None:
        with torch.enable_grad():
            Deep.apply(torch.ones(1, requires_grad=True), depth).backward()

    def ask() -> set[tuple[bool, Any]]:
        told.clear()
        begin_backward(70)
        return set(told)

    first, second = MessageHub("first"), MessageHub("second")
    for hub in (first, second):
        hub.update_info("experiment_name", hub.instance_name)
    with use_hub(first):
        assert ask() == {(True, "first"), (False, "first")}
        with use_hub(second):
            assert ask() == {(True, "second"), (False, None)}
        assert ask() == {(True, "first"), (False, "first")}
    with use_hub(second):
        assert ask() == {(True, "second"), (False, "second")}
