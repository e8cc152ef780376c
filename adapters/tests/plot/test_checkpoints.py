"""Checkpoints that hold the state of a reference hub: what is in them runs no code."""

from __future__ import annotations

import argparse
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.plot import SourceError, read_source

LOSSES = [1.0, float("nan"), 0.25]


@pytest.fixture
def state() -> dict[str, Any]:
    hub = MessageHub("plotted", runtime_info={"epoch": 2})
    for loss in LOSSES:
        hub.update_scalar("train/loss", loss)
    hub.update_scalar("steps", 3)
    return hub.state_dict()


def as_json(state: Any) -> str:
    return json.dumps(state, default=lambda tensor: tensor.tolist())


def save_safetensors(state: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, path, metadata={"message_hub": as_json(state)})


WAYS: dict[str, Callable[[Any, Path], object]] = {
    "torch.save": torch.save,
    "torch.save before 1.6": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "pickle": lambda state, path: path.write_bytes(pickle.dumps(state)),
    "pickle of protocol 2": lambda state, path: path.write_bytes(pickle.dumps(state, protocol=2)),
    "safetensors": save_safetensors,
    "json": lambda state, path: path.write_text(as_json(state)),
    "json in lines": lambda state, path: path.write_text(json.dumps(json.loads(as_json(state)), indent=1)),
}


@pytest.mark.parametrize("way", WAYS)
def test_state_is_found_however_it_was_saved(state: dict[str, Any], way: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    for saved in (state, {"model": {"weight": [1, 2]}, "callbacks": [None, {"hub": state}]}):
        WAYS[way](saved, path)
        (run,) = read_source(str(path))
        assert list(run.curves) == ["train/loss", "steps"]
        np.testing.assert_array_equal(run.curves["train/loss"].values, LOSSES)
        assert run.curves["train/loss"].iters is None


def test_state_of_a_loop_and_several_states_are_found(train: Callable[..., Path], state: Any, tmp_path: Path) -> None:
    (run,) = read_source(str(train() / "state.pt"))
    assert run.curves["train/loss"].values.tolist() == list(range(40))
    torch.save({"first": state, "second": state}, tmp_path / "two.pt")
    assert [run.name for run in read_source(str(tmp_path / "two.pt"))] == ["two.pt first", "two.pt second"]


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("way", ["torch.save", "torch.save before 1.6", "pickle", "pickle of protocol 2"])
def test_no_code_of_a_checkpoint_runs(state: dict[str, Any], way: str, tmp_path: Path) -> None:
    path, made = tmp_path / "checkpoint", tmp_path / "made"
    WAYS[way]({"hub": state, "harm": Harmful(made)}, path)
    if way.startswith("pickle"):
        assert read_source(str(path))[0].curves.keys() == {"train/loss", "steps"}
    else:
        with pytest.raises(SourceError, match=r"checkpoint cannot be read as a checkpoint: .*posix\.mkdir"):
            read_source(str(path))
    assert not made.exists()


def test_tensor_in_a_pickle_runs_no_code_either(state: dict[str, Any], tmp_path: Path) -> None:
    # PyTorch's own function at this place of a pickle loads any object.
    made = tmp_path / "made"
    inner = tmp_path / "inner"
    torch.save(Harmful(made), inner, _use_new_zipfile_serialization=False)

    class Storage:
        def __reduce__(self) -> Any:
            return torch.storage._load_from_bytes, (inner.read_bytes(),)

    path = tmp_path / "checkpoint"
    path.write_bytes(pickle.dumps({"hub": state, "harm": Storage()}))
    with pytest.raises(SourceError, match="cannot be read as a checkpoint"):
        read_source(str(path))
    assert not made.exists()


@pytest.mark.parametrize("way", ["torch.save", "pickle"])
def test_objects_beside_the_state_are_no_obstacle(state: dict[str, Any], way: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    saved = {
        "hyper_parameters": argparse.Namespace(lr=0.1),
        "model": torch.nn.Linear(2, 2),
        "random": np.random.get_state(),
        "path": tmp_path,
        "array": np.arange(3),
        "hub": state,
    }
    WAYS[way](saved, path)
    (run,) = read_source(str(path))
    np.testing.assert_array_equal(run.curves["train/loss"].values, LOSSES)


def test_allowed_classes_of_the_process_are_not_changed(state: dict[str, Any], tmp_path: Path) -> None:
    before = torch.serialization.get_safe_globals()
    torch.save({"hub": state, "more": argparse.Namespace()}, tmp_path / "checkpoint")
    read_source(str(tmp_path / "checkpoint"))
    assert torch.serialization.get_safe_globals() == before


@pytest.mark.parametrize("way", ["torch.save", "pickle", "safetensors"])
def test_checkpoint_without_a_state_is_an_error(way: str, tmp_path: Path) -> None:
    WAYS[way]({"model": {"weight": [1.0]}}, tmp_path / "checkpoint")
    with pytest.raises(SourceError, match="checkpoint holds no state of a reference hub"):
        read_source(str(tmp_path / "checkpoint"))


@pytest.mark.parametrize("way", ["torch.save", "pickle", "json"])
def test_damaged_state_is_an_error_that_names_the_field(state: dict[str, Any], way: str, tmp_path: Path) -> None:
    state["log_scalars"]["train/loss"]["values"] = "many"
    WAYS[way]({"hub": state}, tmp_path / "checkpoint")
    with pytest.raises(SourceError, match=r"the state of the hub in hub is damaged: log_scalars\['train/loss'\]"):
        read_source(str(tmp_path / "checkpoint"))


@pytest.mark.parametrize("way", ["torch.save", "torch.save before 1.6", "pickle", "safetensors"])
@pytest.mark.parametrize("part", [0.1, 0.6, 0.95])
def test_truncated_checkpoint_is_an_error(state: dict[str, Any], way: str, part: float, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    WAYS[way](state, path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * part)])
    with pytest.raises(SourceError, match="checkpoint "):
        read_source(str(path))


def test_archive_that_is_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", x=np.zeros(3))
    with pytest.raises(SourceError, match=r"arrays\.npz cannot be read as a checkpoint"):
        read_source(str(tmp_path / "arrays.npz"))
