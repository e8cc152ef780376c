"""Train with the code of one source tree, as often as the standard input asks for it; see trees.py.

    python benchmarks/worker.py TREE

The first line of output names the files that `runtimeinfo` and `runtimeinfo_adapters` were imported from. Then each
line of input is a JSON list, framework, kind and iterations, and each line of output the durations of its iterations.
The tree's own benchmarks/frameworks.py does the training, because the names of an API differ from tree to tree; the
clock is that of this file's tree, for all of them.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from timing import Clock

import runtimeinfo
import runtimeinfo_adapters


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # frameworks print
    print(json.dumps([runtimeinfo.__file__, runtimeinfo_adapters.__file__]), file=answers, flush=True)
    module = _frameworks_of(Path(sys.argv[1]))
    made: dict[str, dict[str, Callable[[Clock], None]]] = {}
    for line in sys.stdin:
        framework, kind, iterations = json.loads(line)
        if framework not in made:
            # This name has to stay: earlier commits are asked by it too. `frameworks()` of theirs imports all of them.
            made[framework] = getattr(module, f"_{framework.lower()}")()
        print(json.dumps(durations(made[framework][kind], iterations)), file=answers, flush=True)


def durations(training: Callable[[Clock], None], iterations: int) -> list[float]:
    """Return the seconds of each iteration of one training."""
    gc.collect()  # what the window before left behind
    clock = Clock(iterations)
    with _silence():
        training(clock)
    return clock.durations()


def _frameworks_of(tree: Path) -> Any:
    spec = importlib.util.spec_from_file_location("frameworks", tree / "benchmarks" / "frameworks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


if __name__ == "__main__":
    main()
