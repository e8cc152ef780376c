"""Guards around the code under test, which runs in the process of the kit and can do anything there."""

from runtimeinfo_conformance.guards._guard import HANG_SECONDS, Guard, Watch
from runtimeinfo_conformance.guards._misbehaviour import Misbehaviour, SubjectMisbehaved, is_of_kit
from runtimeinfo_conformance.guards._replacements import Exited
from runtimeinfo_conformance.guards._signals import Hung

__all__ = ["HANG_SECONDS", "Exited", "Guard", "Hung", "Misbehaviour", "SubjectMisbehaved", "Watch", "is_of_kit"]
