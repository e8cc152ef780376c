"""The entry of the command ``runtimeinfo``, and as much of it as works without an extra.

What a command needs is imported when it is called: a training waits for ``runtimeinfo run``.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import NoReturn

# The same number as `_verdict.EX_USAGE`, which needs numpy.
USAGE = 64
"""The exit code where the command line asks for what cannot be, or a package is missing."""

UNTRUSTED = 1
"""The exit code where the folder for boards cannot be trusted or read."""

_INTERRUPTED = 130
_READER_GONE = 141

NAME = "runtimeinfo"
HELP = "Know where the training is, and prove it."

RUN_HELP = "Run a training, and publish it without a change in its code."
RUN_ARGUMENT_HELP = (
    "A script with its arguments; options of Python, such as -m, with what belongs to them; or another command that "
    "starts Python, such as torchrun."
)
RUN_EPILOG = (
    "Exit codes: those of what was run; 127 there is no such command, 126 it cannot be started, 64 the command line "
    "asks for what cannot be."
)

# The commands that need an extra, with the extra, and what `--help` says of them where it is missing.
_EXTRAS = {
    "check": ("conformance", "Put runners and hubs to the test, and print the verdict."),
    "replay": ("conformance", "Run one plan again, and say whether it breaks a requirement."),
    "check-trace": ("conformance", "Judge a run that a TraceHook wrote down."),
    "top": ("top", "Show the live runs of this user."),
    "plot": ("plot", "Plot the scalars of runs: of files, checkpoints and live runs."),
    "export": ("export", "Export the live runs of this user to Prometheus or OpenTelemetry."),
}

# The packages that the extras bring.
_OF_EXTRAS = frozenset(
    {"typer", "click", "rich", "hypothesis", "pytest", "jinja2", "filelock", "prometheus_client", "opentelemetry"}
)
# A package of another extra than that of the command.
_EXTRA_OF_PACKAGE = {"opentelemetry": "otlp"}

# The parser has codes that mean verdicts here: 2 for a line that it cannot parse, 1 for an interrupt.
_PARSER_CODES: dict[str | int | None, int] = {1: _INTERRUPTED, 2: USAGE}


class Leave(SystemExit):
    """End with an exit code of this command. The parser of the command line raises SystemExit itself."""


def refuse(error: object, code: int) -> NoReturn:
    """Say what is wrong, and end with an exit code.

    Raises:
        Leave: Always.
    """
    sys.stderr.write(f"{NAME}: {error}\n")
    raise Leave(code) from None


def main() -> None:
    """Run the command. If a package of an extra is missing, run what works without it, or name the extra."""
    try:
        code = _code_of(_run)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has enough, like `head` after some lines. The interpreter must not flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ is not None else 1)
        code = _READER_GONE
    sys.exit(code)


def _run() -> None:
    if sys.argv[1:2] == ["run"] and sys.argv[2:3] != ["--help"]:
        run(sys.argv[2:])
    try:
        from runtimeinfo_conformance.command_line._commands import app
    except ModuleNotFoundError as error:
        if _package(error) not in _OF_EXTRAS:
            raise
        _run_without_extras(sys.argv[1:], missing=_package(error))
        return
    try:
        app(prog_name=NAME)
    except ModuleNotFoundError as error:
        if _package(error) not in _OF_EXTRAS:
            raise
        _name_extra(sys.argv[1:], missing=_package(error))


def _run_without_extras(words: Sequence[str], *, missing: str) -> None:
    import argparse

    from runtimeinfo import __version__

    if words and words[0] in _EXTRAS:
        _name_extra(words, missing=missing)
    parser = argparse.ArgumentParser(prog=NAME, description=HELP)
    parser.add_argument("--version", action="version", version=__version__, help="Print the version.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    of_explain = commands.add_parser("explain", help="Say all about requirements.")
    of_explain.add_argument("requirements", nargs="+", metavar="REQUIREMENT", help="An id or a group: STAGE-02, LIFE.")
    of_spec = commands.add_parser("spec", help="List all requirements.")
    of_spec.add_argument("--spec", dest="version", help="The version; the newest by default.")
    of_spec.add_argument("--json", action="store_true", help="Write JSON.")
    of_run = commands.add_parser("run", help=RUN_HELP, description=RUN_HELP, epilog=RUN_EPILOG)
    of_run.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help=RUN_ARGUMENT_HELP)
    commands.add_parser("version", help="Print the version.")
    for name, (extra, text) in _EXTRAS.items():
        commands.add_parser(name, help=f"{text} Needs {_with_extra(extra)}.")
    given = parser.parse_args(words or ["--help"])
    if given.command == "explain":
        show_explanation(given.requirements)
    elif given.command == "spec":
        show_spec(given.version, as_json=given.json)
    else:
        print(__version__)


def run(words: Sequence[str]) -> NoReturn:
    """Become what the words start, with trainings that are published: see `launch`."""
    from runtimeinfo_conformance.command_line._launch import LaunchError, launch

    try:
        raise Leave(launch(words))
    except LaunchError as error:
        refuse(error, error.code)


def show_explanation(names: Iterable[str]) -> None:
    """Print all about requirements: see `explain`."""
    from runtimeinfo_conformance.command_line._explain import explain

    _print_or_refuse(lambda: explain(*names))


def show_spec(version: str | None, *, as_json: bool) -> None:
    """Print a version of the spec, as text or as JSON: see `spec` and `registry`."""
    import json

    from runtimeinfo_conformance.command_line._explain import registry, spec

    if as_json:
        _print_or_refuse(lambda: [json.dumps(registry(version), indent=2, ensure_ascii=False)])
    else:
        _print_or_refuse(lambda: spec(version))


def _print_or_refuse(lines: Callable[[], list[str]]) -> None:
    from runtimeinfo_conformance._lookup import UnknownRequirementError
    from runtimeinfo_conformance.command_line._explain import UnknownVersionError

    try:
        text = "\n".join(lines())
    except (UnknownRequirementError, UnknownVersionError) as error:
        refuse(error, USAGE)
    sys.stdout.write(f"{text}\n")


def _name_extra(words: Sequence[str], *, missing: str) -> None:
    extra, _ = _EXTRAS.get(words[0] if words else "", ("conformance", ""))
    extra = _EXTRA_OF_PACKAGE.get(missing, extra)
    also = f", or for top alone {_with_extra('top')}" if extra == "conformance" else ""
    # Not a text as the code: that would be a 1, which says that a requirement is violated.
    refuse(
        f"the command needs more than the library ({missing} is not installed): pip install {_with_extra(extra)}{also}",
        USAGE,
    )


def _with_extra(extra: str) -> str:
    return f"'{NAME}[{extra}]'"


def _package(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


def _code_of(run: Callable[[], object]) -> str | int | None:
    """Run the command, and return its exit code.

    Raises:
        BrokenPipeError: If the reader of the output has gone.
    """
    try:
        run()
    except Leave as end:
        return end.code
    except SystemExit as end:
        # The parser, and the terminal too, make it a 1 because of the pipe.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return _PARSER_CODES.get(end.code, end.code)
    return 0
