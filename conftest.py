"""What holds for all tests: Ctrl-C reaches them, and what they start, also where whoever starts them ignores it.

And what tests of all packages have to know of PyTorch.
"""

import gc
import signal
from collections.abc import Callable
from contextlib import suppress

import pytest

# A shell that is not interactive lets what it starts in the background ignore SIGINT, and so does all that is started
# from there. Several tests interrupt a process of theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Take the frameworks and the tests out of the garbage collection.

    They stay until the end, and to look through them takes half a second, whenever a test collects what it has left.
    """
    # Imported later, it would warn: it asks the garbage collection what refers to the random generator of trio, and
    # what is frozen is not found. Its plugin imports it at the end of the tests anyway.
    with suppress(ModuleNotFoundError):  # the tests that need a GPU do without it
        import hypothesis  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def aborted_by_torch() -> Callable[[str], bool]:
    """Return a function that tells from the errors of torchrun whether PyTorch itself aborted a rank as it ended.

    It does so now and then on a busy machine, with or without us: five of 68 scripts of DDP alone.
    """
    return lambda errors: "terminate called without an active exception" in errors and "exitcode: -6" in errors
