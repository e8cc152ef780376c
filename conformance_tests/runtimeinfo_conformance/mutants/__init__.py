"""Deliberate faults, which the kit inserts into any runner, any hub, and the reference reducer."""

from runtimeinfo_conformance.mutants._automatic import UNNOTICEABLE, automatic_mutants
from runtimeinfo_conformance.mutants._hub import HUB_MUTANTS, HubMutant
from runtimeinfo_conformance.mutants._mutant import Mutant
from runtimeinfo_conformance.mutants._reducer import REDUCE_MUTANTS, ReduceMutant
from runtimeinfo_conformance.mutants._runner import RUNNER_MUTANTS

__all__ = [
    "HUB_MUTANTS",
    "REDUCE_MUTANTS",
    "RUNNER_MUTANTS",
    "UNNOTICEABLE",
    "HubMutant",
    "Mutant",
    "ReduceMutant",
    "automatic_mutants",
]
