"""mmengine's own hub as a subject: the hub that the protocol is derived from, as it is."""

from __future__ import annotations

from typing import Any

import mmengine  # pyright: ignore[reportMissingTypeStubs]
from mmengine.logging import MessageHub  # pyright: ignore[reportMissingTypeStubs]

from runtimeinfo_conformance._subject import HubSubject


def make(name: str) -> Any:
    """Return a new hub, which no name finds; it lacks two members of the protocol."""
    return MessageHub(name)


def subject() -> HubSubject:
    """Return the subject."""
    return HubSubject("mmengine's MessageHub", mmengine.__version__, make=make)
