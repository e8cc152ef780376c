"""Guards around the code under test: it runs in the kit's own process, and may do there whatever it likes."""

from runtimeinfo_conformance.guards._alarm import Hung
from runtimeinfo_conformance.guards._exits import Exited
from runtimeinfo_conformance.guards._guard import HANG_SECONDS, Guard, Watch
from runtimeinfo_conformance.guards._misbehaviour import Misbehaviour, SubjectMisbehaved
from runtimeinfo_conformance.guards._place import is_of_kit

__all__ = ["HANG_SECONDS", "Exited", "Guard", "Hung", "Misbehaviour", "SubjectMisbehaved", "Watch", "is_of_kit"]
