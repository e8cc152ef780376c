"""The command ``runtimeinfo``."""

from __future__ import annotations

import sys

_NEEDS = "The command needs more than the library: pip install 'runtimeinfo[conformance]'"


def main() -> None:
    """Run the command; say which extra is missing where it cannot."""
    try:
        from runtimeinfo_conformance._commands import app
    except ModuleNotFoundError as error:
        if error.name in {"typer", "rich", "hypothesis", "pytest"}:
            sys.exit(f"{_NEEDS} ({error.name} is not installed)")
        raise
    app()
