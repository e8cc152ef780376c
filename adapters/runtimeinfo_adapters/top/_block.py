"""A run as a block of lines."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from runtimeinfo_adapters.top import _facts, _text
from runtimeinfo_adapters.top._canvas import Canvas
from runtimeinfo_adapters.top._run import Run
from runtimeinfo_adapters.top._shown_scalars import learning_rates, shown_scalars
from runtimeinfo_adapters.top._sparkline import sparkline

_CELL = 38
_NARROWEST_PAIR = 56
_VALUE = 9
_LONGEST_NAME = 18
_LONGEST_CURVE = 40
_SHORTEST_BAR = 5
_LONGEST_BAR = 30


class Alignment:
    """How wide the facts are which stand one below the other in several blocks.

    Args:
        runs: The runs.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        all_runs = list(runs)
        self.epoch: int = max((len(_facts.epoch(run)) for run in all_runs), default=0)
        self.iterations: int = max((len(_facts.iterations(run)) for run in all_runs), default=0)
        self.speed: int = max((len(_speed(run)) for run in all_runs), default=0)


def block(run: Run, canvas: Canvas, alignment: Alignment, most_lines: int) -> list[Text]:
    """Return a run as a block of lines.

    Args:
        run: The run.
        canvas: What it is drawn on.
        alignment: What it has in common with the other blocks.
        most_lines: How many lines its scalars may take.
    """
    lines = [_head(run, canvas)]
    if run.error is not None:
        lines.append(canvas.fitted(Text(f"  {_text.plain(run.error, is_ascii=canvas.is_ascii)}", style="magenta")))
    if run.epoch is not None or run.iter is not None:
        lines.append(_progress(run, canvas, alignment))
    return lines + _scalars(run, canvas, most_lines)


def _head(run: Run, canvas: Canvas) -> Text:
    mark = _facts.mark(run)
    style = _facts.STYLES[mark]
    left = Text.assemble((f"{canvas.glyphs.dot} ", style), (_facts.name(run, is_ascii=canvas.is_ascii), "bold"))
    about: list[str] = []
    if run.experiment_name is not None:
        about.append(f"pid {run.pid}")
    if run.is_elsewhere:
        about.append("in another container")
    stage = _facts.stage(run, is_ascii=canvas.is_ascii)
    # Of these nothing is cut, but of the name: anybody may have given that.
    right = Text.assemble(
        (canvas.glyphs.between.join(about), "bright_black"),
        "  " if about else "",
        (stage, "bold cyan"),
        "  " if stage else "",
        (_facts.news(run), "bright_black" if mark == "live" else f"bold {style}"),
    )
    return canvas.spread(left, right)


def _progress(run: Run, canvas: Canvas, alignment: Alignment) -> Text:
    first = f"epoch {_facts.epoch(run):<{alignment.epoch}}" if alignment.epoch else ""
    second = f"iter {_facts.iterations(run):<{alignment.iterations}}" if alignment.iterations else ""
    # What is left for the bars, once everything else and the blanks in between have their places.
    free = canvas.width - sum(2 + each for each in (len(first), len(second), alignment.speed) if each) - 2
    has_two = bool(first and second) and free >= 2 * _SHORTEST_BAR
    each_bar = min(free // 2 if has_two else free, _LONGEST_BAR)
    line = Text()
    if first:
        line.append(f"  {first}")
        if has_two or not second:
            line.append_text(_bar(_facts.part(run.epoch, run.max_epochs), each_bar, canvas))
    if second:
        line.append(f"  {second}")
        line.append_text(_bar(_facts.part(run.iter, run.max_iters), each_bar, canvas))
    if alignment.speed:
        line.append(f"  {_speed(run)}")
    return canvas.fitted(line)


def _speed(run: Run) -> str:
    eta = f"  ETA {_facts.eta(run)}" if run.eta_s is not None else ""
    return f"{_facts.percent(run):>4}  {_facts.rate(run):>9}{eta}".rstrip()


def _bar(part: float | None, width: int, canvas: Canvas) -> Text:
    if width < _SHORTEST_BAR:
        return Text()
    return Text(" " * (width + 1)) if part is None else Text(" ").append_text(canvas.bar(part, width))


def _scalars(run: Run, canvas: Canvas, most_lines: int) -> list[Text]:
    keys = shown_scalars(run.scalars)
    columns = max(2 if canvas.width >= _NARROWEST_PAIR else 1, (canvas.width - 2) // _CELL)
    width = (canvas.width - 2) // columns
    most = columns * most_lines
    if len(keys) > most:  # of what has no place, a learning rate is missed least
        rates = learning_rates(keys)
        keys = [key for key in keys if key not in rates] + [key for key in keys if key in rates]
    shown = keys if len(keys) <= most else keys[: most - 1] if most > 1 else []
    named = {key: _text.plain(key.removeprefix("train/"), is_ascii=canvas.is_ascii) for key in shown}
    name_width = min(max((Text(each).cell_len for each in named.values()), default=0), _LONGEST_NAME)
    cells = [_cell(run, key, named[key], name_width, width, canvas) for key in shown]
    if shown and len(shown) < len(keys):
        cells.append(Text(f"{canvas.glyphs.ellipsis} and {len(keys) - len(shown)} more", style="bright_black"))
    rows = [cells[at : at + columns] for at in range(0, len(cells), columns)]
    return [canvas.fitted(Text.assemble("  ", *(canvas.fitted(cell, width, pad=True) for cell in row))) for row in rows]


def _cell(run: Run, key: str, name: str, name_width: int, width: int, canvas: Canvas) -> Text:
    value = _text.value(run.scalars[key].value)
    cell = canvas.fitted(Text(name, style="bright_black"), name_width, pad=True)
    cell.append(f" {value:>{_VALUE}} ", style="bold" if value not in ("nan", "inf", "-inf") else "bold red")
    curve = sparkline(run.courses.get(key, ()), min(width - cell.cell_len - 2, _LONGEST_CURVE), canvas.glyphs)
    return cell.append(curve, style="cyan")
