from __future__ import annotations

import io
import termios
from typing import Any

import pytest
from tqdm import tqdm

from runtimeinfo_adapters.sinks._display import LineDisplay, Progress, TerminalDisplay


def test_lines_are_few_and_whole() -> None:
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


def test_an_unknown_total_is_left_out() -> None:
    file = io.StringIO()
    LineDisplay(tqdm, file, Progress(), "batch", interval=0).show(Progress(3, None, "val"), now=False)
    assert file.getvalue().startswith("val: 3 [00:00, ")
    assert file.getvalue().endswith("batch/s]\n")


@pytest.mark.parametrize("total", [10, None])
@pytest.mark.parametrize("columns", [0, 120])  # 0: it does not say
def test_a_terminal_has_one_line_that_is_drawn_anew(total: int | None, columns: int, terminal: Any) -> None:
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
