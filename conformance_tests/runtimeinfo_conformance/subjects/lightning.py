"""The adapter for Lightning as a subject: the real Trainer, with the real loops, optimizers and schedulers."""

# ruff: noqa: ARG002
# The signatures are Lightning's.

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from typing import Any, cast

import lightning
import lightning.pytorch as pl
import torch

from runtimeinfo.authoring import is_scalar, scalar_value
from runtimeinfo_adapters.lightning import RuntimeInfoCallback, attach
from runtimeinfo_conformance._subject import Subject
from runtimeinfo_conformance.plans import Batch, Plan, PlannedLoader


class _Loader:
    """The plan's training loader, which Lightning can resume in the middle of an epoch.

    Its state is how many batches were trained on, and not how many were drawn: where there is no length, Lightning
    draws one ahead.
    """

    def __init__(self, plan: Plan) -> None:
        self.dataset = plan.train_dataset()
        self.trained = 0
        self._skipped = 0

    def __iter__(self) -> Iterator[Batch]:
        self.trained, self._skipped = self._skipped, 0
        for index in range(self.trained, len(self.dataset)):
            yield self.dataset[index]

    def state_dict(self) -> dict[str, int]:
        """Return how many batches of the epoch were trained on."""
        return {"trained": self.trained}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on after them; after the last one with the next epoch."""
        self._skipped = state_dict["trained"] % max(len(self.dataset), 1)


class _SizedLoader(_Loader):
    """The same with a length."""

    def __len__(self) -> int:
        return len(self.dataset)


class _Module(pl.LightningModule):
    """A module whose steps return and log what the plan says."""

    def __init__(self, plan: Plan, loader: _Loader) -> None:
        super().__init__()
        self.plan = plan
        self.loader = loader
        self.validated = 0  # loaders
        self.is_stopped = False
        # By itself Lightning steps one optimizer, and on a loss that is a number.
        self.automatic_optimization = not plan.optimizers and is_scalar(plan.outputs_of(0).get("loss", 0.0))
        # Nor does it change the learning rate in between two steps.
        self.has_scheduler = plan.schedule and self.automatic_optimization and plan.accumulation == 1
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter(torch.zeros(1)) for _ in range(plan.groups * len(plan.optimizers or ("",)))
        )

    def configure_optimizers(self) -> Any:
        """Return the optimizers that the plan names, and maybe a scheduler."""
        groups = self.plan.groups
        optimizers = [
            torch.optim.SGD(
                [
                    {"params": [self.weights[index * groups + group]], "lr": self.plan.lr_of(0, group, index)}
                    for group in range(groups)
                ],
                lr=1.0,
            )
            for index in range(len(self.weights) // groups)
        ]
        if not self.has_scheduler:
            return optimizers
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizers[0], 0.5)
        return {"optimizer": optimizers[0], "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    # Lightning looks into a batch to move it, and into no frozen dataclass.
    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave the batch where it is."""
        return batch

    # -- training

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Return the batch's outputs, with a loss that Lightning can backpropagate."""
        outputs = dict(batch.outputs)
        given = outputs.pop("loss", None)
        nothing = sum((weight.sum() * 0 for weight in self.weights), torch.zeros(()))
        if batch.stop:
            self.stop()
        if self.automatic_optimization:
            return {"loss": nothing + _number(given or 0.0), **outputs}
        self.manual_backward(nothing)
        if (batch_idx + 1) % self.plan.accumulation == 0:
            optimizers = self.optimizers()
            for optimizer in cast("list[Any]", optimizers if isinstance(optimizers, list) else [optimizers]):
                optimizer.step()
                optimizer.zero_grad()
        return {"loss": nothing + _number(given), **outputs} if is_scalar(given) else outputs

    def stop(self) -> None:
        """Ask the trainer to stop: at once, or where it would then validate once more at the end of the epoch."""
        self.is_stopped = True
        self.trainer.should_stop = self.plan.val_interval is None

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Look at the run."""
        self.plan.on_batch_begin()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Say how many batches were trained on, and change the learning rate if no scheduler does."""
        self.loader.trained = batch_idx + 1
        if self.plan.schedule and not self.has_scheduler:
            for optimizer in self.trainer.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] *= 0.5
        # Under max_steps Lightning resumes from the end of an epoch inside that epoch, with a batch too much.
        is_last = self.plan.iterations is not None and batch_idx + 1 == self.plan.batches
        if self.plan.checkpoint_iterations or (is_last and self.plan.checkpoint is not None):
            self.trainer.save_checkpoint(str(self.plan.checkpoint))

    def on_train_epoch_end(self) -> None:
        """Save, and stop if that was asked for."""
        self.trainer.should_stop = self.is_stopped
        # From here on, an epoch that was asked to stop in its middle counts as complete: its last batch has saved. One
        # that max_steps cuts short goes on from here, and only such a one does under max_steps.
        is_cut = self.plan.checkpoint_iterations and self.loader.trained < self.plan.batches
        is_due = is_cut is (self.plan.iterations is not None)
        if self.plan.checkpoint is not None and self.plan.checkpoint_epochs and is_due:
            self.trainer.save_checkpoint(str(self.plan.checkpoint))

    # -- validation and test

    def on_validation_epoch_start(self) -> None:
        """Have metrics for a loader without a batch, which no step will log."""
        if self.plan.val_length(0) == 0:
            self.log_validation(0)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the metrics of a loader with its last batch."""
        if batch_idx + 1 == self.plan.val_length(dataloader_idx):
            self.log_validation(dataloader_idx)

    def log_validation(self, loader: int) -> None:
        """Log the metrics of a loader."""
        if self.trainer.sanity_checking:
            return
        suffix = f"/dataloader_idx_{loader}" if self.plan.val_loaders > 1 else ""
        self.log_metrics(self.validated, suffix, by_step=self.plan.val_length(loader) > 0)
        self.validated += 1

    def on_test_epoch_start(self) -> None:
        """Have metrics for a test without a batch."""
        if self.plan.test_batches == 0:
            self.log_metrics(0, "", by_step=False)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the metrics with the last batch."""
        if batch_idx + 1 == self.plan.test_batches:
            self.log_metrics(0, "", by_step=True)

    def log_metrics(self, turn: int, suffix: str, *, by_step: bool) -> None:
        """Log what Lightning's own log takes; the rest lies beside that."""
        for name, value in self.plan.metrics_of(turn).items():
            if not is_scalar(value):
                self.trainer.callback_metrics[f"{name}{suffix}"] = value
            elif by_step and _fits_float32(_number(value)):
                self.log(name, _number(value), on_step=False, on_epoch=True, batch_size=1)
            else:
                self.trainer.callback_metrics[f"{name}{suffix}"] = _number(value)


class _SaveEmptyEpochs:
    """Saves after each epoch without a batch, of which Lightning has no event."""

    def __init__(self, plan: Plan, trainer: pl.Trainer) -> None:
        self._plan = plan
        self._trainer = trainer

    def before_train_epoch(self, runner: Any) -> None:
        """Save when the epoch before this one is counted."""
        if runner.epoch > self._plan.start_epoch:
            self._trainer.save_checkpoint(str(self._plan.checkpoint))


def run(plan: Plan, hooks: Sequence[Any]) -> None:
    """Do what a plan says."""
    with _quiet(), _interruptible():
        if plan.again:
            _fit_twice(plan, hooks)
            return
        loader = _SizedLoader(plan) if plan.sized else _Loader(plan)
        module = _Module(plan, loader)
        trainer = _trainer(plan, module)
        is_empty = plan.sized and plan.batches == 0
        saving = [_SaveEmptyEpochs(plan, trainer)] if is_empty and plan.checkpoint is not None else []
        attach(
            trainer,
            hooks=[*hooks, *saving],
            cfg={"batches": plan.batches},
            seed=plan.seed,
            experiment_name=plan.experiment_name,
            optimizer_names=plan.optimizers,
        )
        val_loaders = [_evaluated(plan.val_dataloader(index)) for index in range(plan.val_loaders)]
        if plan.val_before:
            trainer.validate(module, val_loaders, verbose=False)
        resume_from = None if plan.resume_from is None else str(plan.resume_from)
        trainer.fit(module, loader, val_loaders if _validates(plan) else None, ckpt_path=resume_from, weights_only=True)
        # Lightning validates after a batch: after an epoch that has none, it has to be told to.
        if plan.batches == 0 and plan.validates_after_epoch:
            for _ in range(plan.start_epoch, plan.max_epochs):
                trainer.validate(module, val_loaders, verbose=False)
        if plan.val_after:
            trainer.validate(module, val_loaders, verbose=False)
        if plan.test_batches is not None:
            trainer.test(module, _evaluated(plan.test_dataloader()), verbose=False)


def _fit_twice(plan: Plan, hooks: Sequence[Any]) -> None:
    """Train two trainers, one after the other, with one callback."""
    callback = RuntimeInfoCallback(
        hooks=hooks,
        cfg={"batches": plan.batches},
        seed=plan.seed,
        experiment_name=plan.experiment_name,
        optimizer_names=plan.optimizers,
    )
    for _ in range(2):
        loader = _SizedLoader(plan) if plan.sized else _Loader(plan)
        module = _Module(plan, loader)
        trainer = _trainer(plan, module, callback)
        val_loaders = [_evaluated(plan.val_dataloader(index)) for index in range(plan.val_loaders)]
        trainer.fit(module, loader, val_loaders if _validates(plan) else None)


def subject() -> Subject:
    """Return the subject."""
    return Subject(
        "lightning",
        lightning.__version__,
        run=run,
        capabilities={
            "share",
            "beside",
            "nested",
            "val",
            "val_before",
            "val_inside",
            "val_after",
            "val_loaders",
            "test",
            "outputs",
            "metrics",
            "metainfo",
            "unsized",
            "changing_length",
            "batch_begin",
            "scheduler",
            "optimizers",
            "accumulation",
            "iterations",
            "early_stop",
            "again",
            "resume",
            "resume_mid_epoch",
        },
    )


def _trainer(plan: Plan, module: _Module, *callbacks: pl.Callback) -> pl.Trainer:
    return pl.Trainer(
        callbacks=list(callbacks),
        accelerator="cpu",
        devices=1,
        max_epochs=plan.max_epochs if plan.iterations is None else -1,
        max_steps=-1 if plan.iterations is None else plan.iterations,
        # By hand, the module does it.
        accumulate_grad_batches=plan.accumulation if module.automatic_optimization else 1,
        val_check_interval=plan.val_interval if plan.val_interval is not None and _validates(plan) else 1.0,
        num_sanity_val_steps=1,
        reload_dataloaders_every_n_epochs=1 if plan.lengths else 0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _validates(plan: Plan) -> bool:
    """Whether a validation becomes due: Lightning refuses an interval longer than the epoch."""
    return plan.val_batches is not None and (plan.val_interval is None or plan.val_interval <= plan.batches)


def _evaluated(loader: PlannedLoader) -> PlannedLoader:
    """Return a loader for a validation or a test: Lightning skips one of which it can tell that it has no batch."""
    return loader if len(loader.dataset) else PlannedLoader(loader.dataset)


def _number(value: Any) -> torch.Tensor:
    return torch.tensor(float(scalar_value(value)), dtype=torch.float64)


def _fits_float32(number: torch.Tensor) -> bool:
    return math.isfinite(number.float().item()) == math.isfinite(number.item())


@contextlib.contextmanager
def _interruptible() -> Generator[None]:
    """Let a KeyboardInterrupt come out, as the plan expects: Lightning exits, and ignores Ctrl-C from then on."""
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    interrupt: BaseException | None = None
    try:
        yield
    except SystemExit as error:
        interrupt = error.__context__
        if not isinstance(interrupt, KeyboardInterrupt):
            raise
    if interrupt is not None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, on_ctrl_c)
        raise interrupt  # outside of the handler: it has not led to itself


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep back what belongs to Lightning and the plan, and not to the verdict."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        logger.setLevel(level)
