"""The saved form of a hub: written, and read with every field checked before anything is changed.

    {"version": 1,
     "log_scalars": {key: {"values": (n,), "counts": (n,) or None, "max_length": int}},
     "runtime_info": {key: plain data},
     "resumed_keys": {key: True}}

The names are those of mmengine's state, which has no version, and whose histories are `HistoryBuffer` objects.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from runtimeinfo import HubError, StateError
from runtimeinfo.authoring import describe, shown
from runtimeinfo_adapters.hub._plain import NotPlainError, from_plain, numbers_to_plain, to_plain
from runtimeinfo_adapters.hub._scalar_history import DEFAULT_MAX_LENGTH, ScalarHistory

STATE_VERSION = 1

_FIELDS = ("log_scalars", "runtime_info", "resumed_keys")

_logger = logging.getLogger("runtimeinfo")


@dataclass(frozen=True, slots=True)
class HubState:
    """What a hub holds, as far as a state may have it: the histories, the infos, and which of them are resumable."""

    log_scalars: dict[str, ScalarHistory]
    runtime_info: dict[str, Any]
    resumed_keys: dict[str, bool]


def write_state(held: HubState) -> tuple[dict[str, Any], dict[str, NotPlainError]]:
    """Return the saved form of what is resumable, and the infos that had to be left out, each with the reason.

    Source: HUB-11, HUB-12.
    """
    resumed = {key for key, flag in held.resumed_keys.items() if flag}
    log_scalars = {key: _write_history(history) for key, history in held.log_scalars.items() if key in resumed}
    runtime_info: dict[str, Any] = {}
    left_out: dict[str, NotPlainError] = {}
    for key, value in held.runtime_info.items():
        if key in resumed:
            try:
                runtime_info[key] = to_plain(value)
            except NotPlainError as error:
                left_out[key] = error
    saved = log_scalars.keys() | runtime_info.keys()
    state = {
        "version": STATE_VERSION,
        "log_scalars": log_scalars,
        "runtime_info": runtime_info,
        "resumed_keys": {key: True for key in held.resumed_keys if key in saved},
    }
    return state, left_out


def _write_history(history: ScalarHistory) -> dict[str, Any]:
    values, counts = history.data
    all_one = bool((counts == 1).all())
    return {
        "values": numbers_to_plain(values),
        "counts": None if all_one else numbers_to_plain(counts),
        "max_length": history.max_length,
    }


def read_state(state: Any) -> HubState:
    """Read a state of this hub, or of mmengine's.

    Raises:
        StateError: Naming the first field that is missing or wrong.

    Source: HUB-11, HUB-13.
    """
    fields = _mapping(state, "state_dict")
    for field in _FIELDS:
        if field not in fields:
            raise _wrong(field, "is missing: a state has " + ", ".join(_FIELDS))
    from_mmengine = "version" not in fields
    version = fields.get("version")
    if not from_mmengine and (type(version) is not int or version != STATE_VERSION):
        raise _wrong(
            "version", f"is {shown(version)}; this release reads version {STATE_VERSION} and mmengine's states"
        )
    resumed_keys: dict[str, bool] = {}
    for key, resumed in _mapping(fields["resumed_keys"], "resumed_keys").items():
        if not isinstance(resumed, bool):
            raise _wrong(f"resumed_keys[{key!r}]", f"must be True or False, but is {describe(resumed)}")
        resumed_keys[key] = resumed
    log_scalars: dict[str, ScalarHistory] = {}
    for key, entry in _mapping(fields["log_scalars"], "log_scalars").items():
        history = _read_history(f"log_scalars[{key!r}]", entry, from_mmengine=from_mmengine)
        if history is not None:
            log_scalars[key] = history
    runtime_info = {
        key: _read_info(f"runtime_info[{key!r}]", value, from_mmengine=from_mmengine)
        for key, value in _mapping(fields["runtime_info"], "runtime_info").items()
    }
    published = log_scalars.keys() | runtime_info.keys()
    if not from_mmengine and published != resumed_keys.keys():
        odd = min(published ^ resumed_keys.keys())
        raise _wrong(f"resumed_keys[{odd!r}]", "must be there for each published key, and for no other")
    return HubState(log_scalars, runtime_info, {key: flag for key, flag in resumed_keys.items() if key in published})


def read_hub(hub: Any) -> HubState:
    """Read a whole hub, as early checkpoints of mmengine have it, in the place of a state.

    Raises:
        StateError: If it is no hub; otherwise as `read_state`.

    Source: HUB-13.
    """
    try:
        fields = {field: dict(getattr(hub, f"_{field}")) for field in _FIELDS}
    except (AttributeError, TypeError, ValueError) as error:
        raise StateError(
            f"state_dict is {describe(hub)}, and no hub: {error}. Load what state_dict() returned",
            field="state_dict",
            requirement="HUB-13",
        ) from None
    return read_state(fields)


def _read_history(field: str, entry: Any, *, from_mmengine: bool) -> ScalarHistory | None:
    if from_mmengine:
        if _is_ours(entry):
            raise _wrong("version", f"is missing, though {field} is not as mmengine saves it")
        values, counts = getattr(entry, "_log_history", None), getattr(entry, "_count_history", None)
        max_length = getattr(entry, "max_length", DEFAULT_MAX_LENGTH)
        if values is None or counts is None:
            # As mmengine does: its early releases saved other things here.
            _logger.warning("%s is no HistoryBuffer, but %s: it is not resumed", field, describe(entry))
            return None
    else:
        saved = _mapping(entry, field)
        for name in ("values", "counts", "max_length"):
            if name not in saved:
                raise _wrong(f"{field}.{name}", "is missing")
        values, counts, max_length = saved["values"], saved["counts"], saved["max_length"]
    numbers = _read_numbers(f"{field}.values", values)
    weights = None if counts is None else _read_numbers(f"{field}.counts", counts)
    if weights is not None and len(weights) != len(numbers):
        raise _wrong(f"{field}.counts", f"has {len(weights)} entries for {len(numbers)} values")
    try:
        return ScalarHistory(numbers, weights, max_length)
    except HubError as error:
        raise _wrong(f"{field}.max_length", error.message) from None


def _is_ours(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "values" in entry


def _read_numbers(field: str, values: Any) -> np.ndarray[Any, Any]:
    if not isinstance(values, list | tuple) and not hasattr(values, "__array__"):  # arrays and tensors have that
        raise _wrong(field, f"must be numbers in one dimension, but is {describe(values)}")
    try:
        array = np.asarray(cast("Any", values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise _wrong(field, f"cannot be read: {error}") from None
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise _wrong(field, f"must be numbers in one dimension, but is {describe(array)}")
    return array


def _read_info(field: str, value: Any, *, from_mmengine: bool) -> Any:
    try:
        return from_plain(value)
    except NotPlainError as error:
        if from_mmengine:  # it pickles any object, and whoever unpickled this one has decided to trust it
            return value
        raise _wrong(field, f"is not plain data: {error}") from None


def _mapping(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(field, f"must be a mapping, but is {describe(value)}")
    mapping = cast("Mapping[Any, Any]", value)
    for key in mapping:
        if not isinstance(key, str):
            raise _wrong(field, f"must have strings as keys, but has {key!r}")
    return mapping


def _wrong(field: str, problem: str) -> StateError:
    return StateError(
        f"{field} {problem}. The hub is unchanged: load a state as state_dict() returns it",
        field=field,
        requirement="HUB-13",
    )
