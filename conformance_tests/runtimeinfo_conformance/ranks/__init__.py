"""Real ranks, as processes of this machine, for functions that reduce over them."""

from runtimeinfo_conformance.ranks._rank import Answer, RanksError, Reduce
from runtimeinfo_conformance.ranks._ranks import shared_ranks

__all__ = ["Answer", "RanksError", "Reduce", "shared_ranks"]
