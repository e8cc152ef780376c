"""Start a script, a module or a command, so that its trainings are published without a change in them.

A fresh interpreter takes the place of this process; the script does not run in this one. So its exit code, signals,
stdin, tracebacks, `sys.argv` and ``__main__`` are Python's own, and its children inherit the instrumentation through
the environment. This needs the base installation alone, and imports little: each start waits for it.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False  # to import it from typing would take longer than all else here
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VARIABLE = "RUNTIMEINFO_AUTOPUBLISH"
"""The environment variable that turns it on; 0 turns it off in what is started with it."""

# As in a shell, and as in `_verdict.EX_USAGE`, whose module needs numpy.
_NOT_FOUND, _NOT_STARTED, _USAGE = 127, 126, 64

# The options with which Python does not look at PYTHONPATH, or does not load sitecustomize.
_ISOLATING = frozenset("EIS")


class LaunchError(Exception):
    """Nothing was started.

    Attributes:
        code: The exit code to end with.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def launch(words: Sequence[str]) -> int:
    """Turn this process into what the words start. Where a system cannot do that, return the exit code of a child.

    Args:
        words: A script with its arguments; options of Python, such as ``-m``, with what belongs to them; or another
            command with its arguments.

    Raises:
        LaunchError: If nothing was started.
    """
    words = list(words[1:] if words[:1] == ["--"] else words)
    if not words:
        raise LaunchError("there is nothing to run: give a script, as in `runtimeinfo run train.py`", _USAGE)
    _refuse_isolation(words)
    environment = instrumented(os.environ)
    python = [sys.executable, *words]
    if words[0].startswith("-") or words[0].endswith((".py", ".pyw")):
        return _start(python, environment)
    beside = os.path.join(os.path.dirname(sys.executable), words[0])  # noqa: PTH118, PTH120  # pathlib is slow to import
    candidates = [words, [beside, *words[1:]]]
    if os.path.exists(words[0]):  # noqa: PTH110
        candidates.append(python)
    errors: list[OSError] = []
    for candidate in candidates:
        try:
            return _start(candidate, environment)
        except OSError as error:
            errors.append(error)
    if isinstance(errors[0], FileNotFoundError):
        raise LaunchError(
            f"there is no command {words[0]!r}, and no file: give a script, -m and a module, or a command", _NOT_FOUND
        )
    raise LaunchError(f"{words[0]!r} cannot be started ({errors[0].strerror}): give a command that can", _NOT_STARTED)


def instrumented(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of an environment in which each Python publishes its trainings."""
    package = PathFinder.find_spec("runtimeinfo_adapters")
    if package is None or not package.submodule_search_locations:
        raise LaunchError("runtimeinfo_adapters is not installed: install runtimeinfo again", _NOT_STARTED)
    folder = os.path.join(os.path.abspath(package.submodule_search_locations[0]), "autopublish", "_site")  # noqa: PTH100, PTH118
    given = environment.get("PYTHONPATH")  # an empty one is none, and an empty entry is the working directory
    entries = [entry for entry in given.split(os.pathsep) if entry != folder] if given else []
    return {**environment, VARIABLE: "1", "PYTHONPATH": os.pathsep.join([folder, *entries])}


def _refuse_isolation(words: Sequence[str]) -> None:
    for word in words:
        if not word.startswith("-") or word.startswith("--"):
            return
        for option in word[1:]:
            if option in "cm":
                return
            if option in "WX":  # the rest of the word is its value, or the next word is
                break
            if option in _ISOLATING:
                raise LaunchError(f"Python's -{option} keeps it from what publishes: leave that option out", _USAGE)


def _start(words: list[str], environment: Mapping[str, str]) -> int:
    if os.name != "nt":
        # This interpreter ignores them, and what it becomes would inherit that.
        for name in ("SIGPIPE", "SIGXFSZ"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        os.execvpe(words[0], words, environment)  # noqa: S606
    import subprocess

    # What exec starts on Windows has no parent, and the shell does not wait for it.
    with subprocess.Popen(words, env=environment) as child:  # noqa: S603
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue  # the child has it, too
