"""The adapter for Transformers as a subject: the real Trainer, customised as its users do it."""

# pyright: basic
# Its types are many, and hardly any of them is needed here.

from __future__ import annotations

import contextlib
import gc
import math
import tempfile
import warnings
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import torch

from runtimeinfo_adapters._framework import load_framework
from runtimeinfo_adapters.transformers import attach
from runtimeinfo_conformance._subject import Subject
from runtimeinfo_conformance.plans import Batch, Plan

_transformers: Any = load_framework("transformers")
_Trainer: Any = _transformers.Trainer
_Callback: Any = _transformers.TrainerCallback


class _Model(torch.nn.Module):
    """A model that returns what the plan says, beside what it is trained on."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList([torch.zeros(1) for _ in range(groups)])

    def forward(self, batch: Batch) -> dict[str, Any]:
        """Return the batch's outputs."""
        return dict(batch.outputs)


class _PlannedTrainer(_Trainer):  # type: ignore[misc]
    """A Trainer whose steps, metrics and empty epochs are the plan's."""

    plan: Plan
    turn = 0  # how many validations there were

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:  # noqa: ARG002
        """Make the step; the loss that the plan wants may be none that can be trained on."""
        model(inputs)
        loss = sum((weight.sum() for weight in self.model.weights), torch.zeros(()))
        loss = loss / self.current_gradient_accumulation_steps
        self.accelerator.backward(loss)
        if inputs.stop:
            self.control.should_training_stop = True
        return loss.detach()

    def prediction_step(self, model: Any, inputs: Any, *_args: Any, **_kwargs: Any) -> Any:  # noqa: ARG002
        """Predict nothing."""
        return None, None, None

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate, and add the metrics of this turn."""
        output = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs["metric_key_prefix"]
        turn = 0 if prefix == "test" else self.turn
        self.turn += prefix != "test"
        output.metrics.update({f"{prefix}_{name}": value for name, value in self.plan.metrics_of(turn).items()})
        return output

    def _get_num_items_in_batch(self, *_args: Any) -> None:
        """Count no labels: a batch of a plan is not a mapping that could be asked for them."""

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        """Count no operations, for the same reason."""
        return 0

    def log(self, *_args: Any, **_kwargs: Any) -> None:
        """Keep no log: it goes into each checkpoint as JSON, which not all metrics of a plan can be."""

    def set_initial_training_values(self, args: Any, dataloader: Any) -> Any:
        """Say how long the training is. The Trainer refuses empty data; here an empty epoch counts as one step."""
        if self.plan.batches:
            return super().set_initial_training_values(args, dataloader)
        return self.plan.max_epochs, 1, 0, 0, 1, 0, self.plan.max_epochs


class _Flow(_Callback):  # type: ignore[misc]
    """The parts of a plan that the Trainer's own arguments cannot express."""

    def __init__(self, trainer: Any, plan: Plan) -> None:
        self.trainer = trainer
        self.plan = plan
        self.batch = plan.start_batch

    def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """Look at the run."""
        self.plan.on_batch_begin()

    def on_substep_end(self, *_args: Any, lr_scheduler: Any, **_kwargs: Any) -> None:
        """Go on with the schedule, which the Trainer does at an optimizer step only."""
        lr_scheduler.step()
        self._validate()

    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Validate, if it is time."""
        self._validate()

    def on_epoch_end(self, _args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Let an empty epoch be an epoch: the Trainer would stop."""
        self.batch = 0
        if not self.plan.batches:
            state.global_step += 1
            control.should_training_stop = False

    def _validate(self) -> None:
        batch, self.batch = self.batch, self.batch + 1
        if self.plan.validates_after(batch):
            self.trainer.evaluate()


def run(plan: Plan, hooks: Sequence[Any]) -> None:
    """Do what a plan says."""
    with _quiet(), _memory_left_alone(), tempfile.TemporaryDirectory(prefix="runtimeinfo-") as scratch:
        trainer = _build(plan, scratch)
        attach(trainer, hooks=hooks)
        trainer.train(resume_from_checkpoint=_checkpoint_of(plan))
        if plan.again:
            trainer.train_dataset, trainer.turn = plan.train_dataset(), 0
            for weight in trainer.model.weights:
                torch.nn.init.zeros_(weight)
            trainer.optimizer, trainer.lr_scheduler = _make_optimizers(plan, trainer.model)
            trainer.train()
        if plan.val_after and plan.val_batches is not None:
            trainer.evaluate()
        if plan.test_batches is not None:
            trainer.predict(plan.test_dataset())


def subject() -> Subject:
    """Return the subject."""
    return Subject(
        "transformers",
        str(_transformers.__version__),
        run=run,
        # Not beside: to make `TrainingArguments` resets the state of Accelerate, also that of a training in a thread.
        capabilities={
            "share",
            "nested",
            "val",
            "val_before",
            "val_inside",
            "val_after",
            "test",
            "outputs",
            "metrics",
            "metainfo",
            "batch_begin",
            "scheduler",
            "accumulation",
            "iterations",
            "early_stop",
            "again",
            "resume",
            "resume_mid_epoch",
        },
    )


def _build(plan: Plan, scratch: str) -> Any:
    # Steps are saved only where they end: a training to be saved after each batch makes one for each.
    by_batch = plan.checkpoint_iterations or plan.start_batch > 0
    saves = "no" if plan.checkpoint is None else "steps" if by_batch else "epoch"
    args = _transformers.TrainingArguments(
        scratch if plan.checkpoint is None else str(plan.checkpoint),
        run_name=plan.experiment_name,
        seed=plan.seed,
        num_train_epochs=plan.max_epochs,
        max_steps=-1 if plan.iterations is None else plan.iterations,
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        gradient_accumulation_steps=1 if by_batch else plan.accumulation,
        train_sampling_strategy="sequential",
        eval_strategy="epoch" if plan.validates_after_epoch else "no",
        eval_on_start=plan.val_before and plan.val_batches is not None,
        save_strategy=saves,
        save_steps=1,
        use_cpu=True,
        dataloader_pin_memory=False,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        max_grad_norm=0,
    )
    model = _Model(plan.groups)
    trainer = _PlannedTrainer(
        model,
        args,
        data_collator=_only_item,
        train_dataset=plan.train_dataset(),
        eval_dataset=None if plan.val_batches is None else plan.val_dataset(),
        optimizers=_make_optimizers(plan, model),
    )
    trainer.plan = plan
    trainer.remove_callback(_transformers.PrinterCallback)
    trainer.add_callback(_Flow(trainer, plan))
    return trainer


def _make_optimizers(plan: Plan, model: Any) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups = [{"params": [weight], "lr": plan.lr_of(0, group)} for group, weight in enumerate(model.weights)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    return optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5 if plan.schedule else 1.0)


def _only_item(items: list[Batch]) -> Batch:
    (item,) = items
    return item


def _checkpoint_of(plan: Plan) -> str | None:
    """Return the checkpoint to resume from, with the number of optimizer steps in its name."""
    if plan.resume_from is None:
        return None
    batches = plan.batches or 1  # an empty epoch counts as one
    steps = plan.start_epoch * batches + plan.start_batch
    if not plan.start_batch:
        steps = plan.start_epoch * math.ceil(batches / plan.accumulation)
    return str(Path(plan.resume_from) / f"checkpoint-{steps}")


@contextlib.contextmanager
def _memory_left_alone() -> Generator[None]:
    """Let the Trainer collect its own garbage only: it does so twice a training, which takes half a second here."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep back what belongs to the plan, and not to the verdict."""
    with warnings.catch_warnings():
        # With accumulation a scheduler steps before its optimizer has: that is what the plan wants.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        yield
