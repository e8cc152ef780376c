"""Read the state of a reference hub out of a checkpoint, without running code that the checkpoint may hold."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from runtimeinfo_adapters._framework import import_of_extra
from runtimeinfo_adapters.plot._curves import RunCurves, SourceError
from runtimeinfo_adapters.plot._states import curves_of_states

_USER = "runtimeinfo plot of a checkpoint"

# The object with which a file of `torch.save` begins that is not a zip archive.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read_torch(path: Path, name: str, source: str) -> list[RunCurves]:
    """Return the curves in a file of `torch.save`, which is read with ``weights_only=True``.

    Raises:
        SourceError: If it cannot be read so, or holds no state of a reference hub.
        ModuleNotFoundError: If PyTorch is not installed; the message names the extra.
    """
    torch: Any = import_of_extra("torch", distribution="torch", extra="torch", used_by=_USER)
    try:
        # What is not a zip archive is of PyTorch before 1.6.
        is_zip = zipfile.is_zipfile(path)
        # Classes that PyTorch refuses to load are not needed here.
        foreign: list[str] = torch.serialization.get_unsafe_globals_in_checkpoint(path) if is_zip else []
        with torch.serialization.safe_globals([(_Inert, each) for each in foreign]):
            # With `mmap`, the weights stay in the file.
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # noqa: BLE001  # of any class, whatever is wrong with the file
        raise _unreadable(source, error) from None
    return _curves(loaded, name, source)


def read_pickle(file: BinaryIO, path: Path, name: str, source: str) -> list[RunCurves]:
    """Return the curves in a pickle, of which only plain data and tensors are made; no other class or function is.

    Raises:
        SourceError: If it is damaged, or holds no state of a reference hub.
        ModuleNotFoundError: If it holds tensors, and PyTorch is not installed; the message names the extra.
    """
    try:
        loaded = _PlainUnpickler(file).load()
    except ModuleNotFoundError:
        raise
    except Exception as error:  # noqa: BLE001
        raise _unreadable(source, error) from None
    if isinstance(loaded, int) and loaded == _LEGACY_MAGIC:
        return read_torch(path, name, source)
    return _curves(loaded, name, source)


def read_safetensors(path: Path, name: str, source: str) -> list[RunCurves]:
    """Return the curves in a safetensors file whose metadata has the state of a reference hub as JSON.

    Raises:
        SourceError: If it cannot be read, or has none.
        ModuleNotFoundError: If safetensors is not installed.
    """
    try:
        from safetensors import safe_open
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{_USER} needs safetensors: pip install safetensors", name=error.name) from None
    try:
        with cast("Any", safe_open)(str(path), framework="numpy") as opened:
            metadata: dict[str, str] = opened.metadata() or {}
    except Exception as error:  # noqa: BLE001
        raise _unreadable(source, error) from None
    return _curves({key: _parsed(text) for key, text in metadata.items()}, name, source)


def _curves(loaded: Any, name: str, source: str) -> list[RunCurves]:
    found = curves_of_states(loaded, name, source)
    if not found:
        raise SourceError(
            f"{source} holds no state of a reference hub. Save hub.state_dict(), or the state_dict() of a Loop, in it",
            source=source,
        )
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _unreadable(source: str, error: BaseException) -> SourceError:
    # PyTorch writes paragraphs, of which the first advises to trust the file.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    said = next((line for line in lines if "GLOBAL" in line or "WeightsUnpickler error" in line), lines[0])
    return SourceError(
        f"{source} cannot be read as a checkpoint: {said[:200].rstrip('. ')}. Save hub.state_dict(), or the "
        "state_dict() of a Loop, with torch.save or pickle",
        source=source,
    )


def _tensor_from_bytes(raw: bytes) -> Any:
    # PyTorch's function of this place in a pickle would load any object.
    torch: Any = import_of_extra("torch", distribution="torch", extra="torch", used_by=_USER)
    return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)


def _rebuilt_tensor(*arguments: Any) -> Any:
    torch: Any = import_of_extra("torch", distribution="torch", extra="torch", used_by=_USER)
    return torch._utils._rebuild_tensor_v2(*arguments)


def _bytes_of(text: str, *_: object) -> bytes:
    return text.encode("latin1")  # as protocol 2 writes bytes


class _Inert:
    """Stand for an object of any class in a checkpoint: it takes everything, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, state: object) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...

    def append(self, item: object) -> None: ...

    def extend(self, items: object) -> None: ...

    def add(self, item: object) -> None: ...


_MADE: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _bytes_of,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt_tensor,
    ("torch.storage", "_load_from_bytes"): _tensor_from_bytes,
}


class _PlainUnpickler(pickle.Unpickler):
    """Create an inert object instead of each class and function, except for tensors."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return _MADE.get((module_name, global_name), _Inert)
