"""The reference hub and its histories."""

from runtimeinfo_adapters.hub._message_hub import MessageHub, UnsavedInfoWarning
from runtimeinfo_adapters.hub._scalar_history import ScalarHistory

__all__ = ["MessageHub", "ScalarHistory", "UnsavedInfoWarning"]
