"""The adapters' reduction of scalars over ranks, as a subject."""

from __future__ import annotations

from runtimeinfo import __version__
from runtimeinfo_adapters.distributed import reduce
from runtimeinfo_conformance._subject import ReduceSubject


def subject() -> ReduceSubject:
    """Return the subject."""
    return ReduceSubject("reference reducer", __version__, reduce=reduce)
