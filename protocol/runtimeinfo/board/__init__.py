"""The board: a file in memory on which a run shows where it is, for other processes of the same user.

What writes a board is the hub: see `runtimeinfo_adapters.MessageHub.share`. Another hub can write boards too: the
layout (`runtimeinfo.board.layout`), how infos are written (`runtimeinfo.board.text`) and how a process is told from
a later one with its id (`runtimeinfo.board.process`) are part of the spec.
"""

from runtimeinfo._errors import BoardError as BoardError
from runtimeinfo.board._folder import FOLDER_VARIABLE as FOLDER_VARIABLE
from runtimeinfo.board._folder import board_files as board_files
from runtimeinfo.board._folder import board_folder as board_folder
from runtimeinfo.board._folder import board_name as board_name
from runtimeinfo.board._folder import make_board_folder as make_board_folder
from runtimeinfo.board._folder import open_unfollowed as open_unfollowed
from runtimeinfo.board._folder import pid_in as pid_in
from runtimeinfo.board._reader import BoardFinder as BoardFinder
from runtimeinfo.board._reader import BoardReader as BoardReader
from runtimeinfo.board._reader import LatestValue as LatestValue
from runtimeinfo.board._reader import Position as Position
from runtimeinfo.board._reader import UnsharedWarning as UnsharedWarning
from runtimeinfo.board._reader import find_board as find_board
from runtimeinfo.board._snapshot import BoardScalar as BoardScalar
from runtimeinfo.board._snapshot import BoardSnapshot as BoardSnapshot
from runtimeinfo.board._snapshot import read_board as read_board
from runtimeinfo.board._snapshot import read_open_board as read_open_board
from runtimeinfo.board.process import is_elsewhere as is_elsewhere
from runtimeinfo.board.process import is_writer_alive as is_writer_alive
