"""The command ``runtimeinfo``."""

from __future__ import annotations

import sys

_NEEDS = "The command needs more than the library: pip install 'runtimeinfo[conformance]'"


def main() -> None:
    """Run the command; say which extra is missing where it cannot."""
    try:
        from runtimeinfo_conformance._commands import app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"typer", "rich", "hypothesis", "pytest"}:
            sys.exit(f"{_NEEDS} ({missing} is not installed)")
        raise
    app()
