"""Ending a command."""

from __future__ import annotations


class Leave(SystemExit):
    """End with an exit code of ours. What the parser of the command line raises is another SystemExit."""
