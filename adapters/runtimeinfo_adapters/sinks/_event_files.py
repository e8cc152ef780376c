"""The event files of TensorBoard in a folder: their names, their records, and what a resumed training removes.

A file is a sequence of records: the length of an event in 8 bytes, their checksum in 4, the event, and its checksum.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

# A name ends with the run id. TensorBoard takes each file with "tfevents" in its name, and reads them by name.
_NAME = re.compile(r".*tfevents\.(?P<stamp>\d+)\..*?(?P<mark>\.runtimeinfo(-(?P<run_id>[A-Za-z0-9_.-]+))?)?")

_number = count()


class EventFile:
    """An event file to which events are appended; it is open only for that.

    Args:
        folder: The folder, which exists.
        run_id: The run, for the name of the file; empty if the run cannot be told from others.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        # By name the file comes after those that are there, whatever the clocks of two machines say.
        names = (_NAME.fullmatch(path.name) for path in _event_files(folder))
        stamps = [int(name["stamp"]) for name in names if name is not None]
        stamp = max(int(time.time()), *(each + 1 for each in stamps), 0)
        process = f"{socket.gethostname()}.{os.getpid()}.{next(_number)}"
        mark = f".runtimeinfo-{run_id}" if run_id else ".runtimeinfo"
        self.path: Path = folder / f"events.out.tfevents.{stamp:010d}.{process}{mark}"
        self.append([_proto("event").Event(wall_time=time.time(), file_version="brain.Event:2")])

    def append(self, events: Iterable[Any]) -> None:
        """Append events.

        Raises:
            OSError: If they cannot be written.
        """
        with self.path.open("ab") as file:
            file.write(b"".join(map(_record, events)))


def start_event(step: int) -> Any:
    """Return the event that has a running TensorBoard forget what it has read of this step and later ones."""
    event = _proto("event")
    return event.Event(
        wall_time=time.time(), step=step, session_log=event.SessionLog(status=event.SessionLog.SessionStatus.START)
    )


def summary_event(step: int | None, wall_time: float, values: Iterable[Any]) -> Any:
    """Return the event of some values at a step."""
    summary = _proto("summary").Summary(value=values)
    return _proto("event").Event(wall_time=wall_time, step=step or 0, summary=summary)


def scalar_value(tag: str, value: float) -> Any:
    """Return the value of a scalar."""
    return _proto("summary").Summary.Value(tag=tag, simple_value=value)


def text_value(tag: str, text: str) -> Any:
    """Return the value of a text."""
    summary, tensor, shape, types = (_proto(name) for name in ("summary", "tensor", "tensor_shape", "types"))
    plugin = summary.SummaryMetadata.PluginData(plugin_name="text")
    return summary.Summary.Value(
        tag=f"{tag}/text_summary",
        metadata=summary.SummaryMetadata(plugin_data=plugin),
        tensor=tensor.TensorProto(
            dtype=types.DT_STRING,
            string_val=[text.encode()],
            tensor_shape=shape.TensorShapeProto(dim=[shape.TensorShapeProto.Dim(size=1)]),
        ),
    )


def files_of(folder: Path, run_id: str) -> list[Path]:
    """Return the event files of a run in a folder, in their order."""
    found: list[Path] = []
    for path in _event_files(folder):
        name = _NAME.fullmatch(path.name)
        if name is not None and name["mark"] and (name["run_id"] or "") == run_id:
            found.append(path)
    return sorted(found)


def has_training(folder: Path) -> bool:
    """Tell whether a `TensorBoardWriter` of this release or a later one has written to a folder."""
    names = (_NAME.fullmatch(path.name) for path in _event_files(folder))
    return any(name is not None and name["mark"] for name in names)


def has_event_files(folder: Path) -> bool:
    """Tell whether a folder has event files, of any origin."""
    return any(True for _ in _event_files(folder))


def values_of(paths: Iterable[Path]) -> Iterator[Any]:
    """Yield each value in event files, scalars and texts."""
    for path in paths:
        for record in _records(path):
            yield from _event(record).summary.value


def remove_values(path: Path, is_replaced: Callable[[Any, Any], bool]) -> None:
    """Remove values from an event file; a reader sees the old file or the new one, never a part of it.

    Args:
        path: The file. If it ends with half a record, as after a SIGKILL, the rest is kept.
        is_replaced: Whether to remove a value, which is called with the event and the value.

    Raises:
        OSError: If the file cannot be read or replaced.
    """
    has_changed = False
    # Its name is not one of an event file, which TensorBoard would read.
    handle, name = tempfile.mkstemp(prefix=".runtimeinfo-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for record in _records(path):
                event = _event(record)
                kept = [value for value in event.summary.value if not is_replaced(event, value)]
                if len(kept) == len(event.summary.value):
                    file.write(record)
                else:
                    has_changed = True
                    if kept:
                        file.write(_record(summary_event(event.step, event.wall_time, kept)))
            file.flush()
            os.fsync(file.fileno())
        if has_changed:
            shutil.copymode(path, name)
            Path(name).replace(path)
    finally:
        with suppress(OSError):
            Path(name).unlink()


def _event_files(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from (path for path in folder.iterdir() if "tfevents" in path.name)


def _record(event: Any) -> bytes:
    checksum = importlib.import_module("tensorboard.compat.tensorflow_stub.pywrap_tensorflow").masked_crc32c
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", checksum(length)), data, struct.pack("<I", checksum(data))))


def _records(path: Path) -> Iterator[bytes]:
    """Yield each whole record of a file, with its lengths and checksums."""
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            size = struct.unpack_from("<Q", head)[0] + 4
            if size > os.fstat(file.fileno()).st_size:  # damaged
                return
            body = file.read(size)
            if len(body) < size:
                return
            yield head + body


def _event(record: bytes) -> Any:
    """Return the event of a record; an empty one if it is damaged."""
    event = _proto("event").Event
    try:
        return event.FromString(record[12:-4])
    except Exception:  # noqa: BLE001  # protobuf's DecodeError, which is not imported here
        return event()


def _proto(name: str) -> Any:
    return importlib.import_module(f"tensorboard.compat.proto.{name}_pb2")
