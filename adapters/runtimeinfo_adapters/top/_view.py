"""The list of runs, the details of one and the help, as keys and the mouse change them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.text import Text

from runtimeinfo_adapters.top._draw import draw_list, rows_of_table
from runtimeinfo_adapters.top._format import printable, shown_scalars, status
from runtimeinfo_adapters.top._keys import Event, Mouse
from runtimeinfo_adapters.top._layout import Action, Drawing, LineLayout
from runtimeinfo_adapters.top._rows import ORDERS, Row, as_rows, in_order, is_match, visible
from runtimeinfo_adapters.top._screens import chosen_scalar, draw_details, draw_help
from runtimeinfo_adapters.top._table import ListState
from runtimeinfo_adapters.top._watch import Run

_WHEEL_LINES = 3
_LONGEST_FILTER = 200
_TITLES = list(ORDERS)

_LIST_HINTS = (("/ filters", "/"), ("h helps", "h"), ("q quits", "q"))
_BACK_HINTS = (("h helps", "h"), ("Esc goes back", "escape"))
_HELP_HINTS = (("Esc goes back", "escape"),)

# The keys that move a selection or scroll: the number of rows, or of pages.
_STEPS = {"up": -1, "k": -1, "ctrl_p": -1, "down": 1, "j": 1, "ctrl_n": 1}
_PAGES = {"page_up": -1, "ctrl_b": -1, "page_down": 1, "ctrl_f": 1}
_FAR = 1 << 20
_ENDS = {"home": -_FAR, "g": -_FAR, "end": _FAR, "G": _FAR}


class View:
    """The state of the view, and its changes by keys and the mouse.

    Args:
        folder: The folder of the boards.
        pid: The process that the runs are restricted to, if any.
        has_checks: Whether to show the runs that the conformance kit makes.
    """

    def __init__(self, folder: str = "", *, pid: int | None = None, has_checks: bool = False) -> None:
        self.is_done: bool = False
        self.is_paused: bool = False
        self.wants_look: bool = False
        self._folder = folder
        self._pid = pid
        self._has_checks = has_checks
        self._runs: Sequence[Run] = ()
        self._dismissed: set[tuple[Path, int | None]] = set()
        # The list.
        self._selected: str | None = None
        self._index = 0
        self._first = 0
        self._page = 1
        self._unfolded: set[str] = set()
        self._order = _TITLES[0]
        self._is_reversed = False
        self._is_compact = False
        self._filter = ""
        self._is_typing = False
        self._message = ""
        # The other screens.
        self._opened: Row | None = None
        self._is_helping = False
        self._scrolled = 0
        self._chosen: str | None = None
        self._is_followed = False
        self._drawing = Drawing()

    def show(self, runs: Sequence[Run]) -> None:
        """Show these runs from now on."""
        self._runs = runs
        self._dismissed &= {_identity(run) for run in runs}

    # -- what is drawn

    def draw(self, layout: LineLayout, height: int) -> list[Text]:
        """Return the lines of the screen.

        Args:
            layout: The layout of a line.
            height: The number of lines.
        """
        if self._is_helping:
            scrolled = draw_help(layout, height, first=self._scrolled, hints=_HELP_HINTS)
            self._scrolled, self._page, self._drawing = scrolled.first, scrolled.page, scrolled.drawing
        elif self._opened is not None:
            self._opened = self._present(self._opened)
            scrolled = draw_details(
                self._opened,
                layout,
                height,
                first=self._scrolled,
                chosen=self._chosen,
                is_followed=self._is_followed,
                hints=_BACK_HINTS,
            )
            self._is_followed = False
            self._scrolled, self._page, self._drawing = scrolled.first, scrolled.page, scrolled.drawing
        else:
            self._drawing = self._draw_list(layout, height)
        return self._drawing.lines

    def _draw_list(self, layout: LineLayout, height: int) -> Drawing:
        said = self._said(layout)
        place = height - 1 if said is not None else height
        rows = self._rows()
        shown = visible(rows, self._unfolded)
        self._page = rows_of_table(max(place - 2, 1))
        self._keep_in_sight(shown)
        state = ListState(
            selected=self._selected,
            unfolded=self._unfolded,
            order=self._order,
            is_reversed=self._is_reversed,
            is_compact=self._is_compact,
            first=self._first,
            notes=self._notes(layout),
            hints=_LIST_HINTS,
        )
        drawing = draw_list(
            rows,
            layout,
            state,
            height=max(place, 1),
            folder=self._folder,
            pid=self._pid,
            empty=self._nothing(layout),
        )
        if said is not None and height > 1:
            drawing.lines += [Text() for _ in range(place - len(drawing.lines))]
            drawing.add(layout.fitted(said))
        return drawing

    def _keep_in_sight(self, shown: Sequence[Row]) -> None:
        keys = [row.key for row in shown]
        if self._selected is not None and self._selected not in keys:
            # Its run has gone: the one that has taken its place.
            self._selected = keys[min(self._index, len(keys) - 1)] if keys else None
        if self._selected is not None:
            self._index = keys.index(self._selected)
            self._first = min(max(self._first, self._index - self._page + 1), self._index)
        self._first = max(0, min(self._first, len(keys) - self._page))

    def _said(self, layout: LineLayout) -> Text | None:
        if self._is_typing:
            typed = printable(self._filter, is_ascii=layout.is_ascii)
            return Text.assemble(
                ("  filter: ", "bold"),
                typed,
                (layout.glyphs.cursor, "blink"),
                ("  Enter keeps it, Esc clears it", "bright_black"),
            )
        return Text(f"  {self._message}", style="yellow") if self._message else None

    def _notes(self, layout: LineLayout) -> list[str]:
        notes: list[str] = []
        if self._filter and not self._is_typing:
            notes.append(f"filter {printable(self._filter, is_ascii=layout.is_ascii)}")
        if self._dismissed:
            notes.append(f"{len(self._dismissed)} dismissed")
        if self.is_paused:
            notes.append("paused")
        return notes

    def _nothing(self, layout: LineLayout) -> list[str]:
        """Return the message for runs that are all hidden."""
        checks = 0 if self._has_checks else sum(run.is_check for run in self._runs)
        if self._filter and len(self._runs) > checks + len(self._dismissed):
            shown = printable(self._filter, is_ascii=layout.is_ascii)
            return [f"No run matches the filter {shown}.", "Esc clears it."]
        if self._dismissed:
            return ["All runs are dismissed.", "u shows them again."]
        if checks:
            return [f"The runs that the conformance kit makes are hidden: {checks}.", "--kit shows them."]
        return []

    def _rows(self) -> list[Row]:
        runs = [
            run
            for run in self._runs
            if (self._has_checks or not run.is_check) and _identity(run) not in self._dismissed
        ]
        rows = [row for row in as_rows(runs) if is_match(row, self._filter)]
        if self._order == _TITLES[0]:
            return rows[::-1] if self._is_reversed else rows
        return in_order(rows, self._order, is_reversed=self._is_reversed)

    def _present(self, opened: Row) -> Row:
        """Return the row of the details as it is now; what it was last if its run has gone."""
        rows = as_rows(run for run in self._runs if self._has_checks or not run.is_check)
        everything = visible(rows, [row.key for row in rows])
        by_key = {row.key: row for row in everything}
        if opened.key in by_key:
            return by_key[opened.key]
        paths = {run.path for run in opened.runs}
        if opened.ranks:  # the rank that has given it its key has gone
            return next((row for row in rows if paths & {run.path for run in row.runs}), opened)
        return next((row for row in everything if row.run.path in paths), opened)

    # -- what keys and the mouse do

    def handle(self, event: Event) -> None:
        """Do what a key or an action of the mouse asks for."""
        self._message = ""
        if isinstance(event, Mouse):
            self._handle_mouse(event)
        elif event in ("ctrl_c", "ctrl_d", "f10"):
            self.is_done = True
        elif self._is_typing:
            self._type(event)
        elif event in ("f5", "ctrl_l"):
            self.wants_look = True
        elif self._is_helping:
            self._handle_help(event)
        elif event in ("h", "?", "f1"):
            self._is_helping, self._scrolled = True, 0
        elif self._opened is not None:
            self._handle_details(event)
        else:
            self._handle_list(event)

    def _handle_mouse(self, mouse: Mouse) -> None:
        if mouse.action != "press":
            self._move((-1 if mouse.action == "wheel_up" else 1) * (1 if self._is_list else _WHEEL_LINES))
            return
        action = self._drawing.action_at(mouse.row, mouse.column)
        if action is not None:
            self._act(action)

    def _act(self, action: Action) -> None:
        if action.kind == "key":
            self._is_typing = False
            self.handle(action.value)
        elif action.kind == "scalar":
            self._chosen = action.value
        elif action.kind == "sort":
            self._sort(action.value)
        elif action.kind == "fold":
            self._selected = action.value
            self._unfolded ^= {action.value}
        elif not self._is_list or self._selected == action.value:
            self._open(action.value)
        else:
            self._selected = action.value

    @property
    def _is_list(self) -> bool:
        return self._opened is None and not self._is_helping

    def _type(self, key: str) -> None:
        if key in ("enter", "up", "down"):
            self._is_typing = False
        elif key == "escape":
            self._is_typing, self._filter = False, ""
        elif key in ("ctrl_u", "ctrl_w"):
            self._filter = "" if key == "ctrl_u" else self._filter.rstrip(" ").rpartition(" ")[0]
        elif key == "backspace":
            self._filter = self._filter[:-1]
        elif len(key) == 1 and len(self._filter) < _LONGEST_FILTER:
            self._filter += key

    def _handle_help(self, key: str) -> None:
        if not self._is_move(key):
            self._is_helping, self._scrolled = False, 0

    def _handle_details(self, key: str) -> None:
        if key in ("escape", "q", "Q", "enter", "backspace"):
            self._opened, self._scrolled = None, 0
        elif key in ("left", "right", "tab", "shift_tab", "<", ">", ",", "."):
            self._choose(-1 if key in ("left", "shift_tab", "<", ",") else 1)
        else:
            self._is_move(key)

    def _choose(self, step: int) -> None:
        if self._opened is None:
            return
        keys = shown_scalars(self._opened.run.scalars)
        present = chosen_scalar(self._opened.run, self._chosen)
        if present is not None:
            self._chosen = keys[(keys.index(present) + step) % len(keys)]
            self._is_followed = True

    def _handle_list(self, key: str) -> None:
        if self._is_move(key):
            return
        action = self._list_keys.get(key)
        if action is not None:
            action()

    @property
    def _list_keys(self) -> Mapping[str, Callable[[], None]]:
        return {
            **dict.fromkeys(("q", "Q"), self._quit),
            **dict.fromkeys(("tab",), lambda: self._move(1)),
            **dict.fromkeys(("shift_tab",), lambda: self._move(-1)),
            "enter": lambda: self._open(self._selected),
            **dict.fromkeys((" ", "+", "-"), self._fold),
            "*": self._fold_all,
            **dict.fromkeys(("/", "f", "f4", "\\"), self._begin_typing),
            "escape": self._clear,
            **dict.fromkeys((">", ".", "right", "f6"), lambda: self._sort_by_next(1)),
            **dict.fromkeys(("<", ",", "left"), lambda: self._sort_by_next(-1)),
            **dict.fromkeys(("r", "I"), self._reverse),
            "N": lambda: self._sort("pid"),
            "T": lambda: self._sort(_TITLES[0]),
            **dict.fromkeys(("d", "delete"), self._dismiss),
            "D": self._dismiss_all,
            "u": self._dismissed.clear,
            "c": self._toggle_compact,
            "Z": self._toggle_pause,
        }

    def _quit(self) -> None:
        self.is_done = True

    def _is_move(self, key: str) -> bool:
        """Move, and tell whether this is what the key is for."""
        if key in _STEPS:
            self._move(_STEPS[key])
        elif key in _PAGES:
            self._move(_PAGES[key] * max(self._page, 1))
        elif key in _ENDS:
            self._move(_ENDS[key])
        else:
            return False
        return True

    def _move(self, rows: int) -> None:
        if not self._is_list:
            self._scrolled = max(0, self._scrolled + rows)
            return
        keys = [row.key for row in visible(self._rows(), self._unfolded)]
        if not keys:
            return
        if self._selected not in keys:
            index = 0 if rows > 0 and rows != _FAR else len(keys) - 1 if rows != -_FAR else 0
        else:
            index = max(0, min(keys.index(self._selected) + rows, len(keys) - 1))
        self._selected, self._index = keys[index], index

    def _open(self, key: str | None) -> None:
        rows = self._rows()
        shown = visible(rows, self._unfolded) if self._is_list else visible(rows, [row.key for row in rows])
        opened = next((row for row in shown if row.key == key), None)
        if opened is None and self._is_list and key is None and shown:
            opened = shown[0]
        if opened is not None:
            self._opened, self._scrolled = opened, 0
            if self._selected is None:
                self._selected = opened.key

    def _fold(self) -> None:
        row = self._selected_row()
        if row is None or (not row.ranks and row.job is None):
            self._message = "Only a job of several ranks can be unfolded: select one."
            return
        job = row.job or row
        self._unfolded ^= {job.key}
        self._selected = job.key

    def _fold_all(self) -> None:
        jobs = {row.key for row in self._rows() if row.ranks}
        self._unfolded = set() if jobs and jobs <= self._unfolded else jobs

    def _selected_row(self) -> Row | None:
        return next((row for row in visible(self._rows(), self._unfolded) if row.key == self._selected), None)

    def _begin_typing(self) -> None:
        self._is_typing = True

    def _clear(self) -> None:
        if self._filter:
            self._filter = ""
        else:
            self._selected = None

    def _sort_by_next(self, step: int) -> None:
        self._order = _TITLES[(_TITLES.index(self._order) + step) % len(_TITLES)]
        self._is_reversed = False

    def _sort(self, title: str) -> None:
        self._is_reversed = self._order == title and not self._is_reversed
        self._order = title

    def _reverse(self) -> None:
        self._is_reversed = not self._is_reversed

    def _dismiss(self) -> None:
        row = self._selected_row()
        if row is None:
            self._message = "Select a run first."
        elif not self._hide(row.runs):
            self._message = f"This run is {status(row.run)}: only dead, damaged and ended ones can be dismissed."

    def _dismiss_all(self) -> None:
        if not self._hide([run for row in self._rows() for run in row.runs]):
            self._message = "No run is dead, damaged or has ended."

    def _hide(self, runs: Sequence[Run]) -> bool:
        over = {_identity(run) for run in runs if run.state != "live"}
        self._dismissed |= over
        return bool(over)

    def _toggle_compact(self) -> None:
        self._is_compact = not self._is_compact

    def _toggle_pause(self) -> None:
        self.is_paused = not self.is_paused


def _identity(run: Run) -> tuple[Path, int | None]:
    # A board of the same name can be that of another run later.
    return run.path, run.started_ns
