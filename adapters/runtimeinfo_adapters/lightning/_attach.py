"""Giving the callback to a trainer that was built already."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runtimeinfo import MessageHub, RunnerError
from runtimeinfo.authoring import Config
from runtimeinfo_adapters.lightning._callback import RuntimeInfoCallback

_ENTRIES = ("fit", "validate", "test", "predict")


def attach(
    trainer: Any,
    *,
    hub: MessageHub | None = None,
    hooks: Iterable[object] = (),
    cfg: Config | Mapping[str, Any] | str | None = None,
    seed: int | None = None,
    experiment_name: str | None = None,
    optimizer_names: Iterable[str] = (),
) -> RuntimeInfoCallback:
    """Make a trainer that was built already publish through this protocol.

    The callback becomes its first one; another one of this class is taken out. Its `fit`, `validate`, `test` and
    `predict` are wrapped: Lightning turns a KeyboardInterrupt into SystemExit(1), and after one that came before
    the training it ignores every further Ctrl-C. Here the KeyboardInterrupt comes out as it was, and
    Ctrl-C goes on to work.

    Args:
        trainer: A Lightning trainer.
        hub: As for `RuntimeInfoCallback`.
        hooks: As for `RuntimeInfoCallback`.
        cfg: As for `RuntimeInfoCallback`.
        seed: As for `RuntimeInfoCallback`.
        experiment_name: As for `RuntimeInfoCallback`.
        optimizer_names: As for `RuntimeInfoCallback`.

    Returns:
        The callback.

    Raises:
        RunnerError: If it is no trainer: it lacks one of these methods, or the callbacks.
        HookError: As for `RuntimeInfoCallback`.

    Source: LIFE-01, FAIL-01.
    """
    lacking = [name for name in _ENTRIES if not callable(getattr(trainer, name, None))]
    if lacking or not isinstance(getattr(trainer, "callbacks", None), list):
        missing = f"{lacking[0]}()" if lacking else "list of callbacks"
        raise RunnerError(f"{type(trainer).__name__} has no {missing}, which Lightning's Trainer has: pass a Trainer")
    callback = RuntimeInfoCallback(
        hub=hub, hooks=hooks, cfg=cfg, seed=seed, experiment_name=experiment_name, optimizer_names=optimizer_names
    )
    trainer.callbacks[:] = [
        callback,
        *(other for other in trainer.callbacks if not isinstance(other, RuntimeInfoCallback)),
    ]
    for name in _ENTRIES:
        entry = getattr(trainer, name)
        setattr(trainer, name, _guard(callback, getattr(entry, "guarded", entry)))
    return callback


def _guard(callback: RuntimeInfoCallback, entry: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an entry of the trainer, so that what was raised inside comes out of it."""

    @functools.wraps(entry)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        callback.was_interrupted = False
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        try:
            return entry(*args, **kwargs)
        except BaseException as error:
            # An exit that the user has made of an interrupt is one of which Lightning tells, and stays one.
            is_replaced = callback.was_interrupted and isinstance(error, SystemExit)
            interrupt = error.__context__ if is_replaced else None
            # Nothing is open any more, unless the callback has not heard: one before it has failed at this very error.
            callback.abort(interrupt or error)
            if interrupt is None:
                raise
        # Outside of the handler: this is the interrupt itself, and not one that SystemExit has led to.
        if threading.current_thread() is threading.main_thread() and on_ctrl_c is not None:
            signal.signal(signal.SIGINT, on_ctrl_c)
        raise interrupt

    guarded.__dict__["guarded"] = entry
    return guarded
