"""A hub with the members of the protocol and nothing else: what it hands out cannot be written to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from simple_hub import SimpleHistory, SimpleHub


class OlderHub:
    """A hub with the members that the protocol had up to spec 0.2."""

    __slots__ = ("__weakref__", "_hub")

    def __init__(self, name: str = "minimal") -> None:
        self._hub = SimpleHub(name)

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        self._hub.update_info(key, value, resumed)

    def update_info_dict(self, info_dict: dict[str, Any], resumed: bool = True) -> None:
        self._hub.update_info_dict(info_dict, resumed)

    def get_info(self, key: str, default: Any = None) -> Any:
        return self._hub.get_info(key, default)

    def pop_info(self, key: str, default: Any = None) -> Any:
        return self._hub.pop_info(key, default)

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        self._hub.update_scalar(key, value, count, resumed)

    def update_scalars(self, log_dict: dict[str, Any], resumed: bool = True) -> None:
        self._hub.update_scalars(log_dict, resumed)

    def get_scalar(self, key: str) -> SimpleHistory:
        return self._hub.get_scalar(key)

    @property
    def runtime_info(self) -> Mapping[str, Any]:
        return MappingProxyType(self._hub.runtime_info)

    @property
    def log_scalars(self) -> Mapping[str, SimpleHistory]:
        return MappingProxyType(self._hub.log_scalars)

    def state_dict(self) -> dict[str, Any]:
        return self._hub.state_dict()

    def load_state_dict(self, state_dict: Any) -> None:
        self._hub.load_state_dict(state_dict)


class MinimalHub(OlderHub):
    __slots__ = ()

    def pop_scalar(self, key: str) -> None:
        self._hub.pop_scalar(key)

    def drop_latest(self, key: str) -> None:
        self._hub.drop_latest(key)
