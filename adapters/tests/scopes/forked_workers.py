"""Forked workers of several trainings in one process, under each framework: each belongs to the run that started it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo import current_hub

sys.path.insert(0, str(Path(__file__).parent))
try:
    from trainings import BATCHES, FRAMEWORKS, HANG, Training, in_threads, tempfile
finally:
    sys.path.pop(0)

pytestmark = [
    # Lightning 2.6 on torch 2.13, where it combines loaders
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
    # mmengine 0.10.7, of two runners in one second
    pytest.mark.filterwarnings("ignore:<class 'mmengine:UserWarning"),
    # CPython 3.12, of any process with threads
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
]

NAMES = list(FRAMEWORKS)
FORKED = {"num_workers": 1, "multiprocessing_context": "fork", "timeout": HANG}
PERSISTENT = {**FORKED, "persistent_workers": True}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, board_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert current_hub().get_info("experiment_name") is None


def check(*trained: Training) -> None:
    for training in trained:
        assert training.wrong == [], training.name
        assert training.asked["step"] >= BATCHES


@pytest.mark.parametrize("options", [FORKED, PERSISTENT], ids=["fresh", "persistent"])
@pytest.mark.parametrize("name", NAMES)
def test_workers_of_trainings_in_two_threads(name: str, options: dict[str, Any]) -> None:
    both = [FRAMEWORKS[name](f"{name} {number}", **options) for number in range(2)]
    meet = threading.Barrier(2, timeout=HANG)

    def run(training: Training) -> None:
        meet.wait()
        training.run()

    in_threads(run, both)
    check(*both)
    for training in both:
        training.stop_workers()


@pytest.mark.parametrize("name", NAMES)
def test_workers_of_a_training_around_another(name: str) -> None:
    """The workers of the outer one fetch ahead while the inner one trains, with workers that start meanwhile."""
    inside = [FRAMEWORKS[each](f"inside {each} {number}", **FORKED) for number, each in enumerate((name, "pytorch"))]
    outside = FRAMEWORKS[name](f"outside {name} 9", **FORKED)
    left = list(inside)
    outside.before = lambda place: left.pop().run() if place == "callback" and left else None
    outside.run()
    check(outside, *inside)


@pytest.mark.parametrize("name", NAMES)
def test_persistent_workers_go_over_to_a_later_run(name: str) -> None:
    first = FRAMEWORKS[name](f"{name} 1", **PERSISTENT)
    assert told(first) == {(-1.0, -1.0)}  # they are started before any run
    first.run()
    check(first)
    assert told(first) == {(-1.0, -1.0)}
    second = FRAMEWORKS[name](f"{name} 2", loader=first.loader)
    second.run()
    check(second)
    around = FRAMEWORKS["pytorch"]("around 9")
    third = FRAMEWORKS[name](f"{name} 3", loader=first.loader)
    around.before = lambda place: third.run() if place == "callback" and not third.asked else None
    around.run()
    check(around, third)
    assert told(first) == {(-1.0, -1.0)}
    first.stop_workers()


def told(training: Training) -> set[tuple[float, float]]:
    """Return what the items of a loader are told outside of any run."""
    found: set[tuple[float, float]] = set()
    for batch in training.loader:
        while not hasattr(batch, "tolist"):
            batch = next(iter(batch.values() if isinstance(batch, dict) else batch))
        found.update(map(tuple, batch.tolist()))
    training.wrong.clear()  # its sampler has asked, too
    return found
