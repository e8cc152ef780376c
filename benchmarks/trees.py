"""Source trees and the processes that train with them: a base commit in a worktree, and this tree."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from timing import Cost, in_turns

ROOT = Path(__file__).resolve().parent.parent
_WORKER = Path(__file__).with_name("worker.py")

Kind = tuple[str, str]
"""A tree's name and what is trained with it: bare, ours or own."""


class TreeError(Exception):
    """A source tree cannot be measured."""


class WrongTreeError(TreeError):
    """A process has imported a package from another tree than the one that it has to measure."""


class WorkerError(TreeError):
    """A process ended before its answer."""


class UnknownCommitError(TreeError):
    """The repository does not have this commit."""


def commit_id(name: str, root: Path = ROOT) -> str:
    """Return the whole id of a commit.

    Raises:
        UnknownCommitError: If there is no such commit.
    """
    command = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnknownCommitError(f"{name!r} is not a commit of {root}")
    return done.stdout.strip()


@contextlib.contextmanager
def checked_out(commit: str, root: Path = ROOT) -> Iterator[Path]:
    """Check a commit out into a temporary worktree, for as long as the context lasts."""
    git = ("git", "-C", str(root), "worktree")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve() / "tree"
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


class Worker:
    """A process that trains, or measures something else, with the code of one tree.

    Args:
        tree: The tree.
        script: What it runs. The first answer names the files of our packages, and each later one is to a request.

    Raises:
        WrongTreeError: If it imports `runtimeinfo` or `runtimeinfo_adapters` from elsewhere, on `check_tree`.
        WorkerError: If it ends before its answer.
    """

    def __init__(self, tree: Path, script: Path = _WORKER) -> None:
        self._tree = tree.resolve()
        # In front of what is installed: an editable installation names the tree that it was made from.
        paths = [str(self._tree / "protocol"), str(self._tree / "adapters"), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(self._tree)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )

    def check_tree(self) -> None:
        """Wait until the packages are imported, and check where they come from."""
        for path in self._answer():
            if not Path(path).resolve().is_relative_to(self._tree):
                raise WrongTreeError(f"{path} was imported, which is not in {self._tree}")

    def train(self, framework: str, kind: str, iterations: int) -> list[float]:
        """Return the seconds of each iteration of one training."""
        answer: list[float] = self.ask([framework, kind, iterations])
        return answer

    def ask(self, request: Any) -> Any:
        """Return the answer to a request; both are JSON."""
        print(json.dumps(request), file=_open(self._process.stdin), flush=True)
        return self._answer()

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            _open(self._process.stdin).close()
        self._process.wait()
        _open(self._process.stdout).close()

    def _answer(self) -> Any:
        line = _open(self._process.stdout).readline()
        if not line:
            raise WorkerError(f"the process that trains with {self._tree} ended with {self._process.wait()}")
        return json.loads(line)


def costs(
    frameworks: Sequence[str],
    trees: Mapping[str, Path],
    kinds: Sequence[Kind],
    *,
    iterations: int,
    rounds: int,
    processes: int,
) -> dict[str, dict[Kind, Cost]]:
    """Train with each tree in turns, and return what an iteration costs in each framework, with each kind.

    Each tree has one process at a time, for all of these frameworks, and the windows of all trees are interleaved in
    rounds. So many times all processes are replaced by new ones: where the code and the objects of a process lie in
    memory changes its speed by some percent.
    """
    durations: dict[str, dict[Kind, list[list[float]]]] = {
        framework: {kind: [] for kind in kinds} for framework in frameworks
    }
    for _ in range(processes):
        with contextlib.ExitStack() as stack:
            workers = {name: Worker(tree) for name, tree in trees.items()}
            for worker in workers.values():
                stack.callback(worker.close)
            for worker in workers.values():
                worker.check_tree()
            for framework, so_far in durations.items():
                windows = {
                    (tree, kind): partial(workers[tree].train, framework, kind, iterations) for tree, kind in kinds
                }
                in_turns(windows, 1)  # the first trainings import, and fill caches
                for kind, taken in in_turns(windows, rounds).items():
                    so_far[kind] += taken
    return {framework: {kind: Cost.of(taken) for kind, taken in each.items()} for framework, each in durations.items()}


def _open(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
