"""The report and the progress on a terminal, or in a log."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from runtimeinfo.spec import SPEC_VERSION
from runtimeinfo_conformance._profile import Progress as TellProgress
from runtimeinfo_conformance._replay import replay_line
from runtimeinfo_conformance._subject import party_of
from runtimeinfo_conformance._text import fit
from runtimeinfo_conformance._timeline import describe_failure
from runtimeinfo_conformance._verdict import SUMMARIES, ExitCode, Report, Result, Verdict

_STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.WARN: "yellow",
    Verdict.WAIVED: "magenta",
    Verdict.UPCOMING: "cyan",
    Verdict.NOT_EXERCISED: "bold magenta",
    Verdict.NOT_APPLICABLE: "dim",
    Verdict.UNTESTABLE: "dim",
}

# What is told of a requirement by name, where there is no line for each.
_LISTED = (Verdict.FAIL, Verdict.WARN, Verdict.WAIVED, Verdict.NOT_EXERCISED)

# More than so many with the same reason get one line together: a runner that calls no hook never exercises anything.
_MOST_LISTED = 8

# Without a terminal there is a line every so often, so that a CI log shows that it lives; and one for each new
# thing that is done, but not for those that take no time.
_LOG_SECONDS = 5.0
_NEWS_SECONDS = 1.0

# Wide enough for the longest requirement: a log has no width of its own.
_LOG_COLUMNS = 220

# A traceback can be long.
_MOST_CHARACTERS = 20_000


def make_console() -> Console:
    """Return a console on what is the standard output now, whatever that is replaced by later.

    Colours go to a terminal only. NO_COLOR turns them off there, and FORCE_COLOR on in a log, where there are still
    whole lines and no bar.
    """
    # A name that the encoding of a log lacks is no reason to lose the whole report.
    out: Any = sys.stdout
    if hasattr(out, "reconfigure") and out.errors == "strict":
        out.reconfigure(errors="backslashreplace")
    if out.isatty():
        return Console(file=out, highlight=False, emoji=False)
    return Console(file=out, highlight=False, emoji=False, soft_wrap=True, width=_LOG_COLUMNS, force_interactive=False)


@contextmanager
def showing_progress(console: Console, name: str) -> Generator[TellProgress]:
    """Show what the search does and how far it is: a bar on a terminal, a line every few seconds elsewhere."""
    if not console.is_interactive:
        yield _logging_progress(console, name)
        return
    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # The kit itself sees to what a subject prints.
    with Progress(
        *columns, console=console, transient=True, expand=True, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        # One line, whatever is being done: its time goes on, and the terminal does not fill up.
        task = bar.add_task(name, total=None)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=fit(f"{name}: {what}"), completed=done, total=total)

        yield tell


def _logging_progress(console: Console, name: str) -> TellProgress:
    begin = time.monotonic()
    last_said, last_kind = -_LOG_SECONDS, ""

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last_said, last_kind
        now, kind = time.monotonic() - begin, what.partition(":")[0]
        if now - last_said >= (_LOG_SECONDS if kind == last_kind else _NEWS_SECONDS):
            last_said, last_kind = now, kind
            console.print(fit(f"{name}: {what} {done}/{total} ({now:.0f} s)"), markup=False)

    return tell


def print_report(console: Console, report: Report, verbose: bool = False) -> None:
    """Print what was found, how each broken requirement was broken, and at the end the verdict in a line.

    Args:
        console: Where to.
        report: The report.
        verbose: Whether to print a line for each requirement; else there is one for each group, and one for each
            requirement that is not green.
    """
    dot = ", " if console.options.ascii_only else " · "
    console.print(f"\n{dot.join(_facts(report))}", soft_wrap=True)
    # Of the other parties' requirements there is nothing to say.
    party = party_of(report.subject)
    results = [result for result in report.results if result.requirement.party == party]
    if verbose:
        _print_rows(console, results)
    else:
        _print_groups(console, results)
        _print_rows(console, _listed(results))
        _print_upcoming(console, _of(results, Verdict.UPCOMING))
    for result in _of(results, Verdict.FAIL, Verdict.WARN):
        _print_failure(console, result, report.target)
    if report.crash is not None:
        where = _plain(repr(report.crash.plan))
        advice = "mend this first, the rest may follow from it"
        console.print(f"\n[bold red]The subject broke[/] on {where}: {advice}", soft_wrap=True)
        console.print(_plain("".join(traceback.format_exception(report.crash.error))), soft_wrap=True)
        if report.crash.printed:
            console.print(f"It had printed:\n{_plain(report.crash.printed)}", soft_wrap=True)
    _print_sentences(console, "A fault put in on purpose was not noticed", "bold magenta", report.survivors)
    _print_sentences(console, "waiver", "bold red", report.troubles)
    _print_sentences(console, "warning", "yellow", report.warnings)
    console.print(f"\n{dot.join(_conclusion(report))}", soft_wrap=True)


def _facts(report: Report) -> Iterator[str]:
    subject = report.subject
    yield f"[bold]{_plain(subject.name)}[/] {_plain(subject.version)}"
    newest = "" if report.spec == SPEC_VERSION else f" (the newest is {SPEC_VERSION})"
    yield f"spec {report.spec}{newest}"
    yield f"profile {_plain(report.profile)}"
    if report.seed is not None:
        yield f"seed {report.seed}"


def _print_groups(console: Console, results: Iterable[Result]) -> None:
    groups: dict[str, list[Verdict]] = {}
    for result in results:
        groups.setdefault(result.requirement.id.partition("-")[0], []).append(result.verdict)
    width = max((len(group) for group in groups), default=0)
    for group, verdicts in groups.items():
        console.print(f"{group:<{width}}  {_counts(verdicts)}", soft_wrap=True)


def _counts(verdicts: Sequence[Verdict]) -> str:
    return ", ".join(
        f"[{_STYLES[verdict]}]{verdicts.count(verdict)} {verdict.value}[/]"
        for verdict in Verdict
        if verdict in verdicts
    )


def _of(results: Sequence[Result], *verdicts: Verdict) -> list[Result]:
    return [result for result in results if result.verdict in verdicts]


def _listed(results: Sequence[Result]) -> Iterator[Result | list[Result]]:
    """Yield the results that are told by name; those for which one line is enough together."""
    for verdict in _LISTED:
        of_verdict = _of(results, verdict)
        if verdict is Verdict.NOT_EXERCISED and len(of_verdict) > _MOST_LISTED:
            reasons = dict.fromkeys(result.reason for result in of_verdict)
            yield from ([result for result in of_verdict if result.reason == reason] for reason in reasons)
        else:
            yield from of_verdict


def _print_rows(console: Console, rows: Iterable[Result | list[Result]]) -> None:
    for row in rows:
        if isinstance(row, list):
            ids = ", ".join(result.requirement.id for result in row)
            console.print(f"[{_STYLES[Verdict.NOT_EXERCISED]}]never exercised:[/] {ids}: {_plain(row[0].reason)}")
            continue
        rule = row.requirement
        times = f"{row.occurrences:,}x" if row.occurrences else ""
        line = Text(f"{rule.id:<10} {rule.level:<6} ")
        line.append(f"{row.verdict.value:<14}", style=_STYLES[row.verdict])
        line.append(f" {times:>8}  {' '.join(fit(_told(row)).split())}")
        if console.is_interactive:
            line.truncate(console.width, overflow="crop" if console.options.ascii_only else "ellipsis")
        console.print(line, soft_wrap=True)


def _told(result: Result) -> str:
    waiver = result.waiver
    if waiver is not None:
        return f"until {waiver.expires}: {waiver.reason} ({waiver.issue})"
    if result.verdict in {Verdict.PASS, Verdict.FAIL, Verdict.WARN}:
        return result.requirement.text
    return f"({result.reason}) {result.requirement.text}" if result.reason else result.requirement.text


def _print_upcoming(console: Console, results: Sequence[Result]) -> None:
    """Print in a line what a later spec demands, and by name what would be broken."""
    if not results:
        return
    broken = [result.requirement.id for result in results if result.failure is not None]
    unknown = [result.requirement.id for result in results if result.failure is None and not result.occurrences]
    holding = len(results) - len(broken) - len(unknown)
    parts = [f"{holding} hold already"] if holding else []
    parts += [f"not yet: {', '.join(broken)}"] if broken else []
    parts += [f"not exercised: {', '.join(unknown)}"] if unknown else []
    versions = ", ".join(sorted({result.requirement.since for result in results}))
    console.print(f"[{_STYLES[Verdict.UPCOMING]}]upcoming[/] in spec {versions}: {'; '.join(parts)}", soft_wrap=True)


def _print_failure(console: Console, result: Result, target: str | None) -> None:
    rule, failure = result.requirement, result.failure
    console.print(f"\n[{_STYLES[result.verdict]}]{rule.id}[/] ({rule.level}) {escape(rule.text)}", soft_wrap=True)
    if failure is not None:
        for line in describe_failure(failure):
            console.print(escape(f"  {line}".rstrip()), soft_wrap=True)
        console.print(f"  replay:   {escape(replay_line(rule.id, failure.plan, target))}", soft_wrap=True)
    console.print(f"  more:     runtimeinfo explain {rule.id}", soft_wrap=True)


def _print_sentences(console: Console, title: str, style: str, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        console.print(f"[{style}]{title}:[/] {_plain(sentence)}", soft_wrap=True)


def _conclusion(report: Report) -> Iterator[str]:
    style = "bold green" if report.exit_code is ExitCode.CONFORMANT else "bold red"
    summary = SUMMARIES[report.exit_code]
    yield f"[{style}]{_plain(report.subject.name)}: {summary[0].lower()}{summary[1:]}[/]"
    shown = (Verdict.PASS, Verdict.FAIL, Verdict.WARN, Verdict.WAIVED, Verdict.NOT_EXERCISED)
    counts = ((verdict, len(report.of(verdict))) for verdict in shown)
    told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts if count)
    if told:
        yield told
    yield f"{report.plans} plans in {report.seconds:.1f} s"


def _plain(text: str) -> str:
    """Return somebody else's text as markup that says just that, with no code in it that a terminal obeys."""
    return escape(fit(text, _MOST_CHARACTERS))
