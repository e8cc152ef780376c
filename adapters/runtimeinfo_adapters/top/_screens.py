"""Draw the details of a run, and the help."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from runtimeinfo_adapters.top._draw import add_title, head, progress, scalar_cell
from runtimeinfo_adapters.top._format import format_value, printable, shown_scalars, user_text
from runtimeinfo_adapters.top._layout import Action, Drawing, LineLayout, finite_range, large_curve, wrapped
from runtimeinfo_adapters.top._rows import Row
from runtimeinfo_adapters.top._table import SELECTED, add_ranks
from runtimeinfo_adapters.top._watch import Run

_LONGEST_CURVE = 160
_HIGHEST_CURVE = 12
_LOWEST_CURVE = 2
_LONGEST_VALUE = 20_000
_MOST_LINES = 2000
_WIDEST_KEY = 24

# What the head, the bars, the curve and the ranks show already.
_SHOWN_INFOS = ("experiment_name", "loop_stage", "epoch", "iter", "max_epochs", "max_iters", "inferred", "cfg")

KEYS: Mapping[str, Sequence[tuple[str, str]]] = {
    "list": (
        ("Up Down j k Tab, wheel", "select a run"),
        ("PgUp PgDn Home End g G", "select one further away"),
        ("Enter, second click", "show its details"),
        ("Space + -, click, *", "unfold the ranks of a job; of all"),
        ("/ f F4 \\", "filter: a|b is one of both"),
        ("Esc", "clear the filter, or the selection"),
        ("< > , . Left Right F6", "order by the next column"),
        ("r I", "reverse the order"),
        ("N T", "order by process, by begin"),
        ("d Delete, D", "dismiss a dead run, all of them"),
        ("u", "show dismissed runs again"),
        ("c", "a line for each run"),
        ("Z", "pause, and go on"),
        ("F5 Ctrl-L", "look now"),
        ("h ? F1", "this help"),
        ("q F10 Ctrl-C", "quit"),
    ),
    "details": (
        ("Left Right Tab, click", "choose the scalar of the curve"),
        ("Up Down j k, wheel", "scroll"),
        ("PgUp PgDn Home End g G", "scroll further"),
        ("Esc q Enter Backspace", "go back"),
    ),
}
"""The keys of each screen, and what they do."""

_KEY_WIDTH = 24
_HELP_COLUMN = 66


@dataclass(frozen=True)
class Scrolled:
    """A screen, a part of which is scrolled.

    Attributes:
        drawing: The drawing.
        first: The first line of the part that is shown.
        page: The number of lines of the part that are shown.
    """

    drawing: Drawing
    first: int
    page: int


def draw_details(
    row: Row,
    layout: LineLayout,
    height: int,
    *,
    first: int = 0,
    chosen: str | None = None,
    is_followed: bool = False,
    hints: Sequence[tuple[str, str]] = (),
) -> Scrolled:
    """Draw all that is known of a run: its curve, and below it, scrolled, the rest.

    Args:
        row: The run, or the job.
        layout: The layout of a line.
        height: The number of lines.
        first: The first line of the scrolled part.
        chosen: The key of the scalar whose curve is shown; by default, the first loss.
        is_followed: Whether to scroll to the line of this scalar.
        hints: What stands at the end of the title.
    """
    run = row.run
    keys = shown_scalars(run.scalars)
    chosen = chosen_scalar(run, chosen)
    drawing = Drawing()
    add_title(drawing, layout, Text.assemble(("runtimeinfo top", "bold"), "  details"), hints)
    drawing.add(head(row, layout, is_unfolded=True))
    if run.epoch is not None or run.iter is not None:
        drawing.add(progress(run, layout))
    curve_height = min((height - len(drawing.lines) - 2) // 3, _HIGHEST_CURVE)
    if chosen is not None and curve_height >= _LOWEST_CURVE:
        _add_curve(drawing, run, chosen, layout, curve_height)
    body = Drawing()
    if keys:
        _add_scalars(body, run, keys, chosen, layout)
    _add_facts(body, row, layout)
    at = keys.index(chosen) + 1 if chosen is not None and is_followed else None
    return _scrolled(drawing, body, layout, height, first, at)


def chosen_scalar(run: Run, chosen: str | None) -> str | None:
    """Return the key of a scalar that there is: the chosen one, or else the first that is a loss."""
    if chosen is not None and chosen in run.scalars:
        return chosen
    keys = shown_scalars(run.scalars)
    return next((key for key in keys if "loss" in key), keys[0] if keys else None)


def _scrolled(
    drawing: Drawing, body: Drawing, layout: LineLayout, height: int, first: int, at: int | None = None
) -> Scrolled:
    page = max(height - len(drawing.lines), 0)
    if at is not None and page:
        first = min(max(first, at - page + 2), at - 1)
    is_cut = len(body.lines) > page
    page = max(page - is_cut, 0)
    first = max(0, min(first, len(body.lines) - page))
    drawing.extend(body.cut(first, first + page))
    if is_cut:
        rest = max(len(body.lines) - first - page, 0)
        said = f"  {first} above, {rest} below" if first else f"  {layout.glyphs.ellipsis} and {rest} more"
        drawing.add(layout.fitted(Text(said, style="bright_black")))
    return Scrolled(drawing.cut(0, height), first, page)


def _add_curve(drawing: Drawing, run: Run, key: str, layout: LineLayout, height: int) -> None:
    glyphs = layout.glyphs
    values = run.curves.get(key, ())
    low, high = finite_range(values)
    title = Text.assemble(
        "  ",
        (printable(key, is_ascii=layout.is_ascii), "bold"),
        f" {format_value(run.scalars[key].value)}",
        (f"  since top began, {format_value(low)} to {format_value(high)}", "bright_black"),
    )
    drawing.add(layout.fitted(title))
    labels = ["" for _ in range(height)]
    labels[0], labels[-1] = format_value(high) if high > low else "", format_value(low)
    width = max(map(len, labels))
    lines = large_curve(values, min(layout.width - width - 5, _LONGEST_CURVE), height, glyphs)
    for label, line in zip(labels, lines, strict=True):
        text = Text.assemble((f"  {label:>{width}} {glyphs.axis}", "bright_black"), (line, "cyan"))
        drawing.add(layout.fitted(text))


def _add_scalars(drawing: Drawing, run: Run, keys: Sequence[str], chosen: str | None, layout: LineLayout) -> None:
    names = {key: printable(key, is_ascii=layout.is_ascii) for key in keys}
    name_width = min(max(Text(each).cell_len for each in names.values()), max(layout.width // 3, 10))
    _add_heading(drawing, "scalars", layout)
    for key in keys:
        mark = layout.glyphs.chosen if key == chosen else " "
        line = Text(f"  {mark} ")
        line.append_text(scalar_cell(run, key, names[key], name_width, layout.width - 4, layout))
        line = layout.fitted(line)
        if key == chosen:
            line.stylize(SELECTED, 4, 4 + name_width)
        drawing.add(line, Action("scalar", key))


def _add_facts(drawing: Drawing, row: Row, layout: LineLayout) -> None:
    job = row if row.ranks else row.job
    if job is not None:
        _add_heading(drawing, "ranks", layout)
        ranks = Drawing()
        add_ranks(ranks, job, layout, selected=row.key)
        drawing.extend(ranks)
    _add_heading(drawing, "run", layout)
    _add_pairs(drawing, _about(row), layout)
    infos = [(key, value) for key, value in row.run.infos.items() if key not in _SHOWN_INFOS]
    if infos:
        _add_heading(drawing, "infos", layout)
        _add_pairs(drawing, [(key, value if isinstance(value, str) else repr(value)) for key, value in infos], layout)
    if "cfg" in row.run.infos:
        _add_heading(drawing, "cfg", layout)
        cfg = row.run.infos["cfg"]
        for line in _lines(cfg if isinstance(cfg, str) else repr(cfg), layout, layout.width - 2):
            drawing.add(layout.fitted(Text(f"  {line}")))


def _add_heading(drawing: Drawing, text: str, layout: LineLayout) -> None:
    drawing.add(layout.fitted(Text(text, style="bold cyan")))


def _about(row: Row) -> list[tuple[str, str]]:
    run, identity = row.run, row.run.identity
    found: list[tuple[str, str | None]] = [
        ("name", run.experiment_name),
        ("pid", ", ".join(str(each.pid) for each in row.runs)),
        ("user", user_text(run)),
        ("board", str(run.path)),
        ("begin", _time(run.started_ns)),
        ("fault", run.error),
    ]
    if identity is not None:
        rank = None if identity.rank is None else str(identity.rank)
        if rank is not None and identity.world_size is not None:
            rank += f" of {identity.world_size}"
        scheduler = f" ({identity.scheduler})" if identity.scheduler else ""
        found += [
            ("host", identity.host),
            ("rank", None if row.ranks else rank),
            ("job", f"{identity.job}{scheduler}" if identity.job else None),
            ("run id", identity.run_id),
            ("command", shlex.join(identity.command)),
        ]
    if run.unshared:
        found.append(("unshared", f"{run.unshared} infos and scalars that have no place on the board"))
    return [(key, value) for key, value in found if value]


def _time(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):  # a board may say anything
        return None


def _add_pairs(drawing: Drawing, pairs: Iterable[tuple[str, str]], layout: LineLayout) -> None:
    shown = [(printable(key, is_ascii=layout.is_ascii), value) for key, value in pairs]
    width = min(max((Text(key).cell_len for key, _ in shown), default=0), _WIDEST_KEY)
    for key, value in shown:
        label = layout.fitted(Text(key, style="bright_black"), width, pad=True)
        for index, line in enumerate(_lines(value, layout, layout.width - width - 4)):
            begin = label if not index else Text(" " * width)
            drawing.add(layout.fitted(Text.assemble("  ", begin, "  ", line)))


def _lines(text: str, layout: LineLayout, width: int) -> list[str]:
    """Return a text of another program, which may have several lines, as lines of a width."""
    found: list[str] = []
    for line in text[:_LONGEST_VALUE].expandtabs(4).splitlines() or [""]:
        shown = printable(line, is_ascii=layout.is_ascii, longest=_LONGEST_VALUE)
        found += wrapped(shown, max(width, 2))
        if len(found) > _MOST_LINES:
            break
    return found[:_MOST_LINES]


def draw_help(layout: LineLayout, height: int, *, first: int = 0, hints: Sequence[tuple[str, str]] = ()) -> Scrolled:
    """Draw what the keys do.

    Args:
        layout: The layout of a line.
        height: The number of lines.
        first: The first line of the scrolled part.
        hints: What stands at the end of the title.
    """
    drawing = Drawing()
    add_title(drawing, layout, Text.assemble(("runtimeinfo top", "bold"), "  help"), hints)
    parts = [_help_lines(name, rows) for name, rows in KEYS.items()]
    body = Drawing()
    if layout.width >= 2 * _HELP_COLUMN:
        left, right = parts
        for at in range(max(map(len, parts))):
            line = layout.fitted(left[at] if at < len(left) else Text(), _HELP_COLUMN, pad=True)
            body.add(layout.fitted(line.append_text(right[at] if at < len(right) else Text())))
    else:
        for part in parts:
            for line in part:
                body.add(layout.fitted(line))
    return _scrolled(drawing, body, layout, height, first)


def _help_lines(name: str, rows: Iterable[tuple[str, str]]) -> list[Text]:
    lines = [Text(f"in the {name}", style="bold cyan")]
    lines += [Text.assemble((f"  {keys:<{_KEY_WIDTH}}", "bold"), meaning) for keys, meaning in rows]
    return lines
