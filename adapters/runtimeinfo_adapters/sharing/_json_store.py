"""The infos of a board that are not numbers, as JSON."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import Any

from runtimeinfo.board import layout
from runtimeinfo.board.text import NotTextError, encode

_MAX_UNSHARED = 100
_MAX_UNSHARED_LENGTH = 100


class JsonStore:
    """Holds the infos that are not numbers, each as JSON, and the keys of those that have no place on a board.

    Attributes:
        is_changed: Whether the JSON is another one than when this was last set to False.
    """

    def __init__(self) -> None:
        self.is_changed: bool = False
        self._parts: dict[str, str] = {}
        # The texts as they were put: most infos are texts that stay the same for a whole run.
        self._texts: dict[str, str] = {}
        self._unshared: set[str] = set()
        self._names: list[str] | None = None
        self._newest = ""

    def keys(self) -> set[str]:
        """Return all keys, including the infos that have no place."""
        return self._parts.keys() | self._unshared

    def put(self, key: str, value: Any) -> None:
        """Add or replace an info."""
        if type(value) is str and self._texts.get(key) is value:
            return
        try:
            part = f"[{_encoded_key(key)}, {encode(value, layout.MAX_INFO)}]"
        except Exception:  # noqa: BLE001  # mostly NotTextError; or another thread changes the value meanwhile
            self.leave_out(key)
            return
        if self._parts.get(key) != part:
            self._forget(key)
            self._parts[key] = part
            self._newest = key
        if type(value) is str:
            self._texts[key] = value

    def leave_out(self, key: str) -> None:
        """Keep only the key of an info."""
        if key in self._parts or key not in self._unshared:
            self._forget(key)
            self._names = None
            self._unshared.add(key)

    def remove(self, key: str) -> None:
        """Remove an info."""
        if key in self._parts or key in self._unshared:
            self._forget(key)

    def fit(self, capacity: int) -> bytes:
        """Return the JSON, and leave out what does not fit, the newest info first.

        The JSON is a list of the infos, and one of the first keys that have no place. A third member, true, says that
        there are other keys that have no place.

        Args:
            capacity: The number of bytes that the JSON can have.
        """
        named = self._named()
        raw = self._encoded(named)
        if len(raw) > capacity and self._newest in self._parts:
            self.leave_out(self._newest)
            named = self._named()
            raw = self._encoded(named)
        while len(raw) > capacity:
            if named:
                del named[len(named) // 2 :]
            else:
                self.leave_out(next(reversed(self._parts)))
            raw = self._encoded(named)
        return raw

    def _forget(self, key: str) -> None:
        self.is_changed = True
        self._parts.pop(key, None)
        self._texts.pop(key, None)
        if key in self._unshared:
            self._names = None
            self._unshared.discard(key)

    def _encoded(self, named: list[str]) -> bytes:
        more = "" if len(named) == len(self._unshared) else ", true"
        return f"[[{', '.join(self._parts.values())}], [{', '.join(named)}]{more}]".encode("ascii")

    def _named(self) -> list[str]:
        """Return the first keys that have no place, each as JSON."""
        if self._names is None:
            names: list[str] = []
            short = (key for key in sorted(self._unshared) if len(key) <= _MAX_UNSHARED_LENGTH)
            for key in islice(short, _MAX_UNSHARED):
                with suppress(NotTextError):  # two halves of a surrogate pair
                    names.append(_encoded_key(key))
            self._names = names
        return self._names.copy()


def _encoded_key(key: str) -> str:
    return encode(str.__str__(key), layout.INFO_CAPACITY)  # of a subclass of str, the text
