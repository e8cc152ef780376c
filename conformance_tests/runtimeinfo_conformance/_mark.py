"""The mark on the boards of the runs that the kit makes."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

from runtimeinfo.board import CHECK_VARIABLE


@contextmanager
def marked_runs() -> Generator[None]:
    """Mark the boards of the runs in this process and in those that it starts: `runtimeinfo top` leaves them out.

    The mark is an environment variable, which processes inherit however they are started.
    """
    before = os.environ.get(CHECK_VARIABLE)
    os.environ[CHECK_VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(CHECK_VARIABLE, None)
        else:
            os.environ[CHECK_VARIABLE] = before
