"""The commands of ``runtimeinfo``."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from runtimeinfo import __version__
from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSIONS
from runtimeinfo_conformance._check import check as check_subject
from runtimeinfo_conformance._find_requirement import UnknownRequirementError
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._verdict import EX_USAGE, ExitCode, Report
from runtimeinfo_conformance.command_line._explain import UnknownVersionError
from runtimeinfo_conformance.command_line._explain import explain as explain_requirement
from runtimeinfo_conformance.command_line._explain import spec as spec_lines
from runtimeinfo_conformance.command_line._leave import Leave
from runtimeinfo_conformance.command_line._replay_command import replay_command
from runtimeinfo_conformance.command_line._target import TargetError, find_subjects
from runtimeinfo_conformance.command_line._terminal import make_console, print_report, showing_progress
from runtimeinfo_conformance.command_line._top_command import top
from runtimeinfo_conformance.guards import HANG_SECONDS
from runtimeinfo_conformance.reports import ReportError, check_folder, write_reports
from runtimeinfo_conformance.traces import run_check_trace

Written = TypeVar("Written")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    help="Know where the training is, and prove it.",
    epilog="Examples: runtimeinfo top · runtimeinfo check tests/test_conformance.py · runtimeinfo explain STAGE-02",
    rich_markup_mode="markdown",  # the other mode breaks a paragraph where the docstring breaks its lines
)


class ProfileName(StrEnum):
    """The profiles, as choices on the command line."""

    QUICK = "quick"
    CI = "ci"
    NIGHTLY = "nightly"


# What decides, where several subjects are checked: the worst first.
_GRAVITY = (ExitCode.VIOLATED, ExitCode.SUBJECT_BROKE, ExitCode.WAIVER_TROUBLE, ExitCode.VACUOUS, ExitCode.CONFORMANT)


def _ids(incomplete: str) -> list[str]:
    return [id for id in REQUIREMENTS if id.startswith(incomplete)]


def _versions(incomplete: str) -> list[str]:
    return [version for version in SPEC_VERSIONS if version.startswith(incomplete)]


@app.command()
def check(
    targets: Annotated[list[str], typer.Argument(metavar="FILE_OR_MODULE[:SUBJECT]...", help="What to check.")],
    profile: Annotated[ProfileName, typer.Option(help="How long to search.")] = ProfileName.CI,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Search with this seed, as a nightly run has printed it.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long one run may take before it counts as hung.")
    ] = HANG_SECONDS,
    report: Annotated[
        Path | None, typer.Option(help="Write JSON, an HTML page, Markdown and a badge into this folder.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each requirement.")] = False,
) -> None:
    """Put runners and hubs to the test, and print the verdict.

    Exit codes: 0 conformant, 1 a requirement is violated, 2 waiver trouble, 3 something that applies was never
    exercised, 4 the subject itself broke or cannot be found; 64 the command line asks for what cannot be.

    Example: runtimeinfo check tests/test_conformance.py

    Example: runtimeinfo check myfw.conformance:subject --profile nightly --report out
    """
    console = make_console()
    if report is not None:
        _with_reports(check_folder, report)
    try:
        subjects = [(target, subject) for target in targets for subject in find_subjects(target)]
    except TargetError as error:
        if error.__cause__ is not None:
            typer.echo("".join(traceback.format_exception(error.__cause__)), err=True)
        typer.echo(f"runtimeinfo: {error}", err=True)
        raise Leave(ExitCode.SUBJECT_BROKE) from None
    results: list[Report] = []
    for target, subject in subjects:
        with showing_progress(console, subject.name) as progress:
            results.append(
                check_subject(
                    subject, PROFILES[profile.value], progress, seed=seed, hang_seconds=timeout, target=target
                )
            )
        print_report(console, results[-1], verbose)
    if report is not None:
        written = _with_reports(lambda folder: write_reports(results, folder), report)
        typer.echo(f"wrote {len(written)} files into {report}")
    codes = {result.exit_code for result in results}
    _leave(next(code for code in _GRAVITY if code in codes))


@app.command()
def replay(
    requirement: Annotated[str, typer.Argument(help="Its id, as in STAGE-02.", autocompletion=_ids)],
    plan: Annotated[str, typer.Argument(help="The plan, as a failure shows it.")],
    target: Annotated[str, typer.Argument(metavar="FILE_OR_MODULE[:SUBJECT]", help="What to run it on.")],
) -> None:
    """Run one plan again, and say whether it breaks a requirement.

    Exit codes: 0 it holds, 1 it is broken, 3 it did not matter on this plan, 4 the subject itself broke or cannot be
    found; 64 there is no such plan or requirement.

    Example: runtimeinfo replay STAGE-03 'Plan(val_batches=1)' tests/test_conformance.py
    """
    _leave(replay_command(target, requirement, plan))


@app.command()
def check_trace(trace: Annotated[Path, typer.Argument(metavar="TRACE.jsonl", help="What a TraceHook wrote.")]) -> None:
    """Judge a run that a TraceHook wrote down.

    Exit codes: 0 nothing is violated, 1 a requirement is violated, 4 the file cannot be read, or is no trace.

    Example: runtimeinfo check-trace run.jsonl
    """
    raise Leave(run_check_trace(trace))


@app.command()
def explain(requirement: Annotated[str, typer.Argument(help="Its id, as in STAGE-02.", autocompletion=_ids)]) -> None:
    """Say all about a requirement.

    Example: runtimeinfo explain STAGE-02
    """
    _print_or_refuse(lambda: explain_requirement(requirement))


@app.command()
def spec(
    version: Annotated[
        str | None,
        typer.Option("--spec", help="Which version of it; the newest by default.", autocompletion=_versions),
    ] = None,
) -> None:
    """List all requirements.

    Example: runtimeinfo spec

    Example: runtimeinfo spec --spec 0.1
    """
    _print_or_refuse(lambda: spec_lines(version))


app.command()(top)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _print_or_refuse(lines: Callable[[], list[str]]) -> None:
    try:
        for line in lines():
            typer.echo(line)
    except (UnknownRequirementError, UnknownVersionError) as error:
        typer.echo(f"runtimeinfo: {error}", err=True)
        raise Leave(EX_USAGE) from None


def _with_reports(act: Callable[[Path], Written], folder: Path) -> Written:
    try:
        return act(folder)
    except ReportError as error:
        typer.echo(f"runtimeinfo: {error}", err=True)
        raise Leave(EX_USAGE) from None


def _leave(code: int) -> None:
    """End with an exit code, also if a subject has left a thread that never ends."""
    main = threading.main_thread()
    if any(thread is not main and not thread.daemon for thread in threading.enumerate()):
        with contextlib.suppress(OSError):  # whoever read it may have gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    raise Leave(code)
