"""Find out what was given to plot, and read it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from runtimeinfo.board import layout
from runtimeinfo_adapters.plot._checkpoints import read_pickle, read_safetensors, read_torch
from runtimeinfo_adapters.plot._curves import RunCurves, SourceError
from runtimeinfo_adapters.plot._rows import read_csv, read_json
from runtimeinfo_adapters.plot._tensorboard import event_folders, is_event_file, read_events

_HEAD = 4096
_KINDS = "CSV, JSON Lines, an event file of TensorBoard, or a checkpoint of torch.save, pickle or safetensors"
_ROW_FILES = ("*.csv", "*.jsonl")


def is_live(given: str) -> bool:
    """Tell whether what was given is a live run: the path of a board, or no path at all."""
    try:
        with Path(given).open("rb") as file:
            return Path(given).is_file() and file.read(len(layout.MAGIC)) == layout.MAGIC
    except (OSError, ValueError):
        return not os.path.lexists(given) if "\0" not in given else True


def read_source(given: str, name: str | None = None, step: str | None = None) -> list[RunCurves]:
    r"""Return the curves of the runs in a file or folder.

    Args:
        given: Its path. A folder is one of event files, at any depth, or else of CSV and JSON Lines.
        name: The name of the source in a legend; by default, that of the file.
        step: The column of the steps of CSV or JSON Lines; by default, one of the usual names.

    Raises:
        SourceError: If it cannot be read, or has no scalar.
        ModuleNotFoundError: If a package that it takes is not installed; the message names the extra.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name, "metrics.csv")
        >>> _ = path.write_text("step,loss\n1,0.5\n2,0.25\n")
        >>> (run,) = read_source(str(path))
        >>> run.name, run.curves["loss"].iters.tolist(), run.curves["loss"].values.tolist()
        ('metrics.csv', [1.0, 2.0], [0.5, 0.25])
        >>> folder.cleanup()
    """
    path = Path(given)
    label = path.name or given if name is None else name
    try:
        if path.is_dir():
            return _read_folder(path, label, given, step)
        if is_event_file(path):
            return read_events(path, label, given)
        with path.open("rb") as file:
            return _read_file(file, file.peek(_HEAD)[:_HEAD], path, label, given, step)
    except OSError as error:
        raise SourceError(
            f"{given} cannot be read: {error.strerror or error}. Give the path of {_KINDS}", source=given
        ) from error


def _read_folder(folder: Path, label: str, given: str, step: str | None) -> list[RunCurves]:
    events = event_folders(folder)
    if events:
        names = [label if each == folder else f"{label}/{each.relative_to(folder)}" for each in events]
        return [run for each, name in zip(events, names, strict=True) for run in read_events(each, name, given)]
    files = sorted(path for pattern in _ROW_FILES for path in folder.glob(pattern))
    if not files:
        raise SourceError(
            f"{given} is a folder without event files of TensorBoard, CSV or JSON Lines. Give a file, or another "
            "folder",
            source=given,
        )
    return [run for path in files for run in read_source(str(path), f"{label}/{path.name}", step)]


def _read_file(file: BinaryIO, head: bytes, path: Path, label: str, given: str, step: str | None) -> list[RunCurves]:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"PK\x03\x04"):
        return read_torch(path, label, given)
    # The length of a header of JSON. It may begin as a pickle does.
    if head[4:9] == b"\0\0\0\0{":
        return read_safetensors(path, label, given)
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return read_pickle(file, path, label, given)
    if b"brain.Event:" in head[:64]:
        raise SourceError(
            f"{given} is an event file of TensorBoard, which reads only files with 'tfevents' in their names. Give it "
            "its name again",
            source=given,
        )
    if not text or b"\0" in head:
        is_what = "empty" if not text else "not text in UTF-8"
        raise SourceError(f"{given} is {is_what}. Give the path of {_KINDS}", source=given)
    return (read_json if text[:1] in (b"{", b"[") else read_csv)(file, label, given, step)


def short_names(given: Sequence[str]) -> list[str]:
    """Return the parts of paths in which they differ; of a single path, the last part.

    Example:
        >>> short_names(["runs/first/metrics.csv", "runs/second/metrics.csv"])
        ['first', 'second']
        >>> short_names(["runs/first/metrics.csv", "checkpoint.pt"])
        ['runs/first/metrics.csv', 'checkpoint.pt']
        >>> short_names(["runs/first/metrics.csv"])
        ['metrics.csv']
    """
    paths: list[tuple[str, ...]] = [Path(each).parts or (each,) for each in given]
    if len(set(paths)) < 2:
        return [path[-1] for path in paths]
    while len({path[0] for path in paths}) == 1 and all(len(path) > 1 for path in paths):
        paths = [path[1:] for path in paths]
    while len({path[-1] for path in paths}) == 1 and all(len(path) > 1 for path in paths):
        paths = [path[:-1] for path in paths]
    return [str(Path(*path)) for path in paths]
