"""Call a hub with its arguments given by position or by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from runtimeinfo import MessageHub, ScalarHistory
from runtimeinfo_conformance.plans import ArgumentStyle


def _parameters_of(protocol: type[Any], *names: str) -> dict[str, dict[str, Any]]:
    """Return the parameters of methods, by name, with their defaults in the protocol."""
    signatures = {name: inspect.signature(getattr(protocol, name)) for name in names}
    return {
        name: {each.name: each.default for each in signature.parameters.values() if each.name != "self"}
        for name, signature in signatures.items()
    }


_PARAMETERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        **_parameters_of(
            MessageHub,
            "get_info",
            "update_info",
            "update_info_dict",
            "pop_info",
            "update_scalar",
            "update_scalars",
            "get_scalar",
            "pop_scalar",
            "drop_latest",
            "load_state_dict",
        ),
        **_parameters_of(ScalarHistory, "mean", "min", "max"),
    }
)


class Called:
    """Proxy for a hub or a history that passes every argument in one style.

    Args:
        target: The hub or the history.
        style: ``"by_place"``, with defaults spelled out, or ``"by_name"``.
    """

    def __init__(self, target: Any, style: ArgumentStyle) -> None:
        self._target = target
        self._style = style

    def __getattr__(self, name: str) -> Any:
        member, parameters = getattr(self._target, name), _PARAMETERS.get(name)
        if parameters is None:
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            given = {**dict(zip(parameters, args, strict=False)), **kwargs}
            if self._style == "by_name":
                return member(**given)
            return member(*{**parameters, **given}.values())

        return call

    def statistics(self, method_name: str, *window: int | None) -> Any:
        """Ask a history for a statistic, passing the window in the chosen style."""
        if self._style == "by_name":
            return self._target.statistics(method_name, **({"window_size": window[0]} if window else {}))
        return self._target.statistics(method_name, *window)


def called(target: Any, style: ArgumentStyle) -> Any:
    """Return a proxy that calls the methods in a style, or the target itself for the usual one."""
    return target if style == "usual" else Called(target, style)
