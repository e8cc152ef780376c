"""TensorBoard's own reader reads what was written."""

from __future__ import annotations

import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import SinkError, SinkWarning, TensorBoardWriter


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = read(folder)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_the_keys_are_the_tags_and_the_iter_is_the_step(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    writer = TensorBoardWriter(tmp_path / "runs" / "first", interval=2)
    losses = [{"loss": float(number)} for number in range(5)]
    loop = train([writer], losses, val={"acc": 0.5}, test={"acc": 0.25}, cfg="lr = 0.1\n# text", seed=7)
    assert points(writer.path) == {
        "train/loss": [(1, 1.0), (3, 3.0), (4, 4.0)],
        "val/acc": [(5, 0.5)],
        "test/acc": [(5, 0.25)],
    }
    events = read(writer.path)
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert texts == {
        "cfg/text_summary": "    lr = 0.1\n    # text",
        "run_id/text_summary": f"    {loop.message_hub.run_id}",
        "seed/text_summary": "    7",
    }


def test_any_key_is_a_tag_and_any_number_a_value(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    strange = {"": 1.0, "a b/ä:<1>": 2.0, "\ud800": 3.0, "large": 1e300, "int": 2**60}
    train([TensorBoardWriter(tmp_path)], [strange])
    found = {tag: value for tag, [(_, value)] in points(tmp_path).items()}
    assert found == {
        "train/": 1.0,
        "train/a b/ä:<1>": 2.0,
        "train/\\ud800": 3.0,
        "train/large": float("inf"),
        "train/int": float(2**60),
    }


def test_after_a_crash_the_resumed_training_takes_over(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    def loop() -> Loop[Any]:
        return Loop(train_loader=range(2), max_epochs=3, hooks=[TensorBoardWriter(tmp_path, interval=2)])

    def run(loop: Loop[Any], loss: float, last: int) -> dict[str, Any]:
        with loop.run():
            for epoch in loop.epochs():
                for _ in loop.train():
                    loop.log(loss=loss)
                with loop.val() as val:
                    val.log_metrics(acc=loss)
                state = loop.state_dict()
                if epoch == last:
                    break
        return state

    first = loop()
    state = run(first, 1.0, 0)
    first_again = loop()
    first_again.load_state_dict(state)
    run(first_again, 8.0, 1)  # of this one, no checkpoint was saved
    resumed = loop()
    resumed.load_state_dict(state)
    run(resumed, 2.0, 2)
    found = points(tmp_path)
    assert found["train/loss"] == [(1, 1.0), (3, 2.0), (5, 2.0)]
    assert found["val/acc"] == [(2, 1.0), (4, 2.0), (6, 2.0)]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_nothing_is_lost_in_a_crash_and_the_sink_can_be_used_again(error, train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    writer = TensorBoardWriter(tmp_path)
    with pytest.raises(type(error)):
        train([writer], [{"loss": 1.0}, {"loss": 2.0}, error])
    assert points(tmp_path) == {"train/loss": [(2, 2.0)]}
    other = train([writer], [{"grad": 3.0}])
    assert points(tmp_path) == {"train/loss": [(2, 2.0)]}
    assert points(tmp_path / other.message_hub.run_id) == {"train/grad": [(0, 3.0)]}


def test_an_unwritable_folder_is_named_before_the_training(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"TensorBoardWriter cannot write to .*file"):
        train([TensorBoardWriter(tmp_path / "file")], [AssertionError("it trained")])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's thread says it too
def test_a_disk_that_fills_up_stops_the_sink_and_not_the_run(train, tmp_path) -> None:  # type: ignore[no-untyped-def]
    threads = threading.active_count()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    class FillUp:
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):  # type: ignore[no-untyped-def]
            if batch_idx == 1:
                (file,) = tmp_path.iterdir()
                resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, hard))

        def after_run(self, runner):  # type: ignore[no-untyped-def]
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    try:
        with pytest.warns(SinkWarning, match="TensorBoardWriter stops, .* any more: .*File too large") as caught:
            loop = train(
                [FillUp(), TensorBoardWriter(tmp_path, interval=1)], [{"loss": number} for number in (1, 2, 3)]
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (len(caught), loop.iter, threading.active_count()) == (1, 3, threads)
    assert points(tmp_path) == {"train/loss": [(0, 1.0)]}


def test_each_rank_has_a_folder_with_all_ranks(train, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("RANK", "1")
    train([TensorBoardWriter(tmp_path / "none")], [{"loss": 1.0}])
    train([TensorBoardWriter(tmp_path, all_ranks=True)], [{"loss": 1.0}])
    assert [path.name for path in tmp_path.iterdir()] == ["rank1"]
    assert points(tmp_path / "rank1") == {"train/loss": [(0, 1.0)]}
