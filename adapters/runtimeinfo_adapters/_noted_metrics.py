"""A dict of metrics that notes which of them were written."""

from __future__ import annotations

from typing import Any, Self


class NotedMetrics(dict[str, Any]):
    """The metrics of an engine's state, with the names of those that were written: the others are of an earlier run.

    To compare with the values before would not do: a metric can well come out the same.
    """

    written: set[str]

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        made = super().__new__(cls)
        made.written = set()  # here: a copy is filled before its attributes are set
        return made

    def __setitem__(self, name: str, value: Any) -> None:
        self.written.add(name)
        super().__setitem__(name, value)

    def update(self, *args: Any, **kwargs: Any) -> None:
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]
