"""All runs, as large as there is place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from runtimeinfo_adapters.top import _facts, _text
from runtimeinfo_adapters.top._block import Alignment, block
from runtimeinfo_adapters.top._canvas import Canvas
from runtimeinfo_adapters.top._rows import rows
from runtimeinfo_adapters.top._run import Run

_MOST_SCALAR_LINES = 4


def picture(
    runs: Sequence[Run], canvas: Canvas, *, height: int | None = None, folder: str = "", pid: int | None = None
) -> list[Text]:
    """Return the lines that show all runs.

    Each run gets a block. Where the blocks have no place together, they lose the lines of their scalars, one after
    the other; then each run gets one line, and at last those that have none are counted.

    Args:
        runs: The runs.
        canvas: What they are drawn on.
        height: How many lines there may be; as many as it takes if left out.
        folder: Where the boards are.
        pid: The process whose runs alone are shown; those of all if left out.
    """
    lines = [_title(runs, canvas, folder, is_interactive=height is not None), Text()]
    if runs:
        lines += _body(runs, canvas, None if height is None else max(height - len(lines), 1))
    else:
        whose = "this user" if pid is None else f"process {pid}"
        said = f"No run of {whose} is seen in {_text.plain(folder, is_ascii=canvas.is_ascii)}."
        hint = (
            "A run under any adapter of runtimeinfo shows here by itself."
            if pid is None
            else "Without --pid, all runs of this user are shown."
        )
        lines += [canvas.fitted(Text(f"  {said}")), canvas.fitted(Text(f"  {hint}", style="bright_black"))]
    for line in lines:
        line.rstrip()
    return lines[:height]


def _title(runs: Sequence[Run], canvas: Canvas, folder: str, *, is_interactive: bool) -> Text:
    marks = Counter(map(_facts.mark, runs))
    counts = canvas.glyphs.between.join(f"{marks[each]} {each}" for each in _facts.STYLES if marks[each])
    left = Text.assemble(("runtimeinfo top", "bold"), f"  {counts or 'no runs'}")
    right = "q quits" if is_interactive else _text.plain(folder, is_ascii=canvas.is_ascii)
    if left.cell_len + 2 + Text(right).cell_len > canvas.width:
        return canvas.fitted(left)
    return canvas.spread(left, Text(right, style="bright_black"))


def _body(runs: Sequence[Run], canvas: Canvas, place: int | None) -> list[Text]:
    if place is None:
        return _blocks(runs, canvas, _MOST_SCALAR_LINES)
    if 2 * len(runs) <= place + 1:  # a block has a line at least, and a blank one before the next
        for most_lines in reversed(range(_MOST_SCALAR_LINES + 1)):
            blocks = _blocks(runs, canvas, most_lines)
            if len(blocks) <= place:
                return blocks
    if len(runs) < place:
        return rows(runs, canvas)
    shown = runs[: max(place - 2, 1)]
    more = Text(f"  {canvas.glyphs.ellipsis} and {len(runs) - len(shown)} more", style="bright_black")
    return [*rows(shown, canvas), canvas.fitted(more)]


def _blocks(runs: Sequence[Run], canvas: Canvas, most_lines: int) -> list[Text]:
    alignment = Alignment(runs)
    lines: list[Text] = []
    for run in runs:
        lines += [*([Text()] if lines else []), *block(run, canvas, alignment, most_lines)]
    return lines
