"""Runs as a table with one line for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.text import Text

from runtimeinfo_adapters.top import _facts, _text
from runtimeinfo_adapters.top._canvas import Canvas
from runtimeinfo_adapters.top._run import Run
from runtimeinfo_adapters.top._shown_scalars import learning_rates, shown_scalars

_NARROWEST_NAME = 12


class _Column(NamedTuple):
    title: str
    rank: int
    """Where there is no place for all, the highest go first."""
    text: Callable[[Run], str]
    is_right: bool = True


def rows(runs: Sequence[Run], canvas: Canvas) -> list[Text]:
    """Return a line of titles, and one for each run; columns that have no place are left out.

    Args:
        runs: The runs.
        canvas: What they are drawn on.
    """
    columns = _columns(canvas.is_ascii)
    texts = {each.title: [each.text(run) for run in runs] for each in columns}
    widths = {title: max(len(title), *map(len, shown)) for title, shown in texts.items() if any(shown)}
    columns = [each for each in columns if each.title in widths]
    name_width = _name_width(runs, canvas)

    def needed() -> int:
        return 2 + min(name_width, _NARROWEST_NAME) + sum(2 + widths[each.title] for each in columns)

    while columns and needed() > canvas.width:
        columns.remove(max(columns, key=lambda each: each.rank))
    name_width = max(1, min(name_width, canvas.width - needed() + min(name_width, _NARROWEST_NAME)))
    titles = Text(f"  {'run':<{name_width}}", style="bright_black")
    for each in columns:
        titles.append(f"  {_aligned(each.title, widths[each.title], each.is_right)}")
    lines = [canvas.fitted(titles)]
    for index, run in enumerate(runs):
        mark = _facts.mark(run)
        name = Text(_facts.name(run, is_ascii=canvas.is_ascii), style="bold")
        line = Text.assemble((f"{canvas.glyphs.dot} ", _facts.STYLES[mark]), canvas.fitted(name, name_width, pad=True))
        for each in columns:
            shown = f"  {_aligned(texts[each.title][index], widths[each.title], each.is_right)}"
            line.append(shown, style=_facts.STYLES[mark] if each.title == "state" and mark != "live" else "")
        lines.append(canvas.fitted(line))
    return lines


def _columns(is_ascii: bool) -> list[_Column]:
    def stage(run: Run) -> str:
        return _facts.stage(run, is_ascii=is_ascii)

    return [
        _Column("state", 0, _facts.mark, is_right=False),
        _Column("stage", 5, stage, is_right=False),
        _Column("epoch", 4, _facts.epoch),
        _Column("iter", 6, _facts.iterations),
        _Column("done", 1, _facts.percent),
        _Column("rate", 7, _facts.rate),
        _Column("ETA", 2, _facts.eta),
        _Column("loss", 3, _loss),
        _Column("updated", 8, _age),
    ]


def _age(run: Run) -> str:
    return "" if run.age_s is None else _text.age(run.age_s)


def _loss(run: Run) -> str:
    """Return the first of the scalars of training which is no learning rate."""
    rates = learning_rates(run.scalars)
    keys = (key for key in shown_scalars(run.scalars) if key not in rates and key.startswith("train/"))
    first = next(keys, None)
    return "" if first is None else _text.value(run.scalars[first].value)


def _name_width(runs: Sequence[Run], canvas: Canvas) -> int:
    return max(Text(_facts.name(run, is_ascii=canvas.is_ascii)).cell_len for run in runs)


def _aligned(text: str, width: int, is_right: bool) -> str:
    return f"{text:>{width}}" if is_right else f"{text:<{width}}"
