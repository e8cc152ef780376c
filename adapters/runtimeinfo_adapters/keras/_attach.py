"""Guarding a model: its `fit` and `evaluate` are wrapped."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from runtimeinfo import MessageHub, RunnerError, use_hub
from runtimeinfo.authoring import Config, describe
from runtimeinfo_adapters.keras._callback import RuntimeInfoCallback
from runtimeinfo_adapters.keras._untyped import Callback, keras


def attach(
    model: Any,
    *,
    optimizers: Mapping[str, Any] | None = None,
    alone: Literal["val", "test"] = "test",
    hub: MessageHub | None = None,
    hooks: Iterable[object] = (),
    cfg: Config | Mapping[str, Any] | str | None = None,
    seed: int | None = None,
    experiment_name: str | None = None,
) -> RuntimeInfoCallback:
    """Make a model publish through this protocol, whoever calls its `fit` and `evaluate`.

    Each call gets the callback, before those of the user; an exception that leaves it closes all scopes.

    Args:
        model: The model. If it was attached before, that ends.
        optimizers: As for `RuntimeInfoCallback`, like all that follow.
        alone: What an `evaluate` outside of `fit` is.
        hub: Where to publish.
        hooks: More hooks.
        cfg: The configuration.
        seed: The random seed.
        experiment_name: The name of the experiment.

    Returns:
        The callback. There is no need to hand it to `fit`.

    Raises:
        RunnerError: If it is no model, or `alone` is no role.
        HookError: If a hook cannot be registered.

    Source: LIFE-01, LIFE-15, FAIL-01 to FAIL-06.
    """
    if not isinstance(model, keras.Model):
        raise RunnerError(f"model must be a model of Keras, but is {describe(model)}: pass the one to be trained")
    callback = RuntimeInfoCallback(
        optimizers=optimizers,
        alone=alone,
        hub=hub,
        hooks=hooks,
        cfg=cfg,
        seed=seed,
        experiment_name=experiment_name,
    )
    callback.is_guarded = True
    callback.runner.model = model
    for name in ("fit", "evaluate"):
        method = getattr(model, name)
        method = method.__dict__.get("unguarded", method)
        setattr(model, name, _guard(callback, name, method))
    return callback


class _IterationBegin(Callback):
    """Begins an iteration when all other callbacks have set the learning rate."""

    def __init__(self, callback: RuntimeInfoCallback) -> None:
        super().__init__()
        self._callback = callback

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Begin it."""
        self._callback.begin_iteration(batch)


def _guard(callback: RuntimeInfoCallback, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(method)
    publisher = callback.publisher

    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        scopes = publisher.lifecycle.open_scopes
        bound = signature.bind(*args, **kwargs)
        given = bound.arguments.get("callbacks")
        # The validation of `fit` has the callbacks of `fit`; and no evaluation nests in another one.
        if isinstance(given, keras.callbacks.CallbackList) or "val" in scopes or "test" in scopes:
            return method(*args, **kwargs)
        others = [each for each in keras.tree.flatten(given or []) if each is not callback]
        last = [_IterationBegin(callback)] if name == "fit" else []
        bound.arguments["callbacks"] = [callback, *others, *last]
        callback.calls.append(name)
        with use_hub(callback.message_hub):
            try:
                if not scopes:
                    callback.begin_run(bound.arguments.get("x"), bound.arguments.get("initial_epoch", 0))
                result = method(*bound.args, **bound.kwargs)
                if not scopes:
                    publisher.emit("after_run")
            except BaseException as error:
                publisher.abort(error, keep=len(scopes))
                raise
            finally:
                callback.calls.pop()
        return result

    guarded.__dict__["unguarded"] = method
    return guarded
