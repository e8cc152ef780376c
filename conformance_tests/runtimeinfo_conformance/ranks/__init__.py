"""Real ranks, processes of this machine, for what reduces over them."""

from runtimeinfo_conformance.ranks._parcel import RanksError, Reduce
from runtimeinfo_conformance.ranks._rank import Answer
from runtimeinfo_conformance.ranks._ranks import shared_ranks

__all__ = ["Answer", "RanksError", "Reduce", "shared_ranks"]
