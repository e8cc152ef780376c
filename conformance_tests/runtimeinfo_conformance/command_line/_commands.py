"""The commands of ``runtimeinfo``. Each loads what it needs when it is called: `top` and `spec` need little."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from runtimeinfo import __version__
from runtimeinfo.spec import REQUIREMENTS, SPEC_VERSIONS
from runtimeinfo_conformance._lookup import group_of
from runtimeinfo_conformance._profile import PROFILES
from runtimeinfo_conformance.command_line import _cli
from runtimeinfo_conformance.command_line._cli import HELP, Leave, show_explanation, show_spec
from runtimeinfo_conformance.command_line._export_command import export
from runtimeinfo_conformance.command_line._plot_command import plot
from runtimeinfo_conformance.command_line._top_command import top

if TYPE_CHECKING:
    from runtimeinfo_conformance._verdict import Report

Written = TypeVar("Written")

# Which exit code counts if several subjects are checked, the worst first: 1 a requirement is violated, 4 a subject
# broke, 2 waiver trouble, 3 something was never exercised.
_GRAVITY = (1, 4, 2, 3, 0)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    epilog="Examples: runtimeinfo top · runtimeinfo check tests/test_conformance.py · runtimeinfo explain STAGE-02",
    rich_markup_mode="markdown",  # the other mode breaks a paragraph where the docstring breaks its lines
)


class ProfileName(StrEnum):
    """The profiles, as choices on the command line."""

    QUICK = "quick"
    CI = "ci"
    NIGHTLY = "nightly"


def _ids(incomplete: str) -> list[str]:
    return [id for id in REQUIREMENTS if id.startswith(incomplete)]


def _ids_or_groups(incomplete: str) -> list[str]:
    groups = [group for group in dict.fromkeys(map(group_of, REQUIREMENTS)) if group.startswith(incomplete)]
    return groups if len(groups) > 1 else _ids(incomplete)


def _versions(incomplete: str) -> list[str]:
    return [version for version in SPEC_VERSIONS if version.startswith(incomplete)]


def _print_version(*, is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(__version__)
        raise Leave(0)


@app.callback(help=HELP)
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options before the name of a command."""


@app.command()
def check(
    targets: Annotated[list[str], typer.Argument(metavar="FILE_OR_MODULE[:SUBJECT]", help="What to check.")],
    profile: Annotated[ProfileName, typer.Option(help="How long to search.")] = ProfileName.CI,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Search with this seed, as a nightly run has printed it.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            show_default=False,  # a text would be shown in parentheses
            help="How long one run may take before it counts as hung; 60 by default.",
        ),
    ] = None,
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
    from runtimeinfo_conformance._check import check as check_subject
    from runtimeinfo_conformance._verdict import ExitCode
    from runtimeinfo_conformance.command_line._target import TargetError, find_subjects
    from runtimeinfo_conformance.command_line._terminal import make_console, print_report, showing_progress
    from runtimeinfo_conformance.guards import HANG_SECONDS
    from runtimeinfo_conformance.reports import check_folder, write_reports

    console = make_console()
    if report is not None:
        _with_reports(check_folder, report)
    try:
        subjects = [(target, subject) for target in targets for subject in find_subjects(target)]
    except TargetError as error:
        if error.__cause__ is not None:
            typer.echo("".join(traceback.format_exception(error.__cause__)), err=True)
        _cli.refuse(error, ExitCode.SUBJECT_BROKE)
    hang_seconds = HANG_SECONDS if timeout is None else timeout
    results: list[Report] = []
    for target, subject in subjects:
        with showing_progress(console, subject.name) as progress:
            results.append(
                check_subject(
                    subject, PROFILES[profile.value], progress, seed=seed, hang_seconds=hang_seconds, target=target
                )
            )
        print_report(console, results[-1], verbose)
    if report is not None:
        written = _with_reports(lambda folder: write_reports(results, folder), report)
        typer.echo(f"wrote {len(written)} files into {report}")
    codes = {int(result.exit_code) for result in results}
    _leave(next(code for code in _GRAVITY if code in codes))


@app.command()
def replay(
    requirement: Annotated[
        str, typer.Argument(metavar="REQUIREMENT", help="Its id, as in STAGE-02.", autocompletion=_ids)
    ],
    plans: Annotated[
        list[str], typer.Argument(metavar="PLAN", help="The plan, as a failure shows it; first those before it.")
    ],
    target: Annotated[str, typer.Argument(metavar="FILE_OR_MODULE[:SUBJECT]", help="What to run it on.")],
) -> None:
    """Run one plan again, after others if they are given, and say whether it breaks a requirement.

    Exit codes: 0 it holds, 1 it is broken, 3 it did not matter on this plan, 4 the subject itself broke or cannot be
    found; 64 there is no such plan or requirement.

    Example: runtimeinfo replay STAGE-03 'Plan(val_batches=1)' tests/test_conformance.py
    """
    from runtimeinfo_conformance.command_line._replay_command import replay_command

    _leave(replay_command(target, requirement, *plans))


@app.command()
def check_trace(trace: Annotated[Path, typer.Argument(metavar="TRACE.jsonl", help="What a TraceHook wrote.")]) -> None:
    """Judge a run that a TraceHook wrote down.

    Exit codes: 0 nothing is violated, 1 a requirement is violated, 4 the file cannot be read, or is no trace.

    Example: runtimeinfo check-trace run.jsonl
    """
    from runtimeinfo_conformance.traces import run_check_trace

    raise Leave(run_check_trace(trace))


@app.command()
def explain(
    requirements: Annotated[
        list[str],
        typer.Argument(
            metavar="REQUIREMENT",
            help="An id, as in STAGE-02, or a group, as in LIFE; several are fine.",
            autocompletion=_ids_or_groups,
        ),
    ],
) -> None:
    """Say all about requirements.

    Example: runtimeinfo explain STAGE-02

    Example: runtimeinfo explain LIFE RESUME-02
    """
    show_explanation(requirements)


@app.command()
def spec(
    version: Annotated[
        str | None,
        typer.Option("--spec", help="Which version of it; the newest by default.", autocompletion=_versions),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, with all that the registry holds.")] = False,
) -> None:
    """List all requirements.

    Example: runtimeinfo spec

    Example: runtimeinfo spec --spec 0.1 --json
    """
    show_spec(version, as_json=as_json)


app.command()(top)
app.command()(export)
app.command()(plot)


# It ends with what belongs to the command that it runs. Without `--help`, `_cli` calls it, because that is faster.
@app.command(
    help=f"{_cli.RUN_HELP}\n\n{_cli.RUN_EPILOG}\n\nExample: runtimeinfo run train.py --epochs 3\n\n"
    "Example: runtimeinfo run torchrun --nproc-per-node 2 train.py",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def run(command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help=_cli.RUN_ARGUMENT_HELP)]) -> None:
    """Run a training, and publish it without a change in its code."""
    _cli.run(command)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _with_reports(act: Callable[[Path], Written], folder: Path) -> Written:
    from runtimeinfo_conformance.reports import ReportError

    try:
        return act(folder)
    except ReportError as error:
        _cli.refuse(error, _cli.USAGE)


def _leave(code: int) -> None:
    """End with an exit code, also if a subject has left a thread that never ends."""
    main = threading.main_thread()
    if any(thread is not main and not thread.daemon for thread in threading.enumerate()):
        with contextlib.suppress(OSError):  # the reader may have gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    raise Leave(code)
