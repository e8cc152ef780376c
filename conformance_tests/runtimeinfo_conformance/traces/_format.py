"""The format of a trace, version 1: JSON Lines in UTF-8, one event a line.

The first line is the header. Another header follows where another hook went on in the same file:

    {"runtimeinfo_trace": 1, "spec": "0.1", "framework": "torch", "framework_version": "2.9",
     "experiment_name": "digits"}

Every other line is an event, in their order:

    {"e":"before_train_iter","re":0,"ri":7,"s":"train","he":0,"hi":7,"b":7}

======  ===================================================================================================
key     value
======  ===================================================================================================
``e``   The event.
``re``  The runner's epoch. Left out if the runner has none.
``ri``  The runner's iter. Left out if the runner has none.
``s``   The hub's loop_stage. Left out if the hub has none.
``he``  The hub's epoch. Left out if the hub has none.
``hi``  The hub's iter. Left out if the hub has none.
``b``   The event's batch_idx. Left out if the event has none.
``p``   At after_train_iter and after_train_epoch: the sorted names of the scalars in the hub. Left out while they are
        the same as in the last line that has them: otherwise they would be most of the file.
``x``   At on_exception: the type of the exception, and a number. Only the same object has the same number.
======  ===================================================================================================

The last line can be ``{"end":true}``: the process that wrote the trace ended in order, and was not killed.

Values are numbers, text or null. Any other value, also NaN and infinity, is written as the text of its `repr`, so that
every line is strict JSON. A reader ignores unknown keys. A change to the meaning of a known key needs a new version,
and a reader refuses an unknown version.

Version 1: the first.
"""

from __future__ import annotations

import json
import math
import operator
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from runtimeinfo import RuntimeInfoError
from runtimeinfo.spec import SPEC_VERSION

FORMAT_VERSION = 1
"""The version of the format that is written, and the only one that is read."""

MARK = "runtimeinfo_trace"
"""The key that marks a header; its value is the version."""

END = "end"
"""The key that marks the end of a trace."""

_LONGEST_TEXT = 200

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
# Takes half the time of `json.loads`, which checks its arguments each time.
_decode = json.JSONDecoder().raw_decode


class TraceError(RuntimeInfoError):
    """A file is not a trace, or not one that this version can read.

    Attributes:
        line: The number of the line at fault, from 1; None if it is the whole file.
    """

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class TraceHeader:
    """The header of a trace.

    Attributes:
        spec: The version of the spec under which it was written.
        framework: The framework's name.
        framework_version: The framework's version.
        experiment_name: The name of the run.
    """

    spec: str = SPEC_VERSION
    framework: str = "unknown"
    framework_version: str = "unknown"
    experiment_name: str | None = None

    def encode(self) -> str:
        r"""Return the header as a line.

        Example:
            >>> TraceHeader(spec="0.1", framework="torch", framework_version="2.9").encode()
            '{"runtimeinfo_trace":1,"spec":"0.1","framework":"torch","framework_version":"2.9","experiment_name":null}\n'
        """
        return encode(
            {
                MARK: FORMAT_VERSION,
                "spec": self.spec,
                "framework": self.framework,
                "framework_version": self.framework_version,
                "experiment_name": self.experiment_name,
            }
        )

    @classmethod
    def decode(cls, record: dict[str, Any], line: int) -> TraceHeader:
        """Read a header.

        Raises:
            TraceError: If its version is not the one that is read here.
        """
        version = record[MARK]
        if type(version) is not int or version != FORMAT_VERSION:
            raise TraceError(
                f"line {line}: format version {version!r} is unknown; this is runtimeinfo for version "
                f"{FORMAT_VERSION}: check the trace with the version of runtimeinfo that wrote it",
                line=line,
            )
        name = record.get("experiment_name")
        return cls(
            spec=str(record.get("spec", "unknown")),
            framework=str(record.get("framework", "unknown")),
            framework_version=str(record.get("framework_version", "unknown")),
            experiment_name=None if name is None else str(name),
        )


def encode(record: dict[str, Any]) -> str:
    r"""Return a record as a line.

    Example:
        >>> encode({"e": "before_run"})
        '{"e":"before_run"}\n'
    """
    return f"{_encoder.encode(record)}\n"


def decode(text: str) -> dict[str, Any] | None:
    """Read a line; None if it is damaged.

    Example:
        >>> decode('{"e":"before_run"}')
        {'e': 'before_run'}
        >>> decode('{"e":"befo') is None
        True
    """
    text = text.strip()
    try:
        record, end = _decode(text)
    except (ValueError, RecursionError):  # the latter for a long row of brackets
        return None
    return cast("dict[str, Any]", record) if type(record) is dict and end == len(text) else None


def plain(value: object) -> Any:
    """Return the form of a value in a line: itself if it is a number, text or None, otherwise its repr.

    Example:
        >>> plain(3), plain(None), plain(float("nan")), plain([1])
        (3, None, 'nan', '[1]')
    """
    kind = type(value)
    if kind is int or value is None:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if kind is not bool:
        try:
            return operator.index(cast("Any", value))  # an integer of NumPy, or a tensor of one
        except Exception:  # noqa: BLE001, S110  # any other value becomes text
            pass
    text = value if isinstance(value, str) else repr(value)
    return text[:_LONGEST_TEXT]


def refuse(message: str, line: int | None = None) -> NoReturn:
    """Refuse a file that is not a trace.

    Raises:
        TraceError: Always.
    """
    raise TraceError(message if line is None else f"line {line}: {message}", line=line)
