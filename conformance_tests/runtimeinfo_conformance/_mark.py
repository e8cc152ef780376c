"""The mark on the boards of the runs that the kit makes."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

from runtimeinfo.board import CHECK_VARIABLE


def marked_runs() -> AbstractContextManager[None]:
    """Mark the boards of the runs in this process and in those that it starts: `runtimeinfo top` leaves them out.

    The mark is an environment variable, which processes inherit however they are started.
    """
    return environment_variable(CHECK_VARIABLE, "1")


@contextmanager
def environment_variable(name: str, value: str) -> Generator[None]:
    """Set an environment variable, and restore it at the end of the scope."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
