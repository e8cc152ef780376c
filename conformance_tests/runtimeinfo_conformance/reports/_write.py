"""Writing reports into a folder."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from runtimeinfo_conformance._verdict import Report
from runtimeinfo_conformance.reports._badge import badge_data, badge_svg
from runtimeinfo_conformance.reports._data import ReportData, report_data
from runtimeinfo_conformance.reports._html import index_page, report_page
from runtimeinfo_conformance.reports._markdown import markdown

_LONGEST_NAME = 60

# No file may bear these on Windows, whatever its extension.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class ReportError(Exception):
    """The reports cannot be written.

    Attributes:
        folder: The folder that cannot be used.
    """

    def __init__(self, message: str, *, folder: Path) -> None:
        super().__init__(message)
        self.folder = folder


def check_folder(folder: Path) -> None:
    """Make sure that reports can be written into a folder, before anything is done that takes long.

    Makes the folder if it is not there, and tries a file in it, which is removed again.

    Args:
        folder: The folder.

    Raises:
        ReportError: If they could not be written there.
    """
    with _telling(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".runtimeinfo-") as trial:
            trial.write(b"x")
            trial.flush()


def write_reports(
    reports: Report | ReportData | Sequence[Report | ReportData], folder: str | Path, now: datetime | None = None
) -> list[Path]:
    """Write the reports of a check into a folder, which is made if it is not there.

    One report goes into the folder itself: ``report.json``, ``report.html``, ``report.md``, ``badge.svg`` and
    ``badge.json``. Of several each gets a folder of its own, and there is an ``index.html``; what an earlier check of
    one subject has left in the folder itself goes, since it would look like a report on them all.

    Args:
        reports: The report, or the reports; as they are, or as plain data out of another process.
        folder: Where to.
        now: The date to put on them; the present one by default. Plain data has one already.

    Returns:
        The files that were written.

    Raises:
        ReportError: If they cannot be written there.
        ValueError: If there is no report at all.
    """
    folder = Path(folder)
    several = list(reports) if isinstance(reports, Sequence) else [reports]
    if not several:
        raise ValueError("there is no report to write: give one at least")
    data = [report_data(report, now) if isinstance(report, Report) else report for report in several]
    if len(data) == 1:
        return [_write(folder, name, text, folder) for name, text in _files(data[0])]
    _remove_single(folder)
    names = list(_folder_names(data))
    written = [_write(folder, "index.html", index_page(list(zip(names, data, strict=True))), folder)]
    for name, each in zip(names, data, strict=True):
        written += [_write(folder / name, file, text, folder) for file, text in _files(each)]
    return written


def _files(report: ReportData) -> Iterator[tuple[str, str]]:
    for name, text_of in _FILES.items():
        yield name, text_of(report)


_FILES: Mapping[str, Callable[[ReportData], str]] = MappingProxyType(
    {
        "report.json": lambda report: json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "report.html": report_page,
        "report.md": markdown,
        "badge.svg": badge_svg,
        "badge.json": lambda report: json.dumps(badge_data(report)) + "\n",
    }
)
"""The files of one report, and what makes each."""


def _remove_single(folder: Path) -> None:
    """Remove the files of an earlier report on one subject, if that is what they are."""
    with _telling(folder):
        try:
            found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # there is none, or it is another program's
            return
        if isinstance(found, dict) and {"schema_version", "subject", "requirements"} <= found.keys():
            for name in _FILES:
                (folder / name).unlink(missing_ok=True)


def _write(folder: Path, name: str, text: str, root: Path) -> Path:
    path = folder / name
    with _telling(root, name):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return path


@contextmanager
def _telling(folder: Path, file: str = "") -> Generator[None]:
    """Turn what the file system says into a ReportError."""
    try:
        yield
    except (OSError, ValueError) as error:  # a ValueError: a path with a null in it
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "there is a file in its place, or in place of a folder above it"
        where = f"the folder {str(folder)!r}{f': {file}' if file else ''}"
        raise ReportError(
            f"the reports cannot be written to {where}: {reason}. Give another folder", folder=folder
        ) from error


def _folder_names(reports: Sequence[ReportData]) -> Iterator[str]:
    """Yield a name for each: safe on every file system, and different also where case does not matter."""
    taken: set[str] = set()
    for report in reports:
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", report["subject"]["name"])[:_LONGEST_NAME].strip("-.")
        if not base or _RESERVED.fullmatch(base):
            base = f"subject-{base}".strip("-")
        name, turn = base, 1
        while name.casefold() in taken:
            turn += 1
            name = f"{base}-{turn}"
        taken.add(name.casefold())
        yield name
