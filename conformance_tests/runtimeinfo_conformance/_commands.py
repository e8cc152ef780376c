"""The commands of ``runtimeinfo``."""

from __future__ import annotations

import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from runtimeinfo import __version__
from runtimeinfo_conformance._check import check as check_subject
from runtimeinfo_conformance._explain import UnknownRequirementError
from runtimeinfo_conformance._explain import explain as explain_requirement
from runtimeinfo_conformance._explain import spec as spec_lines
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance._target import TargetError, find_subjects
from runtimeinfo_conformance._terminal import make_console, print_report, showing_progress
from runtimeinfo_conformance._verdict import ExitCode, Report
from runtimeinfo_conformance.traces import run_check_trace

app = typer.Typer(no_args_is_help=True, add_completion=True, help="Know where the training is, and prove it.")


class ProfileName(StrEnum):
    """The profiles, as choices on the command line."""

    QUICK = "quick"
    CI = "ci"
    NIGHTLY = "nightly"


# What decides, where several subjects are checked: the worst first.
_GRAVITY = (ExitCode.VIOLATED, ExitCode.SUBJECT_BROKE, ExitCode.WAIVER_TROUBLE, ExitCode.VACUOUS, ExitCode.CONFORMANT)


@app.command()
def check(
    targets: Annotated[list[str], typer.Argument(metavar="FILE_OR_MODULE[:SUBJECT]...", help="What to check.")],
    profile: Annotated[ProfileName, typer.Option(help="How long to search.")] = ProfileName.CI,
    report: Annotated[
        Path | None, typer.Option(help="Write JSON, an HTML page, Markdown and a badge into this folder.")
    ] = None,
) -> None:
    """Put runners and hubs to the test, and print a verdict for each requirement.

    Exit codes: 0 conformant, 1 a requirement is violated, 2 waiver trouble, 3 something that applies was never
    exercised, 4 the subject itself broke or cannot be found.

    Example: runtimeinfo check tests/test_conformance.py
    """
    console = make_console()
    try:
        subjects = [subject for target in targets for subject in find_subjects(target)]
    except TargetError as error:
        if error.__cause__ is not None:
            typer.echo("".join(traceback.format_exception(error.__cause__)), err=True)
        typer.echo(f"runtimeinfo: {error}", err=True)
        raise typer.Exit(ExitCode.SUBJECT_BROKE) from None
    results: list[Report] = []
    for subject in subjects:
        with showing_progress(console, subject.name) as progress:
            results.append(check_subject(subject, PROFILES[profile.value], progress))
        print_report(console, results[-1])
    if report is not None:
        _write_reports(results, report)
    codes = {result.exit_code for result in results}
    raise typer.Exit(next(code for code in _GRAVITY if code in codes))


@app.command()
def check_trace(trace: Annotated[Path, typer.Argument(metavar="TRACE.jsonl", help="What a TraceHook wrote.")]) -> None:
    """Judge a run that a TraceHook wrote down.

    Exit codes: 0 nothing is violated, 1 a requirement is violated, 4 the file cannot be read, or is no trace.

    Example: runtimeinfo check-trace run.jsonl
    """
    raise typer.Exit(run_check_trace(trace))


@app.command()
def explain(requirement: Annotated[str, typer.Argument(help="Its id, as in STAGE-02.")]) -> None:
    """Say all about a requirement.

    Example: runtimeinfo explain STAGE-02
    """
    try:
        lines = explain_requirement(requirement)
    except UnknownRequirementError as error:
        typer.echo(f"runtimeinfo: {error}", err=True)
        raise typer.Exit(ExitCode.VIOLATED) from None
    for line in lines:
        typer.echo(line)


@app.command()
def spec() -> None:
    """List all requirements."""
    for line in spec_lines():
        typer.echo(line)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _write_reports(results: list[Report], folder: Path) -> None:
    from runtimeinfo_conformance.reports import ReportError, write_reports  # with Jinja: not for who wants no report

    try:
        written = write_reports(results, folder)
    except ReportError as error:
        typer.echo(f"runtimeinfo: {error}", err=True)
        raise typer.Exit(ExitCode.SUBJECT_BROKE) from None
    typer.echo(f"wrote {len(written)} files into {folder}")
