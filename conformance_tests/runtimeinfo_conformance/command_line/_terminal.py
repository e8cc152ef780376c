"""The report and the progress on a terminal, or in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from runtimeinfo_conformance._profile import Progress as TellProgress
from runtimeinfo_conformance._verdict import Report
from runtimeinfo_conformance.reports import ReportData, RequirementData, report_data
from runtimeinfo_conformance.reports._data import SUMMARIES_BY_NAME
from runtimeinfo_conformance.reports._text import TOO_LONG, counts_line, failure_lines, fit

_STYLES = {
    "pass": "green",
    "fail": "bold red",
    "warn": "yellow",
    "waived": "magenta",
    "upcoming": "cyan",
    "not applicable": "dim",
    "not executed": "bold magenta",
    "untestable": "dim",
}

# These are listed by name, where there is no line for each requirement.
_LISTED = ("fail", "warn", "waived", "not executed")

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
        console: The console to print on.
        report: The report.
        verbose: Whether to print a line for each requirement; else there is one for each group, and one for each
            requirement that is not green.
    """
    data = report_data(report)
    dot = ", " if console.options.ascii_only else " · "
    console.print(f"\n{dot.join(_facts(data))}", soft_wrap=True)
    # Of the other parties' requirements there is nothing to say.
    requirements = [each for each in data["requirements"] if each["party"] == data["subject"]["party"]]
    if verbose:
        _print_rows(console, requirements)
    else:
        _print_groups(console, requirements)
        _print_rows(console, _listed(requirements))
        _print_upcoming(console, _of(requirements, "upcoming"))
    _print_failures(console, data)
    _print_crash(console, data)
    _print_sentences(console, "A fault put in on purpose was not noticed", "bold magenta", data["survivors"])
    _print_sentences(console, "waiver", "bold red", data["troubles"])
    _print_sentences(console, "warning", "yellow", data["warnings"])
    console.print(f"\n{dot.join(_conclusion(data))}", soft_wrap=True)


def _facts(report: ReportData) -> Iterator[str]:
    subject = report["subject"]
    yield f"[bold]{_plain(subject['name'])}[/] {_plain(subject['version'])}"
    newest = "" if report["spec"] == report["newest_spec"] else f" (the newest is {report['newest_spec']})"
    yield f"spec {report['spec']}{newest}"
    yield f"profile {_plain(report['profile'])}"
    if report["seed"] is not None:
        yield f"seed {report['seed']}"


def _print_groups(console: Console, requirements: Iterable[RequirementData]) -> None:
    groups: dict[str, list[str]] = {}
    for each in requirements:
        groups.setdefault(each["id"].partition("-")[0], []).append(each["verdict"])
    width = max((len(group) for group in groups), default=0)
    for group, verdicts in groups.items():
        console.print(f"{group:<{width}}  {_counts(verdicts)}", soft_wrap=True)


def _counts(verdicts: Sequence[str]) -> str:
    return ", ".join(
        f"[{style}]{verdicts.count(verdict)} {verdict}[/]" for verdict, style in _STYLES.items() if verdict in verdicts
    )


def _of(requirements: Iterable[RequirementData], verdict: str) -> list[RequirementData]:
    return [each for each in requirements if each["verdict"] == verdict]


def _listed(requirements: Sequence[RequirementData]) -> Iterator[RequirementData | list[RequirementData]]:
    """Yield the requirements that are told by name; those for which one line is enough together."""
    for verdict in _LISTED:
        of_verdict = _of(requirements, verdict)
        if verdict == "not executed" and len(of_verdict) > _MOST_LISTED:
            reasons = dict.fromkeys(each["reason"] for each in of_verdict)
            yield from ([each for each in of_verdict if each["reason"] == reason] for reason in reasons)
        else:
            yield from of_verdict


def _print_rows(console: Console, rows: Iterable[RequirementData | list[RequirementData]]) -> None:
    for row in rows:
        if isinstance(row, list):
            ids = ", ".join(each["id"] for each in row)
            console.print(f"[{_STYLES['not executed']}]never exercised:[/] {ids}: {_plain(row[0]['reason'])}")
            continue
        times = f"{row['occurrences']:,}x" if row["occurrences"] else ""
        line = Text(f"{row['id']:<10} {row['level']:<6} ")
        line.append(f"{row['verdict']:<14}", style=_STYLES[row["verdict"]])
        line.append(f" {times:>8}  {' '.join(fit(_told(row)).split())}")
        if console.is_interactive:
            line.truncate(console.width, overflow="crop" if console.options.ascii_only else "ellipsis")
        console.print(line, soft_wrap=True)


def _told(requirement: RequirementData) -> str:
    waiver, text, reason = requirement["waiver"], requirement["text"], requirement["reason"]
    if waiver is not None:
        return f"until {waiver['expires']}: {waiver['reason']} ({waiver['issue']})"
    return f"({reason}) {text}" if reason else text


def _print_upcoming(console: Console, requirements: Sequence[RequirementData]) -> None:
    """Print in a line what a later spec demands, and by name what would be broken."""
    if not requirements:
        return
    broken = [each["id"] for each in requirements if each["failure"] is not None]
    unknown = [each["id"] for each in requirements if each["failure"] is None and not each["occurrences"]]
    holding = len(requirements) - len(broken) - len(unknown)
    parts = [f"{holding} hold already"] if holding else []
    parts += [f"not yet: {', '.join(broken)}"] if broken else []
    parts += [f"not exercised: {', '.join(unknown)}"] if unknown else []
    versions = ", ".join(sorted({each["since"] for each in requirements}))
    console.print(f"[{_STYLES['upcoming']}]upcoming[/] in spec {versions}: {'; '.join(parts)}", soft_wrap=True)


def _print_failures(console: Console, report: ReportData) -> None:
    """Print what is broken by its cause: the first of each group in full, the others in short."""
    known = {each["id"]: each for each in report["requirements"]}
    for group in report["groups"]:
        first = known[group["first"]]
        _print_title(console, first)
        if first["failure"] is not None:
            for line in failure_lines(first["failure"], first["hint"]):
                console.print(escape(f"  {line}".rstrip()), soft_wrap=True)
            console.print(f"  replay:   {escape(first['failure']['replay'] or TOO_LONG)}", soft_wrap=True)
        console.print(f"  more:     runtimeinfo explain {first['id']}", soft_wrap=True)
        if group["others"]:
            console.print("  Broken with it, probably by the same mistake:", soft_wrap=True)
        for other in (known[id] for id in group["others"]):
            _print_title(console, other, indent="    ")
            if other["failure"] is not None:
                expected, observed = other["failure"]["expected"], other["failure"]["observed"]
                console.print(f"      expected: {escape(expected)}", soft_wrap=True)
                console.print(f"      observed: {escape(observed)}", soft_wrap=True)
                console.print(f"      replay:   {escape(other['failure']['replay'] or TOO_LONG)}", soft_wrap=True)


def _print_title(console: Console, requirement: RequirementData, indent: str = "") -> None:
    style = _STYLES[requirement["verdict"]]
    before = indent or "\n"
    title = f"[{style}]{requirement['id']}[/] ({requirement['level']}) {escape(requirement['text'])}"
    console.print(f"{before}{title}", soft_wrap=True)


def _print_crash(console: Console, report: ReportData) -> None:
    crash = report["crash"]
    if crash is None:
        return
    advice = "fix this first, the rest may follow from it"
    console.print(f"\n[bold red]The subject broke[/] on {_plain(crash['plan'])}: {advice}", soft_wrap=True)
    console.print(_plain(crash["traceback"]), soft_wrap=True)
    if crash["printed"]:
        console.print(f"It had printed:\n{_plain(crash['printed'])}", soft_wrap=True)


def _print_sentences(console: Console, title: str, style: str, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        console.print(f"[{style}]{title}:[/] {_plain(sentence)}", soft_wrap=True)


def _conclusion(report: ReportData) -> Iterator[str]:
    style = "bold green" if report["verdict"] == "conformant" else "bold red"
    summary = SUMMARIES_BY_NAME[report["verdict"]]
    yield f"[{style}]{_plain(report['subject']['name'])}: {summary[0].lower()}{summary[1:]}[/]"
    counts = counts_line(report)
    if counts:
        yield counts
    yield f"{report['plans']} plans in {report['seconds']:.1f} s"


def _plain(text: str) -> str:
    """Return a text of other code as markup that shows just that, with no code in it that a terminal obeys."""
    return escape(fit(text, _MOST_CHARACTERS))
