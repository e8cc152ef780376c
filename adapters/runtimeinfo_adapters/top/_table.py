"""Draw runs as a table: a line each, and the ranks of a job below it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from runtimeinfo_adapters.top._format import (
    STATUS_STYLES,
    epoch_text,
    eta_text,
    format_age,
    format_value,
    iterations_text,
    name_text,
    percent_text,
    printable,
    rate_text,
    shown_loss,
    stage_text,
    status,
    user_text,
)
from runtimeinfo_adapters.top._layout import Action, Drawing, LineLayout
from runtimeinfo_adapters.top._rows import ORDERS, Row, rank_of

SELECTED = "reverse"
"""The style of the selected row: it shows without colours, too."""

_NARROWEST_NAME = 12


@dataclass(frozen=True)
class ListState:
    """How the list is shown.

    Attributes:
        selected: The key of the selected row.
        unfolded: The keys of the jobs whose ranks are shown.
        order: The title of the order.
        is_reversed: Whether the order is reversed.
        is_compact: Whether each run has a line, even if there is room for more.
        first: The first row of a table that does not fit.
        notes: What the title says besides.
        hints: What stands at the end of the title: texts, each with the key that it names.
    """

    selected: str | None = None
    unfolded: Collection[str] = ()
    order: str = "begin"
    is_reversed: bool = False
    is_compact: bool = False
    first: int = 0
    notes: Sequence[str] = ()
    hints: Sequence[tuple[str, str]] = ()


def order_mark(state: ListState, layout: LineLayout) -> str:
    """Return the mark of the direction of an order: whether values rise or fall from the first row to the last."""
    is_falling = ORDERS[state.order].is_descending != state.is_reversed
    return layout.glyphs.down if is_falling else layout.glyphs.up


def highlighted(line: Text, row: Row, layout: LineLayout, selected: str | None) -> Text:
    """Return the line of a row, marked from end to end if the row is selected."""
    if row.key != selected:
        line.rstrip()
        return line
    line = layout.fitted(line, pad=True)
    line.stylize(SELECTED)
    return line


def ranks_text(row: Row) -> str:
    """Return how many ranks of a job are here, and of how many."""
    total = row.run.identity.world_size if row.run.identity is not None else None
    here = len(row.ranks)
    return f"{here} ranks" if total in (None, here) else f"{here} of {total} ranks"


@dataclass(frozen=True)
class _Column:
    title: str
    rank: int
    """If the columns do not fit, those of the highest rank are left out first."""
    text: Callable[[Row], str]
    is_right: bool = True


def table(rows: Sequence[Row], layout: LineLayout, state: ListState) -> Drawing:
    """Return rows as a table, as many columns as fit. A click on a title orders by its column.

    Args:
        rows: The rows, at least one.
        layout: The layout of a line.
        state: How they are shown.
    """
    columns = _columns(layout.is_ascii)
    texts = {each.title: [each.text(row) for row in rows] for each in columns}
    mark = order_mark(state, layout)
    titles = {each.title: each.title + mark if each.title == state.order else each.title for each in columns}
    widths = {title: max(len(titles[title]), *map(len, shown)) for title, shown in texts.items() if any(shown)}
    columns = [each for each in columns if each.title in widths]
    names = [_name(row, layout) for row in rows]
    name_width = max(len("run") + len(mark), *(name.cell_len for name in names))

    def needed() -> int:
        return 2 + min(name_width, _NARROWEST_NAME) + sum(2 + widths[each.title] for each in columns)

    while columns and needed() > layout.width:
        columns.remove(max(columns, key=lambda each: each.rank))
    name_width = max(1, min(name_width, layout.width - needed() + min(name_width, _NARROWEST_NAME)))
    drawing = Drawing()
    _add_titles(drawing, columns, titles, widths, name_width, layout, state)
    for index, row in enumerate(rows):
        run_state = status(row.run)
        line = Text.assemble((f"{_dot(row, layout, state)} ", STATUS_STYLES[run_state]))
        line.append_text(layout.fitted(names[index], name_width, pad=True))
        for each in columns:
            shown = f"  {_aligned(texts[each.title][index], widths[each.title], each.is_right)}"
            is_fault = each.title == "state" and run_state != "live"
            line.append(shown, style=STATUS_STYLES[run_state] if is_fault else "")
        drawing.add(highlighted(layout.fitted(line), row, layout, state.selected), Action("row", row.key))
        if row.ranks:
            drawing.place(0, 2, Action("fold", row.key))
    return drawing


def _add_titles(
    drawing: Drawing,
    columns: Sequence[_Column],
    titles: dict[str, str],
    widths: dict[str, int],
    name_width: int,
    layout: LineLayout,
    state: ListState,
) -> None:
    run_title = f"run{order_mark(state, layout)}" if state.order == "run" else "run"
    line = Text(f"  {run_title[:name_width]:<{name_width}}", style="bright_black")
    ends: list[tuple[int, int, str]] = [(0, line.cell_len, "run")]
    for each in columns:
        begin = line.cell_len
        line.append(f"  {_aligned(titles[each.title], widths[each.title], each.is_right)}")
        ends.append((begin, line.cell_len, each.title))
    line = layout.fitted(line)
    line.rstrip()
    drawing.add(line)
    for begin, end, title in ends:
        if title in ORDERS:
            drawing.place(begin, end, Action("sort", title))


def _name(row: Row, layout: LineLayout) -> Text:
    if row.job is not None:
        return Text(f"  {rank_text(row)}")
    return Text(name_text(row.run, is_ascii=layout.is_ascii), style="bold")


def rank_text(row: Row) -> str:
    """Return the rank that a row of a job's rank is about, and whether it is the slowest."""
    return f"rank {rank_of(row.run)}{' slowest' if row.slowest is not None else ''}"


def _dot(row: Row, layout: LineLayout, state: ListState) -> str:
    glyphs = layout.glyphs
    if not row.ranks:
        return " " if row.job is not None and status(row.run) == "live" else glyphs.dot
    return glyphs.unfolded if row.key in state.unfolded else glyphs.folded


def _columns(is_ascii: bool) -> list[_Column]:
    def stage(row: Row) -> str:
        return stage_text(row.run, is_ascii=is_ascii)

    return [
        _Column("user", 3, lambda row: user_text(row.run, is_ascii=is_ascii), is_right=False),
        _Column("state", 0, lambda row: status(row.run), is_right=False),
        _Column("ranks", 4, _ranks),
        _Column("stage", 7, stage, is_right=False),
        _Column("epoch", 6, lambda row: epoch_text(row.run)),
        _Column("iter", 8, lambda row: iterations_text(row.run)),
        _Column("done", 1, lambda row: percent_text(row.run)),
        _Column("rate", 9, lambda row: rate_text(row.run)),
        _Column("ETA", 2, lambda row: eta_text(row.run)),
        _Column("loss", 5, _loss),
        _Column("updated", 10, _age),
        _Column("source", 11, lambda row: "inferred" if row.run.is_inferred else "", is_right=False),
    ]


def _ranks(row: Row) -> str:
    if not row.ranks:
        return ""
    total = row.run.identity.world_size if row.run.identity is not None else None
    here = len(row.ranks)
    many = f"{here}" if total in (None, here) else f"{here}/{total}"
    return many if row.slowest is None else f"{many} slow {rank_of(row.slowest)}"


def _age(row: Row) -> str:
    return "" if row.run.age_s is None else format_age(row.run.age_s)


def _loss(row: Row) -> str:
    loss = shown_loss(row.run)
    return "" if loss is None else format_value(loss)


def _aligned(text: str, width: int, is_right: bool) -> str:
    return f"{text:>{width}}" if is_right else f"{text:<{width}}"


def add_ranks(drawing: Drawing, job: Row, layout: LineLayout, *, selected: str | None) -> None:
    """Add a line for each rank of a job, with the slowest marked.

    Args:
        drawing: The drawing.
        job: The row of the job.
        layout: The layout of a line.
        selected: The key of the selected row.
    """
    rows = job.rank_rows
    facts = [_facts_of_rank(row, layout) for row in rows]
    for name in _fitting_facts(facts, rows, layout.width):
        for each in facts:
            each.pop(name, None)
    widths = {name: max(len(each[name]) for each in facts) for name in facts[0]}
    for row, texts in zip(rows, facts, strict=True):
        mark = status(row.run)
        line = Text("  ")
        for name, text in texts.items():
            if widths[name]:
                is_fault = name == "state" and mark != "live"
                line.append(f"  {text:<{widths[name]}}", style=STATUS_STYLES[mark] if is_fault else "")
        if row.slowest is not None:
            line.append(f"  {_slowest_text(row)}", style="bold yellow")
        drawing.add(highlighted(layout.fitted(line), row, layout, selected), Action("row", row.key))


def _fitting_facts(facts: Sequence[Mapping[str, str]], rows: Sequence[Row], width: int) -> list[str]:
    """Return the facts to leave out so that the lines fit, starting with the facts that all ranks share."""
    left_out: list[str] = []
    order = ("stage", "age", "host", "pid", "rate", "iter")
    mark = max((2 + len(_slowest_text(row)) for row in rows if row.slowest is not None), default=0)
    for name in order:
        widths = {key: max(len(each[key]) for each in facts) for key in facts[0] if key not in left_out}
        if 2 + mark + sum(2 + each for each in widths.values() if each) <= width:
            break
        left_out.append(name)
    return left_out


def _slowest_text(row: Row) -> str:
    return f"slowest: {row.slowness}"


def _facts_of_rank(row: Row, layout: LineLayout) -> dict[str, str]:
    run = row.run
    host = run.identity.host if run.identity is not None else ""
    is_here = row.job is None or row.job.run.identity is None or row.job.run.identity.host == host
    return {
        "rank": f"rank {rank_of(run)}",
        "host": "" if is_here else printable(host, is_ascii=layout.is_ascii),
        "pid": f"pid {run.pid}",
        "state": status(run),
        "stage": stage_text(run, is_ascii=layout.is_ascii),
        "iter": iterations_text(run),
        "rate": rate_text(run),
        "age": _age(row),
    }
