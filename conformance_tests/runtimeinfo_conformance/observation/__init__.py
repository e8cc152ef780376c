"""Run a subject on a plan, and observe it from around the runner, never from inside."""

from runtimeinfo_conformance.observation._execution import HOOK_ORDERS, PROBES, Watching, execute
from runtimeinfo_conformance.observation._model import Correction, RunModel, correct
from runtimeinfo_conformance.observation._observation import (
    Answer,
    Expectation,
    Glance,
    Leg,
    Look,
    Read,
    Record,
    Sighting,
    Situation,
)
from runtimeinfo_conformance.observation._recorder import Probe, Recorder
from runtimeinfo_conformance.observation._shared_view import SharedView, SharedViewReader
from runtimeinfo_conformance.observation._user_hooks import make_hook, observer_of

__all__ = [
    "HOOK_ORDERS",
    "PROBES",
    "Answer",
    "Correction",
    "Expectation",
    "Glance",
    "Leg",
    "Look",
    "Probe",
    "Read",
    "Record",
    "Recorder",
    "RunModel",
    "SharedView",
    "SharedViewReader",
    "Sighting",
    "Situation",
    "Watching",
    "correct",
    "execute",
    "make_hook",
    "observer_of",
]
