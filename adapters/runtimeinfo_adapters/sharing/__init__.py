"""Sharing a hub with other processes: the writer of the boards that `runtimeinfo.board` reads."""

from runtimeinfo_adapters.sharing._board import Board
from runtimeinfo_adapters.sharing._sharing import SHARE_VARIABLE, Sharing, claim_workers
from runtimeinfo_adapters.sharing._sharing_hook import SharingHook

__all__ = ["SHARE_VARIABLE", "Board", "Sharing", "SharingHook", "claim_workers"]
