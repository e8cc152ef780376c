"""Event files of TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from runtimeinfo_adapters.plot import SourceError, read_source


def test_folder_and_file_of_the_sink_are_read(train: Callable[..., Path]) -> None:
    folder = train() / "tensorboard"
    (file,) = folder.glob("*tfevents*")
    for path in (folder, file):
        (run,) = read_source(str(path))
        assert run.name == path.name
        curve = run.curves["train/loss"]
        assert curve.iters is not None
        assert curve.times is not None
        assert curve.iters.tolist() == curve.values.tolist() == list(range(4, 40, 5))
        assert (curve.times > 1.7e9).all()
        assert set(run.curves) == {"train/loss", "val/acc"}


def test_resumed_training_is_one_curve_whose_later_values_win(train: Callable[..., Path]) -> None:
    train(epochs=3, stop=35)
    folder = train(epochs=3, add=1000.0)
    (run,) = read_source(str(folder / "tensorboard"))
    curve = run.curves["train/loss"]
    assert curve.iters is not None
    assert curve.iters.tolist() == list(range(4, 60, 5))
    assert curve.values.tolist() == [each + (1000 if each >= 20 else 0) for each in range(4, 60, 5)]


def test_later_values_win_without_a_mark_of_the_resume_too(tmp_path: Path) -> None:
    for number, steps in enumerate(((0, 10, 20), (10, 20, 30))):
        with SummaryWriter(str(tmp_path), filename_suffix=f".{number}") as writer:
            for step in steps:
                writer.add_scalar("loss", step + 1000 * number, step)
    (run,) = read_source(str(tmp_path))
    assert run.curves["loss"].values.tolist() == [0, 1010, 1020, 1030]


def test_each_folder_with_event_files_is_a_run(train: Callable[..., Path], tmp_path: Path) -> None:
    train("runs/first")
    train("runs/second", add=1.0)
    first, second = read_source(str(tmp_path / "runs"))
    assert [first.name, second.name] == ["runs/first/tensorboard", "runs/second/tensorboard"]
    assert second.curves["train/loss"].values[0] == 5


def test_scalars_that_are_tensors_are_read(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(3):
            writer.add_scalar("loss", float("nan") if step == 1 else step / 2, step, new_style=True)
        writer.add_text("note", "text", 0)
        writer.add_histogram("weights", np.arange(3), 0)
    (run,) = read_source(str(tmp_path))
    assert list(run.curves) == ["loss"]
    np.testing.assert_array_equal(run.curves["loss"].values, [0, np.nan, 1])


def test_end_of_a_file_that_is_being_written_is_left_out(train: Callable[..., Path]) -> None:
    (file,) = (train() / "tensorboard").glob("*tfevents*")
    raw = file.read_bytes()
    file.write_bytes(raw[:-20])
    (run,) = read_source(str(file))
    assert run.curves["train/loss"].values.tolist() == list(range(4, 40, 5))
    assert run.curves["val/acc"].values.tolist() == pytest.approx([0.2])


@pytest.mark.parametrize("content", [b"", os.urandom(300)])
def test_file_without_scalars_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="has no scalar of TensorBoard"):
        read_source(str(path))


def test_event_file_under_another_name_is_told(train: Callable[..., Path], tmp_path: Path) -> None:
    (file,) = (train() / "tensorboard").glob("*tfevents*")
    other = file.rename(tmp_path / "events.bin")
    with pytest.raises(SourceError, match="reads only files with 'tfevents' in their names"):
        read_source(str(other))
