"""The reference hub as a subject."""

from __future__ import annotations

from runtimeinfo import __version__
from runtimeinfo_adapters import MessageHub
from runtimeinfo_conformance._subject import HubSubject


def subject() -> HubSubject:
    """Return the subject."""
    return HubSubject("reference hub", __version__, make=MessageHub)
