"""The report and the progress on a terminal, or in a log."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from runtimeinfo_conformance._check import Progress as TellProgress
from runtimeinfo_conformance._timeline import describe_failure
from runtimeinfo_conformance._verdict import SUMMARIES, ExitCode, Report, Result, Verdict

_STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.WARN: "yellow",
    Verdict.NOT_EXECUTED: "bold magenta",
    Verdict.NOT_APPLICABLE: "dim",
    Verdict.UNTESTABLE: "dim",
}

# Without a terminal there is a line every so often, so that a CI log shows that it lives.
_LOG_SECONDS = 5.0

# Wide enough for the longest requirement: a log has no width of its own.
_LOG_COLUMNS = 220


def make_console() -> Console:
    """Return the console: colours on a terminal only, and a line for each requirement in a log."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, soft_wrap=True, width=_LOG_COLUMNS)


@contextmanager
def showing_progress(console: Console, name: str) -> Generator[TellProgress]:
    """Show how far the search is: a bar on a terminal, a line every few seconds elsewhere."""
    if not console.is_terminal:
        yield _logging_progress(console, name)
        return
    columns = (
        TextColumn(f"{escape(name)}: {{task.description}}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield tell


def _logging_progress(console: Console, name: str) -> TellProgress:
    last_said, last_what = time.monotonic(), ""

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last_said, last_what
        if what != last_what or time.monotonic() - last_said > _LOG_SECONDS:
            last_said, last_what = time.monotonic(), what
            console.print(f"{escape(name)}: {what} {done}/{total}")

    return tell


def print_report(console: Console, report: Report) -> None:
    """Print a line for each requirement, then how each broken one was broken, then the verdict."""
    subject = report.subject
    versions = f"{escape(subject.version)}  ·  spec {report.spec}  ·  profile {report.profile}"
    console.print(f"\n[bold]{escape(subject.name)}[/] {versions}")
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in ("id", "level", "verdict"):
        table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=console.is_terminal)
    for result in report.results:
        if result.requirement.party == ("runner" if hasattr(subject, "run") else "hub"):
            table.add_row(*_row(result))
    console.print(table)
    for result in report.of(Verdict.FAIL, Verdict.WARN):
        _print_failure(console, result)
    if report.crash is not None:
        console.print(f"\n[bold red]The subject broke[/] on {escape(repr(report.crash.plan))}")
        console.print(escape("".join(traceback.format_exception(report.crash.error))), soft_wrap=True)
    for survivor in report.survivors:
        console.print(f"[bold magenta]A fault put in on purpose was not noticed:[/] {escape(survivor)}")
    _print_verdict(console, report)


def _row(result: Result) -> tuple[str, ...]:
    style = _STYLES[result.verdict]
    count = f"{result.occurrences:,}x" if result.occurrences else ""
    text = result.requirement.text if result.occurrences else result.reason
    return (result.requirement.id, result.requirement.level, f"[{style}]{result.verdict.value}[/]", count, escape(text))


def _print_failure(console: Console, result: Result) -> None:
    rule, failure = result.requirement, result.failure
    console.print(f"\n[{_STYLES[result.verdict]}]{rule.id}[/] ({rule.level}) {escape(rule.text)}")
    if failure is not None:
        for line in describe_failure(failure):
            console.print(f"  {escape(line)}", soft_wrap=True)
    console.print(f"  more: runtimeinfo explain {rule.id}")


def _print_verdict(console: Console, report: Report) -> None:
    judged = ((verdict, len(report.of(verdict))) for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.WARN))
    counts = ", ".join(f"{count} {verdict.value}" for verdict, count in judged if count)
    not_executed = [result.requirement.id for result in report.of(Verdict.NOT_EXECUTED)]
    style = "bold green" if report.exit_code is ExitCode.CONFORMANT else "bold red"
    console.print(
        f"\n[{style}]{escape(report.subject.name)}: {SUMMARIES[report.exit_code].lower()}[/]  ·  {counts}  ·  "
        f"{report.plans} plans in {report.seconds:.1f} s"
    )
    if not_executed:
        console.print(f"never exercised: {', '.join(not_executed)}")
