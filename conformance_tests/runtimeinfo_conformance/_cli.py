"""The command ``runtimeinfo``."""

from __future__ import annotations

import sys
from typing import cast

# Not imported from beside the verdicts: that needs the extra.
_USAGE = 64
_INTERRUPTED = 130

# It needs less than the other commands, and so it is no part of the kit's.
_TOP = "top"


def main() -> None:
    """Run the command; say which extra is missing where it cannot."""
    is_top = sys.argv[1:2] == [_TOP]
    try:
        from runtimeinfo_conformance._leave import Leave

        if is_top:
            from runtimeinfo_conformance._top_command import app
        else:
            from runtimeinfo_conformance._commands import app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"typer", "rich", "hypothesis", "pytest", "jinja2", "filelock"}:
            extra = "top" if is_top else "conformance"
            sys.exit(
                f"The command needs more than the library: pip install 'runtimeinfo[{extra}]' ({missing} is not "
                "installed)"
            )
        raise
    try:
        app()
    except Leave:
        raise
    except SystemExit as end:
        # The parser's own codes are verdicts of ours: 2 for what it cannot parse, 1 for an interrupt.
        sys.exit({1: _INTERRUPTED, 2: _USAGE}.get(cast("int", end.code), end.code))
