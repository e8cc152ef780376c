"""The command ``runtimeinfo check-trace``."""

from __future__ import annotations

import os
import sys

from runtimeinfo_conformance._verdict import ExitCode
from runtimeinfo_conformance.traces._check import check_trace
from runtimeinfo_conformance.traces._format import TraceError


def run_check_trace(path: str | os.PathLike[str]) -> int:
    """Judge a trace, and print what is said of it.

    Args:
        path: The file.

    Returns:
        The exit code: 0 conformant, 1 a requirement is violated, 4 the file cannot be read or is no trace.
    """
    name = os.fspath(path)
    try:
        report = check_trace(path)
    except (TraceError, OSError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else None
        reason = f"{told}. Give the file that a TraceHook wrote" if told else error
        print(f"runtimeinfo: {name}: {reason}", file=sys.stderr)
        return ExitCode.SUBJECT_BROKE
    for line in report.describe(name):
        print(line)
    return report.exit_code
