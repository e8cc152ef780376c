"""The reference hub, the histories of its scalars, and its saved state."""

from runtimeinfo_adapters.hub._message_hub import MessageHub
from runtimeinfo_adapters.hub._scalar_history import ScalarHistory
from runtimeinfo_adapters.hub._state import UnsavedInfoWarning

__all__ = ["MessageHub", "ScalarHistory", "UnsavedInfoWarning"]
