"""Draw runs as lines of text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.text import Text

from runtimeinfo_adapters.top._format import (
    STATUS_STYLES,
    epoch_text,
    eta_text,
    format_value,
    fraction,
    iterations_text,
    learning_rates,
    name_text,
    percent_text,
    printable,
    rate_text,
    shown_scalars,
    stage_text,
    status,
    status_text,
    user_text,
)
from runtimeinfo_adapters.top._layout import Action, Drawing, LineLayout, sparkline
from runtimeinfo_adapters.top._rows import Row, as_rows, rank_of, visible
from runtimeinfo_adapters.top._table import ListState, add_ranks, highlighted, order_mark, ranks_text, table
from runtimeinfo_adapters.top._watch import Run

# Of a block.
_MOST_SCALAR_LINES = 4
_CELL_WIDTH = 38
_NARROWEST_PAIR = 56
_VALUE_WIDTH = 9
_LONGEST_NAME = 18
_LONGEST_CURVE = 40
_SHORTEST_BAR = 5
_LONGEST_BAR = 30
_NARROWEST_NAME = 12


def draw_runs(
    runs: Sequence[Run], layout: LineLayout, *, height: int | None = None, folder: str = "", pid: int | None = None
) -> list[Text]:
    """Return the lines that show all runs, the ranks of a job in one.

    Args:
        runs: The runs.
        layout: The layout of a line.
        height: The greatest number of lines; by default, it is not limited.
        folder: The folder of the boards.
        pid: The process that the runs were restricted to, if any.
    """
    return draw_list(as_rows(runs), layout, height=height, folder=folder, pid=pid).lines


def draw_list(
    rows: Sequence[Row],
    layout: LineLayout,
    state: ListState | None = None,
    *,
    height: int | None = None,
    folder: str = "",
    pid: int | None = None,
    empty: Sequence[str] = (),
) -> Drawing:
    """Return the drawing of all rows.

    Each row gets a block. If the blocks do not fit, they lose the lines of their scalars, one after the other; then
    each row gets one line of a table, and at last the rows without a line are counted.

    Args:
        rows: The rows, in the order in which they are shown.
        layout: The layout of a line.
        state: How they are shown.
        height: The greatest number of lines; by default, it is not limited.
        folder: The folder of the boards.
        pid: The process that the runs were restricted to, if any.
        empty: What to say without a row; by default, that there is no run.
    """
    state = state or ListState()
    drawing = Drawing()
    _add_title(drawing, rows, layout, state, folder)
    drawing.add(Text())
    if rows:
        drawing.extend(_body(rows, layout, state, None if height is None else max(height - len(drawing.lines), 1)))
    else:
        first, *others = empty or _no_run(layout, folder, pid)
        drawing.add(layout.fitted(Text(f"  {first}")))
        for each in others:
            drawing.add(layout.fitted(Text(f"  {each}", style="bright_black")))
    return drawing.cut(0, len(drawing.lines) if height is None else height)


def _no_run(layout: LineLayout, folder: str, pid: int | None) -> list[str]:
    whose = "this user" if pid is None else f"process {pid}"
    return [
        f"No run of {whose} is seen in {printable(folder, is_ascii=layout.is_ascii)}.",
        "A run under any adapter of runtimeinfo shows here by itself."
        if pid is None
        else "Without --pid, all runs of this user are shown.",
    ]


def _add_title(drawing: Drawing, rows: Sequence[Row], layout: LineLayout, state: ListState, folder: str) -> None:
    marks = Counter(status(run) for row in rows for run in row.runs)
    counts = layout.glyphs.between.join(f"{marks[each]} {each}" for each in STATUS_STYLES if marks[each])
    left = Text.assemble(("runtimeinfo top", "bold"), f"  {counts or 'no runs'}")
    if state.order != "begin" or state.is_reversed:
        left.append(f"  by {state.order} {order_mark(state, layout)}", style="cyan")
    for note in state.notes:
        left.append(f"  {note}", style="cyan")
    add_title(drawing, layout, left, state.hints or [(printable(folder, is_ascii=layout.is_ascii), "")])


def add_title(drawing: Drawing, layout: LineLayout, left: Text, hints: Sequence[tuple[str, str]]) -> None:
    """Add a line with a text and with hints at its end, as many as fit.

    Args:
        drawing: The drawing.
        layout: The layout of the line.
        left: The text.
        hints: Texts, the most important last, each with the key that it names: a click on it presses the key.
    """
    between = layout.glyphs.between
    shown = list(hints)
    while shown and left.cell_len + 2 + Text(between.join(text for text, _ in shown)).cell_len > layout.width:
        shown.pop(0)
    right = Text(between.join(text for text, _ in shown), style="bright_black")
    drawing.add(layout.spread(left, right) if shown else layout.fitted(left))
    column = layout.width - right.cell_len
    for text, key in shown:
        if key:
            drawing.place(column, column + len(text), Action("key", key))
        column += len(text) + len(between)


def _body(rows: Sequence[Row], layout: LineLayout, state: ListState, place: int | None) -> Drawing:
    if place is None:
        return _blocks(rows, layout, state, _MOST_SCALAR_LINES)
    shown = visible(rows, state.unfolded)
    # A block is at least a line, and a blank one before the next.
    if not state.is_compact and len(rows) + len(shown) <= place + 1:
        for most_lines in reversed(range(_MOST_SCALAR_LINES + 1)):
            blocks = _blocks(rows, layout, state, most_lines)
            if len(blocks.lines) <= place:
                return blocks
    if len(shown) < place:
        return table(shown, layout, state)
    many = max(place - 2, 1)
    first = max(0, min(state.first, len(shown) - many))
    drawing = table(shown[first : first + many], layout, state)
    rest = len(shown) - first - many
    more = f"{layout.glyphs.ellipsis} and {rest} more" if not first else f"{first} above, {rest} below"
    drawing.add(layout.fitted(Text(f"  {more}", style="bright_black")))
    return drawing


def rows_of_table(place: int) -> int:
    """Return how many rows are shown in so many lines if not all fit."""
    return max(place - 2, 1)


def _blocks(rows: Sequence[Row], layout: LineLayout, state: ListState, most_lines: int) -> Drawing:
    widths = _ColumnWidths(row.run for row in rows)
    drawing = Drawing()
    for row in rows:
        if drawing.lines:
            drawing.add(Text())
        _add_block(drawing, row, layout, state, widths, most_lines)
        if row.key in state.unfolded:
            add_ranks(drawing, row, layout, selected=state.selected)
    return drawing


class _ColumnWidths:
    # Of the facts that are aligned in several blocks.

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        all_runs = list(runs)
        self.epoch: int = max((len(epoch_text(run)) for run in all_runs), default=0)
        self.iterations: int = max((len(iterations_text(run)) for run in all_runs), default=0)
        self.speed: int = max((len(_speed(run)) for run in all_runs), default=0)


def _add_block(
    drawing: Drawing, row: Row, layout: LineLayout, state: ListState, widths: _ColumnWidths, most_lines: int
) -> None:
    run, action = row.run, Action("row", row.key)
    first = head(row, layout, is_unfolded=row.key in state.unfolded)
    drawing.add(highlighted(first, row, layout, state.selected), action)
    if row.ranks:
        drawing.place(0, 2, Action("fold", row.key))
    if run.error is not None:
        text = f"  {printable(run.error, is_ascii=layout.is_ascii)}"
        drawing.add(layout.fitted(Text(text, style="magenta")), action)
    if run.epoch is not None or run.iter is not None:
        drawing.add(_progress(run, layout, widths), action)
    for line in _scalars(run, layout, most_lines):
        drawing.add(line, action)


def head(row: Row, layout: LineLayout, *, is_unfolded: bool = False) -> Text:
    """Return the first line of a block: name, process or ranks, stage, and state."""
    run = row.run
    mark = status(run)
    style = STATUS_STYLES[mark]
    dot = layout.glyphs.dot if not row.ranks else layout.glyphs.unfolded if is_unfolded else layout.glyphs.folded
    left = Text.assemble((f"{dot} ", style), (name_text(run, is_ascii=layout.is_ascii), "bold"))
    about = _about(row, layout)
    stage = stage_text(run, is_ascii=layout.is_ascii)
    said = status_text(run)
    if row.ranks and mark in ("dead", "stalled", "damaged"):
        said = f"rank {rank_of(row.worst)} {said}"

    def right() -> Text:
        return Text.assemble(
            (layout.glyphs.between.join(about), "bright_black"),
            "  " if about else "",
            (stage, "bold cyan"),
            "  " if stage else "",
            (said, "bright_black" if mark == "live" else f"bold {style}"),
        )

    def is_too_wide() -> bool:
        return layout.width - right().cell_len - 2 < min(left.cell_len, _NARROWEST_NAME)

    # The name is cut, which may be of any length, and then what is known from elsewhere.
    if is_too_wide():
        about = _about(row, layout, is_short=True)
    while len(about) > 1 and is_too_wide():
        about.pop()
    return layout.spread(left, right())


def _about(row: Row, layout: LineLayout, *, is_short: bool = False) -> list[str]:
    run = row.run
    about: list[str] = []
    if user := user_text(run, is_ascii=layout.is_ascii):
        about.append(user)
    if row.ranks:
        about.append(ranks_text(row))
        if row.slowest is not None:
            rank = rank_of(row.slowest)
            about.append(f"slow {rank}" if is_short else f"slowest rank {rank}: {row.slowness}")
    elif run.experiment_name is not None:
        about.append(f"pid {run.pid}")
    rank = rank_of(run)
    if not row.ranks and rank is not None:
        about.append(f"rank {rank} of {run.identity.world_size if run.identity is not None else '?'}")
    if run.is_inferred:
        about.append("inferred")
    if run.is_elsewhere:
        about.append("in another container")
    return about


def _progress(run: Run, layout: LineLayout, widths: _ColumnWidths) -> Text:
    first = f"epoch {epoch_text(run):<{widths.epoch}}" if widths.epoch else ""
    second = f"iter {iterations_text(run):<{widths.iterations}}" if widths.iterations else ""
    # The rest is for the bars.
    free = layout.width - sum(2 + each for each in (len(first), len(second), widths.speed) if each) - 2
    has_two = bool(first and second) and free >= 2 * _SHORTEST_BAR
    each_bar = min(free // 2 if has_two else free, _LONGEST_BAR)
    line = Text()
    if first:
        line.append(f"  {first}")
        if has_two or not second:
            line.append_text(_bar(fraction(run.epoch, run.max_epochs), each_bar, layout))
    if second:
        line.append(f"  {second}")
        line.append_text(_bar(fraction(run.iter, run.max_iters), each_bar, layout))
    if widths.speed:
        line.append(f"  {_speed(run)}")
    line.rstrip()
    return layout.fitted(line)


def progress(run: Run, layout: LineLayout) -> Text:
    """Return the line of a run with its counters, its bars and its speed."""
    return _progress(run, layout, _ColumnWidths([run]))


def _speed(run: Run) -> str:
    eta = f"  ETA {eta_text(run)}" if run.eta_s is not None else ""
    return f"{percent_text(run):>4}  {rate_text(run):>9}{eta}".rstrip()


def _bar(part: float | None, width: int, layout: LineLayout) -> Text:
    if width < _SHORTEST_BAR:
        return Text()
    return Text(" " * (width + 1)) if part is None else Text(" ").append_text(layout.bar(part, width))


def _scalars(run: Run, layout: LineLayout, most_lines: int) -> list[Text]:
    keys = shown_scalars(run.scalars)
    columns = max(2 if layout.width >= _NARROWEST_PAIR else 1, (layout.width - 2) // _CELL_WIDTH)
    width = (layout.width - 2) // columns
    most = columns * most_lines
    if len(keys) > most:  # a learning rate is the first to be left out
        rates = learning_rates(keys)
        keys = [key for key in keys if key not in rates] + [key for key in keys if key in rates]
    shown = keys if len(keys) <= most else keys[: most - 1] if most > 1 else []
    named = {key: printable(key.removeprefix("train/"), is_ascii=layout.is_ascii) for key in shown}
    name_width = min(max((Text(each).cell_len for each in named.values()), default=0), _LONGEST_NAME)
    cells = [scalar_cell(run, key, named[key], name_width, width, layout) for key in shown]
    if shown and len(shown) < len(keys):
        cells.append(Text(f"{layout.glyphs.ellipsis} and {len(keys) - len(shown)} more", style="bright_black"))
    rows = [cells[at : at + columns] for at in range(0, len(cells), columns)]
    lines = [
        layout.fitted(Text.assemble("  ", *(layout.fitted(cell, width, pad=True) for cell in row))) for row in rows
    ]
    for line in lines:
        line.rstrip()
    return lines


def scalar_cell(run: Run, key: str, name: str, name_width: int, width: int, layout: LineLayout) -> Text:
    """Return the name of a scalar, its latest value and its curve, in a width."""
    value = format_value(run.scalars[key].value)
    cell = layout.fitted(Text(name, style="bright_black"), name_width, pad=True)
    cell.append(f" {value:>{_VALUE_WIDTH}} ", style="bold" if value not in ("nan", "inf", "-inf") else "bold red")
    curve = sparkline(run.curves.get(key, ()), min(width - cell.cell_len - 2, _LONGEST_CURVE), layout.glyphs)
    return cell.append(curve, style="cyan")
