"""The wrapper: what a Trainer tells no callback, taken from its methods."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, cast

import torch

from runtimeinfo import MessageHub, RunnerError, use_hub
from runtimeinfo.authoring import describe, is_scalar
from runtimeinfo_adapters._detached import detached
from runtimeinfo_adapters.transformers._callback import RuntimeInfoCallback
from runtimeinfo_adapters.transformers._runner import transformers

_Method = Callable[..., Any]


def attach(trainer: Any, *, hub: MessageHub | None = None, hooks: Iterable[object] = ()) -> RuntimeInfoCallback:
    """Make a Trainer that was built already publish through this protocol.

    A `RuntimeInfoCallback` is registered before all other callbacks, so that they find its information in the hub;
    one that the Trainer already has is taken out. The methods of this one trainer that train and evaluate are wrapped:
    `train`, `evaluate`, `predict`, `evaluation_loop`, `prediction_step`, `training_step` and `compute_loss`.

    Each call of `train` is a run of its own, which starts the counters anew unless it resumes, and appends to the
    histories of the same hub. So is a lone `evaluate`, which validates, and `predict`, which tests.

    Published of an iteration are ``loss``, not divided by the accumulation, and every other scalar that the model
    returns by name.

    Args:
        trainer: The Trainer, or one of a subclass.
        hub: As for `RuntimeInfoCallback`.
        hooks: As for `RuntimeInfoCallback`.

    Returns:
        The callback, registered.

    Raises:
        RunnerError: If it is no Trainer.
        HookError: As for `RuntimeInfoCallback`.

    Source: LIFE-01 to LIFE-09, LIFE-15, FAIL-01 to FAIL-06.
    """
    if not isinstance(trainer, transformers.Trainer):
        raise RunnerError(
            f"attach() takes a transformers.Trainer, but got {describe(trainer)}: pass the one to be trained"
        )
    callback = RuntimeInfoCallback(hub, hooks)
    callback.is_attached = True
    while trainer.pop_callback(RuntimeInfoCallback) is not None:
        pass
    trainer.add_callback(callback)
    registered = trainer.callback_handler.callbacks
    registered.insert(0, registered.pop())
    _Attachment(trainer, callback).wrap()
    return callback


class _Attachment:
    """What stands around the methods of one trainer."""

    def __init__(self, trainer: Any, callback: RuntimeInfoCallback) -> None:
        self.trainer = trainer
        self.callback = callback
        self.publisher = callback.publisher
        self._computes_loss = False  # this step has called compute_loss

    def wrap(self) -> None:
        """Put a wrapper in the place of each method, unless one is missing."""
        evaluating = {
            "evaluate": functools.partial(self._evaluate, stage="val"),
            "predict": functools.partial(self._evaluate, stage="test"),
        }
        wrappers: dict[str, _Method] = {
            "train": self._train,
            "_inner_training_loop": self._attempt,
            "training_step": self._training_step,
            "compute_loss": self._compute_loss,
            "evaluation_loop": self._evaluation_loop,
            "prediction_step": self._prediction_step,
            **evaluating,
        }
        for name, wrapper in wrappers.items():
            method = getattr(self.trainer, name, None)
            if callable(method):
                # What another attachment has put there goes.
                original = getattr(method, "runtimeinfo_inside", method)
                setattr(self.trainer, name, _wrapped(original, wrapper))

    @contextmanager
    def _scope(self, scope: str) -> Generator[None]:
        """Frame a scope: an exception that leaves it closes what was opened inside."""
        outside = len(self.publisher.lifecycle.open_scopes)
        try:
            self.publisher.emit(f"before_{scope}")
            yield
            self.publisher.emit(f"after_{scope}")
        except BaseException as error:
            self.publisher.abort(error, keep=outside)
            raise

    @contextmanager
    def _run(self) -> Generator[None]:
        self.callback.runner.identify(self.trainer.args)
        with use_hub(self.callback.message_hub), self._scope("run"):
            yield

    # -- training

    def _train(self, method: _Method, *args: Any, **kwargs: Any) -> Any:
        checkpoint = args[0] if args else kwargs.get("resume_from_checkpoint")
        if checkpoint is True:
            checkpoint = transformers.trainer_utils.get_last_checkpoint(self.trainer.args.output_dir)
        self.callback.resume_from = Path(checkpoint) if checkpoint else None
        with self._run():
            return method(*args, **kwargs)

    def _attempt(self, method: _Method, *args: Any, **kwargs: Any) -> Any:
        """Let the Trainer train: with `auto_find_batch_size` it does so again after it has run out of memory."""
        outside = len(self.publisher.lifecycle.open_scopes)
        try:
            return method(*args, **kwargs)
        except BaseException as error:
            self.publisher.abort(error, keep=outside)
            raise

    def _training_step(self, method: _Method, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.callback.is_open("train_epoch"):  # called by hand
            return method(model, inputs, *args, **kwargs)
        self.callback.begin_iteration(inputs)
        self._computes_loss = False
        outputs: dict[str, Any] = {}
        with _noting_outputs(model, outputs):
            loss = method(model, inputs, *args, **kwargs)
        # A step that makes no use of compute_loss may call its loss as it likes.
        if self._computes_loss or "loss" not in outputs:
            # Each batch is trained on with its share of the loss of all batches that make one optimizer step,
            # whether they share alike or by their numbers of items.
            outputs["loss"] = detached(loss) * getattr(self.trainer, "current_gradient_accumulation_steps", 1)
        self.callback.hand_out({name: value for name, value in outputs.items() if value is not None})
        return loss

    def _compute_loss(self, method: _Method, *args: Any, **kwargs: Any) -> Any:
        self._computes_loss = True
        return method(*args, **kwargs)

    # -- evaluation

    def _evaluate(self, method: _Method, *args: Any, stage: Literal["val", "test"], **kwargs: Any) -> Any:
        callback = self.callback
        outer = self._evaluation()
        if outer == stage:  # one of several data sets
            return method(*args, **kwargs)
        if outer is not None:  # as a part of how the outer one is made
            callback.is_muted, was_muted = True, callback.is_muted
            try:
                return method(*args, **kwargs)
            finally:
                callback.is_muted = was_muted
        with nullcontext() if callback.is_open("run") else self._run(), self._scope(stage):
            return method(*args, **kwargs)

    def _evaluation_loop(self, method: _Method, *args: Any, **kwargs: Any) -> Any:
        stage = self._evaluation()
        if stage is not None and not self.callback.is_muted:
            self.publisher.emit(f"before_{stage}_epoch")
        return method(*args, **kwargs)

    def _prediction_step(self, method: _Method, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        stage = self._evaluation()
        if stage is None or self.callback.is_muted:
            return method(model, inputs, *args, **kwargs)
        self.publisher.emit(f"before_{stage}_iter", data_batch=inputs)
        outputs = method(model, inputs, *args, **kwargs)
        self.publisher.emit(f"after_{stage}_iter", outputs=outputs)
        return outputs

    def _evaluation(self) -> Literal["val", "test"] | None:
        for stage in ("val", "test"):
            if self.callback.is_open(stage):
                return stage
        return None


def _wrapped(original: _Method, wrapper: _Method) -> _Method:
    # The Trainer asks one of them for its signature: `wraps` hands on that of the original.
    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    method.__dict__["runtimeinfo_inside"] = original
    return method


@contextmanager
def _noting_outputs(model: Any, outputs: dict[str, Any]) -> Generator[None]:
    """Note what a model returns by name, and None for what holds more than a value: hidden states, and the graph.

    Not its predictions: also a single one is no value of the training.
    """

    def note(_module: object, _inputs: object, returned: object) -> None:
        if isinstance(returned, Mapping):
            for name, value in cast("Mapping[Any, Any]", returned).items():
                if isinstance(name, str) and name != "logits":
                    outputs[name] = detached(value) if is_scalar(value) or isinstance(value, str | complex) else None

    # Around the outermost module, and for this call only: neither a compiled model nor a copy of it has a hook inside.
    handle = model.register_forward_hook(note) if isinstance(model, torch.nn.Module) else nullcontext()
    with handle:
        yield
