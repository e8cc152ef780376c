"""Decode what a terminal sends into keys and actions of the mouse."""

from __future__ import annotations

import codecs
import re
from typing import Literal, NamedTuple

# Mouse buttons and wheel, as numbers that fit any width: xterm, VTE, kitty, tmux, Windows Terminal.
MOUSE_ON = "\x1b[?1000h\x1b[?1006h"
"""Asks the terminal to report the buttons of the mouse, in the form that this module reads."""
MOUSE_OFF = "\x1b[?1006l\x1b[?1000l"
"""Gives the mouse back to the terminal."""


class Mouse(NamedTuple):
    """An action of the mouse.

    Attributes:
        action: ``"press"`` of the left button, or a step of the wheel.
        column: The column of the cell, from 0.
        row: The row of the cell, from 0.
    """

    action: Literal["press", "wheel_up", "wheel_down"]
    column: int
    row: int


Event = str | Mouse
"""A key, or an action of the mouse. A printable character stands for itself; other keys have names such as ``"up"``."""

_CONTROLS = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    **{chr(number): f"ctrl_{chr(number + 96)}" for number in (1, 2, 3, 4, 5, 6, 12, 14, 16, 18, 21, 23)},
}
_LETTERS = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "Z": "shift_tab",
    "P": "f1",
    "Q": "f2",
    "R": "f3",
    "S": "f4",
    "M": "enter",  # of the keypad, as ESC O M
}
_NUMBERS = {
    1: "home",
    7: "home",
    4: "end",
    8: "end",
    3: "delete",
    5: "page_up",
    6: "page_down",
    **dict(zip((11, 12, 13, 14, 15, 17, 18, 19, 20, 21), (f"f{number}" for number in range(1, 11)), strict=True)),
}

_LINUX_CONSOLE = re.compile(r"\x1b\[\[([A-E])")
_SGR_MOUSE = re.compile(r"\x1b\[<(\d{1,4});(\d{1,5});(\d{1,5})([Mm])")
# Terminals that know no numbers for the mouse send three characters.
_OLD_MOUSE = re.compile(r"\x1b\[M(.)(.)(.)", re.DOTALL)
_SEQUENCE = re.compile(r"\x1b(?:\[([0-?]*)[ -/]*|O([0-9;]*))([@-~])")
_BEGUN = re.compile(r"\x1b(?:\[(?:[0-?]*[ -/]*|\[|M.{0,2})|O[0-9;]*)?", re.DOTALL)
_LONGEST_SEQUENCE = 64

_BUTTON = 0b11
_IS_MOVE = 0b10_0000
_IS_WHEEL = 0b100_0000


class KeyDecoder:
    r"""Decode bytes, in whatever pieces they arrive.

    Example:
        >>> decoder = KeyDecoder()
        >>> decoder.feed(b"q\x1b[B\x1b[<0;5;3M\x1b")
        ['q', 'down', Mouse(action='press', column=4, row=2)]
        >>> decoder.flush()
        ['escape']
    """

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    @property
    def is_waiting(self) -> bool:
        """Whether the bytes so far may start a longer sequence: Escape, or a key that sends one."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are complete."""
        self._rest += self._text.decode(data)
        found: list[Event] = []
        while self._rest and not self._is_begun():
            length, event = _first(self._rest)
            self._rest = self._rest[length:]
            if event is not None:
                found.append(event)
        return found

    def flush(self) -> list[Event]:
        """Return the meaning of the bytes so far, if no more follow in a moment."""
        rest, self._rest = self._rest, ""
        return ["escape"] if rest == "\x1b" else []

    def _is_begun(self) -> bool:
        return len(self._rest) < _LONGEST_SEQUENCE and _BEGUN.fullmatch(self._rest) is not None


def _first(text: str) -> tuple[int, Event | None]:
    """Return the length of the first sequence, and its meaning, if it has one."""
    if text[0] != "\x1b":
        return 1, _CONTROLS.get(text[0], text[0] if text[0].isprintable() else None)
    if found := _LINUX_CONSOLE.match(text):
        return found.end(), f"f{ord(found[1]) - ord('A') + 1}"
    if found := _SGR_MOUSE.match(text):
        return found.end(), _mouse(int(found[1]), int(found[2]), int(found[3]), is_press=found[4] == "M")
    if found := _OLD_MOUSE.match(text):
        button, column, row = (ord(each) - 32 for each in found.groups())
        return found.end(), _mouse(button, column, row, is_press=button & _BUTTON != _BUTTON)
    if found := _SEQUENCE.match(text):
        return found.end(), _key(found[1] or found[2] or "", found[3])
    if (begun := _BEGUN.match(text)) and begun.end() > 1:  # a sequence that is broken off, or too long to be one
        return begun.end(), None
    return 1, "escape"


def _key(parameters: str, final: str) -> str | None:
    if final == "~":
        number = parameters.partition(";")[0]
        return _NUMBERS.get(int(number)) if number.isascii() and number.isdigit() and len(number) < 4 else None
    return _LETTERS.get(final)


def _mouse(button: int, column: int, row: int, *, is_press: bool) -> Mouse | None:
    if column < 1 or row < 1 or button & _IS_MOVE or not is_press:
        return None
    if button & _IS_WHEEL:
        steps: tuple[Literal["wheel_up", "wheel_down"], ...] = ("wheel_up", "wheel_down")
        which = button & _BUTTON
        return Mouse(steps[which], column - 1, row - 1) if which < len(steps) else None
    return Mouse("press", column - 1, row - 1) if button & _BUTTON == 0 else None
