"""The forms in which a hub leaves the process: its state, as plain data, and its infos in a pickle.

The state of a hub:

    {"version": 2,
     "run_id": str,                   which run this is; a state of version 1 has none
     "log_scalars": {key: {"values": (n,), "counts": (n,) or None, "max_length": int}},
     "runtime_info": {key: plain data},
     "resumed_keys": {key: True},
     "entries": int}                  how many histories and infos there are

The names come from mmengine's state, which has no version and whose histories are `HistoryBuffer` objects. Every
field is checked before a hub takes any of them over.

Plain data is what a checkpoint can hold without pickling a class: None, bool, int, float, str, PyTorch tensors, and
dict, list and tuple of these. NumPy arrays are written as plain data too and are read as arrays of the same dtype and
shape; NumPy scalars are read as Python's. Everything else is not plain. Nor are bytes: `torch.load` refuses b"" when it
loads weights only, and JSON refuses all bytes.

A pickle of a hub holds its infos as objects. Each info is pickled by itself, so that one that cannot be pickled, or
cannot be read where the pickle is loaded, is left out and does not end a training.
"""

from __future__ import annotations

import io
import logging
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from runtimeinfo import HubError, StateError
from runtimeinfo.authoring import describe, shown
from runtimeinfo_adapters.hub._run_id import IS_A_RUN_ID, is_run_id
from runtimeinfo_adapters.hub._scalar_history import DEFAULT_MAX_LENGTH, ScalarHistory

STATE_VERSION = 2

_FIELDS = ("log_scalars", "runtime_info", "resumed_keys")

# Each with a function that makes exactly it of an instance of a subclass: `str()` of an enum would be its name.
# In this order, as a bool is an int.
_ATOMS: dict[type, Callable[[Any], Any]] = {bool: bool, int: int, float: float, str: str.__str__}
_ARRAY_KINDS = "biufcU"
_ARRAY_TAG = "__ndarray__"

_logger = logging.getLogger("runtimeinfo")


class UnsavedInfoWarning(UserWarning):
    """An info is missing in a saved state, as it is not plain data, or in a pickled hub, as it cannot be pickled."""


# -- the state


@dataclass(frozen=True, slots=True)
class HubState:
    """The contents of a hub: the histories, the infos, which of them are resumable, and the run id if there is one."""

    log_scalars: dict[str, ScalarHistory]
    runtime_info: dict[str, Any]
    resumed_keys: dict[str, bool]
    run_id: str | None = None


def write_state(held: HubState) -> tuple[dict[str, Any], dict[str, NotPlainError]]:
    """Return the saved form of the resumable contents, and the infos that were left out, each with the reason.

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
        "run_id": held.run_id,
        "log_scalars": log_scalars,
        "runtime_info": runtime_info,
        "resumed_keys": {key: True for key in held.resumed_keys if key in saved},
        "entries": len(log_scalars) + len(runtime_info),
    }
    return state, left_out


def _write_history(history: ScalarHistory) -> dict[str, Any]:
    values, counts = history.contents()
    return {
        "values": numbers_to_plain(values),
        "counts": None if counts is None else numbers_to_plain(counts),
        "max_length": history.max_length,
    }


def read_state(state: Any) -> HubState:
    """Read a state of this hub or of mmengine's.

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
    if not from_mmengine and (type(version) is not int or not 1 <= version <= STATE_VERSION):
        raise _wrong(
            "version", f"is {shown(version)}; this release reads versions 1 to {STATE_VERSION} and mmengine's states"
        )
    run_id = fields.get("run_id")
    if version == STATE_VERSION and not is_run_id(run_id):
        raise _wrong("run_id", f"must be {IS_A_RUN_ID}, but is {shown(run_id)}")
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
        raise _wrong(f"resumed_keys[{odd!r}]", "must be there for each published key and for no other key")
    found = len(log_scalars) + len(runtime_info)
    if not from_mmengine and "entries" not in fields:
        raise _wrong("entries", f"is missing: a state has {', '.join(_FIELDS)} and entries")
    saved = fields.get("entries", found)
    if type(saved) is not int or saved != found:
        raise _wrong(
            "entries",
            f"is {shown(saved)}, but {found} histories and infos are there: what torch.distributed.checkpoint loads "
            "lacks each key that the hub did not have. Put the hub in as a "
            "runtimeinfo_adapters.distributed.PackedState",
        )
    flags = {key: flag for key, flag in resumed_keys.items() if key in published}
    return HubState(log_scalars, runtime_info, flags, run_id if version == STATE_VERSION else None)


def read_hub(hub: Any) -> HubState:
    """Read a whole hub, which early checkpoints of mmengine hold instead of a state.

    Raises:
        StateError: If it is not a hub; otherwise as `read_state`.

    Source: HUB-13.
    """
    try:
        fields = {field: dict(getattr(hub, f"_{field}")) for field in _FIELDS}
    except (AttributeError, TypeError, ValueError) as error:
        raise StateError(
            f"state_dict is {describe(hub)}, which is not a hub: {error}. Load what state_dict() returned",
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
            _logger.warning("%s is not a HistoryBuffer, but %s: it is not resumed", field, describe(entry))
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
        array = np.asarray(_on_host(values))
    except (NotPlainError, TypeError, ValueError, RuntimeError) as error:
        raise _wrong(field, f"cannot be read: {error}") from None
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise _wrong(field, f"must be numbers in one dimension, but is {describe(array)}")
    return array


def _read_info(field: str, value: Any, *, from_mmengine: bool) -> Any:
    try:
        return from_plain(value)
    except NotPlainError as error:
        if from_mmengine:  # mmengine pickles any object, and the caller that unpickled this one has decided to trust it
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


# -- pickled and copied infos

MISSING: Any = object()
"""Stands for an info that could not be unpickled."""

_IMMUTABLE = (type(None), bool, int, float, str)


class PickledInfo:
    """An info that is pickled already, so that a failure concerns this info only.

    Args:
        key: Its key.
        data: The pickle, in which the hub that holds the info is a reference.
        hub: That hub.
    """

    __slots__ = ("_data", "_hub", "_key")

    def __init__(self, key: str, data: bytes, hub: object) -> None:
        self._key = key
        self._data = data
        self._hub = hub

    # A function by its name, and not `__setstate__` of the hub: an unpickler that admits chosen classes only, as
    # `torch.load(weights_only=True)`, finds it in the pickle and can refuse it.
    def __reduce__(self) -> tuple[Any, ...]:
        return unpickle_info, (self._key, self._data, self._hub)


def pickle_infos(infos: Mapping[str, Any], hub: object) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Return infos in the form in which they can be pickled with the hub, and the error of each that cannot."""
    pickled: dict[str, Any] = {}
    left_out: dict[str, Exception] = {}
    for key, value in infos.items():
        if type(value) in _IMMUTABLE:
            pickled[key] = value
            continue
        file = io.BytesIO()
        try:
            _Pickler(file, hub).dump(value)
        except Exception as error:  # noqa: BLE001 - an object can raise anything when it is pickled
            left_out[key] = error
        else:
            pickled[key] = PickledInfo(key, file.getvalue(), hub)
    return pickled, left_out


def unpickle_info(key: str, data: bytes, hub: object) -> Any:
    """Return an info of a pickled hub; if it cannot be unpickled here, warn and return `MISSING`."""
    try:
        return _Unpickler(io.BytesIO(data), hub).load()
    except Exception as error:  # noqa: BLE001 - likewise
        warnings.warn(
            f"info {key!r} is missing in the unpickled hub: {type(error).__name__}: {error}. Define its class in a "
            "module that this process can import, or publish it as numbers, strings, lists, dicts or arrays",
            UnsavedInfoWarning,
            stacklevel=2,
        )
        return MISSING


def deepcopy_infos(infos: Mapping[str, Any], memo: dict[int, Any]) -> dict[str, Any]:
    """Return deep copies of infos; an info that cannot be copied is the same object in both."""
    copies: dict[str, Any] = {}
    for key, value in infos.items():
        before = memo.copy()
        try:
            copies[key] = deepcopy(value, memo)
        except Exception:  # noqa: BLE001 - an object can raise anything when it is copied
            copies[key] = value
            # An unfinished copy of a part must not appear in the copies of other infos.
            memo.clear()
            memo.update(before)
    return copies


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, hub: object) -> None:
        super().__init__(file)
        self._hub = hub

    def persistent_id(self, obj: Any) -> str | None:
        return "hub" if obj is self._hub else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, hub: object) -> None:
        super().__init__(file)
        self._hub = hub

    def persistent_load(self, pid: Any) -> Any:
        return {"hub": self._hub}[pid]


# -- plain data


class NotPlainError(Exception):
    """A value is not plain; the message names its place in the whole and its type."""


def to_plain(value: Any) -> Any:
    """Return a deep copy of a value as plain data.

    Raises:
        NotPlainError: If any part is not plain.

    Example:
        >>> to_plain({"classes": ("cat", "dog"), "scale": np.float32(0.5)})
        {'classes': ('cat', 'dog'), 'scale': 0.5}

    Source: HUB-11.
    """
    try:
        return _to_plain(value, "")
    except RecursionError:
        raise NotPlainError("it is nested too deeply, or holds itself") from None


def from_plain(value: Any) -> Any:
    """Return the value that `to_plain` was given, as a deep copy.

    Raises:
        NotPlainError: If the data is not plain.

    Source: HUB-11.
    """
    try:
        return _from_plain(value)
    except RecursionError:
        raise NotPlainError("it is nested too deeply, or holds itself") from None


def numbers_to_plain(array: np.ndarray[Any, Any]) -> Any:
    """Return an array as a tensor of the same memory if PyTorch is loaded, otherwise as a list.

    A process without PyTorch cannot `torch.save` anyway; JSON, which cannot hold a tensor, takes its `tolist()`.
    """
    torch = sys.modules.get("torch")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return native.tolist() if torch is None else torch.from_numpy(native)


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict):
        mapping = cast("dict[Any, Any]", value)
        if _ARRAY_TAG in mapping:
            return _array_from_plain(mapping)
        return {key: _from_plain(item) for key, item in mapping.items()}
    if isinstance(value, list | tuple):
        items = [_from_plain(item) for item in cast("list[Any]", value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, np.generic | np.ndarray):  # as in the states of mmengine
        return cast("Any", value).copy()
    # As it was saved, on the CPU: a resumed training must not depend on the device that the state was loaded to.
    return _to_plain(_on_host(value), "")


def _on_host(value: Any) -> Any:
    """Return a tensor on the CPU, wherever `torch.load` has put it, and anything else as it is."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    if value.is_meta:
        raise NotPlainError("a tensor on the meta device holds no values. Load it with map_location='cpu'")
    return value.cpu()


def _to_plain(value: Any, path: str) -> Any:
    if value is None:
        return None
    for atom, exactly in _ATOMS.items():
        if isinstance(value, atom):
            # A subclass (an enum, numpy.float64) is written as the type that it extends.
            return exactly(value)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        return {_key(key, path): _to_plain(item, f"{path}[{key!r}]") for key, item in mapping.items()}
    if isinstance(value, list | tuple):
        items = [_to_plain(item, f"{path}[{index}]") for index, item in enumerate(cast("list[Any]", value))]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, np.generic | np.ndarray):
        return _array_to_plain(cast("Any", value), path)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor) and not value.is_meta:
        if _is_of_transform(torch, value):
            raise NotPlainError(f"{path or 'it'} is a tensor of a transform of torch.func, which does not outlive it")
        detached = value.detach()
        if type(detached) is torch.Tensor:  # true for a Parameter; any other subclass would have to be pickled
            return detached.cpu().clone()
    raise NotPlainError(f"{path or 'it'} is {_article(type(value).__qualname__)}")


def _is_of_transform(torch: Any, tensor: Any) -> bool:
    functorch = torch._C._functorch
    return bool(functorch.is_functorch_wrapped_tensor(tensor) or torch._is_functional_tensor(tensor))


def _key(key: Any, path: str) -> Any:
    if key == _ARRAY_TAG:
        raise NotPlainError(f"{path or 'it'} has the key {key!r}, which marks an array")
    if key is None or isinstance(key, tuple(_ATOMS)):
        return _to_plain(key, path)
    raise NotPlainError(f"a key of {path or 'it'} is {_article(type(key).__qualname__)}")


def _array_to_plain(value: Any, path: str) -> Any:
    # PyTorch has no dtype for a long double, whose `item()` returns the long double itself.
    if value.dtype.kind not in _ARRAY_KINDS or value.dtype.char in "gG":
        raise NotPlainError(f"{path or 'it'} is an array of dtype {value.dtype}")
    if isinstance(value, np.generic):
        return _to_plain(value.item(), path)
    if hasattr(value, "mask"):
        raise NotPlainError(f"{path or 'it'} is an array with a mask")
    return {_ARRAY_TAG: _data_to_plain(value), "dtype": str(value.dtype), "shape": list(value.shape)}


def _data_to_plain(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype.kind == "U":
        return array.tolist()
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        # PyTorch 2.13 cannot unpickle a tensor of an unsigned dtype, except for uint8.
        return array.tolist() if array.dtype.itemsize == 8 else numbers_to_plain(array.astype(np.int64))
    return numbers_to_plain(array.copy("K"))


def _array_from_plain(mapping: dict[Any, Any]) -> Any:
    try:
        dtype = np.dtype(cast("str", mapping["dtype"]))
        data = _on_host(mapping[_ARRAY_TAG])
        # Not `np.array` of a tensor: NumPy 2 warns that PyTorch's `__array__` does not know `copy`.
        array = np.array(np.asarray(data) if hasattr(data, "__array__") else data, dtype=dtype)
        # A list of no lists does not have the shape of an empty array. Early releases did not save it.
        shape = tuple(mapping.get("shape", array.shape))
        if array.shape != shape:
            array = _empty(array, shape)
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, SyntaxError) as error:
        raise NotPlainError(f"an array that cannot be read: {error}") from None
    if array.dtype.kind not in _ARRAY_KINDS:
        raise NotPlainError(f"an array of dtype {array.dtype}")
    return array


def _empty(array: np.ndarray[Any, Any], shape: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    if array.size or -1 in shape:
        raise ValueError(f"its shape is {array.shape}, but must be {shape}")
    return array.reshape(shape)


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
