"""A hub as a third party could write it: arrays in dictionaries."""

from __future__ import annotations

import copy
from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np

from runtimeinfo.authoring import is_scalar, scalar_value


def checked_entries(log_dict: dict[str, Any]) -> dict[str, Any]:
    """Return what `update_scalars` got in its long form; raise `TypeError` where a value is not a scalar."""
    entries = {key: entry if isinstance(entry, dict) else {"value": entry} for key, entry in log_dict.items()}
    for key, entry in entries.items():
        if not is_scalar(entry["value"]):
            raise TypeError(f"{key}: {entry['value']!r} is not a scalar")
    return entries


class SimpleHistory:
    def __init__(self) -> None:
        # Values and counts by turns. A list would cost more: the kit reads all of a history at each event.
        self.entries = array("d")

    @property
    def data(self) -> tuple[Any, Any]:
        entries = np.array(self.entries)
        return entries[::2], entries[1::2].astype(int)

    def append(self, value: float, count: int) -> None:
        self.entries.extend((value, count))

    def drop_latest(self) -> None:
        del self.entries[-2:]

    def current(self) -> float:
        if not self.entries:
            raise ValueError("no value")
        return self.entries[-2]

    def mean(self, window_size: int | None = None) -> float:
        values, counts = self._last(window_size)
        return values.sum() / counts.sum()

    def min(self, window_size: int | None = None) -> float:
        return self._last(window_size)[0].min()

    def max(self, window_size: int | None = None) -> float:
        return self._last(window_size)[0].max()

    def statistics(self, method_name: str, *args: Any, **kwargs: Any) -> Any:
        return {"mean": self.mean, "min": self.min, "max": self.max, "current": self.current}[method_name](
            *args, **kwargs
        )

    def _last(self, window_size: int | None) -> tuple[Any, Any]:
        values, counts = self.data
        return values[-(window_size or 0) :], counts[-(window_size or 0) :]


class SimpleHub:
    def __init__(self, name: str = "simple") -> None:
        self.name = name
        self.runtime_info: dict[str, Any] = {}
        self.log_scalars: dict[str, SimpleHistory] = {}
        self.flags: dict[str, bool] = {}

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        self._set_flags([key], resumed)
        self.runtime_info[key] = value

    def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None:
        self._set_flags(info_dict, resumed)
        self.runtime_info.update(info_dict)

    def get_info(self, key: str, default: Any = None) -> Any:
        return self.runtime_info.get(key, default)

    def pop_info(self, key: str, default: Any = None) -> Any:
        return self.runtime_info.pop(key, default)

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        self.update_scalars({key: {"value": value, "count": count}}, resumed)

    def update_scalars(self, log_dict: dict[str, Any], resumed: bool = True) -> None:
        entries = checked_entries(log_dict)
        self._set_flags(entries, resumed)
        for key, entry in entries.items():
            history = self.log_scalars.setdefault(key, SimpleHistory())
            history.append(scalar_value(entry["value"]), entry.get("count", 1))

    def get_scalar(self, key: str) -> SimpleHistory:
        return self.log_scalars[key]

    def pop_scalar(self, key: str) -> None:
        self.log_scalars.pop(key, None)

    def drop_latest(self, key: str) -> None:
        if key in self.log_scalars:
            self.log_scalars[key].drop_latest()

    def state_dict(self) -> dict[str, Any]:
        def kept(values: dict[str, Any]) -> dict[str, Any]:
            return {key: copy.deepcopy(value) for key, value in values.items() if self.flags[key]}

        return {"info": kept(self.runtime_info), "scalars": kept(self.log_scalars)}

    def load_state_dict(self, state_dict: Any) -> None:
        info, scalars = copy.deepcopy((dict(state_dict["info"]), dict(state_dict["scalars"])))
        self.runtime_info.update(info)
        self.log_scalars.update(scalars)
        self.flags.update(dict.fromkeys([*info, *scalars], True))

    def _set_flags(self, keys: Iterable[str], resumed: bool) -> None:
        for key in keys:
            if self.flags.get(key, resumed) != resumed:
                raise ValueError(f"{key}: resumed cannot change")
        self.flags.update(dict.fromkeys(keys, resumed))
