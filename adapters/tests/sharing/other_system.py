"""Train and read a board on another system, of which everything is simulated that Linux has and it has not.

Run as ``other_system.py macOS`` or ``other_system.py Windows``: a training under `Loop`, and a second process that
reads its board. What is missing there is taken away before this project is imported. Prints what both have seen.
"""

from __future__ import annotations

import mmap
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

MISSING = {
    "macOS": ["posix_fallocate", "posix_fadvise"],
    "Windows": [
        *("posix_fallocate", "pread", "pwrite", "geteuid", "getuid", "getegid", "getgid", "fchmod", "fchown", "chown"),
        *("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "fork", "register_at_fork", "mkfifo"),
    ],
}


def simulate(system: str) -> None:
    """Take away what a system has not."""
    for name in MISSING[system]:
        if hasattr(os, name):
            delattr(os, name)
    real_stat, real_open, real_access, real_unlink, real_mmap = os.stat, open, os.access, os.unlink, mmap.mmap

    def only_here(path: Any) -> None:
        if str(path).startswith(("/proc", "/dev/shm")):
            raise FileNotFoundError(path)

    def stat_here(path: Any, **options: Any) -> os.stat_result:
        only_here(path)
        return real_stat(path, **options)

    def open_here(path: Any, *arguments: Any, **options: Any) -> Any:
        only_here(path)
        return real_open(path, *arguments, **options)

    os.stat = stat_here  # type: ignore[assignment]
    os.access = lambda path, *rest: not str(path).startswith("/dev/shm") and real_access(path, *rest)  # type: ignore[assignment]
    import io

    io.open = open_here  # type: ignore[assignment]
    if system != "Windows":
        return

    class WindowsMap(real_mmap):  # type: ignore[misc,valid-type]
        def __new__(cls, fileno: int, length: int, tagname: str | None = None, access: int = 0, offset: int = 0) -> Any:
            assert tagname is None
            return super().__new__(cls, fileno, length, access=access, offset=offset)

    def unlink_unused(path: Any, **options: Any) -> None:
        with real_open("/proc/self/maps") as maps:
            if any(line.rstrip().endswith(str(path)) for line in maps):
                raise PermissionError(13, "it is used by another process", str(path))
        real_unlink(path, **options)

    def kill(pid: int, signal: int) -> None:
        raise AssertionError(f"Windows would send Ctrl-C: {pid}, {signal}")

    mmap.mmap = WindowsMap  # type: ignore[misc,assignment]
    os.unlink = unlink_unused  # type: ignore[assignment]
    os.kill = kill
    os.umask(0)  # modes mean nothing


READER = """
import sys
sys.path.insert(0, {here!r})
import other_system
other_system.simulate({system!r})
from runtimeinfo.board import BoardReader, board_files, find_board, read_board
path = find_board({pid})
reader = BoardReader(path)
print(reader.get_info("iter"), reader.get_info("name"), reader.get_scalar("train/loss").current(), end=" ")
print(read_board(path).state, len(board_files()))
"""


def main(system: str) -> None:
    import torch  # noqa: F401  # it needs what is taken away

    simulate(system)
    from runtimeinfo import current_hub
    from runtimeinfo.board import board_folder
    from runtimeinfo_adapters.pytorch import Loop

    for _ in range(2):
        loop = Loop(train_loader=range(3), max_epochs=1)
        with loop.run():
            for number in loop.train():
                loop.log(loss=number / 2)
                loop.message_hub.update_info_dict({"name": "ünï", "max_epochs": 1})  # the losses come with the latter
                if number == 1:
                    here, pid = str(Path(__file__).parent), os.getpid()
                    code = READER.format(here=here, system=system, pid=pid)
                    print(
                        current_hub().get_info("iter"),
                        "|",
                        subprocess.check_output([sys.executable, "-c", code]).decode(),
                    )
    folder = board_folder()
    print(stat.S_ISDIR(folder.lstat().st_mode), list(folder.iterdir()))


if __name__ == "__main__":
    main(sys.argv[1])
