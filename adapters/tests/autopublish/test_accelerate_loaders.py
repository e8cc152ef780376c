"""Prepared loaders of Accelerate: what an error of ours, and a version that was not tried, do to their batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from runtimeinfo_adapters._framework import FRAMEWORKS
from runtimeinfo_adapters.autopublish import AutopublishWarning, _accelerate_loaders
from runtimeinfo_adapters.autopublish._plain_loop_follower import Follower

accelerate = pytest.importorskip("accelerate")

DATA = torch.arange(6.0)


@pytest.fixture
def loader() -> Iterator[Any]:
    kinds = [getattr(accelerate.data_loader, name) for name in _accelerate_loaders._LOADERS]
    before = [vars(kind)["__iter__"] for kind in kinds]
    _accelerate_loaders.install(accelerate.data_loader)
    yield accelerate.Accelerator(cpu=True).prepare(torch.utils.data.DataLoader(DATA, batch_size=2))
    for kind, method in zip(kinds, before, strict=True):
        kind.__iter__ = method


def batches_and_warnings(loader: Any) -> tuple[list[list[float]], list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batches = [batch.tolist() for _ in range(2) for batch in loader]
    return batches, [str(each.message) for each in caught if each.category is AutopublishWarning]


BATCHES = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]] * 2


def test_batches_are_those_of_the_loader(loader: Any) -> None:
    assert batches_and_warnings(loader) == (BATCHES, [])
    assert loader.iteration == 2
    iterator = iter(loader)
    next(iterator)
    iterator.close()
    assert next(iterator, None) is None


def test_untried_version_is_one_warning(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FRAMEWORKS, "accelerate", FRAMEWORKS["accelerate"]._replace(below="0.1"))
    batches, (warning,) = batches_and_warnings(loader)
    assert batches == BATCHES
    assert "below 0.1" in warning


@pytest.mark.parametrize("method", ["begin_pass", "open_pass", "note_draw", "note_end"])
def test_error_of_ours_is_one_warning(loader: Any, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(Follower, method, fail)
    batches, (warning,) = batches_and_warnings(loader)
    assert batches == BATCHES
    assert "RuntimeError: ours" in warning
