from __future__ import annotations

import io
import re
import sys
import termios
from itertools import groupby
from typing import Any

import pytest
from tqdm import tqdm

from runtimeinfo_adapters import MessageHub
from runtimeinfo_adapters.pytorch import Loop
from runtimeinfo_adapters.sinks import ProgressBar, SinkWarning
from runtimeinfo_adapters.sinks._progress_bar import LineDisplay, Progress, TerminalDisplay


def test_line_display_prints_few_complete_lines() -> None:
    file = io.StringIO()
    display = LineDisplay(tqdm, file, Progress(2, 10), "it", interval=3600)
    for done in range(2, 11):
        display.show(Progress(done, 10, values="loss=1"), now=False)
    assert file.getvalue() == ""
    display.show(Progress(10, 10, values="loss=1"), now=True)
    display.show(Progress(10, 10, values="loss=1"), now=True)
    display.close()
    (line,) = file.getvalue().splitlines()
    assert line.startswith("train: 100% 10/10 [00:00<00:00, ")
    assert line.endswith("it/s, loss=1]")


def test_line_display_leaves_out_an_unknown_total() -> None:
    file = io.StringIO()
    LineDisplay(tqdm, file, Progress(), "batch", interval=0).show(Progress(3, None, "val"), now=False)
    assert file.getvalue().startswith("val: 3 [00:00, ")
    assert file.getvalue().endswith("batch/s]\n")


@pytest.mark.parametrize("total", [10, None])
@pytest.mark.parametrize("columns", [0, 120])  # 0: it does not say
def test_terminal_display_redraws_one_line(total: int | None, columns: int, terminal: Any) -> None:
    file, drawn = terminal
    termios.tcsetwinsize(file, (25, columns))
    display = TerminalDisplay(tqdm, file, Progress(2, total), "it")
    for done in range(3, 6):
        display.show(Progress(done, total, "val 3", "loss=1"), now=False)
    display.close()
    line, end = drawn()
    assert end == ""
    first, *drawings = [drawing.rstrip() for drawing in line.split("\r") if drawing]
    assert first.startswith("train: ")
    for done, drawing in zip((3, 4, 5, 5), drawings, strict=True):  # tqdm draws once more when it closes
        assert drawing.startswith("val 3: ")
        assert (f" {done}/10 [" if total else f" {done}it [") in drawing
        assert drawing.endswith(", loss=1]")
        assert len(drawing) <= (columns or 80)


def drawings(line: str) -> list[str]:
    return [drawing.strip() for drawing in line.split("\r") if drawing.strip()]


def test_bar_on_a_terminal_shows_the_position_of_the_training(terminal, train) -> None:  # type: ignore[no-untyped-def]
    file, drawn = terminal
    losses = [{"loss": 1.0, "grad": 2.0}, {"loss": 0.123456}]
    train([ProgressBar(file=file, mininterval=0)], losses, losses, val={"acc": 0.5})
    line, end = drawn()
    shown = drawings(line)
    assert end == ""
    assert not any("\x1b" in drawing for drawing in shown)
    assert re.match(r"train: +25%\|.*\| 1/4 \[.*, epoch=1/2, loss=1, grad=2\]", next(d for d in shown if " 1/4 " in d))
    assert any(drawing.startswith("val: ") for drawing in shown)
    assert re.match(r"train: 100%\|.*\| 4/4 \[.*, epoch=2/2, loss=0.1235, grad=2, val/acc=0.5\]", shown[-1])


def test_bar_counts_the_batches_of_a_validation(terminal) -> None:  # type: ignore[no-untyped-def]
    file, drawn = terminal
    loop: Loop[Any] = Loop(train_loader=[1], max_epochs=1, hooks=[ProgressBar(file=file, mininterval=0)])

    def evaluate() -> None:
        with loop.val() as val:
            for _ in val.batches([1, 2]):
                pass
            val.log_metrics(acc=0.5)

    with loop.run():
        for _ in loop.epochs():
            for _ in loop.train():
                loop.log(loss=1.0)
            evaluate()
    with loop.run():
        evaluate()
    first, second, end = drawn()
    assert end == ""
    assert [stage for stage, _ in groupby(drawing.partition(":")[0] for drawing in drawings(first))] == [
        "train",
        "val",
        "val 1",
        "val 2",
        "train",
    ]
    assert re.match(r"val: 2batch \[.*, val/acc=0.5\]", drawings(second)[-1])


def test_bar_of_a_resumed_training_continues_at_its_iter(train) -> None:  # type: ignore[no-untyped-def]
    file = io.StringIO()
    first = train([], [{"loss": 1.0}] * 3)
    resumed: Loop[Any] = Loop(
        train_loader=range(3), max_epochs=2, hooks=[ProgressBar(file=file, line_interval=0, mininterval=0)]
    )
    resumed.load_state_dict(first.state_dict())
    with resumed.run():
        for _ in resumed.epochs():
            for _ in resumed.train():
                resumed.log(loss=2.0)
    assert re.findall(r"^train: \d+% (\d)/6 ", file.getvalue(), flags=re.MULTILINE) == ["4", "5", "6"]


def test_bar_of_a_short_training_is_one_line_without_a_terminal(train, capsys) -> None:  # type: ignore[no-untyped-def]
    train([ProgressBar(mininterval=0)], [{"loss": 1.0}] * 50, val={"acc": 0.5})
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"train: 100% 50/50 \[.*it/s, epoch=1/1, loss=1, val/acc=0.5\]\n", err)


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_bar_shows_the_last_iteration_after_a_crash(error, terminal, train) -> None:  # type: ignore[no-untyped-def]
    file, drawn = terminal
    with pytest.raises(type(error)) as caught:
        train([ProgressBar(file=file, mininterval=3600)], [{"loss": 1.0}, {"loss": 2.0}, error])
    assert caught.value is error
    line, end = drawn()
    assert end == ""
    assert re.match(r"train: +67%.* 2/3 \[.*, epoch=1/1, loss=2\]", drawings(line)[-1])


def test_bar_of_an_unbounded_training_has_no_total(terminal) -> None:  # type: ignore[no-untyped-def]
    file, drawn = terminal
    loop: Loop[Any] = Loop(train_loader=range(3), hooks=[ProgressBar(file=file, keys=["train/b", "nowhere"])])
    with loop.run():
        for _ in loop.train():
            loop.log(a=1.0, b=2.0)
    assert re.match(r"train: 3it \[.*, epoch=1, b=2\]", drawings(drawn()[0])[-1])


def test_bar_does_not_read_between_two_drawings(train) -> None:  # type: ignore[no-untyped-def]
    class Counting(MessageHub):
        read = 0

        @property
        def log_scalars(self) -> Any:
            type(self).read += 1
            return super().log_scalars

    train([ProgressBar(mininterval=3600, file=io.StringIO())], [{"loss": 1.0}] * 20, hub=Counting("counting"))
    assert Counting.read <= 4  # at the first iteration, and at the ends


def test_bar_can_be_used_again_and_forgets_the_last_run(train) -> None:  # type: ignore[no-untyped-def]
    file = io.StringIO()
    bar = ProgressBar(file=file)
    train([bar], [{"loss": 1.0}])
    train([bar], [{"grad": 1.0}] * 2)
    first, second = file.getvalue().splitlines()
    assert first.endswith("epoch=1/1, loss=1]")
    assert second.endswith("epoch=1/1, grad=1]")


def test_bar_stops_and_not_the_run_when_its_file_goes_away(train) -> None:  # type: ignore[no-untyped-def]
    with io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True) as full:  # type: ignore[type-var]
        bar = ProgressBar(file=full, line_interval=0, mininterval=0)
        with pytest.warns(SinkWarning, match=r"the progress bar stops, .*: .*No space left") as caught:
            loop = train([bar], [{"loss": 1.0}] * 3)
        assert (len(caught), loop.iter) == (1, 3)
    with pytest.warns(SinkWarning, match="closed file"):
        train([bar], [{"loss": 1.0}])


def test_bar_shows_nothing_in_a_process_without_a_console(train, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "stderr", None)
    assert train([ProgressBar()], [{"loss": 1.0}]).iter == 1


def test_bar_is_shown_on_the_first_rank_only_by_default(train, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("RANK", "1")
    alone, each = io.StringIO(), io.StringIO()
    train([ProgressBar(file=alone), ProgressBar(file=each, all_ranks=True)], [{"loss": 1.0}], val={"acc": 1.0})
    assert alone.getvalue() == ""
    assert each.getvalue()
