"""The callback that makes a model publish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Literal

from runtimeinfo import LoopError, MessageHub, RunnerError, use_hub
from runtimeinfo.authoring import Config, shown
from runtimeinfo_adapters._counters import Counters
from runtimeinfo_adapters._publisher import Publisher
from runtimeinfo_adapters._training_state import load_training, training_state
from runtimeinfo_adapters.hub import MessageHub as ReferenceHub
from runtimeinfo_adapters.keras._batch_values import BatchValues
from runtimeinfo_adapters.keras._runner import KerasRunner
from runtimeinfo_adapters.keras._untyped import Callback


class RuntimeInfoCallback(Callback):
    """Makes a model publish through this protocol. `attach` does more: see there.

    It overrides `on_train_batch_end` and `on_test_batch_end`: Keras then calls all callbacks in this thread, and not
    some time later in another one.

    Args:
        optimizers: Several optimizers by name, for a `train_step` that uses them; if left out, the one that the
            model is compiled with.
        alone: What an `evaluate` outside of `fit` is.
        hub: Where to publish; a new `runtimeinfo_adapters.MessageHub` if left out.
        hooks: More hooks. `RuntimeInfoHook` runs in any case.
        cfg: The configuration: a mapping, text, or anything with `pretty_text`.
        seed: The random seed that you have set; it is published, not set here.
        experiment_name: The name of the experiment.

    Raises:
        RunnerError: If `alone` is neither.
        HookError: If a hook cannot be registered.

    Source: LIFE-01 to LIFE-09, FAIL-01 to FAIL-06, RESUME-01, RESUME-02.
    """

    def __init__(
        self,
        *,
        optimizers: Mapping[str, Any] | None = None,
        alone: Literal["val", "test"] = "test",
        hub: MessageHub | None = None,
        hooks: Iterable[object] = (),
        cfg: Config | Mapping[str, Any] | str | None = None,
        seed: int | None = None,
        experiment_name: str | None = None,
    ) -> None:
        super().__init__()
        if alone not in {"val", "test"}:
            raise RunnerError(f"alone must be 'val' or 'test', but is {shown(alone)}: say what a lone evaluate() is")
        self.message_hub: MessageHub = ReferenceHub(experiment_name or "keras") if hub is None else hub
        self._counters = Counters()
        self.runner: KerasRunner = KerasRunner(
            self._counters,
            optimizers=optimizers,
            hub=self.message_hub,
            cfg=cfg,
            seed=seed,
            experiment_name=experiment_name,
        )
        self.publisher: Publisher = Publisher(self.runner, hooks, self._counters)
        self.is_guarded: bool = False  # by `attach`, which ends the run, and begins the iterations
        self._alone = alone
        self._stage: str = alone
        self._values = BatchValues()
        self.calls: list[str] = []
        """The calls of `fit` and `evaluate` that are under way, outermost first."""
        self._scope = ExitStack()  # where the hub is the current one, if nobody guards the calls
        self._initial_epoch = 0
        self._begins_training = False
        self._was_loaded = False

    # -- the run

    def begin_run(self, data: Any = None, initial_epoch: int = 0) -> None:
        """Begin the run, with what Keras does not tell a callback."""
        self.runner.data, self._initial_epoch = data, initial_epoch
        self.publisher.emit("before_run")

    def set_model(self, model: Any) -> None:
        """Take the model."""
        super().set_model(model)
        self.runner.model = model

    # -- training

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open the training."""
        self._begin_call("fit")
        self.runner.note_totals(self.params.get("epochs"), self.params.get("steps"))
        if not self._was_loaded:
            self._count_from(self._initial_epoch)
        self._begins_training = True
        self.publisher.emit("before_train")

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open an epoch. The first one tells where the training begins, if nobody has told before."""
        if self._begins_training and not self._was_loaded:
            self._count_from(epoch)
        self._begins_training = self._was_loaded = False
        self.publisher.emit("before_train_epoch")

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open an iteration, unless `attach` does so when all callbacks have set the learning rate."""
        if not self.is_guarded:
            self.begin_iteration(batch)

    def begin_iteration(self, batch: int) -> None:
        """Open an iteration."""
        self._values.begin(self.model)
        self.publisher.emit("before_train_iter", batch_idx=batch)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the iteration."""
        self.publisher.emit("after_train_iter", outputs=self._values.end(self.model, logs or {}))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the epoch."""
        self.publisher.emit("after_train_epoch")

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the training."""
        self.publisher.emit("after_train")
        self._end_call()

    # -- validation and test

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open a validation or a test."""
        self._begin_call("evaluate")
        self._stage = "val" if "fit" in self.calls else self._alone
        self.publisher.emit(f"before_{self._stage}")
        self.publisher.emit(f"before_{self._stage}_epoch")

    def on_test_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Open an iteration of it."""
        self.publisher.emit(f"before_{self._stage}_iter", batch_idx=batch)

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Close the iteration."""
        self.publisher.emit(f"after_{self._stage}_iter", outputs=logs)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Close it, with its metrics."""
        self.publisher.emit(f"after_{self._stage}_epoch", metrics=dict(logs or {}))
        self.publisher.emit(f"after_{self._stage}")
        self._end_call()

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, the hub's state included. Keras has no place for it: save it beside.

        Source: RESUME-01, RESUME-02.
        """
        return training_state(self.message_hub, epoch=self._counters.epoch, iter=self._counters.iter)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state, at the next ``fit(initial_epoch=callback.runner.epoch, ...)``.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.
            LoopError: If the training has begun already.

        Source: RESUME-01, RESUME-02.
        """
        if self.publisher.lifecycle.is_open("train"):
            raise LoopError("the training has begun already: call load_state_dict() before model.fit()")
        load_training(self.message_hub, self._counters, state_dict)
        self._was_loaded = True

    # -- how

    def _count_from(self, epoch: int) -> None:
        """Count from an epoch on: the counters go on if that is where they are, or are worked out."""
        if epoch == 0 or epoch != self._counters.epoch:
            self._counters.epoch, self._counters.iter = epoch, epoch * (self.params.get("steps") or 0)

    def _begin_call(self, call: str) -> None:
        """Frame a call that is not guarded: a run, or a part of one."""
        if self.is_guarded:
            return
        if call == "fit" and self.calls:  # Keras said nothing
            self.publisher.abort(RuntimeError("the last fit() did not come to its end"))
            self.calls.clear()
            self._scope.close()
        if not self.calls:
            self._scope.enter_context(use_hub(self.message_hub))
            self.begin_run()
        self.calls.append(call)

    def _end_call(self) -> None:
        if self.is_guarded:
            return
        self.calls.pop()
        if not self.calls:
            self.publisher.emit("after_run")
            self._scope.close()
