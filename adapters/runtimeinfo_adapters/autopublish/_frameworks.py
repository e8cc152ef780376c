"""Attach to the trainings of frameworks by themselves, for the time in which one of their entries runs.

An *entry* is a method that trains or evaluates, such as ``Trainer.fit``. The one of the class is wrapped, so that
subclasses that override it are attached to where they call it. When it returns, the object is as it was: nothing of
this project is in its checkpoints, its pickles and its lists of callbacks. The callback is kept for the next call.

An entry publishes nothing where a hub is the current one already: the user publishes, or another framework does, which
uses this one.
"""

from __future__ import annotations

import functools
import importlib
import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MethodType, ModuleType
from typing import Any, cast

from runtimeinfo import InfoReader
from runtimeinfo._scopes import leave_hub, own_hub
from runtimeinfo.authoring import is_scalar
from runtimeinfo_adapters._adapter import WrappedMethod, wrapped_methods
from runtimeinfo_adapters.autopublish import _accelerate_loaders, _fastai_optimizers
from runtimeinfo_adapters.autopublish._guard import Part, hide_own_frames
from runtimeinfo_adapters.autopublish._guarded import guarded
from runtimeinfo_adapters.autopublish._ignite_roles import optimizers_of
from runtimeinfo_adapters.autopublish._silence import Silence
from runtimeinfo_adapters.autopublish._versions import is_tried_here

_Method = Callable[..., Any]

_SILENCE = Silence()


def publishing_hub() -> InfoReader | None:
    """Return the hub to which something publishes where this code runs. An inferred one gives way to a framework."""
    hub = own_hub()
    return None if hub is None or hub.get_info("inferred") else hub


class _Framework:
    """Attaches the adapter of one framework."""

    name: str
    """The module of the adapter, and its row in the table of frameworks."""

    label: str
    """What a warning calls the framework."""

    callback: str
    """The class in that module whose objects publish."""

    arounds: Mapping[str, int]
    """Its methods that stand around a method of the framework, with the place of that one among their arguments."""

    def __init__(self) -> None:
        self.part: Part = Part(f"the instrumentation of {self.label}")
        self._callbacks: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self.part.on_withdraw(self._give_up)

    def patch(self, owner: type, *entries: str) -> None:
        """Wrap entries of a class."""
        for name in entries:
            self.part.patch(owner, name, self._entry(owner, name, getattr(owner, name)))

    @functools.cached_property
    def adapter(self) -> Any:
        """The module of the adapter."""
        return importlib.import_module(f"runtimeinfo_adapters.{self.name}")

    @functools.cached_property
    def callback_class(self) -> type[Any]:
        """The class of the adapter, whose errors do not reach the training."""
        return self.guarded(getattr(self.adapter, self.callback), self.arounds, self._members())

    def guarded(self, kind: type[Any], arounds: Mapping[str, int], members: Mapping[str, Any]) -> type[Any]:
        """Return a guarded subclass, which pickles find in this module."""
        name = f"{self.name}_{kind.__name__}"
        return guarded(kind, self.part, arounds, members, (__name__, name))

    def _members(self) -> dict[str, Any]:
        """Return what the guarded class has in the place of members of the adapter's class."""
        return {}

    def _entry(self, owner: type, name: str, function: _Method) -> _Method:
        begin, end = self.part.guard(self._begin), self.part.guard(self._end)

        @functools.wraps(function)
        def entry(target: Any, *args: Any, **kwargs: Any) -> Any:
            method = MethodType(function, target)
            try:
                with _SILENCE:
                    around = begin(owner, target, name, (*args, *kwargs.values()))
                if around is None:
                    return method(*args, **kwargs)
                with _SILENCE:
                    try:
                        return around(method, *args, **kwargs)
                    finally:
                        end(target)
            except BaseException as error:
                hide_own_frames(error)
                raise

        return entry

    def _begin(self, owner: type, target: Any, name: str, arguments: tuple[Any, ...]) -> _Method | None:
        """Attach to a target, and return what calls a method of it through the adapter; None to leave it alone."""
        # What the user has attached has imported the adapter.
        is_loaded = f"runtimeinfo_adapters.{self.name}" in sys.modules
        if not self._is_free(target) or (is_loaded and self._is_attached(target, arguments)):
            return None
        if not is_tried_here(self.part, self.name, owner.__module__.partition(".")[0]):
            return None
        callback = self._callbacks.get(target)
        if callback is None:
            callback = self._make(target)
            if callback is None:
                return None
            self._callbacks[target] = callback
        return self._attach(callback, target, name)

    def _is_free(self, target: Any) -> bool:  # noqa: ARG002
        """Tell whether nothing else publishes."""
        return publishing_hub() is None

    def _is_attached(self, target: Any, arguments: tuple[Any, ...]) -> bool:  # noqa: ARG002
        """Tell whether the user has attached the adapter to a target, or registered its callback."""
        kind = getattr(self.adapter, self.callback)
        return any(isinstance(each, kind) for each in self._registered(target))

    def _registered(self, target: Any) -> list[Any]:
        """Return what is registered with a target, the adapter's callback or others."""
        raise NotImplementedError

    def _make(self, target: Any) -> Any:  # noqa: ARG002
        """Make the callback of a target; None if it is not one that trains."""
        return self.callback_class()

    def _attach(self, callback: Any, target: Any, name: str) -> _Method:
        callback.attach_to(target)
        return self._wrapped(target, name)

    def _wrapped(self, target: Any, name: str) -> _Method:
        """Return what the adapter has put around a method of a target, to call it around the method of the class."""
        wrapped: WrappedMethod = cast("dict[str, Any]", vars(target))[name]
        return functools.partial(wrapped.around, target)

    def _detach(self, callback: Any, target: Any) -> None:
        if callback.is_attached_to(target):  # and not replaced by one of the user meanwhile
            self.adapter.detach(target)

    def _end(self, target: Any) -> None:
        self._detach(self._callbacks[target], target)

    def _give_up(self) -> None:
        """Let no hub of this framework be the current one any longer: it is not kept up to date."""
        for target, callback in list(self._callbacks.items()):
            leave_hub(self._hub_of(callback, target))
            with suppress(Exception):  # what has failed once may fail again
                self._detach(callback, target)

    def _hub_of(self, callback: Any, target: Any) -> Any:  # noqa: ARG002
        return callback.message_hub


class _Lightning(_Framework):
    name = "lightning"
    label = "Lightning"
    callback = "RuntimeInfoCallback"
    arounds: Mapping[str, int] = {
        "_guard": 1,
        "_claim_loader": 1,
        "_before_workers": 1,
        "_before_batch": 1,
        "_begin_train_iteration": 1,
        "_take_logged": 1,
        "_end_unheard": 1,
    }

    def _members(self) -> dict[str, Any]:
        return {"state_dict": _no_state}

    def _registered(self, target: Any) -> list[Any]:
        return list(target.callbacks)


def _no_state(callback: Any) -> dict[str, Any]:  # noqa: ARG001
    """Put nothing into a checkpoint: it is the script's."""
    return {}


class _Transformers(_Framework):
    name = "transformers"
    label = "Transformers"
    callback = "RuntimeInfoCallback"
    arounds: Mapping[str, int] = {
        "_around_train": 1,
        "_around_attempt": 1,
        "_around_save_checkpoint": 1,
        "_around_training_step": 1,
        "_around_compute_loss": 1,
        "_around_evaluation": 2,
        "_around_evaluation_loop": 1,
        "_around_prediction_step": 1,
    }

    def _members(self) -> dict[str, Any]:
        def _save(callback: Any, args: Any, folder: Any) -> None:
            """Put nothing into a checkpoint: it is the script's."""

        def _say(callback: Any, message: str, *arguments: object) -> None:
            """Say nothing: the script may write the log somewhere."""

        return {"_save": _save, "_say": _say, "_notes_outputs": False}

    def _registered(self, target: Any) -> list[Any]:
        return list(target.callback_handler.callbacks)


class _Keras(_Framework):
    """Keras hands callbacks to a call, so that nothing has to be attached to the model."""

    name = "keras"
    label = "Keras"
    callback = "RuntimeInfoCallback"
    arounds: Mapping[str, int] = {"guard": 2}

    def _is_free(self, target: Any) -> bool:
        hub, callback = publishing_hub(), self._callbacks.get(target)
        return hub is None or (callback is not None and callback.message_hub is hub)  # an evaluation inside of fit

    def _is_attached(self, target: Any, arguments: tuple[Any, ...]) -> bool:
        kind = self.adapter.RuntimeInfoCallback
        if any(isinstance(each.adapter, kind) for each in wrapped_methods(target, "fit")):
            return True
        given = [each for argument in arguments for each in getattr(argument, "callbacks", None) or _items(argument)]
        return any(isinstance(each, kind) for each in given)

    def _attach(self, callback: Any, target: Any, name: str) -> _Method:
        return functools.partial(callback.guard, name, target)

    def _detach(self, callback: Any, target: Any) -> None:  # noqa: ARG002
        if not callback.runner.emitter.is_open("run"):
            callback.runner.data = None


def _items(argument: Any) -> list[Any]:
    return cast("list[Any]", argument) if isinstance(argument, list) else [argument]


class _MMEngine(_Framework):
    name = "mmengine"
    label = "mmengine"
    callback = "RuntimeInfoHook"
    arounds: Mapping[str, int] = {"_run": 1, "_run_runner": 2}

    def _registered(self, target: Any) -> list[Any]:
        return list(target.hooks)

    def _hub_of(self, callback: Any, target: Any) -> Any:  # noqa: ARG002
        return target.message_hub


class _Ignite(_Framework):
    """All engines of Ignite are alike.

    One that steps an optimizer trains. One that runs inside of it evaluates, and its pass is a validation. Of its
    metrics only those are published that are of the first data beside the training data: two passes would have the same
    names. An evaluator that runs on its own is left alone, because it could be a test.
    """

    name = "ignite"
    label = "Ignite"
    callback = "RuntimeInfoCallback"
    arounds: Mapping[str, int] = {}

    def __init__(self) -> None:
        super().__init__()
        self._trainers: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        """The callbacks of the trainers inside which evaluators run, by the evaluator."""

    def _members(self) -> dict[str, Any]:
        trainer, evaluator = self.adapter._TrainerListener, self.adapter._EvaluatorListener

        def epoch_completed(listener: Any) -> None:
            listener.publishes_metrics = _is_of_validation_data(listener)
            evaluator.epoch_completed(listener)

        around = {"_run": 1}
        return {
            "validation_data": None,
            "_trainer_listener": self.guarded(trainer, around, {}),
            "_evaluator_listener": self.guarded(evaluator, around, {"epoch_completed": epoch_completed}),
        }

    def _begin(self, owner: type, target: Any, name: str, arguments: tuple[Any, ...]) -> _Method | None:
        hub = publishing_hub()
        trainer = next((each for each in list(self._callbacks.values()) if each.message_hub is hub), None)
        if trainer is None:
            return super()._begin(owner, target, name, arguments)
        # A training inside of another one is left alone, and so is the trainer itself, which is attached.
        if self._is_attached(target, arguments) or optimizers_of(target._process_function, target):
            return None
        trainer._add_evaluator(target, "val")
        self._trainers[target] = trainer
        return self._wrapped(target, name)

    def _is_attached(self, target: Any, arguments: tuple[Any, ...]) -> bool:  # noqa: ARG002
        return any(True for _ in wrapped_methods(target, "run"))

    def _make(self, target: Any) -> Any:
        found = optimizers_of(target._process_function, target)
        if not found:
            return None
        optimizer = next(iter(found.values())) if len(found) == 1 else found
        return self.callback_class(optimizer=optimizer, output_transform=_publishable)

    def _attach(self, callback: Any, target: Any, name: str) -> _Method:
        callback.attach(target)
        return self._wrapped(target, name)

    def _detach(self, callback: Any, target: Any) -> None:  # noqa: ARG002
        callback.validation_data = None
        callback.detach()

    def _end(self, target: Any) -> None:
        trainer = self._trainers.pop(target, None)
        if trainer is None:
            super()._end(target)
        else:
            trainer._remove_evaluator(target)


def _is_of_validation_data(listener: Any) -> bool:
    """Tell whether an evaluator runs over the first data of this run of the trainer that it is not trained on."""
    callback, engine = listener.callback, listener.engine
    if engine is None or engine.state.dataloader is callback.runner.trainer.state.dataloader:
        return False
    if callback.validation_data is None:
        callback.validation_data = engine.state.dataloader
    return engine.state.dataloader is callback.validation_data


def _publishable(output: Any) -> Any:
    """Return the output of a trainer if it can be published, without a word if it cannot."""
    if is_scalar(output) or isinstance(output, Mapping):
        return cast("Any", output)
    samples = cast("list[Any]", output) if isinstance(output, list) else [None]
    return samples if all(isinstance(each, Mapping) for each in samples) else None


_LIGHTNING, _TRANSFORMERS, _KERAS, _IGNITE, _MMENGINE = _Lightning(), _Transformers(), _Keras(), _Ignite(), _MMEngine()


def __getattr__(name: str) -> Any:
    """Return a guarded class by its name, for an object that is unpickled in another process."""
    for framework in (_LIGHTNING, _TRANSFORMERS, _KERAS, _IGNITE, _MMENGINE):
        if name == f"{framework.name}_{framework.callback}":
            return framework.callback_class
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _patch(framework: _Framework, class_name: str, *entries: str) -> Callable[[ModuleType], None]:
    def install(module: ModuleType) -> None:
        framework.patch(getattr(module, class_name), *entries)

    return install


_OF_LIGHTNING = ("fit", "validate", "test", "predict")
INSTALLERS: dict[str, Callable[[ModuleType], None]] = {
    "accelerate.data_loader": _accelerate_loaders.install,
    "fastai.optimizer": _fastai_optimizers.install,
    "lightning.pytorch.trainer.trainer": _patch(_LIGHTNING, "Trainer", *_OF_LIGHTNING),
    "pytorch_lightning.trainer.trainer": _patch(_LIGHTNING, "Trainer", *_OF_LIGHTNING),
    "transformers.trainer": _patch(_TRANSFORMERS, "Trainer", "train", "evaluate", "predict"),
    "keras.src.models.model": _patch(_KERAS, "Model", "fit", "evaluate"),
    "ignite.engine.engine": _patch(_IGNITE, "Engine", "run"),
    "mmengine.runner.runner": _patch(_MMENGINE, "Runner", "train", "val", "test"),
    "mmengine.runner._flexible_runner": _patch(_MMENGINE, "FlexibleRunner", "train", "val", "test"),
}
"""What patches a module of a framework, by the name of the module. `_imports.FRAMEWORK_MODULES` has the same names."""
