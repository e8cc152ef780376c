"""A hub as somebody else may write it: lists in dictionaries."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from runtimeinfo.authoring import is_scalar, scalar_value


class SimpleHistory:
    def __init__(self) -> None:
        self.entries: list[tuple[float, int]] = []

    @property
    def data(self) -> tuple[Any, Any]:
        return np.array([value for value, _ in self.entries], float), np.array([count for _, count in self.entries])

    def current(self) -> float:
        if not self.entries:
            raise ValueError("no value")
        return self.entries[-1][0]

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
        self._keep_flag(key, resumed)
        self.runtime_info[key] = value

    def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None:
        for key, value in info_dict.items():
            self.update_info(key, value, resumed)

    def get_info(self, key: str, default: Any = None) -> Any:
        return self.runtime_info.get(key, default)

    def pop_info(self, key: str, default: Any = None) -> Any:
        return self.runtime_info.pop(key, default)

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        if not is_scalar(value):
            raise TypeError(f"{key}: {value!r} is no scalar")
        self._keep_flag(key, resumed)
        self.log_scalars.setdefault(key, SimpleHistory()).entries.append((scalar_value(value), count))

    def update_scalars(self, log_dict: dict[str, Any], resumed: bool = True) -> None:
        for key, entry in log_dict.items():
            fields = entry if isinstance(entry, dict) else {"value": entry}
            self.update_scalar(key, fields["value"], fields.get("count", 1), resumed)

    def get_scalar(self, key: str) -> SimpleHistory:
        return self.log_scalars[key]

    def drop_latest(self, key: str) -> None:
        del self.log_scalars[key].entries[-1]

    def state_dict(self) -> dict[str, Any]:
        def kept(values: dict[str, Any]) -> dict[str, Any]:
            return {key: copy.deepcopy(value) for key, value in values.items() if self.flags[key]}

        return {"info": kept(self.runtime_info), "scalars": kept(self.log_scalars)}

    def load_state_dict(self, state_dict: Any) -> None:
        info, scalars = dict(state_dict["info"]), dict(state_dict["scalars"])
        self.runtime_info.update(info)
        self.log_scalars.update(scalars)
        self.flags.update(dict.fromkeys([*info, *scalars], True))

    def _keep_flag(self, key: str, resumed: bool) -> None:
        if self.flags.setdefault(key, resumed) != resumed:
            raise ValueError(f"{key}: resumed cannot change")
