"""The board: a file in memory by which other processes of the same user see where a run is.

A hub writes the board: see `runtimeinfo_adapters.MessageHub.share`. Another hub can write boards as well. The layout
(`runtimeinfo.board.layout`), infos as JSON (`runtimeinfo.board.text`) and the identity of a process
(`runtimeinfo.board.process`) are part of the spec.
"""

from runtimeinfo.board._folder import (
    FOLDER_VARIABLE,
    board_files,
    board_folder,
    board_name,
    make_board_folder,
    pid_in,
)
from runtimeinfo.board._identity import CHECK_VARIABLE, JOB_VARIABLE, BoardIdentity
from runtimeinfo.board._open_board import read_board
from runtimeinfo.board._reader import BoardFinder, BoardReader, LatestValue, Position, UnsharedWarning, find_board
from runtimeinfo.board._snapshot import BoardScalar, BoardSnapshot

__all__ = [
    "CHECK_VARIABLE",
    "FOLDER_VARIABLE",
    "JOB_VARIABLE",
    "BoardFinder",
    "BoardIdentity",
    "BoardReader",
    "BoardScalar",
    "BoardSnapshot",
    "LatestValue",
    "Position",
    "UnsharedWarning",
    "board_files",
    "board_folder",
    "board_name",
    "find_board",
    "make_board_folder",
    "pid_in",
    "read_board",
]
