"""Checks of the arguments of a hub."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from runtimeinfo import HubError, ScalarTypeError
from runtimeinfo.authoring import describe, is_scalar, scalar_value, shown
from runtimeinfo_adapters.hub._scalar_history import ScalarHistory


def check_resumed(key: object, resumed: bool, before: bool | None) -> None:
    """Raise `HubError` if a key is not a string, or if its flag differs from the one it had before."""
    if not isinstance(key, str):
        raise HubError(
            f"a key must be a string, but is {shown(key)}: publish it as {shown(str(key))}",
            requirement="HUB-08",
        )
    if before is not None and before != resumed:
        raise HubError(
            f"{key!r} was published with resumed={before}, and now with resumed={resumed}: a key keeps "
            "its flag. Publish it as before, or under another key",
            key=key,
            requirement="HUB-08",
        )


def check_histories(log_scalars: Mapping[str, Any]) -> None:
    """Raise `HubError` if a value is not a history."""
    for key, history in log_scalars.items():
        if not isinstance(history, ScalarHistory):
            raise HubError(
                f"log_scalars[{key!r}] must be a ScalarHistory, but is {describe(history)}: wrap "
                "the values, as in ScalarHistory([0.5, 0.4])",
                key=key,
            )


def check_resumed_keys(resumed_keys: Mapping[str, bool], *published: Collection[str]) -> None:
    """Raise `HubError` if there is a flag for a key that is not published."""
    for key in resumed_keys:
        if not any(key in each for each in published):
            raise HubError(
                f"resumed_keys has {key!r}, which is neither in log_scalars nor in runtime_info: omit "
                "it, or give its value",
                key=key,
            )


def as_dict(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a mapping; raise `HubError` if it is not one."""
    if not isinstance(value, Mapping):
        raise HubError(f"{name} must be a mapping, but is {describe(value)}: pass a dict, or omit it")
    return dict(value)


def check_scalar(key: str, value: Any, count: Any) -> None:
    """Raise `ScalarTypeError`, with the key, if a value is not a scalar or its count is not an int."""
    if not is_scalar(value):
        scalar_value(value, key=key)  # raises
    if not isinstance(count, int):
        raise ScalarTypeError(
            f"the count of {key!r} must be an int, but is {describe(count)}: give the number of samples in the value",
            key=key,
        )


def value_and_count(key: str, entry: Any) -> tuple[Any, Any]:
    """Return the value and the count of an entry of `update_scalars`; raise `HubError` if it is a dict without one."""
    if not isinstance(entry, Mapping):
        return entry, 1
    fields = cast("Mapping[str, Any]", entry)
    if "value" not in fields:
        raise HubError(
            f"{key!r}: a dict must have 'value', and can have 'count', but has {sorted(fields)}: "
            "pass for example {'value': 0.5, 'count': 32}, or call update_info for other data",
            key=key,
        )
    count = fields.get("count", 1)
    # As in mmengine, a count can be an array of one.
    return fields["value"], scalar_value(count, key=f"{key}.count") if hasattr(count, "item") else count
