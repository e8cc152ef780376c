"""The pytest plugin: options, one check for all processes of a session, a summary, and reports.

Pytest loads it in every session where the kit is installed. So it imports only pytest and what costs nothing; all else
is imported where it is needed.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.pytest_plugin._outcomes import OUTCOMES, Outcomes

if TYPE_CHECKING:
    from runtimeinfo_conformance.reports import ReportData

_REPORT = "--runtimeinfo-report"
_PROFILE = "--runtimeinfo-profile"

# The name under which xdist hands the folder to its workers.
_FOLDER = "runtimeinfo_folder"

_SHARED = pytest.StashKey[Path]()
_SAID = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("runtimeinfo", "conformance with runtimeinfo")
    group.addoption(
        _REPORT,
        dest="runtimeinfo_report",
        metavar="DIR",
        help="write JSON, an HTML page, Markdown and a badge of each subject that is checked into this folder",
    )
    group.addoption(
        _PROFILE,
        dest="runtimeinfo_profile",
        choices=tuple(PROFILES),
        help="how long to search, whatever the conformance tests say",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the place for the outcomes."""
    # In a worker of xdist the outcomes are in a folder, for the others to read.
    folder = _worker_input(config).get(_FOLDER)
    config.stash[OUTCOMES] = Outcomes(None if folder is None else Path(folder))


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the options that are given."""
    profile, report = config.getoption("runtimeinfo_profile"), config.getoption("runtimeinfo_report")
    said = [f"profile {profile}"] * bool(profile) + [f"reports into {report}"] * bool(report)
    return f"runtimeinfo: {', '.join(said)}" if said else None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a folder for reports that cannot be written to, before the tests run."""
    folder = _report_folder(session.config)
    if folder is None or session.config.option.collectonly:
        return
    from runtimeinfo_conformance.reports import ReportError, check_folder

    try:
        check_folder(folder)
    except ReportError as error:
        raise pytest.UsageError(f"{_REPORT}: {error}") from None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist the folder of the outcomes."""
    config: pytest.Config = node.config
    if _SHARED not in config.stash:
        config.stash[_SHARED] = Path(tempfile.mkdtemp(prefix="runtimeinfo-"))
        config.stash[OUTCOMES] = Outcomes(config.stash[_SHARED])
    folder = config.stash[_SHARED]
    # With --dist=each the workers are there to be compared: each makes its own check.
    if config.getoption("dist", None) == "each":
        folder /= node.gateway.id
    node.workerinput[_FOLDER] = str(folder)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the conformance tests for other plugins: one item bears the whole search, and needs the process to itself.

    pytest-timeout has a limit for all tests, which is not for these: the kit itself ends a run that hangs. A limit for
    one of them, by a mark of the user's, stays. pytest-run-parallel runs them in one thread.
    """
    has_limit, has_threads = map(config.pluginmanager.hasplugin, ("timeout", "run-parallel"))
    for item in items:
        if not hasattr(getattr(item, "function", None), "runtimeinfo_subject"):
            continue
        if has_limit and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(0))
        if has_threads:
            item.add_marker(pytest.mark.thread_unsafe(reason="a check of runtimeinfo needs the process to itself"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the reports."""
    config = session.config
    folder = _report_folder(config)
    if folder is None:
        return
    reports = [data["report"] for data in config.stash[OUTCOMES].all() if data["report"] is not None]
    if not reports:
        config.stash[_SAID] = f"{_REPORT}: no conformance test ran, so nothing was written"
        return
    if not _write(config, reports, folder) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the verdict on each subject, and where the reports are."""
    lines = [line for data in config.stash[OUTCOMES].all() for line in data["summary"]]
    if _SAID in config.stash:
        lines.append(config.stash[_SAID])
    if lines:
        terminalreporter.section("runtimeinfo")
    for line in lines:
        terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder that the processes shared."""
    if _SHARED in config.stash:
        shutil.rmtree(config.stash[_SHARED], ignore_errors=True)


def _write(config: pytest.Config, reports: list[ReportData], folder: Path) -> bool:
    from runtimeinfo_conformance.reports import ReportError, write_reports

    try:
        write_reports(reports, folder)
    except ReportError as error:
        config.stash[_SAID] = f"{_REPORT}: {error}"
        return False
    page = folder / ("report.html" if len(reports) == 1 else "index.html")
    config.stash[_SAID] = f"reports: {page}"
    return True


def _report_folder(config: pytest.Config) -> Path | None:
    """Return the folder for reports; None in a worker of xdist, and if no reports are wanted."""
    given: str | None = config.getoption("runtimeinfo_report")
    if given is None or _worker_input(config):
        return None
    # A test may change the folder that the process is in.
    return config.invocation_params.dir / given


def _worker_input(config: pytest.Config) -> dict[str, Any]:
    return getattr(config, "workerinput", {})
