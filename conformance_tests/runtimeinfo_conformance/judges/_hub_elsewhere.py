"""Load the state of a hub in another interpreter."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtimeinfo import MessageHub
from runtimeinfo_conformance.judges._hub_model import HubModel, contents
from runtimeinfo_conformance.ranks._rank import PickledFunction, RanksError

_TIMEOUT = 60.0  # seconds; another interpreter loads the hub's package first

_CHILD = """
import os, pickle, sys
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # output printed while modules load must not get into the answer
sys.path[:] = pickle.load(sys.stdin.buffer)
from runtimeinfo_conformance.judges._hub_elsewhere import answer_elsewhere
answers.write(answer_elsewhere(sys.stdin.buffer.read()))
answers.close()
"""


@dataclass(frozen=True)
class _Job:
    """Input of the other interpreter: the pickled state, and the hub's factory if it can be pickled."""

    state: bytes
    make: PickledFunction | None


class ElsewhereError(Exception):
    """Another interpreter could not load the state."""


def load_elsewhere(make: Callable[[str], MessageHub], state: bytes) -> HubModel:
    """Load a pickled state into a new hub in another interpreter, and return the hub's contents.

    If `make` cannot be pickled, because it is local to a function, only the state goes there and back.

    Raises:
        ElsewhereError: If the other interpreter fails. Carries its last line of output.
    """
    job = _Job(state, _pickled(make))
    given = pickle.dumps(sys.path) + pickle.dumps(job)
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter
            [sys.executable, "-c", _CHILD], input=given, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ElsewhereError(f"no answer within {_TIMEOUT:.0f} s") from None
    if done.returncode:
        raise ElsewhereError(_last_line(done.stderr) or f"exit status {done.returncode}")
    answer = pickle.loads(done.stdout)  # noqa: S301  # of a process that was started for it
    if isinstance(answer, HubModel):
        return answer
    hub = make("conformance-elsewhere")
    hub.load_state_dict(pickle.loads(answer))  # noqa: S301  # likewise
    return contents(hub)


def answer_elsewhere(given: bytes) -> bytes:
    """Load the state of a job here, and return the pickled contents of the hub, or the pickled state again."""
    job: _Job = pickle.loads(given)  # noqa: S301  # this process was started for it
    if job.make is None:
        return pickle.dumps(pickle.dumps(pickle.loads(job.state)))  # noqa: S301  # likewise
    make: Any = job.make.load()
    hub = make("conformance-elsewhere")
    hub.load_state_dict(pickle.loads(job.state))  # noqa: S301  # likewise
    return pickle.dumps(contents(hub))


def _pickled(make: Any) -> PickledFunction | None:
    try:
        pickled = PickledFunction.of(make)
    except RanksError:
        return None
    # The other interpreter would run a `__main__` script a second time.
    return None if pickled.module == "__main__" else pickled


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
