"""The infos of a board that are no numbers, as one piece of JSON."""

from __future__ import annotations

import json
from typing import Any

from runtimeinfo.board import layout
from runtimeinfo.board.text import NotTextError, encode

_MOST_UNSHARED = 100
_LONGEST_UNSHARED = 100


class Texts:
    """Holds the infos that are no numbers, each as JSON, and the keys of those that have no place on a board."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}
        self._unshared: set[str] = set()

    def keys(self) -> set[str]:
        """Return the keys of all that it holds, those that have no place included."""
        return self._parts.keys() | self._unshared

    def put(self, key: str, value: Any) -> bool:
        """Take an info, and tell whether that changes the JSON."""
        try:
            part = f"[{json.dumps(key)}, {encode(value, layout.MAX_INFO)}]"
        except NotTextError:
            changes = key not in self._unshared
            self.leave_out(key)
            return changes
        changes = self._parts.get(key) != part
        self._unshared.discard(key)
        self._parts[key] = part
        return changes

    def leave_out(self, key: str) -> None:
        """Hold the key of an info alone."""
        self._parts.pop(key, None)
        self._unshared.add(key)

    def remove(self, key: str) -> bool:
        """Forget an info, and tell whether that changes the JSON."""
        known = key in self._parts or key in self._unshared
        self._parts.pop(key, None)
        self._unshared.discard(key)
        return known

    def to_bytes(self) -> bytes:
        """Return the JSON: a list of the infos, and one of the keys that have no place, as far as these have one."""
        unshared = [key for key in sorted(self._unshared) if len(key) <= _LONGEST_UNSHARED][:_MOST_UNSHARED]
        return f"[[{', '.join(self._parts.values())}], {json.dumps(unshared)}]".encode("ascii")
