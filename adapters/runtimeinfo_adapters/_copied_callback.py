"""Copies of a callback that a library makes, one for each training: they publish for the user's callback."""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

from runtimeinfo_adapters._adapter import FrameworkRunner

C = TypeVar("C")


def copy_callback(
    callback: C, runner: FrameworkRunner, memo: dict[int, Any], *, is_attached: bool, trainers: tuple[type, ...]
) -> C:
    """Return a deep copy of a callback, for its ``__deepcopy__``.

    A library that trains several times copies the callbacks that it was given, and the user holds the original. So a
    callback that has trained nothing by itself is a template: its copies share the hub and the hooks. If no hub was
    given, each training still has its own, and the template's `message_hub` is the latest one's. Anything else makes
    an independent copy: of a callback that has trained, of one that belongs to a trainer, because it is attached or
    is copied with it, and a pickled one.

    Args:
        callback: The callback.
        runner: Its runner view.
        memo: What has been copied so far.
        is_attached: Whether the callback is attached.
        trainers: The classes whose objects train.

    Source: LIFE-10.
    """
    belongs_to_trainer = is_attached or any(isinstance(each, trainers) for each in memo.values())
    is_template = runner.is_template and not belongs_to_trainer
    if is_template:
        memo.update({id(each): each for each in runner.shared_with_copies()})
    make, arguments, state, *_ = cast("tuple[Any, ...]", callback.__reduce_ex__(4))
    twin = memo[id(callback)] = make(*arguments)
    cast("dict[str, Any]", vars(twin)).update(copy.deepcopy(state, memo))
    if is_template:
        memo[id(runner)].stand_in_for(runner)
    return cast("C", twin)
