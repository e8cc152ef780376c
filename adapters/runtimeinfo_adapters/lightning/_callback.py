"""The callback that publishes."""

# ruff: noqa: ARG002
# The signatures are Lightning's.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

from runtimeinfo import MessageHub, use_hub
from runtimeinfo.authoring import Config
from runtimeinfo_adapters._detached import detached
from runtimeinfo_adapters._framework import import_framework
from runtimeinfo_adapters._publisher import Publisher
from runtimeinfo_adapters._training_state import load_training, training_state
from runtimeinfo_adapters.hub import MessageHub as ReferenceHub
from runtimeinfo_adapters.lightning._before_workers import tell_before_workers, tell_no_longer
from runtimeinfo_adapters.lightning._metrics import NewMetrics
from runtimeinfo_adapters.lightning._runner import LightningRunner

_lightning = import_framework(
    "lightning.pytorch", distribution="lightning", extra="lightning", at_least="2.6", below="2.7"
)

if TYPE_CHECKING:
    from lightning.pytorch import Callback
else:
    Callback = _lightning.Callback


class RuntimeInfoCallback(Callback):
    """Publishes where a Lightning trainer is.

    Put it first among the callbacks: those after it find the hub up to date. Its hub is what
    `runtimeinfo.current_hub` returns while the trainer runs. The hub and the counters go into each checkpoint of the
    trainer, and come back with ``fit(ckpt_path=...)``. One callback serves any number of trainers, one after the other.

    Args:
        hub: Where to publish; a new `runtimeinfo_adapters.MessageHub` if left out.
        hooks: More hooks of this protocol. They run in this callback's place, by their priority among themselves.
        cfg: The configuration: a mapping, text, or anything with `pretty_text`. If left out, the hyperparameters that
            were saved with ``save_hyperparameters``.
        seed: The random seed that you have set; it is published, not set here. If left out, that of
            ``seed_everything``.
        experiment_name: The name of the experiment. If left out, that of the logger.
        optimizer_names: Names of the optimizers, in the order of ``configure_optimizers``. If left out, several
            are named after their class.

    Attributes:
        runner: What the hooks get as their runner.
        was_interrupted: Whether the last exception that Lightning has told of is a KeyboardInterrupt.

    Raises:
        HookError: If a hook cannot be registered.

    Source: LIFE-01 to LIFE-15, FAIL-01 to FAIL-06, RESUME-01 to RESUME-03.
    """

    def __init__(
        self,
        *,
        hub: MessageHub | None = None,
        hooks: Iterable[object] = (),
        cfg: Config | Mapping[str, Any] | str | None = None,
        seed: int | None = None,
        experiment_name: str | None = None,
        optimizer_names: Iterable[str] = (),
    ) -> None:
        self.runner: LightningRunner = LightningRunner(
            ReferenceHub(experiment_name or "lightning") if hub is None else hub,
            str(_lightning.__version__),
            cfg=cfg,
            seed=seed,
            experiment_name=experiment_name,
            optimizer_names=optimizer_names,
        )
        self.was_interrupted: bool = False
        self._publisher = Publisher(self.runner, hooks, self.runner.counters)
        self._current = ExitStack()  # what makes the hub the current one
        self._metrics = NewMetrics()
        self._loader = 0  # whose epoch of a validation or test is open
        self._has_several_loaders = False
        self._has_trained = False
        self._has_state = False  # of a checkpoint

    @property
    def message_hub(self) -> MessageHub:
        """The hub."""
        return self.runner.message_hub

    # -- the run: each call of fit, validate, test or predict

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Begin the run."""
        self.runner.connect(trainer)
        self._has_trained = self._has_state = False
        self._current.close()
        self._current.enter_context(use_hub(self.message_hub))
        self._publisher.emit("before_run")
        if stage == "fit":
            tell_before_workers(trainer.fit_loop, self._publish_counters)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """End the run."""
        if stage == "fit" and not self._has_trained and trainer.num_training_batches == 0:
            self._publish_empty_training()
        self._publisher.emit("after_run")
        self._current.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End the run abnormally. Lightning closes nothing of what it has opened."""
        self.was_interrupted = isinstance(exception, KeyboardInterrupt)
        self.abort(exception)

    def abort(self, exception: BaseException) -> None:
        """Close all that is open, since an exception leaves it."""
        try:
            self._publisher.abort(exception)
        finally:
            self._current.close()

    # -- training

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the training, maybe in the middle of an epoch: Lightning then has no event for its start."""
        self._has_trained = True
        loop = trainer.fit_loop
        tell_no_longer(loop)
        self._take_counters(loop)
        self._publisher.emit("before_train")
        if loop.restarted_mid_epoch:
            self._publisher.emit("before_train_epoch")

    def _publish_counters(self) -> None:
        self._take_counters(self.runner.trainer.fit_loop)
        self.message_hub.update_info_dict({"epoch": self.runner.epoch, "iter": self.runner.iter})

    def _take_counters(self, loop: Any) -> None:
        self.runner.counters.epoch = loop.epoch_progress.current.processed
        if loop.is_resuming and not self._has_state:  # the checkpoint of a trainer that had no such callback
            self.runner.counters.iter = loop.epoch_loop.batch_progress.total.processed

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End the training."""
        self._publisher.emit("after_train")

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin an epoch."""
        self._publisher.emit("before_train_epoch")

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """End an epoch."""
        self._publisher.emit("after_train_epoch")

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Begin an iteration."""
        self._publisher.emit("before_train_iter", batch_idx=batch_idx, data_batch=batch)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End an iteration."""
        if batch is None and not self._publisher.lifecycle.is_open("train_iter"):
            # Lightning passes over the start of a batch that is None.
            self._publisher.emit("before_train_iter", batch_idx=batch_idx)
        divisor = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        self._publisher.emit("after_train_iter", outputs=_outputs(outputs, divisor))

    # -- validation and test

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin a validation."""
        self._begin("val", trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """End a validation: only by now does Lightning have all its metrics."""
        self._end("val", trainer)

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int | None = None
    ) -> None:
        """Begin an iteration of a validation."""
        self._begin_iteration("val", trainer, batch, batch_idx, dataloader_idx)

    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int | None = None,
    ) -> None:
        """End an iteration of a validation."""
        if not trainer.sanity_checking:
            self._publisher.emit("after_val_iter", outputs=_evaluated(outputs))

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin a test."""
        self._begin("test", trainer)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """End a test."""
        self._end("test", trainer)

    def on_test_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int | None = None
    ) -> None:
        """Begin an iteration of a test."""
        self._begin_iteration("test", trainer, batch, batch_idx, dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int | None = None,
    ) -> None:
        """End an iteration of a test."""
        self._publisher.emit("after_test_iter", outputs=_evaluated(outputs))

    # -- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return how far the training is, the hub's state included."""
        return training_state(self.message_hub, epoch=self.runner.epoch, iter=self.runner.iter)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state.

        Only to fit: `test` with the best checkpoint shall not forget what the training has published.

        Raises:
            StateError: If a field is missing or wrong; nothing has changed.

        Source: RESUME-01, RESUME-02.
        """
        trainer = self.runner.trainer
        if trainer is not None and trainer.state.fn != "fit":
            return
        load_training(self.message_hub, self.runner.counters, state_dict)
        self._has_state = True

    # -- how

    def _begin(self, stage: str, trainer: Any) -> None:
        if trainer.sanity_checking:
            return
        self._loader, self._has_several_loaders = 0, False
        self._metrics.look(trainer.callback_metrics)
        self._publisher.emit(f"before_{stage}")
        self._publisher.emit(f"before_{stage}_epoch")

    def _begin_iteration(
        self, stage: str, trainer: Any, batch: Any, batch_idx: int, dataloader_idx: int | None
    ) -> None:
        if trainer.sanity_checking:
            return
        if dataloader_idx is not None:  # which it is if there is one loader, or all are drawn from at once
            self._has_several_loaders = True
            while self._loader < dataloader_idx:
                self._end_epoch(stage, trainer.callback_metrics)
                self._loader += 1
                self._publisher.emit(f"before_{stage}_epoch")
        self._publisher.emit(f"before_{stage}_iter", batch_idx=batch_idx, data_batch=batch)

    def _end(self, stage: str, trainer: Any) -> None:
        if trainer.sanity_checking:
            return
        self._end_epoch(stage, trainer.callback_metrics)
        if self._has_several_loaders:  # those at the end may have no batch
            batches = trainer.num_val_batches if stage == "val" else trainer.num_test_batches
            for _ in range(self._loader + 1, len(batches)):
                self._publisher.emit(f"before_{stage}_epoch")
                self._publisher.emit(f"after_{stage}_epoch", metrics={})
        self._publisher.emit(f"after_{stage}")

    def _end_epoch(self, stage: str, metrics: Mapping[str, Any]) -> None:
        self._publisher.emit(f"after_{stage}_epoch", metrics=self._metrics.take(metrics, self._loader))

    def _publish_empty_training(self) -> None:
        """Publish a training without a batch: Lightning returns from it before its first event.

        Source: LIFE-04.
        """
        self._publisher.emit("before_train")
        for _ in range(self.runner.epoch, self.runner.max_epochs or 0):
            self._publisher.emit("before_train_epoch")
            self._publisher.emit("after_train_epoch")
        self._publisher.emit("after_train")


def _outputs(outputs: Any, divisor: int) -> dict[str, Any] | None:
    """Return what a training step has returned: without a graph, and the loss as it was before it was divided."""
    if not isinstance(outputs, Mapping):
        outputs = {"loss": outputs}
    values = {name: detached(value) for name, value in cast("Mapping[str, Any]", outputs).items()}
    if values.get("loss", outputs) is None:  # this step was to be skipped
        del values["loss"]
    elif divisor != 1 and "loss" in values:
        values["loss"] = values["loss"] * divisor
    return values or None


def _evaluated(outputs: Any) -> Any:
    if isinstance(outputs, Mapping):
        return {name: detached(value) for name, value in cast("Mapping[str, Any]", outputs).items()}
    return detached(outputs)
