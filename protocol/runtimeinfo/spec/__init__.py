"""The spec as data: the grammar of a run, the automaton over it, the capabilities, the numbered requirements."""

from runtimeinfo._version import SPEC_VERSION, SPEC_VERSIONS
from runtimeinfo.spec._capabilities import CAPABILITIES
from runtimeinfo.spec._grammar import ABORT, CLOSES, EVENTS, FREE_EVENTS, GRAMMAR, HOOK_POINTS, OPENS, Scope
from runtimeinfo.spec._inferred import INFERRED_RULES, INFERRED_VALUES
from runtimeinfo.spec._lifecycle import START, Lifecycle, Origin, Position, Step
from runtimeinfo.spec._requirements import REQUIREMENTS
from runtimeinfo.spec._requirements._rule import Level, Party, Requirement

__all__ = [
    "ABORT",
    "CAPABILITIES",
    "CLOSES",
    "EVENTS",
    "FREE_EVENTS",
    "GRAMMAR",
    "HOOK_POINTS",
    "INFERRED_RULES",
    "INFERRED_VALUES",
    "OPENS",
    "REQUIREMENTS",
    "SPEC_VERSION",
    "SPEC_VERSIONS",
    "START",
    "Level",
    "Lifecycle",
    "Origin",
    "Party",
    "Position",
    "Requirement",
    "Scope",
    "Step",
]
