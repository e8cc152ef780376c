"""What holds for all tests: Ctrl-C reaches them, and what they start, also where whoever starts them ignores it.

And what tests of all packages have to know of PyTorch.
"""

import gc
import re
import signal
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import pytest

# Where PyTorch is missing, as in `make pythons`, what needs it or a framework is skipped; elsewhere it fails.
_FRAMEWORKS = "torch|mmengine|lightning|transformers|accelerate|ignite|keras|tensorboard|sklearn"
_NOT_THERE = re.compile(rf"ModuleNotFoundError: (No module named '({_FRAMEWORKS})\b.*'|\S+ needs torch: .*)")

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


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a module of tests that needs PyTorch, where there is none."""
    report = yield
    missing = _missing(report.longrepr) if report.failed else None
    if missing:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, missing)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test that needs PyTorch in the middle, or in a process that it starts, where there is none."""
    report = yield
    missing = _missing(report.longrepr) if report.failed else None
    if missing:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, missing)
    return report


def _missing(shown: object) -> str | None:
    found = _NOT_THERE.search(str(shown)) if find_spec("torch") is None else None
    return found and f"Skipped: {found[1]}"


@pytest.fixture(scope="session")
def aborted_by_torch() -> Callable[[str], bool]:
    """Return a function that tells from the errors of torchrun whether PyTorch itself aborted a rank as it ended.

    It does so now and then on a busy machine, with or without us: five of 68 scripts of DDP alone.
    """
    return lambda errors: "terminate called without an active exception" in errors and "exitcode: -6" in errors


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """Return a function that waits for a true result of a function, and returns it."""

    def wait(found: Callable[[], Any], *, seconds: float = 60.0, what: object = "") -> Any:
        deadline = time.monotonic() + seconds
        while not (result := found()):
            if time.monotonic() > deadline:
                pytest.fail(str(what() if callable(what) else what))
            time.sleep(0.05)
        return result

    return wait
