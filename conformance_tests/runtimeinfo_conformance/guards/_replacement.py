"""An attribute of a module, replaced for a while."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any


class Replacement:
    """An attribute of a module that others stand in for.

    The one that came last is in force. They may leave in any order: there are runs within runs, and in several
    threads. When none is left the original is back, whatever the subject has put there.

    Args:
        module: The module.
        name: The attribute.
    """

    def __init__(self, module: ModuleType, name: str) -> None:
        self._module = module
        self._name = name
        self._stand_ins: list[Any] = []
        self._lock = threading.Lock()
        self.original: Any = getattr(module, name)

    def push(self, value: Any) -> None:
        """Let a value stand in."""
        with self._lock:
            if not self._stand_ins:
                self.original = getattr(self._module, self._name)
            self._stand_ins.append(value)
            setattr(self._module, self._name, value)

    def remove(self, value: Any) -> None:
        """Take a value away that stands in."""
        with self._lock:
            # By identity, and the last one: what comes last mostly leaves first.
            at = next(at for at in reversed(range(len(self._stand_ins))) if self._stand_ins[at] is value)
            del self._stand_ins[at]
            setattr(self._module, self._name, self._stand_ins[-1] if self._stand_ins else self.original)
