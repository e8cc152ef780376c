"""mmengine's own hub as a subject: the hub that the protocol is derived from, as it is."""

from __future__ import annotations

from mmengine import __version__
from mmengine.logging import MessageHub

from runtimeinfo_conformance._subject import HubSubject


def make(name: str) -> MessageHub:
    """Return a new hub, which no name finds."""
    return MessageHub(name)


def subject() -> HubSubject:
    """Return the subject."""
    return HubSubject("mmengine's MessageHub", __version__, make=make)
