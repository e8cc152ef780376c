"""Read event files of TensorBoard, by its own reader."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from runtimeinfo_adapters._framework import import_of_extra
from runtimeinfo_adapters.plot._curves import Curve, RunCurves, SourceError

_READERS = "tensorboard.backend.event_processing"
_USER = "runtimeinfo plot of TensorBoard's event files"


def is_event_file(path: Path) -> bool:
    """Tell whether a file is one of TensorBoard's, by its name, as TensorBoard does."""
    return "tfevents" in path.name


def event_folders(folder: Path) -> list[Path]:
    """Return the folder and those below it that have event files: each is a run, as in TensorBoard."""
    return sorted({path.parent for path in folder.rglob("*tfevents*") if path.is_file()})


def read_events(path: Path, name: str, source: str) -> list[RunCurves]:
    """Return the curves in an event file, or in the event files of one folder.

    Raises:
        SourceError: If there is no scalar in it.
        ModuleNotFoundError: If TensorBoard is not installed; the message names the extra.
    """
    import_of_extra("tensorboard", distribution="tensorboard", extra="tensorboard", used_by=_USER)
    with _silenced("tensorboard"):
        try:
            found = {tag: _curve(points) for tag, points in _scalars(path)}
        except Exception as error:  # of any class, whatever is wrong with the file
            raise SourceError(
                f"{source} cannot be read by TensorBoard: {type(error).__name__}: {error}. Give an event file that it "
                "shows",
                source=source,
            ) from error
    curves = {tag: curve.without_repeated() for tag, curve in found.items() if len(curve.values)}
    if not curves:
        raise SourceError(
            f"{source} has no scalar of TensorBoard. Give an event file, or a folder, with scalars", source=source
        )
    return [RunCurves(name, source, curves)]


def _scalars(path: Path) -> Iterator[tuple[str, list[tuple[float, float, float]]]]:
    # All points of scalars, and little of anything else. What has gone back is left out, as in TensorBoard.
    events = importlib.import_module(f"{_READERS}.event_accumulator")
    sizes = {"scalars": 0, "tensors": 1, "images": 1, "audio": 1, "histograms": 1, "compressedHistograms": 1}
    read = events.EventAccumulator(str(path), size_guidance=sizes).Reload()
    tags = read.Tags()
    for tag in tags["scalars"]:
        yield tag, [(float(each.step), each.wall_time, each.value) for each in read.Scalars(tag)]
    if any(read.SummaryMetadata(tag).plugin_data.plugin_name == "scalars" for tag in tags["tensors"]):
        yield from _scalar_tensors(path)


def _scalar_tensors(path: Path) -> Iterator[tuple[str, list[tuple[float, float, float]]]]:
    # Scalars as tensors of no dimension, as TensorFlow 2 writes them. This reader takes three times as long.
    events = importlib.import_module(f"{_READERS}.plugin_event_accumulator")
    make_ndarray = importlib.import_module("tensorboard.util.tensor_util").make_ndarray
    read = events.EventAccumulator(str(path), size_guidance={"tensors": 1}, tensor_size_guidance={"scalars": 0})
    read.Reload()
    for tag, metadata in read.AllSummaryMetadata().items():
        if metadata.plugin_data.plugin_name == "scalars":
            yield (
                tag,
                [
                    (float(each.step), each.wall_time, _float(make_ndarray(each.tensor_proto)))
                    for each in read.Tensors(tag)
                ],
            )


def _float(array: Any) -> float:
    return float(array.reshape(-1)[0]) if array.size else float("nan")


def _curve(points: list[tuple[float, float, float]]) -> Curve:
    steps, times, values = np.array(points, dtype=np.float64).reshape(-1, 3).T
    return Curve(values, iters=steps, times=times)


@contextmanager
def _silenced(name: str) -> Generator[None]:
    """Keep the log messages of a package back: TensorBoard tells of TensorFlow, which it does not need."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
