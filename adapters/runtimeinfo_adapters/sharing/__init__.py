"""Sharing a hub with other processes: the writer's side of `runtimeinfo.board`."""

from runtimeinfo_adapters.sharing._board import Board as Board
from runtimeinfo_adapters.sharing._sharing import SHARE_VARIABLE as SHARE_VARIABLE
from runtimeinfo_adapters.sharing._sharing import Sharing as Sharing
from runtimeinfo_adapters.sharing._sharing_hook import SharingHook as SharingHook
