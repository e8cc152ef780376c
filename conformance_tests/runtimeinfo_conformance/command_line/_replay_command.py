"""The command ``runtimeinfo replay``."""

from __future__ import annotations

import traceback

import typer

from runtimeinfo.spec import Requirement
from runtimeinfo_conformance._hints import HINTS
from runtimeinfo_conformance._lookup import UnknownRequirementError, find_requirement
from runtimeinfo_conformance._replay import Replay, ReplayError, replay
from runtimeinfo_conformance._subject import AnySubject, is_upcoming
from runtimeinfo_conformance._verdict import EX_USAGE, ExitCode
from runtimeinfo_conformance.command_line._target import TargetError, find_subjects
from runtimeinfo_conformance.plans import PlanTextError, parse_plan, plan_text
from runtimeinfo_conformance.reports._data import failure_data
from runtimeinfo_conformance.reports._text import failure_lines


def replay_command(target: str, requirement: str, *plan_texts: str) -> int:
    """Replay a plan, and print what it says of a requirement.

    Args:
        target: The name of one subject: see `find_subjects`.
        requirement: The id of a requirement.
        plan_texts: The plan, as in a report; before it the plans that are run first.

    Returns:
        The exit code: 0 the requirement holds, 1 it is broken, 3 it did not matter on this plan, 4 the subject itself
        broke or cannot be found, 64 something else that was asked for cannot be.
    """
    try:
        *after, plan = map(parse_plan, plan_texts)
        rule = find_requirement(requirement.upper())
        subject = _find_subject(target)
        replayed = replay(subject, rule.id, plan, after=tuple(after), target=target)
    except TargetError as error:
        if error.__cause__ is not None:
            typer.echo("".join(traceback.format_exception(error.__cause__)), err=True)
        return _refuse(str(error), ExitCode.SUBJECT_BROKE)
    except PlanTextError as error:
        return _refuse(f"the plan cannot be read: {error}", EX_USAGE)
    except (UnknownRequirementError, ReplayError) as error:
        return _refuse(str(error), EX_USAGE)
    _print_replay(subject, rule, replayed)
    return replayed.exit_code


def _find_subject(target: str) -> AnySubject:
    subjects = find_subjects(target)
    if len(subjects) > 1:
        names = ", ".join(subject.name for subject in subjects)
        raise ReplayError(f"{target} has {len(subjects)} subjects ({names}); name one, as in {target}:NAME")
    return subjects[0]


def _print_replay(subject: AnySubject, rule: Requirement, replayed: Replay) -> None:
    typer.echo(f"{rule.id} ({rule.level}) {rule.text}")
    if is_upcoming(subject, rule):
        typer.echo(f"  upcoming: demanded from spec {rule.since} on, and {subject.name} claims {subject.spec}")
    if replayed.failure is not None:
        for line in failure_lines(failure_data(rule.id, replayed.failure, None), HINTS.get(rule.id, "")):
            typer.echo(f"  {line}".rstrip())
    else:
        typer.echo(f"  plan:     {plan_text(replayed.plan)}")
    if replayed.crash is not None:
        typer.echo("".join(traceback.format_exception(replayed.crash.error)), err=True)
        if replayed.crash.printed:
            typer.echo(f"it had printed:\n{replayed.crash.printed}", err=True)
        typer.echo(f"runtimeinfo: {subject.name} broke on this plan", err=True)
    typer.echo(f"{subject.name}: {rule.id} {_verdict(replayed)}")


def _verdict(replayed: Replay) -> str:
    times = "once" if replayed.occurrences == 1 else f"{replayed.occurrences:,} times"
    match replayed.exit_code:
        case ExitCode.VIOLATED:
            return f"is broken on this plan, where it mattered {times}"
        case ExitCode.SUBJECT_BROKE:
            return "is not decided: the subject itself broke on this plan"
        case ExitCode.VACUOUS:
            return "did not matter on this plan: nothing in it exercises the requirement"
        case _:
            return f"holds on this plan, where it mattered {times}"


def _refuse(message: str, code: int) -> int:
    typer.echo(f"runtimeinfo: {message}", err=True)
    return code
