"""A resumed training is one curve, whatever reads the event files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import TensorBoardWriter
from runtimeinfo_adapters.sinks._event_files import files_of

Curves = dict[str, list[tuple[int, float]]]


def by_accumulator(folder: Path, **options: Any) -> Curves:
    return curves_of(EventAccumulator(str(folder), **options).Reload())


def curves_of(events: EventAccumulator) -> Curves:
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def without_purge(folder: Path) -> Curves:
    return by_accumulator(folder, purge_orphaned_data=False)


def by_file_loader(folder: Path) -> Curves:
    """As tbparse and others do: each file by itself, one after the other."""
    found: Curves = {}
    for path in sorted(folder.glob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    found.setdefault(value.tag, []).append((event.step, value.tensor.float_val[0]))
    return found


EACH_READER = pytest.mark.parametrize("read", [by_accumulator, without_purge, by_file_loader])


def train(
    folder: Path, until: int, *, resume: Any = None, loss: float = 0.0, interval: int = 1, save_at: int = 0
) -> dict[str, Any]:
    """Train epochs of two iterations, each with a validation, and return the state after one of them."""
    loop: Loop[Any] = Loop(
        train_loader=range(2), max_epochs=until, cfg="lr = 0.1\n", hooks=[TensorBoardWriter(folder, interval=interval)]
    )
    saved: dict[str, Any] = {}
    if resume is not None:
        loop.load_state_dict(resume)
    with loop.run():
        for epoch in loop.epochs():
            for _ in loop.train():
                loop.log(loss=loss + loop.iter)
            with loop.val() as val:
                val.log_metrics(acc=loss + epoch)
            if epoch == save_at:
                saved = loop.state_dict()
    return saved


@EACH_READER
@pytest.mark.parametrize("interval", [1, 2, 10])
def test_a_resumed_training_is_one_curve(read: Callable[[Path], Curves], interval: int, tmp_path: Path) -> None:
    state = train(tmp_path, 4, interval=interval)
    train(tmp_path, 3, resume=state, loss=100.0, interval=interval)
    losses = {
        1: [(0, 0.0), (1, 1.0), (2, 102.0), (3, 103.0), (4, 104.0), (5, 105.0)],
        2: [(1, 1.0), (3, 103.0), (5, 105.0)],
        10: [(5, 105.0)],
    }
    assert read(tmp_path) == {
        "train/loss": losses[interval],
        "val/acc": [(2, 0.0), (4, 101.0), (6, 102.0)],  # the checkpoint at 2 comes after that validation
    }


@EACH_READER
def test_a_training_that_is_resumed_often_is_one_curve(read: Callable[[Path], Curves], tmp_path: Path) -> None:
    state = train(tmp_path, 3)
    for attempt in range(3):
        train(tmp_path, 3, resume=state, loss=10.0 * attempt)
    last = train(tmp_path, 3, resume=state, loss=100.0, save_at=1)
    train(tmp_path, 3, resume=last, loss=200.0)
    assert read(tmp_path) == {
        "train/loss": [(0, 0.0), (1, 1.0), (2, 102.0), (3, 103.0), (4, 204.0), (5, 205.0)],
        "val/acc": [(2, 0.0), (4, 101.0), (6, 202.0)],
    }


@EACH_READER
def test_a_validation_that_is_repeated_at_the_checkpoint_is_there_once(
    read: Callable[[Path], Curves], tmp_path: Path
) -> None:
    def evaluate(state: Any, acc: float) -> Any:
        epochs = 1 if state is None else 2
        loop: Loop[Any] = Loop(train_loader=range(2), max_epochs=epochs, hooks=[TensorBoardWriter(tmp_path)])
        if state is not None:
            loop.load_state_dict(state)
        with loop.run():
            for _ in loop.epochs():
                if state is not None:
                    with loop.val() as val:
                        val.log_metrics(acc=acc)
                for _ in loop.train():
                    loop.log(loss=acc)
                saved = loop.state_dict()
                if state is None:
                    with loop.val() as val:
                        val.log_metrics(acc=acc)
        return saved

    evaluate(evaluate(None, 1.0), 2.0)
    assert read(tmp_path)["val/acc"] == [(2, 2.0)]


def test_a_reader_that_is_open_meanwhile_follows_the_resume(tmp_path: Path) -> None:
    state = train(tmp_path, 4)
    reader = EventAccumulator(str(tmp_path)).Reload()
    assert [step for step, _ in curves_of(reader)["train/loss"]] == list(range(8))
    train(tmp_path, 3, resume=state, loss=100.0)
    reader.Reload()
    found = curves_of(reader)
    assert [step for step, _ in found["val/acc"]] == [2, 4, 6]
    # It has read the first point at 2, where a point of a validation must stay.
    assert [step for step, _ in found["train/loss"]] == [0, 1, 2, 2, 3, 4, 5]


def test_infos_and_the_run_id_are_written_once(tmp_path: Path) -> None:
    state = train(tmp_path, 2)
    train(tmp_path, 3, resume=state)
    texts = [
        value.tag
        for path in sorted(tmp_path.iterdir())
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "text"
    ]
    assert sorted(texts) == ["cfg/text_summary", "run_id/text_summary"]


def test_another_training_has_a_subfolder_and_each_resume_finds_its_own(tmp_path: Path) -> None:
    first, second = (train(tmp_path, 2, loss=loss) for loss in (0.0, 10.0))
    train(tmp_path, 3, resume=second, loss=20.0)
    train(tmp_path, 3, resume=first, loss=30.0)
    run_id = second["message_hub"]["run_id"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [run_id]
    found = [[value for _, value in by_file_loader(folder)["train/loss"]] for folder in (tmp_path, tmp_path / run_id)]
    assert found == [[0.0, 1.0, 32.0, 33.0, 34.0, 35.0], [10.0, 11.0, 22.0, 23.0, 24.0, 25.0]]


def test_a_training_that_begins_again_under_the_same_id_has_a_subfolder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIMEINFO_RUN_ID", "job-7")
    for _ in range(3):  # a job that is requeued, and has no checkpoint
        train(tmp_path, 1)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["job-7", "job-7.2"]
    for folder in (tmp_path, tmp_path / "job-7", tmp_path / "job-7.2"):
        assert [step for step, _ in by_file_loader(folder)["train/loss"]] == [0, 1]


def test_files_are_in_order_by_name_though_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    state = train(tmp_path, 4)
    (first,) = tmp_path.iterdir()
    monkeypatch.setattr("time.time", lambda now=time.time: now() - 3600)
    train(tmp_path, 3, resume=state)
    assert min(tmp_path.iterdir()) == first


@pytest.mark.parametrize("cut", [1, 4, 20])
def test_half_a_record_that_a_crash_left_is_no_obstacle(cut: int, tmp_path: Path) -> None:
    state = train(tmp_path, 4)
    (file,) = tmp_path.iterdir()
    os.truncate(file, file.stat().st_size - cut)
    train(tmp_path, 3, resume=state, loss=100.0)
    assert [step for step, _ in without_purge(tmp_path)["train/loss"]] == [0, 1, 2, 3, 4, 5]


def test_event_files_of_other_programs_stay_as_they_are(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))
    for step in range(10):
        writer.add_scalar("other", float(step), step)
    writer.close()
    (other,) = tmp_path.iterdir()
    before = other.read_bytes()
    state = train(tmp_path, 4)
    train(tmp_path, 3, resume=state)
    assert other.read_bytes() == before
    assert [step for step, _ in without_purge(tmp_path)["train/loss"]] == [0, 1, 2, 3, 4, 5]


def test_a_checkpoint_of_an_earlier_release_goes_on_in_its_folder(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))  # which that release used
    for step in range(8):
        writer.add_scalar("train/loss", float(step), step)
    writer.close()
    state = Loop(train_loader=range(2)).state_dict() | {"iter": 4, "epoch": 2}
    del state["message_hub"]["run_id"]
    state["message_hub"]["version"] = 1
    train(tmp_path, 3, resume=state, loss=100.0)
    assert [step for step, _ in by_accumulator(tmp_path)["train/loss"]] == [0, 1, 2, 3, 4, 4, 5]


def test_a_folder_that_cannot_be_replaced_in_does_not_stop_the_sink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = train(tmp_path, 4)

    def refuse(*_: Any, **__: Any) -> Iterator[Any]:
        raise PermissionError("as where another process has the file open, on Windows")

    monkeypatch.setattr(Path, "replace", refuse)
    train(tmp_path, 3, resume=state, loss=100.0)
    monkeypatch.undo()
    # The mark in the new file hides what is left.
    assert [step for step, _ in by_accumulator(tmp_path)["val/acc"]] == [2, 4, 6]
    assert not [path for path in tmp_path.iterdir() if "tfevents" not in path.name]


def test_an_event_file_has_the_run_id_in_its_name(tmp_path: Path) -> None:
    run_id = train(tmp_path, 1)["message_hub"]["run_id"]
    (path,) = files_of(tmp_path, run_id)
    assert path.name.endswith(f".runtimeinfo-{run_id}")
    assert files_of(tmp_path, "another") == []


def test_values_are_as_torch_writes_them(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    train(tmp_path / "ours", 1)
    writer = SummaryWriter(str(tmp_path / "theirs"))
    for step, loss in enumerate((0.0, 1.0)):
        writer.add_scalar("train/loss", torch.tensor(loss), step)
    writer.add_scalar("val/acc", 0.0, 2)
    writer.close()
    assert by_file_loader(tmp_path / "ours") == by_file_loader(tmp_path / "theirs")


@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:The '.*dataloader' does not have many workers")
def test_a_checkpoint_of_lightning_brings_the_run_id(tmp_path: Path) -> None:
    import lightning.pytorch as pl

    from runtimeinfo_adapters.lightning import attach

    class Model(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    def fit(until: int, resume: Path | None = None) -> Any:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = pl.Trainer(
            max_epochs=until, accelerator="cpu", enable_checkpointing=False, default_root_dir=tmp_path, **quiet
        )
        attach(trainer, hooks=[TensorBoardWriter(tmp_path / "tb", interval=1)])
        trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(4, 2), batch_size=2), ckpt_path=resume)
        return trainer

    fit(1).save_checkpoint(tmp_path / "last.ckpt")
    fit(2, tmp_path / "last.ckpt")
    fit(3, tmp_path / "last.ckpt")
    assert [step for step, _ in without_purge(tmp_path / "tb")["train/loss"]] == [0, 1, 2, 3, 4, 5]
