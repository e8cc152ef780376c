"""The command ``runtimeinfo``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

# Not imported from beside the verdicts: that needs the extra.
_USAGE = 64
_INTERRUPTED = 130
_READER_GONE = 141

# It needs less than the other commands, and so it is not loaded with them.
_TOP = "top"

# The parser's own codes are verdicts of ours: 2 for what it cannot parse, 1 for an interrupt.
_PARSER_CODES: dict[str | int | None, int] = {1: _INTERRUPTED, 2: _USAGE}


def main() -> None:
    """Run the command; say which extra is missing where it cannot."""
    is_top = sys.argv[1:2] == [_TOP]
    try:
        if is_top:
            from runtimeinfo_conformance.command_line._top_command import app
        else:
            from runtimeinfo_conformance.command_line._commands import app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"typer", "rich", "hypothesis", "pytest", "jinja2", "filelock"}:
            everything = "" if is_top else "'runtimeinfo[conformance]', or for top alone "
            sys.exit(
                f"The command needs more than the library ({missing} is not installed): pip install {everything}"
                "'runtimeinfo[top]'"
            )
        raise
    try:
        code = _code_of(app)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough, as `head` after some lines. The interpreter shall not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ is not None else 1)
        code = _READER_GONE
    sys.exit(code)


def _code_of(app: Callable[[], object]) -> str | int | None:
    """Run the command, and return its exit code.

    Raises:
        BrokenPipeError: If whoever reads the output has gone.
    """
    from runtimeinfo_conformance.command_line._leave import Leave

    try:
        app()
    except Leave as end:
        return end.code
    except SystemExit as end:
        # The parser makes it a 1, and so does the terminal: the pipe is why.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return _PARSER_CODES.get(end.code, end.code)
    return 0
