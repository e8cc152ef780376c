"""The text that tells one run from every other one."""

from __future__ import annotations

import os
import re
import uuid

from runtimeinfo import HubError
from runtimeinfo.authoring import hub_number, shown

RUN_ID_VARIABLE = "RUNTIMEINFO_RUN_ID"
"""The environment variable with the run id of each hub that a process creates."""

IS_A_RUN_ID = "1 to 128 letters, digits, '_', '.' and '-' of ASCII, of which the first is a letter or a digit"

# File names, URLs and the tools that keep runs take this: W&B refuses "/", "#" and others, for example.
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")

# By the number of the hub: it may not be hashable.
_of_other_hubs: dict[int, str] = {}


def is_run_id(value: object) -> bool:
    """Return whether a value can be a run id."""
    return isinstance(value, str) and _RUN_ID.fullmatch(value) is not None


def given_run_id(argument: object) -> str | None:
    """Return the run id of an argument, otherwise the environment's, or None.

    Raises:
        HubError: If what is given cannot be a run id.
    """
    if argument is not None:
        return checked_run_id("run_id", argument)
    from_environment = os.environ.get(RUN_ID_VARIABLE)
    return checked_run_id(RUN_ID_VARIABLE, from_environment) if from_environment else None


def random_run_id() -> str:
    """Return a run id that no other run has: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def run_id_of(hub: object) -> str:
    """Return the run id of a hub; of one that has none, such as mmengine's, the same one throughout this process.

    Raises:
        HubError: If the environment's value cannot be one.
    """
    run_id = getattr(hub, "run_id", None)
    if isinstance(run_id, str):
        return run_id
    return _of_other_hubs.setdefault(hub_number(hub) or -id(hub), given_run_id(None) or random_run_id())


def checked_run_id(name: str, run_id: object) -> str:
    """Return a run id that was given under a name.

    Raises:
        HubError: If it cannot be one.
    """
    if isinstance(run_id, str) and is_run_id(run_id):
        return run_id
    raise HubError(f"{name} must be {IS_A_RUN_ID}, but is {shown(run_id)}: give such a text, or none for a random one")
